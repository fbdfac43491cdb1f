// SPDX-License-Identifier: MIT
// The C tests find a broken driver out: i915.ko of Debian's 6.1 with a line changed, as in
// broken.test.ts, and for each the test that must fail, alone, without chance.
import { cpus } from 'node:os';
import { beforeAll, describe, expect, test } from 'vitest';
import { leaves } from '../../lib/kselftest/ktap.js';
import { kselftestResultSchema } from '../../lib/kselftest/result.js';
import { buildDriver } from '../../lib/vm/driver.js';
import { cli } from '../stress/cli.js';
import { kernel, MINUTES, noVm, required } from './vm.js';

const release = kernel('6.1');
const missing = noVm || (release ? '' : 'kernel 6.1 is not in the cache');
if (missing && required) throw new Error(missing);

/** Where they are not built yet: minutes of compiling that nobody asked for outside CI. */
const wanted = required || process.env.I915_USERPTR_BUILD === '1';

const module = (faults: string) =>
  buildDriver({ kernel: release ?? '', faults: faults.split('+'), jobs: cpus().length });

/** The tests that failed and that passed. */
async function run(program: string, patterns: string[], vm: string[]) {
  const { stdout, stderr } = await cli([
    ...['kselftest', '--vm', '--quiet', '--json', '-', '--kernel', release ?? '', ...vm],
    ...patterns.flatMap((pattern) => ['-t', pattern]),
    program,
  ]);
  if (!stdout) throw new Error(`kselftest said nothing but: ${stderr}`);
  const result = kselftestResultSchema.parse(JSON.parse(stdout));
  const tests = [...leaves(result.programs.flatMap((p) => p.tests))].map(({ test }) => test);
  const names = (outcome: string) => tests.filter((t) => t.outcome === outcome).map((t) => t.name);
  return { verdict: result.verdict, failed: names('fail'), passed: names('pass') };
}

const caught: [faults: string, program: string, test: string][] = [
  ['no-set-seq', 'choreography', 'order.map_fixed.before_and_after'],
  ['no-set-seq', 'choreography', 'order.map_fixed.within_lookup'],
  ['short-range', 'choreography', 'order.dontneed_last.before_and_after'],
  ['no-foll-write', 'choreography', 'order.mprotect.before_and_after'],
  ['no-wait', 'reports', 'global.era'],
  // Before 6.9 nothing is written once the pages are clean: the notifier has waited.
  ['no-wait+no-dirty', 'reports', 'write_back.under_batch'],
];

describe.skipIf(missing || !wanted)('a driver with a line changed', () => {
  // The first build compiles all of i915.
  beforeAll(async () => void (await module('no-set-seq')), 40 * MINUTES);

  test.each(caught)('%s fails %s %s', { timeout: 12 * MINUTES }, async (faults, program, name) => {
    const { verdict, failed } = await run(program, [name], ['--module', await module(faults)]);
    expect(failed).toEqual([name]);
    expect(verdict).toBe('fail');
  });
});

test.skipIf(missing || !wanted)(
  'the driver as it is passes them',
  { timeout: 12 * MINUTES },
  async () => {
    for (const program of new Set(caught.map(([, p]) => p))) {
      const names = [...new Set(caught.filter(([, p]) => p === program).map(([, , t]) => t))];
      const { failed, passed } = await run(program, names, []);
      expect(failed).toEqual([]);
      expect(passed.sort()).toEqual(names.sort());
    }
  },
);
