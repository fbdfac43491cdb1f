// SPDX-License-Identifier: MIT
// Numbers on the command line.
import { InvalidArgumentError } from 'commander';

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
