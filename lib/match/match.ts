// SPDX-License-Identifier: MIT
// Plays sequences on two players and compares what they answer, until the time or the count is over.
import type { Arbitrary } from 'fast-check';
import { type Compared, compare, type Difference, signatureOf } from './compare.js';
import { Coverage } from './coverage.js';
import { itemsOf, sequenceOf, stepsOf } from './generate.js';
import type { Step } from './ops.js';
import { type MatchOptions, parseReplay, type Replay, replayText, shardIndex } from './options.js';
import type { Played, Player } from './player.js';
import type { Race } from './race.js';
import { type RaceFound, Races, type StartOutcomes } from './races.js';
import { emptyRaces, type FoundDifference, type KernelResult } from './result.js';
import { shortest } from './shrink.js';
import type { Item } from './spec.js';

/** Both sides: soft, and the driver of this kernel. */
export interface Pair {
  soft: Player;
  driver: Player;
  kernel: string;
  /** Starts soft, the same, with all its outcomes. */
  outcomes: StartOutcomes;
}

export interface MatchHooks {
  signal?: AbortSignal | undefined;
  onProgress?: (result: KernelResult, what: string) => void;
  onDifference?: (difference: FoundDifference) => void;
}

/** Sequences under way on each side: what the port to the guest needs to be busy. */
const WINDOW = 64;
/** Sequences between two looks at what is left over, with the races of these sequences before it. */
const LEAK_EVERY = 600;
/** The first look is earlier, and each then as late as all sequences before it, up to that. */
const FIRST_LOOK = 100;
/** Sequences with an order to each race. */
const RACE_EVERY = 40;
const lookAfter = (sequences: number): number =>
  Math.min(LEAK_EVERY, Math.max(FIRST_LOOK, sequences));
/** ms for shrinking one difference. */
const SHRINK_BOUND = 20_000;
/** Differences that are shrunk; more are counted. */
const MAX_SHRUNK = 40;
/** Of the same sequence, to see whether it shows the same again. */
const REPEATS = 2;

/** The call that a leak is told as. */
const LEAKS = 'leaks';

interface Sequence {
  index: number;
  items: readonly Item[];
  steps: readonly Step[];
}

interface Outcome {
  sequence: Sequence;
  soft: Played;
  driver: Played;
  compared: Compared;
}

export class Matcher {
  readonly #pair: Pair;
  readonly #options: MatchOptions;
  readonly #hooks: MatchHooks;
  readonly #arbitrary: Arbitrary<readonly Item[]>;
  readonly result: KernelResult;
  readonly #coverage: Coverage;
  readonly #races: Races;
  #before = 0;
  #racedBefore = 0;
  #begun = performance.now();
  /** Since the last look at leaks. */
  #since: Sequence[] = [];

  constructor(pair: Pair, options: MatchOptions, result: KernelResult, hooks: MatchHooks) {
    this.#pair = pair;
    this.#options = options;
    this.#hooks = hooks;
    this.result = result;
    this.#coverage = new Coverage(result.coverage);
    this.#arbitrary = itemsOf(pair.soft.place);
    this.#races = new Races(pair.driver, pair.outcomes, result.races);
  }

