// SPDX-License-Identifier: MIT
// Soft and the real driver give the same answers, and where soft is broken in a small way, that is
// found. What a minute does not find, longer runs do: docs/matching.md.
import { describe, expect, test } from 'vitest';
import { runMatch } from '../../lib/match/session.js';
import { matchText } from '../../lib/match/text.js';

const SECONDS = 60;
const BOUND = 300_000;
const seed = BigInt(process.env.I915_USERPTR_SEED ?? Math.floor(Math.random() * 2 ** 31));

const options = (kernels: string[], softBreaks: string[] = [], seconds = SECONDS) => ({
  kernels,
  seed,
  seconds,
  shard: { n: 1, of: 1 },
  softBreaks,
});
const brief = { color: false, brief: true };

test.each(['6.1', '6.12'])('a minute of %s: no difference', { timeout: BOUND }, async (kernel) => {
  const result = await runMatch(options([kernel]), undefined);
  expect(result.verdict, matchText(result, brief)).toBe('pass');
  expect(result.kernels[0]?.calls).toBeGreaterThan(5000);
});

/** A wrong errno, a lost write, an invalidate that is not looked at, the order of checks, a leak. */
const breaks = ['wrong-errno', 'lost-write', 'skip-retry', 'check-order', 'leak-pin'];
describe.each(breaks)('soft with %s', (name) => {
  test('differs from the driver', { timeout: BOUND }, async () => {
    const controller = new AbortController();
    const result = await runMatch(options(['6.1'], [name]), undefined, {
      signal: controller.signal,
      onDifference: () => controller.abort(),
    });
    expect(result.verdict, matchText(result, brief)).toBe('fail');
  });
});
