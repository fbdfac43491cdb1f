// SPDX-License-Identifier: MIT
// Which calls were seen with which class of arguments and which result; and what was never reached.
import { resultOf } from './compare.js';
import type { Step } from './ops.js';

/** By call, by class of its arguments, by result: how often. */
export type Counts = Record<string, Record<string, Record<string, number>>>;

export class Coverage {
  readonly counts: Counts;

  constructor(counts: Counts = {}) {
    this.counts = counts;
  }

  add(step: Step, answer: string): void {
    this.counts[step.call] ??= {};
    const call = this.counts[step.call] as Counts[string];
    const result = resultOf(answer);
    for (const kind of step.kinds) {
      call[kind] ??= {};
      const results = call[kind] as Record<string, number>;
      results[result] = (results[result] ?? 0) + 1;
    }
  }

  /** How many of the possible have been seen. */
  reached(possible: ReadonlyMap<string, readonly string[]>): { seen: number; of: number } {
    let seen = 0;
    let of = 0;
    for (const [call, kinds] of possible)
      for (const kind of kinds) {
        of++;
        if (this.counts[call]?.[kind]) seen++;
      }
    return { seen, of };
  }

  /** What was never made, by call. */
  missing(possible: ReadonlyMap<string, readonly string[]>): Map<string, string[]> {
    const missing = new Map<string, string[]>();
    for (const [call, kinds] of possible) {
      const never = kinds.filter((kind) => !this.counts[call]?.[kind]);
      if (never.length) missing.set(call, never);
    }
    return missing;
  }
}

/** Rows of call, class, and results with their counts, the most frequent first. */
export function coverageRows(counts: Counts): { call: string; kind: string; results: string }[] {
  return Object.keys(counts)
    .sort()
    .flatMap((call) =>
      Object.keys(counts[call] ?? {})
        .sort()
        .map((kind) => ({
          call,
          kind,
          results: Object.entries(counts[call]?.[kind] ?? {})
            .sort(([, a], [, b]) => b - a)
            .map(([result, n]) => `${result} ${n.toLocaleString('en-US')}`)
            .join(', '),
        })),
    );
}

export function mergeCounts(all: readonly Counts[]): Counts {
  const merged: Counts = {};
  for (const counts of all)
    for (const [call, kinds] of Object.entries(counts))
      for (const [kind, results] of Object.entries(kinds))
        for (const [result, n] of Object.entries(results)) {
          merged[call] ??= {};
          const to = merged[call] as Counts[string];
          to[kind] ??= {};
          const at = to[kind] as Record<string, number>;
          at[result] = (at[result] ?? 0) + n;
        }
  return merged;
}