  #sequence(index: number, seed = this.#options.seed): Sequence {
    const items = sequenceOf(this.#arbitrary, seed, index);
    return { index, items, steps: stepsOf(this.#pair.soft.place, items) };
  }

  async #play(steps: readonly Step[]): Promise<{ soft: Played; driver: Played }> {
    const lines = steps.map(({ line }) => line);
    const [soft, driver] = await Promise.all([
      this.#pair.soft.play(lines),
      this.#pair.driver.play(lines),
    ]);
    return { soft, driver };
  }

  async #outcome(sequence: Sequence): Promise<Outcome> {
    const { soft, driver } = await this.#play(sequence.steps);
    return {
      sequence,
      soft,
      driver,
      compared: compare(sequence.steps, soft, driver, this.#pair.kernel),
    };
  }

  /** @throws {VmError} a player, or its machine, is gone and does not come back. */
  async run(): Promise<void> {
    this.#begun = performance.now();
    this.#before = this.result.seconds;
    this.#racedBefore = this.result.races.seconds;
    try {
      await (this.#options.replay ? this.#replay(this.#options.replay) : this.#all());
    } finally {
      await this.#races.end();
    }
    this.#tick('');
  }

  async #replay({ seed, index, race }: Replay): Promise<void> {
    if (race) return this.#race(seed, index);
    await this.#take(await this.#outcome(this.#sequence(index, seed)), seed);
    await this.#look();
  }

  async #all(): Promise<void> {
    const { options, result } = { options: this.#options, result: this.result };
    await this.#lookAgain();
    const until = options.seconds === undefined ? Infinity : this.#begun + options.seconds * 1000;
    const last = options.sequences ?? Infinity;
    const over = () =>
      this.#hooks.signal?.aborted || performance.now() >= until || result.next >= last;
    let asked = result.next;
    let lookEvery = lookAfter(result.sequences);
    const under: Promise<Outcome>[] = [];
    const found: Outcome[] = [];
    while (!over()) {
      // A new difference is looked at when nothing else is under way.
      while (
        under.length < WINDOW &&
        asked < last &&
        !found.length &&
        this.#since.length + under.length < lookEvery
      ) {
        const outcome = this.#outcome(this.#sequence(shardIndex(options.shard, asked++)));
        outcome.catch(() => {});
        under.push(outcome);
      }
      const first = under.shift();
      if (first) {
        const outcome = await first;
        if (this.#count(outcome)) found.push(outcome);
        this.#tick('');
        continue;
      }
      for (const outcome of found.splice(0)) await this.#take(outcome);
      if (this.#since.length < lookEvery) continue;
      await this.#raceUpTo(result.next, over);
      await this.#look();
      lookEvery = lookAfter(result.sequences);
    }
    for (const outcome of await Promise.all(under)) if (this.#count(outcome)) found.push(outcome);
    for (const outcome of found) await this.#take(outcome);
    const late = () => Boolean(this.#hooks.signal?.aborted) || performance.now() >= until;
    await this.#raceUpTo(result.next, late);
    if (!this.#hooks.signal?.aborted) await this.#look();
  }

  /** What a match that is gone on with had found, and what is mended since. */
  async #lookAgain(): Promise<void> {
    const { result } = this;
    for (const known of [...result.differences]) {
      if (known.call === LEAKS) continue;
      this.#tick(`looking again for ${known.signature}`);
      const { seed, index, race } = parseReplay(known.replay);
      const differs = race
        ? await this.#races.differs(this.#races.race(seed, index), this.#options.runs)
        : (await this.#outcome(this.#sequence(index, seed))).compared.difference !== undefined;
      if (differs) continue;
      result.differences = result.differences.filter((d) => d !== known);
      result.notes.push(`not found again: ${known.signature}, ${known.replay}`);
    }
  }

  /** The races that go with so many sequences. */
  async #raceUpTo(sequences: number, over: () => boolean): Promise<void> {
    const { races } = this.result;
    if (!this.#options.runs) return;
    while (races.next < Math.floor(sequences / RACE_EVERY) && !over()) {
      const counted = races.races;
      await this.#race(this.#options.seed, shardIndex(this.#options.shard, races.next));
      if (races.races > counted) races.next++;
      this.#tick('races');
    }
  }

  async #race(seed: bigint, index: number): Promise<void> {
    const begun = performance.now();
    const by = begun + 3 * this.#shrinkBound;
    const stop = () => performance.now() > by || Boolean(this.#hooks.signal?.aborted);
    const found = await this.#raced(this.#races.race(seed, index), stop);
    this.result.races.seconds += (performance.now() - begun) / 1000;
    if (!found) return;
    const signature = signatureOf(found.difference);
    if (this.#again(signature)) return;
    const { difference, stable, lines, names } = found;
    this.#report(signature, replayText(seed, index, true), difference, stable, lines, names);
  }

  /** Many schedules take a while: who is interrupted does not wait for them. */
  async #raced(race: Race, stop: () => boolean): Promise<RaceFound | undefined> {
    const { signal } = this.#hooks;
    const end = () => void this.#races.end();
    signal?.addEventListener('abort', end);
    try {
      return await this.#races.play(race, this.#options.runs, stop);
    } catch (e) {
      if (signal?.aborted) return undefined;
      throw e;
    } finally {
      signal?.removeEventListener('abort', end);
    }
  }

  get #shrinkBound(): number {
    return this.#options.shrinkMs ?? SHRINK_BOUND;
  }

  #tick(what: string): void {
    const { races } = this.result;
    const all = (performance.now() - this.#begun) / 1000;
    this.result.seconds = this.#before + all - (races.seconds - this.#racedBefore);
    this.result.restarts = this.#pair.soft.restarts + this.#pair.driver.restarts;
    this.#hooks.onProgress?.(this.result, what);
  }

  /** True: a difference that has not been seen yet. */
  #count({ sequence, driver, compared }: Outcome): boolean {
    const { result } = this;
    result.next++;
    result.sequences++;
    result.calls += compared.calls;
    this.#since.push(sequence);
    for (const [i, step] of sequence.steps.entries()) {
      const answer = driver.answers[i];
      if (answer !== undefined) this.#coverage.add(step, answer);
    }
    for (const { name } of compared.deliberate)
      result.deliberate[name] = (result.deliberate[name] ?? 0) + 1;
    if (!compared.difference) return false;
    const signature = signatureOf(compared.difference);
    return !this.#again(signature);
  }

  /** Counts a difference that has been seen before; false: it is new. */
  #again(signature: string): boolean {
    const known = this.result.differences.find((d) => d.signature === signature);
    if (known) known.times++;
    return Boolean(known);
  }

  async #take(outcome: Outcome, seed = this.#options.seed): Promise<void> {
    const { difference } = outcome.compared;
    if (this.#options.replay) this.#count(outcome);
    if (!difference) return;
    const signature = signatureOf(difference);
    if (this.#again(signature)) return;
    this.#tick(`shrinking ${signature}`);
    const shows = async (steps: readonly Step[]): Promise<Difference | undefined> => {
      const { soft, driver } = await this.#play(steps);
      const again = compare(steps, soft, driver, this.#pair.kernel).difference;
      return again && signatureOf(again) === signature ? again : undefined;
    };
    await this.#shorten(outcome.sequence, seed, difference, signature, shows);
  }

  /** Of the sequence, the shortest that shows the difference. */
  async #shorten(
    sequence: Sequence,
    seed: bigint,
    difference: Difference,
    signature: string,
    shows: (steps: readonly Step[]) => Promise<Difference | undefined>,
  ): Promise<void> {
    let stable = true;
    for (let i = 0; i < REPEATS && stable; i++) stable = Boolean(await shows(sequence.steps));
    let steps = sequence.steps;
    let last = difference;
    if (stable && this.result.differences.length < MAX_SHRUNK) {
      const by = performance.now() + this.#shrinkBound;
      const stop = () => performance.now() > by || Boolean(this.#hooks.signal?.aborted);
      const { place } = this.#pair.soft;
      const holds = async (shorter: readonly Step[]) => {
        const again = await shows(shorter);
        if (again) last = again;
        return Boolean(again);
      };
      const items = await shortest(
        sequence.items,
        (shorter) => holds(stepsOf(place, shorter)),
        stop,
      );
      steps = await shortest(stepsOf(place, items), holds, stop);
    }
    const lines = steps.map(({ line }) => line);
    const names = steps.map(({ call, kinds }) => `${call}: ${kinds.join(', ')}`);
    this.#report(signature, replayText(seed, sequence.index), last, stable, lines, names);
  }

  #report(
    signature: string,
    replay: string,
    { at, call, kinds, soft, driver }: Difference,
    stable: boolean,
    lines: readonly string[],
    names: readonly string[],
  ): void {
    const found: FoundDifference = {
      signature,
      replay,
      times: 1,
      stable,
      at,
      call,
      kinds: [...kinds],
      soft,
      driver,
      lines: [...lines],
      names: [...names],
    };
    this.result.differences.push(found);
    this.#hooks.onDifference?.(found);
  }

  /** What is left over on both sides; differs it, then the sequence is looked for that left it. */
  async #look(): Promise<void> {
    const since = this.#since.splice(0);
    const left = await this.#leaks();
    if (!left) return;
    const signature = `${LEAKS}: ${leakNames(left)}`;
    if (this.#again(signature)) return;
    this.#tick('looking for what leaks');
    const leaks = async (sequences: readonly { steps: readonly Step[] }[]) => {
      await Promise.all(sequences.map(({ steps }) => this.#play(steps)));
      const more = await this.#leaks();
      return more && leakNames(more) === leakNames(left) ? more : undefined;
    };
    // Halves: each look takes a while once there is something left over.
    let suspects = since;
    while (suspects.length > 1 && !this.#hooks.signal?.aborted) {
      const half = suspects.slice(0, suspects.length >> 1);
      suspects = (await leaks(half)) ? half : suspects.slice(half.length);
    }
    const [sequence] = suspects;
    if (!sequence) return;
    const difference = {
      at: sequence.steps.length,
      call: LEAKS,
      kinds: [leakNames(left)],
      ...left,
    };
    const shows = async (steps: readonly Step[]): Promise<Difference | undefined> => {
      const more = await leaks([{ steps }]);
      return more && { ...difference, ...more, at: steps.length };
    };
    // What the driver keeps for a while (its pools, a context's last request) is no leak.
    if (await shows(sequence.steps))
      await this.#shorten(sequence, this.#options.seed, difference, signature, shows);
    else this.result.notes.push(`left over once, and not again: ${left.soft}, ${left.driver}`);
  }

  #restarts = 0;
  #left = { soft: new Map<string, number>(), driver: new Map<string, number>() };

  /** What more is left over than the last time; undefined where it is the same on both sides. */
  async #leaks(): Promise<{ soft: string; driver: string } | undefined> {
    const [soft, driver] = await Promise.all([this.#pair.soft.leaks(), this.#pair.driver.leaks()]);
    const now = { soft: parseLeaks(soft), driver: parseLeaks(driver) };
    const before = this.#left;
    this.#left = now;
    // A player that was started again counts from its start.
    const restarts = this.#pair.soft.restarts + this.#pair.driver.restarts;
    if (restarts !== this.#restarts) {
      this.#restarts = restarts;
      return undefined;
    }
    const more = (side: 'soft' | 'driver', name: string) =>
      (now[side].get(name) ?? 0) - (before[side].get(name) ?? 0);
    // What one of them cannot tell is not compared.
    const names = [...now.soft.keys()].filter((name) => now.driver.has(name));
    const differ = names.filter((name) => more('soft', name) !== more('driver', name));
    if (!differ.length) return undefined;
    const text = (side: 'soft' | 'driver') =>
      differ.map((name) => `${name}=${more(side, name)}`).join(' ');
    return { soft: text('soft'), driver: text('driver') };
  }
}

export const parseLeaks = (line: string): Map<string, number> =>
  new Map([...line.matchAll(/ (\w+)=(-?\d+)/g)].map(([, name = '', n]) => [name, Number(n)]));
const leakNames = ({ soft }: { soft: string }) =>
  soft
    .split(' ')
    .map((word) => word.split('=')[0])
    .join(', ');

export const emptyKernelResult = (
  kernel: string,
  release: string,
  where: string,
  era: string,
): KernelResult => ({
  kernel,
  release,
  where,
  era,
  next: 0,
  sequences: 0,
  calls: 0,
  seconds: 0,
  restarts: 0,
  coverage: {},
  deliberate: {},
  differences: [],
  notes: [],
  races: emptyRaces(),
});
