// SPDX-License-Identifier: MIT
// The kselftests that race and choreograph, on the real driver: every test that is planned runs, and
// passes or is the known bug. What is skipped is skipped for a reason that is known.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KtapReader, leaves } from '../../lib/kselftest/ktap.js';
import { type Built, build } from '../kselftest/build.js';
import { boot, kernels, MINUTES, noVm } from './vm.js';

const programs = [
  ...['races_mm', 'races_file', 'races_process', 'races_end'],
  ...['choreography', 'events', 'reports'],
].map((name) => `i915_userptr_${name}`);

const reasons = [
  /^hugetlb mappings do not grow$/,
  /^small pages are asked for here$/,
  /^the change has no way back$/,
  /^\/dev\/kvm: /,
  /^KVM makes no VM here$/,
  /^6\.(9|\d\d)\S* is later$/,
  /^7\.\S+ is later$/,
];

let built: Built;
beforeAll(async () => {
  // Programs of this machine's libc may be newer than what they find in a guest elsewhere.
  if (!noVm) built = await build('all', 'STATIC=1');
}, 2 * MINUTES);
afterAll(() => built?.remove());

describe.skipIf(noVm)('the kselftests that race', () => {
  test.each([kernels[0], kernels.at(-1)].filter((k) => k !== undefined))(
    'pass on %s, all of them',
    { timeout: 20 * MINUTES },
    async (release) => {
      const { sh, splats } = await boot({ kernel: release, hugepages: 16, numa: true });
      for (const program of programs) {
        const { status, stdout } = await sh(join(built.dir, program));
        const reader = new KtapReader();
        for (const line of stdout.split('\n')) reader.feed(line);
        const { tests, problems } = reader.end();
        const ran = [...leaves(tests)].map(({ test: t }) => t);
        const failed = ran.filter((t) => t.outcome === 'fail');
        expect(failed, stdout).toEqual([]);
        expect(problems).toEqual([]);
        expect(status).toBe(0);
        const skipped = ran.filter((t) => t.outcome === 'skip');
        expect(skipped.filter((t) => !reasons.some((r) => r.test(t.reason)))).toEqual([]);
        const expected = ran.filter((t) => t.outcome === 'xfail').map((t) => t.name);
        expect(expected).toEqual(program.endsWith('reports') ? ['global.without_progress'] : []);
      }
      expect(splats).toEqual([]);
    },
  );
});
