// SPDX-License-Identifier: MIT
// The kselftests on the real driver: every test that is planned runs, and passes or is the known bug.
// What is skipped is skipped for a reason that is known.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KtapReader, leaves } from '../../lib/kselftest/ktap.js';
import { type Built, build, programs } from '../kselftest/build.js';
import { boot, kernels, MINUTES, noVm } from './vm.js';

/** Hugetlb pages of 2 MiB: two mappings of 64 MiB do not stand at the same time. */
const hugepages = 40;

const reasons = [
  /^hugetlb mappings do not grow$/,
  /^small pages are asked for here$/,
  /^the change has no way back$/,
  /^\/dev\/kvm: /,
  /^KVM makes no VM here$/,
  /^the write-back waits for the batch here$/,
  /^move_pages does not wait for a write-back here: /,
  /^6\.(9|\d\d)\S* is later$/,
  /^7\.\S+ is later$/,
];

/** Bugs of i915's, that docs/vm.md tells of. FUSE keeps pages under write-back since 6.16. */
const known = (program: string, release: string) =>
  program === 'i915_userptr_reports'
    ? [
        ...(/^6\.(\d|1[0-5])\./.test(release) ? [] : ['write_back.locked']),
        'global.without_progress',
      ]
    : [];

let built: Built;
beforeAll(async () => {
  // Programs of this machine's libc may be newer than what they find in a guest elsewhere.
  if (!noVm) built = await build('all', 'STATIC=1');
}, 2 * MINUTES);
afterAll(() => built?.remove());

function read(ktap: string) {
  const reader = new KtapReader();
  for (const line of ktap.split('\n')) reader.feed(line);
  const { tests, problems } = reader.end();
  return { tests: [...leaves(tests)].map(({ test: t }) => t), problems };
}

describe.skipIf(noVm)('the kselftests', () => {
  test.each([kernels[0], kernels.at(-1)].filter((k) => k !== undefined))(
    'pass on %s, all of them',
    { timeout: 20 * MINUTES },
    async (release) => {
      const { sh, splats } = await boot({ kernel: release, hugepages, numa: true });
      const waits = /^6\.[1-8]\./.test(release);
      for (const program of programs) {
        const { status, stdout } = await sh(join(built.dir, program));
        const { tests, problems } = read(stdout);
        expect(
          tests.filter((t) => t.outcome === 'fail'),
          stdout,
        ).toEqual([]);
        expect(problems, program).toEqual([]);
        expect(status, program).toBe(0);
        const skipped = tests.filter((t) => t.outcome === 'skip');
        expect(skipped.filter((t) => !reasons.some((r) => r.test(t.reason)))).toEqual([]);
        const expected = tests.filter((t) => t.outcome === 'xfail').map((t) => t.name);
        expect(expected, program).toEqual(known(program, release));
        // What it measured is what the kernel's version has.
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
    const { tests, problems } = read(stdout);
    expect(problems).toEqual([]);
    expect(stdout).toMatch(/^ *# kmsg: .*(GPU HANG|Resetting)/m);
    // What comes behind it runs as if nothing had been.
    expect(tests.some((t) => t.outcome === 'pass')).toBe(true);
  });
});
