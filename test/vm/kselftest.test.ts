// SPDX-License-Identifier: MIT
// The kselftests on the real driver: every test that is planned runs and passes, none is skipped.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Built, build } from '../kselftest/build.js';
import { boot, kernels, MINUTES, noVm } from './vm.js';

const programs = ['interface', 'object', 'data', 'sharing', 'leaks'].map(
  (name) => `i915_userptr_${name}`,
);

/** Hugetlb pages of 2 MiB: two mappings of 64 MiB do not stand at the same time. */
const hugepages = 40;

let built: Built;
beforeAll(async () => {
  // Programs of this machine's libc may be newer than what they find in a guest elsewhere.
  if (!noVm) built = await build('all', 'STATIC=1');
}, 2 * MINUTES);
afterAll(() => built?.remove());

interface Point {
  ok: boolean;
  name: string;
  skip: string | undefined;
}

/** The points of the nested plans, and whether each plan was kept. */
function points(ktap: string): { points: Point[]; kept: boolean; resetSaid: boolean } {
  const found = [...ktap.matchAll(/^ {2}(not )?ok \d+ (\S+)(?: # SKIP (.*))?$/gm)].map(
    ([, not, name = '', skip]) => ({ ok: not === undefined, name, skip }),
  );
  const planned = [...ktap.matchAll(/^ {2}1\.\.(\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
  const top = (ktap.match(/^(not )?ok \d+ /gm) ?? []).length;
  const topPlanned = Number(/^1\.\.(\d+)$/m.exec(ktap)?.[1]);
  return {
    points: found,
    kept: planned > 0 && planned === found.length && top === topPlanned,
    resetSaid: /^ *# kmsg: .*(GPU HANG|Resetting)/m.test(ktap),
  };
}

describe.skipIf(noVm)('the kselftests', () => {
  test.each([kernels[0], kernels.at(-1)].filter((k) => k !== undefined))(
    'pass on %s, all of them',
    { timeout: 10 * MINUTES },
    async (release) => {
      const { sh, splats } = await boot({ kernel: release, hugepages });
      for (const program of programs) {
        const { status, stdout } = await sh(join(built.dir, program));
        const ran = points(stdout);
        expect(
          ran.points.filter(({ ok }) => !ok),
          stdout,
        ).toEqual([]);
        expect(ran.points.filter(({ skip }) => skip !== undefined)).toEqual([]);
        expect(ran.kept, stdout).toBe(true);
        expect(status).toBe(0);
        // What it measured is what the kernel's version has.
        const waits = /^6\.[1-7]\./.test(release);
        expect(stdout).toMatch(waits ? /^# era: the notifier waits/m : /^# era: .* does not wait/m);
        expect(stdout).not.toMatch(/^# (kmsg|pins): not watched/m);
      }
      expect(splats).toEqual([]);
    },
  );

  test('fail when the GPU hangs, with what the kernel says of it', {
    timeout: 4 * MINUTES,
  }, async () => {
    const { sh } = await boot({ gpuHang: 'rcs0:12' });
    const { status, stdout } = await sh(
      `${join(built.dir, 'i915_userptr_sharing')} -t sharing -w 60`,
    );
    expect(status, stdout).toBe(1);
    const ran = points(stdout);
    expect(ran.kept).toBe(true);
    expect(ran.resetSaid).toBe(true);
    // What comes behind it runs as if nothing had been.
    expect(ran.points.some(({ ok }) => ok)).toBe(true);
  });
});
