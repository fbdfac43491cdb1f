// SPDX-License-Identifier: MIT
// Between a run's process and the one that watches it. The rest they share is the board.
import type { Options } from './options.js';

/** Where the runner finds the board. */
export const BOARD_FD = 3;

/** `finish`: the board says that the run is over; join its threads, close the device and exit. */
export type ToRunner = 'stop' | 'finish';

export type FromRunner = { device: { name: string; why: string } } | { failed: string };

/** How the runner exits; 0: all is done. */
export const runnerStatus = { notOpened: 3, hung: 5, orphan: 6 } as const;

/** The runner's one argument: JSON, for whoever reads `ps`. */
export const encodeRequest = (options: Options): string =>
  JSON.stringify({ ...options, seed: `${options.seed}` });

export function decodeRequest(text: string): Options {
  const parsed = JSON.parse(text);
  return { ...parsed, seed: BigInt(parsed.seed) };
}
