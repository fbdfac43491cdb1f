// SPDX-License-Identifier: MIT
// One build in a tree at a time, across processes.
import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { interrupted } from './command.js';
import { VmError } from './error.js';

export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Somebody else has it: called once, before the wait. */
  waiting?: (() => void) | undefined;
}

/**
 * Holds a lock file while `use` works. `use` gets its descriptor to hand to the programs it starts:
 * flock(2) belongs to the open file, so that a compiler which outlives this process still has it.
 */
export async function withLock<T>(
  file: string,
  use: (fd: number) => Promise<T>,
  { signal, waiting }: LockOptions = {},
): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  const handle = await open(file, 'a');
  try {
    if (!(await flock(handle.fd, ['-n'], signal))) {
      waiting?.();
      if (!(await flock(handle.fd, [], signal))) throw new VmError(`${file} cannot be locked`);
    }
    return await use(handle.fd);
  } finally {
    await handle.close();
  }
}

/** flock(1) of its descriptor 3, which is ours. Node has no call for it. */
function flock(fd: number, options: string[], signal: AbortSignal | undefined): Promise<boolean> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(interrupted());
      return;
    }
    const child = spawn('flock', ['-x', ...options, '3'], {
      stdio: ['ignore', 'ignore', 'ignore', fd],
    });
    const kill = () => child.kill();
    signal?.addEventListener('abort', kill, { once: true });
    child.on('error', () => reject(new VmError('flock is not installed (package util-linux)')));
    child.on('close', (status) => {
      signal?.removeEventListener('abort', kill);
      if (signal?.aborted) reject(interrupted());
      else resolve(status === 0);
    });
  });
}
