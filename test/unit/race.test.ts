// SPDX-License-Identifier: MIT
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { signatureOf } from '../../lib/match/compare.js';
import {
  allPairs,
  heatOf,
  inOrder,
  pairOf,
  type Race,
  raceOf,
  racerNames,
  runOf,
} from '../../lib/match/race.js';
import { missingPairs, nearest, pairsOf, Races } from '../../lib/match/races.js';
import { emptyRaces } from '../../lib/match/result.js';
import { fakePlayer, place, startFake } from '../match/fake.js';

describe('a race', () => {
  test('has two or three calls, each a thread, all of them joined before anything is looked at', () => {
    fc.assert(
      fc.property(raceOf(), fc.nat(9), (race, pause) => {
        const heat = heatOf(place, race);
        expect(heat.calls.length).toBeGreaterThanOrEqual(2);
        expect(heat.calls.length).toBeLessThanOrEqual(3);
        const { lines, steps } = runOf(place, heat, inOrder(heat).reverse(), pause);
        expect(lines.length).toBe(steps.length);
        const starts = lines.flatMap((line, i) => (line.startsWith('@') ? [i] : []));
        const joins = lines.flatMap((line, i) => (line.startsWith('join ') ? [i] : []));
        expect(starts.length).toBe(heat.calls.length);
        expect(joins.length).toBe(heat.calls.length);
        expect(Math.max(...starts)).toBeLessThan(Math.min(...joins));
        // Only what is made before the threads start, and what comes after they are joined, is told.
        expect(steps.filter((s) => s === undefined).length).toBe(
          (joins[0] as number) - (starts[0] as number),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('that works on a file has one', () => {
    fc.assert(
      fc.property(raceOf(), (race) => {
        const lines = heatOf(place, race).before.map(({ line }) => line);
        const files = race.racers.some(
          ({ what }) => what === 'ftruncate' || what === 'punch a hole',
        );
        if (files) expect(lines[0]).toMatch(/^memfd /);
      }),
      { numRuns: 300 },
    );
  });

  test('draws each pair of calls sooner or later', () => {
    const pairs = new Set(
      fc.sample(raceOf(), { seed: 1, numRuns: 20_000 }).flatMap((race) => [...pairsOf(race)]),
    );
    expect(allPairs.filter((pair) => !pairs.has(pair))).toEqual([]);
    expect(allPairs.length).toBe((racerNames.length * (racerNames.length + 1)) / 2);
  });
});

const racer = (what: Race['racers'][number]['what']) => ({
  what,
  page: 0,
  pages: 1,
  engine: 1,
  value: 7,
});
const race: Race = {
  memory: 'private',
  touched: true,
  bound: false,
  racers: [racer('exec'), racer('munmap'), racer('busy')],
};

describe('races', () => {
  const played = async (driver: readonly string[], soft: readonly string[] = []) => {
    const player = await fakePlayer(...driver);
    const result = emptyRaces();
    const asked: number[] = [];
    const start = (schedules: number) => {
      asked.push(schedules);
      return startFake('--outcomes', ...soft);
    };
    const races = new Races(player, start, result);
    onTestFinished(() => races.end());
    return { found: await races.play(race, 4, () => false), result, asked };
  };

  test('whose outcomes soft has are counted', async () => {
    const { found, result, asked } = await played([]);
    expect(found).toBeUndefined();
    expect(asked).toEqual([100]);
    expect(result).toMatchObject({ races: 1, runs: 4, driver: 1, soft: 1, schedules: 100 });
    expect(result.pairs[pairOf('exec', 'munmap')]).toEqual({ races: 1, driver: 1, soft: 1 });
    expect(missingPairs(result).length).toBe(allPairs.length - 3);
  });

  test('that come to what soft cannot, under more schedules either, are a difference', async () => {
    const { found, asked } = await played(['--wrong', 'join 1']);
    expect(asked).toEqual([100, 2000, 20_000]);
    expect(found).toMatchObject({
      stable: true,
      difference: { call: 'race', driver: '-22' },
      // A third call is not needed for it.
      race: { racers: [{ what: 'munmap' }, { what: 'busy' }] },
    });
    expect(found && signatureOf(found.difference)).toMatch(
      /^race \(munmap \| busy\): .*, not EINVAL$/,
    );
    expect(found?.lines[found.difference.at]).toBe('join 1');
  });

  test('that are seen once and not again are one that says so', async () => {
    const { found } = await played(['--flaky', 'join 0']);
    expect(found).toMatchObject({ stable: false });
  });

  test('that end a player are a difference', async () => {
    expect((await played(['--die', 'join 0'])).found?.difference.driver).toMatch(/^ended: /);
    const { found } = await played([], ['--die', 'join 0']);
    expect(found?.difference.soft).toMatch(/^ended: /);
  });

  test('that differ are told of by the outcome that is nearest', () => {
    expect(nearest(new Set(['a|b|c', 'a|x|y']), 'a|x|z')).toEqual({ at: 2, near: 'a|x|y' });
    expect(nearest(new Set(['q']), 'a|b')).toEqual({ at: 0, near: 'q' });
    expect(nearest(new Set(), 'a|b')).toEqual({ at: 0, near: undefined });
  });
});
