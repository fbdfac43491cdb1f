// SPDX-License-Identifier: MIT
// What the tests in a virtual machine start from. Without QEMU and kernels in the cache they are
// skipped with the reason; in CI, which sets them up, that is a failure.
import { onTestFinished } from 'vitest';
import { parseKmsg } from '../../lib/kernel/kmsg.js';
import { type Splat, SplatDetector } from '../../lib/kernel/splat.js';
import { cachedKernels } from '../../lib/vm/kernel.js';
import { kernelOf, Machine } from '../../lib/vm/machine.js';
import { makeVmOptions, type VmOptionsInput } from '../../lib/vm/options.js';
import { prepare } from '../../lib/vm/prepare.js';
import { findQemu } from '../../lib/vm/qemu.js';
import { guestEnv } from '../../lib/vm/run.js';
import { fits } from '../../lib/vm/version.js';

export const required = process.env.I915_USERPTR_REQUIRE === '1';

/** Why there is no VM here, or ''. */
export const noVm: string = await (async () => {
  try {
    await findQemu();
  } catch (e) {
    return (e as Error).message;
  }
  return (await cachedKernels()).length ? '' : 'no kernel in the cache: `i915-userptr vm setup`';
})();
if (noVm && required) throw new Error(`tests in a VM are required, and there is none: ${noVm}`);

/** Debian's kernels that are in the cache, oldest first. */
export const kernels: readonly string[] = noVm ? [] : (await cachedKernels()).reverse();

/** The release of a series that is in the cache. */
export const kernel = (series: string): string | undefined =>
  kernels.find((release) => fits(release, series));

/** Minutes: emulation on a machine that does other things, too. */
export const MINUTES = 60_000;

export interface Booted {
  machine: Machine;
  /** What was wrong in its log until now. */
  splats: Splat[];
  /** Of its log. */
  lines: string[];
  /** A command in the guest, to its end. */
  sh(script: string): Promise<{ status: number; signal: number; stdout: string; stderr: string }>;
}

/** A machine that ends with the test. */
export async function boot(options: VmOptionsInput = {}): Promise<Booted> {
  const vm = makeVmOptions(options);
  const detector = new SplatDetector();
  const splats: Splat[] = [];
  const lines: string[] = [];
  const machine = await Machine.start(await kernelOf(vm), vm, {
    onKmsg: (raw) => {
      const record = parseKmsg(raw);
      if (!record) return;
      lines.push(record.text);
      splats.push(...detector.feed(record));
    },
  });
  onTestFinished(() => machine.stop().then(() => {}));
  const problems = await prepare(machine);
  if (problems.length) throw new Error(problems.join('\n'));
  const sh = async (script: string) => {
    const out = { stdout: '', stderr: '' };
    const process_ = await machine.guest.exec(['/bin/sh', '-c', script], {
      cwd: process.cwd(),
      env: guestEnv(),
      onStdout: (data) => {
        out.stdout += data;
      },
      onStderr: (data) => {
        out.stderr += data;
      },
    });
    process_.end();
    return { ...(await process_.exited), ...out };
  };
  return { machine, splats, lines, sh };
}
