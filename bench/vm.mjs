// SPDX-License-Identifier: MIT
// The VM's part of npm run bench: what `i915-userptr vm bench` prints, and with `boots` how long many
// boots in a row take, and whether all of them come up. BENCH_BOOTS: how many.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseKmsg } from '../dist/kernel/kmsg.js';
import { SplatDetector } from '../dist/kernel/splat.js';
import { kernelOf, Machine } from '../dist/vm/machine.js';
import { makeVmOptions } from '../dist/vm/options.js';
import { GUEST_NODE } from '../dist/vm/run.js';

const cli = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** As a process of its own: the start of the command is part of what it measures. */
export function vm() {
  const { status } = spawnSync(process.execPath, [cli, 'vm', 'bench'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) process.exitCode = 1;
}

/** One boot, ms until i915 has bound. Throws with what went wrong. */
async function boot(kernel, options) {
  const detector = new SplatDetector();
  const splats = [];
  const onKmsg = (raw) => {
    const record = parseKmsg(raw);
    if (record) splats.push(...detector.feed(record));
  };
  const begin = performance.now();
  const machine = await Machine.start(kernel, options, { onKmsg });
  const ms = performance.now() - begin;
  try {
    const { exited } = await machine.guest.exec(['/usr/bin/test', '-c', GUEST_NODE]);
    const { status } = await exited;
    if (status !== 0) throw new Error(`there is no ${GUEST_NODE}`);
  } finally {
    await machine.stop();
  }
  splats.push(...detector.end());
  const [first] = splats.filter(({ severity }) => severity !== 'notice');
  if (first) throw new Error(first.title);
  return ms;
}

export async function boots(say) {
  const n = Number(process.env.BENCH_BOOTS ?? 100);
  const options = makeVmOptions({});
  const kernel = await kernelOf(options);
  const times = [];
  const failures = [];
  for (let i = 0; i < n; i++) {
    try {
      times.push(await boot(kernel, options));
    } catch (e) {
      failures.push(e.message);
      console.log(`boot ${i + 1}: ${e.message}`);
    }
  }
  times.sort((a, b) => a - b);
  const seconds = (ms) => (ms === undefined ? '-' : `${(ms / 1000).toFixed(2)} s`);
  say(`${n} boots of ${kernel.release} in a row, shortest`, seconds(times[0]), '', true);
  say('  median', seconds(times[times.length >> 1]), '', true);
  say('  longest', seconds(times.at(-1)), '', true);
  say('  that did not come up, or with a splat', `${failures.length}`, 'none', !failures.length);
}
