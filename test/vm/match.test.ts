// SPDX-License-Identifier: MIT
// Soft and the real driver give the same answers, and where soft is broken in a small way, that is
// found. What a minute does not find, longer runs do: docs/matching.md.
import { expect, test } from 'vitest';
import { DEFAULT_RUNS } from '../../lib/match/options.js';
import { RACE } from '../../lib/match/races.js';
import { runMatch } from '../../lib/match/session.js';
import { matchText } from '../../lib/match/text.js';
import { kernel, MINUTES, noVm, required } from './vm.js';

/** The same sequences each time: new ones are for `match`, whose findings are no failure of a test. */
const seed = BigInt(process.env.I915_USERPTR_SEED ?? 12);
/** A minute's. */
const SEQUENCES = 1500;
const BREAK_SECONDS = 60;

const brief = { color: false, brief: true };
const all = { seed, shard: { n: 1, of: 1 }, runs: DEFAULT_RUNS };
const has = (version: string) => {
  const there = !noVm && kernel(version) !== undefined;
  if (!there && required) throw new Error(`kernel ${version} is not in the cache`);
  return there;
};

test.skipIf(!has('6.1') || !has('6.12')).each(['6.1', '6.12'])(
  'a minute of %s: no difference',
  { timeout: 10 * MINUTES },
  async (version) => {
    const options = { ...all, kernels: [version], sequences: SEQUENCES, softBreaks: [] };
    const result = await runMatch(options, undefined);
    // What a race comes to on the driver is chance: what is seen once and not in thrice the runs is
    // for `match` to find, and is told here.
    const differences = result.kernels[0]?.differences ?? [];
    const certain = differences.filter(({ call, stable }) => stable || call !== RACE);
    if (differences.length) console.warn(matchText(result, brief));
    expect(certain).toEqual([]);
    expect(result.kernels[0]?.calls).toBeGreaterThan(50_000);
    expect(result.kernels[0]?.races.races).toBeGreaterThan(30);
    expect(result.kernels[0]?.races.driver).toBeGreaterThan(result.kernels[0]?.races.races ?? 0);
  },
);

/** A wrong errno, a lost write, an invalidate that is not looked at, the order of checks, a leak. */
const breaks = ['wrong-errno', 'lost-write', 'skip-retry', 'check-order', 'leak-pin'];
test.skipIf(!has('6.1')).each(breaks)(
  'soft with %s differs from the driver within a minute',
  { timeout: 10 * MINUTES },
  async (name) => {
    const controller = new AbortController();
    const options = { ...all, kernels: ['6.1'], seconds: BREAK_SECONDS, softBreaks: [name] };
    const result = await runMatch(options, undefined, {
      signal: controller.signal,
      onDifference: () => controller.abort(),
    });
    expect(result.verdict, matchText(result, brief)).toBe('fail');
  },
);
