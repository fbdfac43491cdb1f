// SPDX-License-Identifier: MIT
// Which kernel a VM boots, and where its parts are: Debian's in the cache, one of your own built
// into the cache, a file, or a build tree.
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { AptOptions } from './apt.js';
import { cacheRoot } from './cache.js';
import { hasPvhNote, isElf, type Read } from './elf.js';
import { said, VmError } from './error.js';
import { canonical, moduleName, readBounded } from './modules.js';
import { compareVersions, fits } from './version.js';
import { bzImageRelease, isBzImage, MAX_IMAGE } from './vmlinux.js';

/** i915's notifier waits for the GPU there, and it is the fastest to boot. */
export const DEFAULT_KERNEL = '6.1';

export { fits };

const MAX_FILES = 50_000;
const MAX_DEPTH = 24;
const MAX_LIST = 16 * 1024 ** 2;

export interface Kernel {
  /** For people: the release, the name it was built under, or the path. */
  name: string;
  release: string;
  image: string;
  format: 'vmlinux' | 'bzImage';
  /** Files by name (with _ for -); .ko, perhaps .xz, .zst or .gz. */
  modules: ReadonlyMap<string, string>;
  builtin: ReadonlySet<string>;
  /** Its .config, where known. */
  config?: string;
}

export interface ResolveOptions extends AptOptions {
  /** For a bzImage or vmlinux: the directory of its modules. */
  modules?: string | undefined;
  /** Fetch what the cache does not have. */
  fetch?: boolean | undefined;
}

export const kernelsDir = (): string => join(cacheRoot(), 'kernels');
export const buildsDir = (): string => join(cacheRoot(), 'builds');

/** `6.1`, `6.12.117`, `7`, `6.1.0-50-amd64`. */
const isVersion = (spec: string) => /^\d{1,3}([.+~-][\w.+~-]*)?$/.test(spec);

const namesIn = async (dir: string) =>
  (await readdir(dir).catch(() => [])).filter((name) => !name.startsWith('.'));

/** The releases of Debian's kernels in the cache, newest first. */
export async function cachedKernels(): Promise<string[]> {
  return (await namesIn(kernelsDir())).sort((a, b) => compareVersions(b, a));
}

/** The names of the kernels that were built into the cache. */
export async function builtKernels(): Promise<string[]> {
  return (await namesIn(buildsDir())).sort();
}

/**
 * The kernel that `spec` names: a version or the beginning of one, `newest`, the name of one that
 * was built into the cache, or the path of a bzImage, a vmlinux or a build tree. Without it,
 * DEFAULT_KERNEL, else the newest in the cache.
 * @throws {VmError} there is none; the message says how to get one.
 */
export async function resolveKernel(
  spec: string | undefined,
  options: ResolveOptions = {},
): Promise<Kernel> {
  if (spec === undefined) {
    const cached = await cachedKernels();
    const found = cached.find((r) => fits(r, DEFAULT_KERNEL)) ?? (options.fetch ? '' : cached[0]);
    return found ? inCache(found) : byVersion(DEFAULT_KERNEL, options);
  }
  if (spec === '' || spec.includes('\0'))
    throw new VmError('--kernel: a version, a name or a path');
  if (spec.includes('/')) return byPath(resolve(spec), options);
  if ((await builtKernels()).includes(spec)) return built(spec);
  if (isVersion(spec) || spec === 'newest') return byVersion(spec, options);
  if (existsSync(spec)) return byPath(resolve(spec), options);
  const names = [...(await builtKernels()), ...(await cachedKernels())];
  throw new VmError(
    `--kernel: there is no kernel ${spec}: a version, a path, or one of ${names.join(', ') || 'those that `i915-userptr vm kernels` lists'}`,
  );
}

async function byVersion(spec: string, options: ResolveOptions): Promise<Kernel> {
  const found = (await cachedKernels()).find((release) => fits(release, spec));
  if (found) return inCache(found);
  if (!options.fetch)
    throw new VmError(
      `kernel ${spec} is not in the cache: \`i915-userptr vm kernels fetch ${spec}\` fetches it`,
    );
  const { fetchKernel } = await import('./debian.js');
  return inCache(await fetchKernel(spec, options));
}

