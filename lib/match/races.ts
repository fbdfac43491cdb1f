// SPDX-License-Identifier: MIT
// Plays races: on the driver so often that it shows some of what it can do, on soft under so many
// schedules of its deterministic scheduler that it shows all. What the driver shows and soft cannot
// is a difference; what soft can and the driver did not is not.
import type { Arbitrary } from 'fast-check';
import fc from 'fast-check';
import { type Difference, masked } from './compare.js';
import { seedOf } from './generate.js';
import { ENDED, type Player } from './player.js';
import { allPairs, type Heat, heatOf, inOrder, pairOf, type Race, raceOf, runOf } from './race.js';
import type { RacesResult } from './result.js';
import { shortest } from './shrink.js';

/** Soft under so many schedules: more are only asked for where an outcome is missing. */
export const SCHEDULES = [100, 2000, 20_000] as const;
/** So many for what is missing already, when it is looked for once more. */
const AGAIN_SCHEDULES = SCHEDULES.slice(0, 2);
/** Starts a player of outcomes. */
export type StartOutcomes = (schedules: number) => Promise<Player>;

/** The call that a difference of a race is told as. */
export const RACE = 'race';
/** Of the seeds of ordered sequences, which these are apart from. */
const APART = 0x5eed_0000_0000n;
/** Looks of a racer's start at pages, before the next is started. */
const PAUSES = [0, 0, 1, 2, 4, 0, 8, 3];
/** So many times the runs, to see whether an outcome comes again. */
const AGAIN = 3;
/** A race that is made shorter may show what it showed less often. */
const SHRINK_ASKED = 2;

/** What one run came to: the answers that are compared, one after the other. */
type Outcome = string;
const SEPARATOR = '|';

export interface RaceFound {
  race: Race;
  difference: Difference;
  lines: readonly string[];
  names: readonly string[];
  stable: boolean;
}

export class Races {
  readonly #driver: Player;
  readonly #start: StartOutcomes;
  readonly #result: RacesResult;
  readonly #arbitrary: Arbitrary<Race> = raceOf();
  readonly #soft = new Map<number, Player>();

  constructor(driver: Player, start: StartOutcomes, result: RacesResult) {
    this.#driver = driver;
    this.#start = start;
    this.#result = result;
  }

