// SPDX-License-Identifier: MIT
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compare, masked, resultOf, signatureOf } from '../../lib/match/compare.js';
import { Coverage } from '../../lib/match/coverage.js';
import { itemsOf, possible, seedOf, sequenceOf, stepsOf } from '../../lib/match/generate.js';
import { areas, objectSlots, pagesOf } from '../../lib/match/layout.js';
import { emptyKernelResult, Matcher, parseLeaks } from '../../lib/match/match.js';
import { ioctlLine, type Step } from '../../lib/match/ops.js';
import {
  eraOf,
  type MatchOptions,
  parseReplay,
  parseShard,
  shardIndex,
} from '../../lib/match/options.js';
import { testText } from '../../lib/match/paste.js';
import { ENDED, here, Player } from '../../lib/match/player.js';
import { matchResultSchema } from '../../lib/match/result.js';
import { Scribe } from '../../lib/match/scribe.js';
import { shortest } from '../../lib/match/shrink.js';
import { matchText } from '../../lib/match/text.js';
import { FileSlot, pack, requestOf, Slot } from '../../lib/match/uapi.js';
import { fakePlayer, place, startFake } from '../match/fake.js';

const step = (call: string, line: string, more: Partial<Step> = {}): Step => ({
  call,
  line,
  kinds: ['plain'],
  ...more,
});
const played = (...answers: string[]) => ({ answers, end: ENDED });

describe('lines', () => {
  test('an ioctl has its bytes, its patches and what is taken from it', () => {
    const { bytes, patches } = pack('drm_gem_close', { handle: new Slot(3), pad: 0x12345678 });
    const line = ioctlLine({
      file: 1,
      request: requestOf('GEM_CLOSE'),
      at: 0x1000n,
      bytes,
      patches,
      out: 8,
      takes: [{ at: 4, width: 4, to: new FileSlot(2) }],
    });
    expect(line).toBe('ioctl f1 0x40086409 0x1000 0000000078563412 8 0:4=$3 4:4>f2');
  });

  test('what pointers lead to is written before the call, each at a place of its own', () => {
    const scribe = new Scribe(place);
    scribe.ioctl({
      name: 'SYNCOBJ_RESET',
      type: 'drm_syncobj_array',
      fields: { handles: [Buffer.from([1, 0, 0, 0])], count_handles: 1 },
    });
    const [write, ioctl] = scribe.steps;
    expect(write?.line).toBe('write 0x30fff0001000 01000000');
    expect(ioctl?.line).toContain('001000f0ff300000');
  });

  test('an extension leads to the next one, or to itself', () => {
    const scribe = new Scribe(place);
    const last = { type: 'i915_user_extension', fields: { name: 7 } };
    scribe.data([{ type: 'i915_user_extension', fields: {}, next: [last] }]);
    expect(scribe.steps[1]?.line).toContain('write 0x30fff0001040 001000f0ff300000');
    const loop = new Scribe(place);
    loop.data([{ type: 'i915_user_extension', fields: {}, next: 'self' }]);
    expect(loop.steps[0]?.line).toContain('write 0x30fff0001000 001000f0ff300000');
  });
});