const inCache = (release: string) => kernelIn(join(kernelsDir(), release), release);
const built = (name: string) => kernelIn(join(buildsDir(), name), name);

/**
 * The kernel of a directory of the cache: vmlinux or bzImage, config or .config, modules/, and
 * modules.builtin there or beside. `summarize` spares the look into all of them.
 */
export async function kernelIn(dir: string, name: string): Promise<Kernel> {
  const image = [join(dir, 'vmlinux'), join(dir, 'bzImage')].find(existsSync);
  if (!image)
    throw new VmError(`${dir} has neither vmlinux nor bzImage: remove it and fetch or build again`);
  const modules = join(dir, 'modules');
  const builtin = [modules, dir].map((d) => join(d, 'modules.builtin')).find(existsSync);
  const config = [join(dir, 'config'), join(dir, '.config')].find(existsSync);
  const [release = '', ...files] = await lines(join(dir, SUMMARY));
  return {
    name,
    image,
    ...(release
      ? { release, format: image.endsWith('vmlinux') ? 'vmlinux' : 'bzImage' }
      : await look(image)),
    modules: release
      ? named(files.map((file) => join(dir, file)))
      : existsSync(modules)
        ? await findModules(modules)
        : new Map(),
    builtin: builtin ? await readBuiltin(builtin) : new Set(),
    ...(config && { config }),
  };
}

/** The release, and the modules' files: a line each. */
const SUMMARY = 'summary';

/** For a directory that is about to be published, and will not change. */
export async function summarize(dir: string): Promise<void> {
  const { release, modules } = await kernelIn(dir, dir);
  const files = [...modules.values()].map((path) => relative(dir, path));
  await writeFile(join(dir, SUMMARY), [release, ...files, ''].join('\n'));
}

function named(paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of paths) {
    const name = moduleName(path);
    if (name) found.set(name, path);
  }
  return found;
}

async function byPath(path: string, options: ResolveOptions): Promise<Kernel> {
  const entry = await stat(path).catch((e) => {
    throw new VmError(`--kernel: ${said(e)}`);
  });
  if (entry.isDirectory()) return buildTree(path, options);
  const seen = await look(path);
  const dir = options.modules || `/lib/modules/${seen.release}`;
  if (options.modules && !existsSync(dir)) throw new VmError(`--modules: there is no ${dir}`);
  const config = `/boot/config-${seen.release}`;
  return {
    name: path,
    image: path,
    ...seen,
    modules: existsSync(dir) ? await findModules(dir) : new Map(),
    builtin: await readBuiltin(join(dir, 'modules.builtin')),
    ...(existsSync(config) && { config }),
  };
}

async function buildTree(dir: string, options: ResolveOptions): Promise<Kernel> {
  const vmlinux = join(dir, 'vmlinux');
  const bzImage = join(dir, 'arch/x86/boot/bzImage');
  const image = [vmlinux, bzImage].find((p) => existsSync(p) && (p === bzImage || byPvh(p)));
  if (!image)
    throw new VmError(
      existsSync(vmlinux)
        ? `--kernel: ${vmlinux} is built without CONFIG_PVH: \`make bzImage\` makes one that boots`
        : `--kernel: ${dir} has neither vmlinux nor arch/x86/boot/bzImage: \`make vmlinux modules\` builds them`,
    );
  const seen = await look(image);
  const written = join(dir, 'include/config/kernel.release');
  const release = existsSync(written) ? readFileSync(written, 'utf8').trim() : seen.release;
  const config = join(dir, '.config');
  return {
    name: dir,
    image,
    format: seen.format,
    release,
    modules: options.modules
      ? await findModules(options.modules)
      : await readModulesOrder(join(dir, 'modules.order'), dir),
    builtin: await readBuiltin(join(dir, 'modules.builtin')),
    ...(existsSync(config) && { config }),
  };
}

