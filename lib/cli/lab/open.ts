// SPDX-License-Identifier: MIT
// What the lab's commands have in common.
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { Lab } from '../../lab/lab.js';
import { OptionError } from '../../stress/options.js';

export const openLab = (signal: AbortSignal): Promise<Lab> =>
  Lab.open({ signal, say: (what) => process.stderr.write(`${what}\n`) });

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

/** Those of `all` that a list with commas names, in their own order; all of them without one. */
export function chosen<T extends { name: string }>(
  all: readonly T[],
  list: string | undefined,
  what: string,
): T[] {
  if (list === undefined) return [...all];
  const names = list.split(',').filter(Boolean);
  for (const name of names) one(all, name, what);
  if (names.length === 0) throw new OptionError(`no ${what} is named`);
  return all.filter(({ name }) => names.includes(name));
}

export function one<T extends { name: string }>(all: readonly T[], name: string, what: string): T {
  const found = all.find((entry) => entry.name === name);
  if (!found)
    throw new OptionError(
      `there is no ${what} ${JSON.stringify(name)}; there are ${all.map((e) => e.name).join(', ')}`,
    );
  return found;
}

/** Before a search rather than after it. */
export function checkWritable(option: string, file: string): void {
  const dir = dirname(file);
  try {
    accessSync(dir, constants.W_OK);
  } catch {
    throw new OptionError(`${option}: ${dir} is not a directory that can be written to`);
  }
}

export const written = (out: NodeJS.WriteStream, text: string) =>
  new Promise<void>((resolve) => out.write(text, () => resolve()));
