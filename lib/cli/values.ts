// SPDX-License-Identifier: MIT
// Values on the command line.
import { InvalidArgumentError } from 'commander';
import { OptionError } from '../stress/options.js';

/** Of an option that may be given again. */
export const several = (value: string, before: string[] = []) => [...before, value];

export function seedOption(text: string): bigint {
  if (!/^\d{1,20}$/.test(text) || BigInt(text) >= 1n << 64n)
    throw new OptionError(`--seed ${text}: an integer from 0 to 2^64 - 1`);
  return BigInt(text);
}

export const secondsOption = (text: string): number => {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (!(seconds > 0) || seconds > 1e9)
    throw new InvalidArgumentError('expected seconds, more than 0');
  return seconds;
};

export const integerOption =
  (least: number, most: number) =>
  (text: string): number => {
    const n = /^\d{1,15}$/.test(text) ? Number(text) : -1;
    if (n < least || n > most) throw new InvalidArgumentError(`expected ${least} to ${most}`);
    return n;
  };