/** Format and release of an image. @throws {VmError} it is none. */
async function look(path: string): Promise<{ format: Kernel['format']; release: string }> {
  try {
    const file = openFile(path);
    try {
      const head = file.read(0, 4096);
      if (isBzImage(head)) {
        const release = bzImageRelease(await readBounded(path, MAX_IMAGE));
        if (release === undefined) throw new VmError('a bzImage that does not tell its version');
        return { format: 'bzImage', release };
      }
      if (!isElf(head)) throw new VmError('neither a bzImage nor an ELF vmlinux');
      if (!hasPvhNote(file.read))
        throw new VmError('a vmlinux without the PVH entry (CONFIG_PVH): take its bzImage');
      return { format: 'vmlinux', release: bannerRelease(file.read, file.size) };
    } finally {
      file.close();
    }
  } catch (e) {
    throw new VmError(`${path}: ${said(e)}`);
  }
}

/** Could QEMU start it as it is? */
function byPvh(path: string): boolean {
  const file = openFile(path);
  try {
    return isElf(file.read(0, 4)) && hasPvhNote(file.read);
  } catch {
    return false;
  } finally {
    file.close();
  }
}

function openFile(path: string): { read: Read; size: number; close(): void } {
  const fd = openSync(path, 'r');
  const { size } = statSync(path);
  const read: Read = (offset, length) => {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
  };
  return { read, size, close: () => closeSync(fd) };
}

/** `Linux version 6.1.0-50-amd64 (` in its read-only data. */
function bannerRelease(read: Read, size: number): string {
  const CHUNK = 4 * 1024 ** 2;
  const OVERLAP = 128;
  const mark = 'Linux version ';
  for (let at = 0; at < Math.min(size, 1024 ** 3); at += CHUNK - OVERLAP) {
    const bytes = read(at, CHUNK);
    for (let i = bytes.indexOf(mark); i >= 0; i = bytes.indexOf(mark, i + 1)) {
      const text = bytes.toString('latin1', i + mark.length, i + mark.length + 65);
      const release = /^(\d[!-~]{1,63}) /.exec(text)?.[1];
      if (release !== undefined) return release;
    }
  }
  throw new VmError('a vmlinux that does not tell its version');
}

/** Every module under a directory, by name; build/ and source/ of /lib/modules are other trees. */
export async function findModules(dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let files = 0;
  const walk = async (at: string, depth: number): Promise<void> => {
    const entries = await readdir(at, { withFileTypes: true }).catch((e) => {
      throw new VmError(`the modules cannot be read: ${said(e)}`);
    });
    files += entries.length;
    if (files > MAX_FILES || depth > MAX_DEPTH)
      throw new VmError(`${dir}: too many files to be a directory of modules`);
    for (const entry of entries) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) await walk(path, depth + 1);
      else {
        const name = moduleName(entry.name);
        // A module that is installed into updates/ is the one that modprobe takes.
        if (name && (!found.has(name) || path.includes('/updates/'))) found.set(name, path);
      }
    }
  };
  await walk(dir, 0);
  return found;
}

async function lines(path: string): Promise<string[]> {
  if (!existsSync(path)) return [];
  const text = await readBounded(path, MAX_LIST).catch((e) => {
    throw new VmError(`${path}: ${said(e)}`);
  });
  return text.toString('latin1').split('\n');
}

/** modules.builtin: `kernel/drivers/gpu/drm/drm.ko` a line. */
async function readBuiltin(path: string): Promise<Set<string>> {
  const names = (await lines(path)).map((line) => moduleName(line.trim()));
  return new Set(names.filter((name) => name !== undefined));
}

/** modules.order of a build tree: .ko, from 6.2 on .o; those that have been built. */
async function readModulesOrder(path: string, dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const line of await lines(path)) {
    const file = line
      .trim()
      .replace(/^kernel\//, '')
      .replace(/\.o$/, '.ko');
    const name = moduleName(file);
    if (!name || isAbsolute(file) || file.split('/').includes('..')) continue;
    const at = join(dir, file);
    if (existsSync(at)) found.set(canonical(name), at);
  }
  return found;
}
