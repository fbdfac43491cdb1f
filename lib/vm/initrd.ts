// SPDX-License-Identifier: MIT
// The guest's first files: our init, and the modules that the kernel does not have built in, in the
// order in which they load. Kept in the cache, by what went into them.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cacheRoot, publish } from './cache.js';
import { VmError } from './error.js';
import { type InitramfsFile, initramfs } from './initramfs.js';
import type { Kernel } from './kernel.js';
import { loadOrder, moduleName } from './modules.js';
import type { VmOptions } from './options.js';

/** Without these nobody can talk to the guest. */
const base = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay'];
const gpu = ['i915'];
/** What some tests need, where the kernel has it: zram's swap, FUSE, userfaultfd's friends. */
const wanted = (options: VmOptions) => [...(options.swap ? ['zram'] : []), 'fuse'];

/** Older ones are removed. */
const KEPT = 16;

/** --module FILE, by the names that the files have. */
function replacements(files: readonly string[]): Map<string, string> {
  return new Map(
    files.map((file) => {
      const name = moduleName(file);
      if (name === undefined || !existsSync(file))
        throw new VmError(`--module: ${file} is not there, or not named like a module (i915.ko)`);
      return [name, resolve(file)];
    }),
  );
}

const identity = (path: string) => {
  const { size, mtimeMs, ino } = statSync(path);
  return [path, size, mtimeMs, ino];
};

/** The path of an initramfs for this kernel and these options. */
export async function makeInitrd(
  kernel: Kernel,
  options: VmOptions,
  init: string,
): Promise<string> {
  const replace = replacements(options.module);
  const lists = { base: [...base, ...wanted(options)], gpu };
  const key = createHash('sha256')
    .update(
      JSON.stringify([
        kernel.release,
        identity(kernel.image),
        identity(init),
        [...kernel.modules.values()].slice(0, 1).map(identity),
        [...replace].map(([name, path]) => [name, identity(path)]),
        lists,
      ]),
    )
    .digest('hex')
    .slice(0, 32);
  const directory = join(cacheRoot(), 'initramfs', key);
  const file = join(directory, 'initramfs.cpio');
  const now = new Date();
  try {
    await utimes(directory, now, now);
    await stat(file);
    return file;
  } catch {
    // not there yet
  }
  const order = await loadOrder(kernel, [...lists.base, ...lists.gpu], replace);
  const lacking = order.missing.filter((name) => base.includes(name) || gpu.includes(name));
  if (lacking.length)
    throw new VmError(
      `kernel ${kernel.name} has no ${lacking.join(', ')}, neither built in nor as a module: see \`i915-userptr vm kernels build --help\` for a kernel that has`,
    );
  // i915 and what only it needs load beside the rest.
  const early = await loadOrder(kernel, lists.base, replace);
  const isEarly = new Set(early.order.map((m) => m.name));
  const files: InitramfsFile[] = [{ path: 'init', mode: 0o755, data: readFileSync(init) }];
  order.order.forEach(({ name, data }, i) => {
    const folder = isEarly.has(name) ? 'base' : 'gpu';
    const number = `${i}`.padStart(3, '0');
    files.push({ path: `modules/${folder}/${number}-${name}.ko`, mode: 0o644, data });
  });
  await publish(directory, (tmp) => writeFile(join(tmp, 'initramfs.cpio'), initramfs(files)));
  await prune(join(cacheRoot(), 'initramfs'));
  return file;
}

async function prune(parent: string): Promise<void> {
  const entries = await Promise.all(
    (await readdir(parent))
      .filter((name) => !name.startsWith('.'))
      .map(async (name) => {
        const path = join(parent, name);
        const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
        return { path, mtimeMs };
      }),
  );
  entries.sort((a, b) => b.mtimeMs - a.mtimeMs);
  for (const { path } of entries.slice(KEPT)) await rm(path, { recursive: true, force: true });
}
