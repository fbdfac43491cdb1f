// SPDX-License-Identifier: MIT
// What kernels and modules are compressed with. Node 20 knows gzip; the others are programs, the
// host's or Debian's in the cache.
import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Apt, type AptOptions, packageList } from './apt.js';
import { cacheRoot, publish } from './cache.js';
import { command, which } from './command.js';
import { said, VmError } from './error.js';

export type Compression = 'gzip' | 'xz' | 'zstd' | 'lz4';

const packages = { xz: 'xz-utils', zstd: 'zstd', lz4: 'lz4' } as const;

const magics: readonly [Compression, string][] = [
  ['gzip', '1f8b'],
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
  // The frame of lz4's early days, which the kernel uses, and today's.
  ['lz4', '02214c18'],
  ['lz4', '04224d18'],
];

/** By the first bytes; undefined where they are none of these. */
export function compressionOf(data: Buffer): Compression | undefined {
  const head = data.toString('hex', 0, 6);
  return magics.find(([, magic]) => head.startsWith(magic))?.[0];
}

interface Tool {
  program: string;
  args: string[];
}

async function findTool(name: keyof typeof packages, options: AptOptions): Promise<Tool> {
  const host = which(name);
  if (host) return { program: host, args: [] };
  const dir = join(cacheRoot(), 'tools', name);
  if (!existsSync(dir)) await setupTool(name, dir, options);
  const lib = join(dir, 'usr/lib/x86_64-linux-gnu');
  const program = join(lib, 'ld-linux-x86-64.so.2');
  return { program, args: ['--library-path', lib, join(dir, 'usr/bin', name)] };
}

async function setupTool(
  name: keyof typeof packages,
  dir: string,
  options: AptOptions,
): Promise<void> {
  const apt = await Apt.open(options).catch((e) => {
    throw new VmError(`${name} is not installed (package ${packages[name]}): ${said(e)}`);
  });
  const needed = await apt.closure('trixie', [packages[name]], options);
  await publish(dir, async (tmp) => {
    await apt.unpack(needed, tmp, options);
    for (const sub of await readdir(join(tmp, 'usr')))
      if (!['bin', 'lib'].includes(sub))
        await rm(join(tmp, 'usr', sub), { recursive: true, force: true });
    await writeFile(join(tmp, 'packages'), packageList(needed));
  });
}

const gunzipped = promisify(gunzip);

/** @throws {VmError} it is damaged, or longer than `maxBytes` when decompressed. */
export async function decompress(
  data: Buffer,
  by: Compression,
  maxBytes: number,
  options: AptOptions = {},
): Promise<Buffer> {
  if (by === 'gzip') {
    return gunzipped(data, { maxOutputLength: maxBytes }).catch((e) => {
      throw new VmError(`gzip: ${said(e)}`);
    });
  }
  const { program, args } = await findTool(by, options);
  return command(program, [...args, '-d', '-c', '-q'], {
    input: data,
    maxBytes,
    signal: options.signal,
  });
}
