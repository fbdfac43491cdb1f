// SPDX-License-Identifier: MIT
// What the lab's commands have in common.
import { Lab } from '../../lab/lab.js';
import { OptionError } from '../../stress/options.js';

export const openLab = (signal: AbortSignal): Promise<Lab> =>
  Lab.open({ signal, say: (what) => process.stderr.write(`${what}\n`) });

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
