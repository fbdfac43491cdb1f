// SPDX-License-Identifier: MIT
// Other programs, run to their end.
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { said, VmError } from './error.js';

export interface CommandOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  input?: Buffer;
  /** More output than this is an error. */
  maxBytes?: number;
  /** A program that is not there: what to do about it. */
  advice?: string;
  /** What errors call it, where `program` only starts it. */
  as?: string;
}

const MIB = 1024 ** 2;

/** What a user's Ctrl-C makes of what was under way. */
export function interrupted(): VmError {
  return new VmError('interrupted');
}

/**
 * Runs a program and returns what it wrote to its standard output.
 * @throws {VmError} it could not be started, it failed (with the last line that it said), its
 *   output is too long, or `signal` ended it.
 */
export function command(
  program: string,
  args: readonly string[],
  { cwd, env, signal, input, maxBytes = 64 * MIB, advice, as }: CommandOptions = {},
): Promise<Buffer> {
  const name = as ?? program.slice(program.lastIndexOf('/') + 1);
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(interrupted());
      return;
    }
    const child = spawn(program, args, {
      ...(cwd && { cwd }),
      env: { ...process.env, ...env, LC_ALL: 'C' },
      stdio: [input ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    let bytes = 0;
    let errors = '';
    let tooLong = false;
    const kill = () => child.kill('SIGTERM');
    signal?.addEventListener('abort', kill, { once: true });
    child.stdout?.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) out.push(chunk);
      else {
        tooLong = true;
        child.kill('SIGKILL');
      }
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-8192);
    });
    // A program that does not want all of its input is no error by itself.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
    child.on('error', (e) => {
      signal?.removeEventListener('abort', kill);
      const missing = (e as NodeJS.ErrnoException).code === 'ENOENT';
      reject(
        new VmError(missing ? `${name} is not installed${advice ? `: ${advice}` : ''}` : said(e)),
      );
    });
    child.on('close', (status, by) => {
      signal?.removeEventListener('abort', kill);
      if (signal?.aborted || by === 'SIGINT') reject(interrupted());
      else if (tooLong) reject(new VmError(`${name}: more than ${maxBytes} bytes of output`));
      else if (status !== 0) reject(new VmError(`${name}: ${lastWords(errors, status, by)}`));
      else resolve(Buffer.concat(out));
    });
  });
}

function lastWords(errors: string, status: number | null, by: string | null): string {
  const lines = errors.split('\n').filter((line) => line.trim() !== '');
  // apt's errors, before its hints; elsewhere the last line.
  const line = lines.find((l) => l.startsWith('E: ')) ?? lines.at(-1);
  return line ? said(line) : by ? `killed by ${by}` : `exit status ${status}`;
}

/** The path of a program, by $PATH. */
export function which(name: string, path = process.env.PATH ?? ''): string | undefined {
  for (const dir of path.split(':')) {
    if (!isAbsolute(dir)) continue;
    const file = join(dir, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // the next
    }
  }
  return undefined;
}
