// SPDX-License-Identifier: MIT
// A kernel that is really broken is found out: i915.ko of Debian's 6.1, built from its source with
// one line changed, under the same kernel.
import { cpus } from 'node:os';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Result, resultFromJson } from '../../lib/stress/result.js';
import { buildDriver } from '../../lib/vm/driver.js';
import { builtKernels } from '../../lib/vm/kernel.js';
import { cli } from '../stress/cli.js';
import { kernel, MINUTES, noVm, required } from './vm.js';

const release = kernel('6.1');
const missing = noVm || (release ? '' : 'kernel 6.1 is not in the cache');
if (missing && required) throw new Error(missing);

/** Where they are not built yet: minutes of compiling that nobody asked for outside CI. */
const wanted = required || process.env.I915_USERPTR_BUILD === '1';

const module = (fault: string) =>
  buildDriver({ kernel: release ?? '', faults: [fault], jobs: cpus().length });

async function vmRun(args: string[]): Promise<Result> {
  const { stdout, stderr } = await cli(['vm', 'run', '--quiet', '--json', '-', ...args]);
  if (!stdout) throw new Error(`vm run said nothing but: ${stderr}`);
  return resultFromJson(JSON.parse(stdout));
}

/** The arguments of a replay command. */
const replayed = (result: Result) =>
  result.replay.replace('npx i915-userptr vm run ', '').split(' ');

describe.skipIf(missing || !wanted)('a driver with one line changed', () => {
  // The first build compiles all of i915.
  beforeAll(async () => void (await module('no-set-seq')), 40 * MINUTES);

  test.each([
    ['no-set-seq', /lost write|stale write|stale read/],
    ['short-range', /lost write|stale write|stale read/],
    ['no-wait', /era|stale write|write after protect|lost write/],
    ['no-foll-write', /write after protect|stale write|lost write|read-only|unexpected success/],
  ])(
    '%s is reported within 30 s, and again by the replay command',
    {
      timeout: 12 * MINUTES,
    },
    async (fault, kinds) => {
      const args = ['--kernel', release ?? '', '--module', await module(fault)];
      // Which is seen first is chance; that it is seen at all must not be.
      const result = await vmRun([...args, '--seconds', '30', '--violations', '40']);
      expect(result.verdict, `seed ${result.options.seed}`).toBe('fail');
      expect(result.seconds).toBeLessThan(31);
      expect(result.violations.map((v) => v.kind).join('\n')).toMatch(kinds);
      expect((await vmRun(replayed(result))).verdict).toBe('fail');
    },
  );

  test('a soft lockup in the notifier ends as a result', { timeout: 6 * MINUTES }, async () => {
    const result = await vmRun([
      ...['--kernel', release ?? '', '--module', await module('lockup')],
      ...['--seconds', '600', '--append', 'watchdog_thresh=5'],
    ]);
    expect(result.verdict).toBe('fail');
    expect(result.why + result.violations.map((v) => v.text + v.where).join('\n')).toMatch(
      /soft lockup|said nothing|no sign of life/,
    );
  });
});

const built = await builtKernels();

describe.skipIf(noVm || !built.includes('lockdep'))('the lockdep kernel', () => {
  test('has nothing to say of the driver as it is', { timeout: 6 * MINUTES }, async () => {
    const result = await vmRun(['--kernel', 'lockdep', '--seconds', '60']);
    expect(result.violations).toEqual([]);
    expect(result.verdict).toBe('pass');
  });

  test.skipIf(!built.includes('lockdep-notifier-lock'))(
    "reports the object's lock in the notifier, in its own words",
    { timeout: 6 * MINUTES },
    async () => {
      const result = await vmRun(['--kernel', 'lockdep-notifier-lock', '--seconds', '20']);
      expect(result.verdict).toBe('fail');
      expect(result.violations.map((v) => v.text).join('\n')).toContain(
        'possible circular locking dependency detected in i915_gem_userptr_invalidate',
      );
    },
  );
});