describe('sequences', () => {
  const any = itemsOf(place);

  test('are those of their seed and index', () => {
    const lines = (index: number) =>
      stepsOf(place, sequenceOf(any, 7n, index)).map(({ line }) => line);
    expect(lines(5)).toEqual(lines(5));
    expect(lines(5)).not.toEqual(lines(6));
    expect(new Set(Array.from({ length: 1000 }, (_, i) => seedOf(1n, i))).size).toBe(1000);
  });

  test('keep to the bounds of the player', () => {
    fc.assert(
      fc.property(any, (items) => {
        const steps = stepsOf(place, items);
        expect(steps.length).toBeLessThanOrEqual(1000);
        for (const { line } of steps) expect(line.length).toBeLessThan(60_000);
      }),
      { numRuns: 200 },
    );
  });

  test('wait for what they submit before they look at it', () => {
    fc.assert(
      fc.property(itemsOf(place, ['exec']), (items) => {
        for (const item of items) {
          const calls = item.map(({ call }) => call);
          const exec = calls.findIndex((call) => call.startsWith('I915_GEM_EXECBUFFER2'));
          expect(exec).toBeGreaterThan(0);
          expect(calls[exec + 1]).toBe('I915_GEM_WAIT');
        }
      }),
      { numRuns: 200 },
    );
  });

  test('end a batch that runs until it is told to before they wait for it', () => {
    fc.assert(
      fc.property(itemsOf(place, ['gate']), (items) => {
        for (const item of items) {
          const lines = item.map(({ line }) => line);
          const start = lines.findIndex((line) => line.startsWith('@0 '));
          const join = lines.indexOf('join 0');
          expect(start).toBeGreaterThan(0);
          expect(lines[start + 1]).toMatch(/^blocked 0 /);
          expect(lines[start + 2]).toMatch(/^write /);
          expect(join).toBe(start + 3);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('never map or change what is not theirs', () => {
    const end = place.arena + BigInt(place.arenaSize);
    fc.assert(
      fc.property(itemsOf(place, ['memory', 'gmap', 'gate']), (items) => {
        for (const { line } of items.flat()) {
          const [, at] =
            /^(?:@0 )?(?:mmap|munmap|mprotect|madvise|mremap) (0x[0-9a-f]+)/.exec(line) ?? [];
          if (at === undefined) continue;
          expect(BigInt(at)).toBeGreaterThanOrEqual(place.arena);
          expect(BigInt(at)).toBeLessThan(end);
        }
      }),
      { numRuns: 200 },
    );
    expect(areas.length).toBeGreaterThan(5);
  });

  test('reach every class of arguments there is', () => {
    const coverage = new Coverage();
    for (let i = 0; i < 6000; i++)
      for (const s of stepsOf(place, sequenceOf(any, 3n, i))) coverage.add(s, '0');
    const all = possible(place);
    const { seen, of } = coverage.reached(all);
    expect(of).toBeGreaterThan(800);
    expect(seen / of).toBeGreaterThan(0.98);
    // And none that is not among the possible.
    for (const [call, kinds] of Object.entries(coverage.counts))
      for (const kind of Object.keys(kinds))
        if (all.has(call)) expect([...(all.get(call) ?? [])], call).toContain(kind);
  });

  test('have a size for each slot of an object', () => {
    for (const slot of objectSlots) expect(pagesOf(slot)).toBeGreaterThan(0);
  });
});

describe('comparison', () => {
  test('finds the first line that differs, and leaves out what is masked', () => {
    const masks = [{ at: 1, length: 2, why: 'placed' as const }];
    const steps = [step('a', 'x'), step('b', 'y', { masks }), step('c', 'z')];
    const same = compare(steps, played('0', '0 00112233', '0'), played('0', '0 00ffff33', '0'), '');
    expect(same).toMatchObject({ calls: 3, difference: undefined });
    const { difference } = compare(
      steps,
      played('0', '0 00112233', '-22'),
      played('0', '0 0011ff34', '0'),
      '',
    );
    expect(difference).toMatchObject({ at: 1, call: 'b', driver: '0 00????34' });
    expect(masked(step('m', '', { masks: [{ at: -1, length: 0, why: 'memory' }] }), '-12')).toBe(
      '?',
    );
  });

  test('takes a player that ended early for a difference', () => {
    const steps = [step('a', 'x'), step('b', 'y')];
    const { difference } = compare(steps, played('0', '0'), { answers: ['0'], end: 'hang 2' }, '');
    expect(difference).toMatchObject({ at: 1, soft: '0', driver: 'ended: hang 2' });
  });

  test('names results', () => {
    expect(['0', '3', '-22 00', '-524', 'refused', '0 ffff'].map(resultOf)).toEqual([
      'ok',
      '3',
      'EINVAL',
      'ENOTSUPP',
      'refused',
      'ok',
    ]);
    const difference = { at: 0, call: 'c', kinds: ['k'], soft: '0 00', driver: '0 01' };
    expect(signatureOf(difference)).toBe('c (k): ok, other bytes');
    expect(signatureOf({ ...difference, driver: '-14' })).toBe('c (k): ok, not EFAULT');
  });
});

describe('shrinking', () => {
  test('leaves what is needed, in order', async () => {
    const list = Array.from({ length: 57 }, (_, i) => i);
    const needed = [3, 20, 21, 56];
    const short = await shortest(list, async (l) => needed.every((n) => l.includes(n)));
    expect(short).toEqual(needed);
    expect(await shortest([1], async () => true)).toEqual([]);
  });

  test('stops when it is told to', async () => {
    let asked = 0;
    const list = [1, 2, 3, 4];
    expect(
      await shortest(
        list,
        async () => ++asked < 0,
        () => asked >= 2,
      ),
    ).toEqual(list);
    expect(asked).toBe(2);
  });
});

describe('players', () => {
  test('are told many sequences at once, and answer each', async () => {
    const player = await fakePlayer();
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, i) => player.play([`one ${i}`, 'two'])),
    );
    for (const one of all) expect(one).toMatchObject({ end: ENDED, answers: { length: 2 } });
  });

  test('that die are started again, and what they died of says so', async () => {
    const player = await fakePlayer('--die', 'poison');
    const [before, at, after] = await Promise.all([
      player.play(['a']),
      player.play(['b', 'poison', 'c']),
      player.play(['d']),
    ]);
    expect(before).toMatchObject({ end: ENDED });
    expect(at).toMatchObject({ end: 'exit status 9', answers: { length: 1 } });
    expect(after).toMatchObject({ end: ENDED, answers: { length: 1 } });
    expect(player.restarts).toBe(1);
  });

  test('that do not start are an error with what they said', async () => {
    const start = here(process.execPath, ['-e', 'console.error("no i915"); process.exit(1)']);
    await expect(Player.start(start)).rejects.toThrow(/no i915/);
  });
});

describe('a match', () => {
  const run = async (wrong: readonly string[] = [], more: Partial<MatchOptions> = {}) => {
    const outcomes = () => startFake('--outcomes');
    const [soft, driver] = [await fakePlayer(...wrong), await fakePlayer()];
    const pair = { soft, driver, kernel: '6.1', outcomes };
    const result = emptyKernelResult('6.1', '6.1', 'here', '6.1');
    const shard = { n: 1, of: 1 };
    const options = {
      kernels: ['6.1'],
      seed: 1n,
      sequences: 60,
      shard,
      runs: 3,
      softBreaks: [],
      ...more,
    };
    await new Matcher(pair, options, result, {}).run();
    return result;
  };

  test('of two that are the same finds nothing', async () => {
    const result = await run();
    expect(result).toMatchObject({ sequences: 60, next: 60, differences: [], notes: [] });
    expect(result.calls).toBeGreaterThan(2000);
    expect(result.coverage.I915_GEM_USERPTR).toBeDefined();
    expect(result.races).toMatchObject({ next: 1, races: 1, runs: 3, schedules: 100 });
  });

  test('finds what differs, makes it one line, and counts the others', async () => {
    const punched = (await run(['--wrong', 'fallocate'])).differences;
    expect(punched.length).toBeGreaterThan(1);
    for (const found of punched) {
      expect(found).toMatchObject({ call: 'fallocate', stable: true, at: 0 });
      expect(found.lines).toHaveLength(1);
    }
  });

  test('says so when the same sequence does not differ again', async () => {
    const { differences } = await run(['--flaky', 'munmap']);
    expect(differences).toMatchObject([{ stable: false, times: 1 }]);
  });

  test('takes a dead player for a difference', async () => {
    const { differences, restarts } = await run(['--die', 'munmap'], {
      sequences: 5,
      shrinkMs: 2000,
    });
    expect(differences.length).toBeGreaterThan(0);
    expect(differences[0]).toMatchObject({ call: 'munmap', soft: 'ended: exit status 9' });
    expect(restarts).toBeGreaterThan(0);
  });

  test('finds what leaks', async () => {
    const { differences } = await run(['--leak', 'mremap']);
    expect(differences).toMatchObject([{ call: 'leaks', kinds: ['objects'], driver: 'objects=0' }]);
    expect(differences[0]?.lines).toHaveLength(1);
    expect(parseLeaks('leaks pins=-1 objects=2')).toEqual(
      new Map([
        ['pins', -1],
        ['objects', 2],
      ]),
    );
  });

  test('prints a difference as a test', async () => {
    const result = await run(['--wrong', 'ftruncate']);
    const [found] = result.differences;
    if (!found) throw new Error('nothing was found');
    const text = testText(found, '6.1.0');
    expect(text).toContain(`expect(answers[0]).toMatch(answer('${found.driver}'))`);
    expect(text).toContain('ftruncate f');
    const all = matchResultSchema.parse({
      schema: 'i915-userptr/match',
      version: 1,
      verdict: 'fail',
      why: 'one',
      exitStatus: 1,
      replay: 'x',
      startedAt: new Date().toISOString(),
      seed: '1',
      shard: '1/1',
      softBreaks: [],
      kernels: [result],
    });
    expect(matchText(all, { color: false, brief: false })).toContain('never reached: ');
  });
});

describe('options', () => {
  test('a kernel is compared with the era it is of', () => {
    expect(
      ['6.1.0-50-amd64', '6.5', '6.12.117', '6.17', '7.2.13', '7.3.4', '8.0', 'x'].map(eraOf),
    ).toEqual(['6.1', '6.1', '6.12', '6.12', '7.2', '7.3', '7.3', '6.1']);
  });

  test('shards have each sequence once', () => {
    const shards = [1, 2, 3].map((n) => parseShard(`${n}/3`));
    const all = shards.flatMap((shard) => [0, 1, 2].map((i) => shardIndex(shard, i)));
    expect(all.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (const wrong of ['0/3', '4/3', '1', 'x/y', '1/0'])
      expect(() => parseShard(wrong)).toThrow('I/N');
  });

  test('a replay is a seed and an index', () => {
    expect(parseReplay('7:12')).toEqual({ seed: 7n, index: 12, race: false });
    expect(parseReplay('race:7:12')).toEqual({ seed: 7n, index: 12, race: true });
    expect(() => parseReplay('7')).toThrow('SEED:INDEX');
  });
});
