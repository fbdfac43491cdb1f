// SPDX-License-Identifier: MIT
// Two answers to the same sequence, line by line.
import { getSystemErrorMap } from 'node:util';
import { type DeliberateDifference, deliberate, type Sides } from './differences.js';
import type { Step } from './ops.js';
import { ENDED, type Played } from './player.js';

/** Where two sides part. */
export interface Difference {
  /** Of the sequence's steps. */
  at: number;
  call: string;
  kinds: readonly string[];
  soft: string;
  driver: string;
}

const answerLine = /^(-?\d+|refused|hang|started|blocked|over|[a-z]+)(?: ([0-9a-f]+))?$/;

/** An answer without what is masked. */
export function masked(step: Step, answer: string): string {
  const { masks = [] } = step;
  if (!masks.length) return answer;
  const [, said, hex] = answerLine.exec(answer) ?? [];
  if (said === undefined) return answer;
  const digits = hex?.split('');
  let result = said;
  for (const { at, length, but } of masks) {
    if (at < 0) result = '?';
    else if (!but?.includes(hex?.slice(2 * at, 2 * (at + length)) ?? ''))
      digits?.fill('?', 2 * at, 2 * (at + length));
  }
  return digits ? `${result} ${digits.join('')}` : result;
}

/** "EINVAL", or what else a call was answered, without its bytes. */
export function resultOf(answer: string): string {
  const [said = ''] = answer.split(' ');
  const n = Number(said);
  if (!Number.isInteger(n) || said === '') return said;
  if (n >= 0) return n > 0 && n < 4096 ? `${n}` : 'ok';
  if (n === -524) return 'ENOTSUPP';
  return getSystemErrorMap().get(n)?.[0] ?? said;
}

export interface Compared {
  /** Calls that were answered by both. */
  calls: number;
  difference: Difference | undefined;
  /** Those that are on purpose, which it went on after. */
  deliberate: DeliberateDifference[];
}

export function compare(
  steps: readonly Step[],
  soft: Played,
  driver: Played,
  kernel: string,
): Compared {
  const found: DeliberateDifference[] = [];
  for (const [at, step] of steps.entries()) {
    const a = soft.answers[at];
    const b = driver.answers[at];
    const { call, kinds } = step;
    if (a === undefined || b === undefined) {
      // One of them ended early; if both did, at the same place, they are still not well.
      const said = (answer: string | undefined, played: Played) => answer ?? `ended: ${played.end}`;
      const difference = { at, call, kinds, soft: said(a, soft), driver: said(b, driver) };
      return { calls: at, difference, deliberate: found };
    }
    const [x, y] = [masked(step, a), masked(step, b)];
    if (x === y) continue;
    const sides: Sides = { steps, at, soft: x, driver: y, kernel };
    const known = deliberate.find((d) => d.matches(sides));
    if (!known)
      return {
        calls: at + 1,
        difference: { at, call, kinds, soft: x, driver: y },
        deliberate: found,
      };
    found.push(known);
  }
  const ends = [soft.end, driver.end];
  if (ends.some((end) => end !== ENDED)) {
    const at = steps.length;
    const difference = { at, call: 'end', kinds: [], soft: soft.end, driver: driver.end };
    return { calls: at, difference, deliberate: found };
  }
  return { calls: steps.length, difference: undefined, deliberate: found };
}

/** What two findings of the same cause have in common. */
export const signatureOf = ({ call, kinds, soft, driver }: Difference): string => {
  const [a, b] = [resultOf(soft), resultOf(driver)];
  // The same result: it is what was written that differs.
  return `${call} (${kinds.join(', ')}): ${a === b ? `${a}, other bytes` : `${a}, not ${b}`}`;
};

/** In words, for people. */
export function differenceText({ call, kinds, soft, driver }: Difference): string[] {
  const short = (answer: string) => {
    const [, ...bytes] = answer.split(' ');
    return `${resultOf(answer)}${bytes.length ? `  ${bytes.join(' ').slice(0, 400)}` : ''}`;
  };
  return [`${call}: ${kinds.join(', ')}`, `  soft    ${short(soft)}`, `  driver  ${short(driver)}`];
}
