// SPDX-License-Identifier: MIT
// Where a command's words and results go.
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { OptionError } from '../stress/options.js';

/** Before the work rather than after it. */
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
