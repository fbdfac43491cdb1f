// SPDX-License-Identifier: MIT
// The oracles are proven: each bug that the model can be told to have is found within 10 s, and the
// same run without it finds nothing.
import { describe, expect, it } from 'vitest';
import { SplatDetector } from '../../lib/kernel/splat.js';
import { stress } from '../../lib/stress/snapshot.js';
import { runJson } from './cli.js';

const seed = ['--device', 'soft', '--seed', '915'];
const common = [...seed, '--seconds', '10', '--violations', '1', '--op-timeout', '4000'];

/** The oracles that can see each of them; chance decides which one is first. */
const expected: Record<string, readonly string[]> = {
  // Batches go on with pages that the process has lost, or may no longer write.
  'skip-retry': ['lost write', 'stale read', 'unexpected success', 'write after protect'],
  'short-range': ['lost write', 'stale read', 'unexpected success', 'write after protect'],
  // They write what has been given back, whoever has it now; where nobody has, the write is lost.
  'no-wait': ['era', 'stale write', 'write after protect'],
  'write-after-close': ['stale write', 'write after protect', 'lost write', 'stale read'],
  // Read-only memory is taken; what the GPU then cannot write there is lost.
  'no-foll-write': ['unexpected success', 'write after protect', 'lost write'],
  'lose-dirty': ['lost content'],
  // The last store comes after the signal that a wait or a notifier waited for.
  'early-signal': ['lost write', 'stale read', 'write after protect'],
  'lost-wakeup': ['liveness'],
  // Seen in the order of the locks, before it has happened.
  'lock-over-gup': ['kernel log'],
  'no-seq': ['lost write', 'stale read', 'unexpected success', 'write after protect'],
  'leak-pin': ['leak'],
  'leak-object': ['leak'],
};

/** Too narrow for chance, or of a strategy that fails as it is: the lab finds them (test/lab). */
const explored = ['late-insert', 'no-read-lock'];

/** Of calls that no run makes, or a dword that none stores: matching finds them (lib/match). */
const matched = ['lost-write', 'wrong-errno', 'check-order'];

describe('a run finds the bug within 10 s', () => {
  it('names every fault here', () => {
    const names = [...Object.keys(expected), ...explored, ...matched].sort();
    expect(names).toEqual(stress.softFaults.map((f) => f.name).sort());
  });

  it.each(Object.keys(expected))('%s', { timeout: 40_000 }, async (fault) => {
    // What is only seen when all is closed needs no long run.
    const short = expected[fault]?.[0] === 'leak' ? ['--seconds', '2'] : [];
    const { status, result } = await runJson([...common, ...short, '--fault', fault]);
    expect(result.verdict).toBe('fail');
    expect(status).toBe(1);
    expect(expected[fault]).toContain(result.violations[0]?.kind);
    expect(result.seconds).toBeLessThanOrEqual(10.5);
    expect(result.replay).toContain(`--fault ${fault}`);
  });

  it('the wait that is missing is seen in the data too, where the era is not known', {
    timeout: 40_000,
  }, async () => {
    // One wait in three is left out: the probe of the era, which waits, is then no help.
    const args = [...common, '--fault', 'no-wait', '--fault-one-in', '3', '--violations', '3'];
    const { result } = await runJson([...args, '--era', 'waits']);
    const kinds = result.violations.map((v) => v.kind);
    expect(kinds.some((k) => k === 'stale write' || k === 'write after protect')).toBe(true);
  });
});

describe('lockdep', () => {
  it('tells of a deadlock by the order of the locks, in words that are found in a kernel’s log', {
    timeout: 40_000,
  }, async () => {
    const { result } = await runJson([...common, '--fault', 'lock-over-gup']);
    const [found] = result.violations;
    expect(found?.text).toBe('possible circular locking dependency detected');
    expect(found?.where).toMatch(/\(mmap_lock\)\{\w+\}.*at: native\/soft\//);
    expect(found?.where).toMatch(/-> #1 \((?:obj->base\.resv|mmap_lock)\)/);
    expect(found?.where).toMatch(/\*\*\* DEADLOCK \*\*\*/);
    const detector = new SplatDetector();
    detector.feed({ text: found?.where ?? '', fields: {} });
    expect(detector.end().map(({ kind, title }) => ({ kind, title }))).toEqual([
      { kind: 'lockdep', title: found?.text },
    ]);
  });
});

describe('the same seed without a bug finds nothing', () => {
  it.each(['interval', 'interval-nowait', 'ranges', 'seqcount'])(
    '%s',
    { timeout: 40_000 },
    async (strategy) => {
      const { status, result } = await runJson([...common, '--strategy', strategy]);
      expect(result.violations).toEqual([]);
      expect(status).toBe(0);
    },
  );
});

describe('strategies that are known to be wrong', () => {
  it.each([
    // Pages that were looked up inside an invalidate, or that it did not find in the tree.
    [
      'none',
      ['lost write', 'stale read', 'stale write', 'unexpected success', 'write after protect'],
    ],
    ['rwsem', ['kernel log', 'liveness']],
    ['ban', ['wrong errno']],
    ['ban-late', ['wrong errno']],
  ])('%s', { timeout: 40_000 }, async (strategy, kinds) => {
    // A batch that is banned late may have lost a write before: which comes first is chance.
    const args = [...common, '--violations', '20', '--strategy', strategy];
    const { status, result } = await runJson(args);
    expect(status).toBe(1);
    expect(result.violations.filter((v) => kinds.includes(v.kind))).not.toEqual([]);
  });
});
