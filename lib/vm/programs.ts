// SPDX-License-Identifier: MIT
// The two programs of ours that a VM needs: the GPU, and the guest's init. They are built once, by
// make, which knows what has changed since.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../native.js';
import { toolVersion } from '../stress/assemble.js';
import { cacheRoot } from './cache.js';
import { VmError } from './error.js';

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

export const programs = (): Programs => ({
  vgpu: join(directory(), 'i915-vgpu'),
  init: join(directory(), 'guest-init'),
});

/**
 * Builds what is not there or older than its sources; a quarter of a second if nothing is.
 * @throws {VmError} no compiler, or an error of it.
 */
export async function buildPrograms(signal?: AbortSignal): Promise<Programs> {
  const args = [
    '-s',
    '-j2',
    '-C',
    join(packageRoot, 'native'),
    `OUT=${directory()}`,
    'vgpu',
    'guest',
  ];
  const said: string[] = [];
  const status = await new Promise<number | null>((resolve, reject) => {
    const make = spawn('make', args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
    for (const out of [make.stdout, make.stderr])
      out.on('data', (data: Buffer) => said.push(data.toString()));
    make.on('error', reject);
    make.on('close', resolve);
  }).catch((e: NodeJS.ErrnoException) => {
    if (e.code !== 'ENOENT') throw e;
    throw new VmError('the emulated GPU must be built, and there is no make: install g++ and make');
  });
  if (status !== 0)
    throw new VmError(
      `the emulated GPU could not be built (make and g++ are needed):\n${said.join('').slice(-2000)}`,
    );
  return programs();
}
