// SPDX-License-Identifier: MIT
import { native } from '../native.js';
import { OptionError } from '../stress/options.js';

/** The kernels that soft can be told to be, in order. */
const eras = native.softKernels;
/** What it is untold. */
export const firstEra = eras[0] ?? '';

/** Instead of a kernel: soft itself, with nothing broken; or soft of another era, `soft:6.12`. */
export const SOFT = 'soft';

export interface Replay {
  seed: bigint;
  index: number;
  race: boolean;
}

export const DEFAULT_RUNS = 20;

export interface MatchOptions {
  /** Versions or names, as `vm` takes them, or SOFT. */
  kernels: readonly string[];
  seed: bigint;
  /** s for each kernel, or sequences for each. */
  seconds?: number | undefined;
  sequences?: number | undefined;
  /** Of `of` shards this is `n`, from 1. */
  shard: { n: number; of: number };
  /** One sequence alone, or one race. */
  replay?: Replay | undefined;
  /** Of each race on the driver; 0: no races. */
  runs: number;
  softBreaks: readonly string[];
  /** ms to make one difference shorter. */
  shrinkMs?: number;
}

const versionOf = (text: string): [number, number] | undefined => {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(text) ?? [];
  return major && minor ? [Number(major), Number(minor)] : undefined;
};

/** The last era that is not after a kernel's release. */
export function eraOf(release: string): string {
  const version = versionOf(release);
  if (!version) return firstEra;
  const [major, minor] = version;
  const fits = eras.filter((era) => {
    const [x, y] = versionOf(era) ?? [0, 0];
    return x < major || (x === major && y <= minor);
  });
  return fits.at(-1) ?? firstEra;
}

export function parseShard(text: string): { n: number; of: number } {
  const [, n, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const shard = { n: Number(n), of: Number(of) };
  if (!n || !of || shard.n < 1 || shard.n > shard.of)
    throw new OptionError(`--shard ${text}: I/N, from 1/N to N/N`);
  return shard;
}

export function parseReplay(text: string): Replay {
  const [, race, seed, index] = /^(race:)?(\d{1,20}):(\d{1,12})$/.exec(text) ?? [];
  if (!seed || !index || BigInt(seed) >= 1n << 64n)
    throw new OptionError(
      `--replay ${text}: SEED:INDEX or race:SEED:INDEX, as a difference has it`,
    );
  return { seed: BigInt(seed), index: Number(index), race: Boolean(race) };
}

export const replayText = (seed: bigint, index: number, race = false): string =>
  `${race ? 'race:' : ''}${seed}:${index}`;

/** The index of the `i`th sequence of a shard. */
export const shardIndex = ({ n, of }: { n: number; of: number }, i: number): number =>
  n - 1 + i * of;
