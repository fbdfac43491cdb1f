// SPDX-License-Identifier: MIT
// The software i915 with lockdep and without, which the environment decides for a whole process:
// run as a program, this measures once and prints JSON.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { mmap, openDevice } from '../dist/index.js';
import { stress } from '../dist/stress/snapshot.js';
import { stressRun } from './stress-run.mjs';

const self = fileURLToPath(import.meta.url);
const turns = 5;

function once() {
  const { device } = openDevice('soft');
  const area = mmap(65536, { populate: true });
  const each = (what, n) => (n * 1e9) / stress.bench(device.id, what, n, area.address);
  const sync = each('exec-wait', 30_000);
  const async = each('exec', 100_000);
  area.munmap();
  const end = stressRun(device, {
    seconds: 3,
    submitters: 2,
    objects: 8,
    sizes: [],
    stressors: [],
  });
  const seconds = Number(end.endNs - end.startNs) / 1e9;
  const sum = (is) => end.threads.filter(is).reduce((n, t) => n + t.ops, 0) / seconds;
  device.close();
  return {
    sync,
    async,
    submissions: sum((t) => t.kind === 'submit'),
    changes: sum((t) => t.kind !== 'submit' && t.kind !== 'run'),
  };
}

const measured = (lockdep) => {
  const env = { ...process.env, I915_USERPTR_LOCKDEP: lockdep ? '1' : '0' };
  return JSON.parse(execFileSync(process.execPath, [self], { env, encoding: 'utf8' }));
};

export function lockdep(say) {
  const best = { off: {}, on: {} };
  for (let turn = 0; turn < turns; turn++)
    for (const which of ['off', 'on'])
      for (const [what, rate] of Object.entries(measured(which === 'on')))
        best[which][what] = Math.max(best[which][what] ?? 0, rate);
  const names = {
    sync: 'execbuf of a store batch + GEM_WAIT, lockdep off, on',
    async: 'execbuf of a store batch, no wait, lockdep off, on',
    submissions: 'submissions of a stress run, lockdep off, on',
    changes: 'changes of a stress run, lockdep off, on',
  };
  for (const [what, name] of Object.entries(names)) {
    const [off, on] = [best.off[what], best.on[what]];
    say(name, `${Math.round(off)}, ${Math.round(on)}/s`, '', true);
    say('  times slower', (off / on).toFixed(2), 'at most 2', off / on <= 2);
  }
}

if (process.argv[1] === self) console.log(JSON.stringify(once()));