  race(seed: bigint, index: number): Race {
    const options = { seed: seedOf(seed ^ APART, index), numRuns: 1 };
    return fc.sample(this.#arbitrary, options)[0] as Race;
  }

  async end(): Promise<void> {
    for (const player of this.#soft.values()) await player.end();
    this.#soft.clear();
  }

  /** Does a race still come to what soft cannot? Is not counted. */
  async differs(race: Race, runs: number): Promise<boolean> {
    return (await this.#compare(race, AGAIN * runs, SCHEDULES, false)).missing !== undefined;
  }

  /**
   * Plays a race `runs` times and counts it. Undefined: soft can do all that the driver did.
   * `stop` ends the search for a shorter one.
   */
  async play(race: Race, runs: number, stop: () => boolean): Promise<RaceFound | undefined> {
    const { driver, soft, missing } = await this.#compare(race, runs, SCHEDULES, true);
    this.#result.races++;
    this.#result.driver += driver.size;
    this.#result.soft += soft.size;
    for (const pair of pairsOf(race)) {
      this.#result.pairs[pair] ??= { races: 0, driver: 0, soft: 0 };
      const counts = this.#result.pairs[pair];
      counts.races++;
      counts.driver += driver.size;
      counts.soft += soft.size;
    }
    if (missing === undefined) return undefined;
    const again = (shorter: Race) => this.#compare(shorter, AGAIN * runs, AGAIN_SCHEDULES, false);
    let stable = false;
    for (let i = 0; i < SHRINK_ASKED && !stable && !stop(); i++)
      stable = (await again(race)).missing !== undefined;
    let best = race;
    let last = { soft, missing };
    if (stable) {
      const racers = await shortest(
        race.racers,
        async (fewer) => {
          const found = await again({ ...race, racers: fewer });
          if (found.missing === undefined) return false;
          last = { soft: found.soft, missing: found.missing };
          return true;
        },
        stop,
      );
      best = { ...race, racers };
    }
    return this.#found(best, last.soft, last.missing, stable);
  }

  async #compare(race: Race, runs: number, most: readonly number[], counted: boolean) {
    const heat = heatOf(this.#driver.place, race);
    const driver = await this.#onDriver(heat, runs, counted);
    let soft: ReadonlySet<Outcome> = new Set();
    let missing: Outcome | undefined;
    for (const schedules of most) {
      soft = await this.#onSoft(heat, schedules, counted);
      missing = [...driver].find((outcome) => !soft.has(outcome));
      if (missing === undefined) break;
    }
    return { driver, soft, missing };
  }

  async #onDriver(heat: Heat, runs: number, counted: boolean): Promise<Set<Outcome>> {
    const { place } = this.#driver;
    const order = inOrder(heat);
    const all = Array.from({ length: runs }, (_, i) => {
      const turned = [...order.slice(i % order.length), ...order.slice(0, i % order.length)];
      return runOf(place, heat, i % 2 ? turned.reverse() : turned, PAUSES[i % PAUSES.length] ?? 0);
    });
    const outcomes = await Promise.all(
      all.map(async ({ lines, steps }) => {
        const { answers, end } = await this.#driver.play(lines);
        if (counted) {
          this.#result.runs++;
          this.#result.calls += answers.length;
        }
        return end === ENDED ? outcomeOf(steps, answers) : `ended: ${end}`;
      }),
    );
    return new Set(outcomes);
  }

  async #onSoft(heat: Heat, schedules: number, counted: boolean): Promise<Set<Outcome>> {
    let player = this.#soft.get(schedules);
    if (!player) {
      player = await this.#start(schedules);
      this.#soft.set(schedules, player);
    }
    const { lines, steps } = runOf(player.place, heat, inOrder(heat), 0);
    const { answers, end } = await player.play(lines);
    if (counted) this.#result.schedules += schedules;
    if (end !== ENDED) return new Set([`ended: ${end}`]);
    return new Set(
      answers.map((line) => {
        const [, , ...rest] = line.split(' ');
        return outcomeOf(steps, rest.join(' ').split(SEPARATOR));
      }),
    );
  }

  #found(race: Race, soft: ReadonlySet<Outcome>, missing: Outcome, stable: boolean): RaceFound {
    const heat = heatOf(this.#driver.place, race);
    const { lines, steps } = runOf(this.#driver.place, heat, inOrder(heat), 0);
    const { at, near } = nearest(soft, missing);
    const compared = steps.filter((s) => s !== undefined);
    const step = compared[at];
    const answer = (outcome: Outcome) => outcome.split(SEPARATOR)[at] ?? outcome;
    return {
      race,
      difference: {
        at: step ? steps.indexOf(step) : lines.length,
        call: RACE,
        // One kind: the calls' names have commas.
        kinds: [race.racers.map(({ what }) => what).join(' | ')],
        soft: near === undefined ? 'no outcome' : answer(near),
        driver: answer(missing),
      },
      lines,
      names: steps.map((s) => (s ? `${s.call}: ${s.kinds.join(', ')}` : 'start')),
      stable,
    };
  }
}

function outcomeOf(steps: Run['steps'], answers: readonly string[]): Outcome {
  return steps
    .flatMap((step, i) => (step ? [masked(step, answers[i] ?? 'ended')] : []))
    .join(SEPARATOR);
}
type Run = ReturnType<typeof runOf>;

/** Of soft's outcomes that which goes with the driver's the longest, and where it leaves it. */
export function nearest(
  soft: ReadonlySet<Outcome>,
  missing: Outcome,
): { at: number; near: Outcome | undefined } {
  const wanted = missing.split(SEPARATOR);
  let best = -1;
  let near: Outcome | undefined;
  for (const outcome of soft) {
    const answers = outcome.split(SEPARATOR);
    const parts = wanted.findIndex((answer, i) => answer !== answers[i]);
    const at = parts < 0 ? wanted.length : parts;
    if (at <= best) continue;
    best = at;
    near = outcome;
  }
  return { at: Math.max(0, best), near };
}

export const pairsOf = ({ racers }: Race): Set<string> =>
  new Set(racers.flatMap((a, i) => racers.slice(i + 1).map((b) => pairOf(a.what, b.what))));

/** Of all pairs, those that no race had. */
export const missingPairs = ({ pairs }: Pick<RacesResult, 'pairs'>): string[] =>
  allPairs.filter((pair) => !pairs[pair]);
