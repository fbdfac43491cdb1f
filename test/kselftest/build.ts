// SPDX-License-Identifier: MIT
// The kselftests, built into a directory of their own: several test files build at once.
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { kselftestPrograms, kselftestSource } from '../../lib/vm/programs.js';

export const source = kselftestSource;
/** All that the Makefile builds. */
export const programs = kselftestPrograms();

export interface Built {
  dir: string;
  run(program: string, ...args: string[]): { status: number | null; stdout: string };
  remove(): void;
}

/** Makes `targets`; warnings are errors. */
export async function build(...targets: string[]): Promise<Built> {
  const dir = mkdtempSync(join(tmpdir(), 'i915-userptr-kselftest-'));
  const args = ['-s', '-j2', '-C', source, `OUTPUT=${dir}`, 'USERCFLAGS=-Werror', ...targets];
  await promisify(execFile)('make', args);
  return {
    dir,
    run: (program, ...args) => spawnSync(join(dir, program), args, { encoding: 'utf8' }),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export const renderNodes = (): boolean =>
  existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => /^renderD/.test(name));
