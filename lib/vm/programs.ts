// SPDX-License-Identifier: MIT
// The programs of ours: the GPU and the guest's init, which a VM needs, the lab, the C tests. They are built
// once, by make, which knows what has changed since.
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../native.js';
import { toolVersion } from '../stress/assemble.js';
import { cacheRoot } from './cache.js';
import { interrupted } from './command.js';
import { VmError } from './error.js';
import { withLock } from './lock.js';

export interface Programs {
  vgpu: string;
  init: string;
}

/** Beside the sources, or in the cache where those are somebody else's. */
function directory(): string {
  const native = join(packageRoot, 'native');
  try {
    accessSync(native, constants.W_OK);
    return join(native, '.build/plain');
  } catch {
    return join(cacheRoot(), 'programs', toolVersion);
  }
}

export const programPath = (name: string): string => join(directory(), name);

export const programs = (): Programs => ({
  vgpu: programPath('i915-vgpu'),
  init: programPath('guest-init'),
});

/**
 * Builds what is not there or older than its sources; a quarter of a second if nothing is.
 * @throws {VmError} no compiler, or an error of it.
 */
export async function buildPrograms(signal?: AbortSignal): Promise<Programs> {
  await build(['vgpu', 'guest'], 'the emulated GPU', signal);
  return programs();
}

/**
 * Makes targets of native/Makefile. `what` they are is for the errors. Two processes that want the
 * same come one after the other: make knows nothing of another make.
 * @throws {VmError} no compiler, or an error of it.
 */
export function build(
  targets: readonly string[],
  what: string,
  signal?: AbortSignal,
): Promise<void> {
  const lock = join(directory(), `.${targets.join('-')}.lock`);
  const args = ['-C', join(packageRoot, 'native'), `OUT=${directory()}`, ...targets];
  return withLock(lock, (fd) => make(args, what, fd, signal), { signal });
}

export const kselftestSource = join(packageRoot, 'kselftest/drivers/gpu/i915_userptr');
export const KSELFTEST_PREFIX = 'i915_userptr_';

/** The programs that the C tests' Makefile builds, in the order of their run. */
export function kselftestPrograms(): string[] {
  const text = readFileSync(join(kselftestSource, 'Makefile'), 'utf8');
  const [, list = ''] = /^PROGRAMS :=(.*)$/m.exec(text) ?? [];
  return list
    .trim()
    .split(/\s+/)
    .map((name) => KSELFTEST_PREFIX + name);
}

/**
 * The C tests, linked statically so that they run in whatever guest; returns where they are.
 * @throws {VmError} no compiler, or an error of it.
 */
export async function buildKselftest(signal?: AbortSignal): Promise<string> {
  const out = programPath('kselftest');
  const args = ['-C', kselftestSource, `OUTPUT=${out}`, 'STATIC=1', 'all'];
  await withLock(`${out}.lock`, (fd) => make(args, 'the kselftest', fd, signal), { signal });
  return out;
}

async function make(
  given: readonly string[],
  what: string,
  lock: number,
  signal?: AbortSignal,
): Promise<void> {
  const args = ['-s', '-j2', ...given];
  const said: string[] = [];
  const status = await new Promise<number | null>((resolve, reject) => {
    const child = spawn('make', args, { stdio: ['ignore', 'pipe', 'pipe', lock], signal });
    for (const out of [child.stdout, child.stderr])
      out?.on('data', (data: Buffer) => said.push(data.toString()));
    child.on('error', reject);
    child.on('close', resolve);
  }).catch((e: NodeJS.ErrnoException) => {
    if (signal?.aborted) throw interrupted();
    if (e.code !== 'ENOENT') throw e;
    throw new VmError(`${what} must be built, and there is no make: install g++ and make`);
  });
  if (status !== 0)
    throw new VmError(
      `${what} could not be built (make and g++ are needed):\n${said.join('').slice(-2000)}`,
    );
}
