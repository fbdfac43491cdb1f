// SPDX-License-Identifier: MIT
// i915.ko alone, for a stock kernel: from Debian's source of its very version, against its headers,
// outside of the tree's own build. With a fault or a patch, it is what `--module` puts in the place
// of the stock one.
//
//   build-trees/i915-RELEASE@SOURCE/  a copy of the driver, and its objects; before each build it is
//                                     made equal to what is to be built, whatever was there
//   drivers/RELEASE/NAME-HASH/        i915.ko, by a hash of the driver's whole source
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { cacheRoot, publish, withTemporary } from './cache.js';
import { command } from './command.js';
import { said, VmError } from './error.js';
import { driverFault, editedFiles, I915 } from './faults.js';
import { builtKernels, cachedKernels, fits, kernelsDir } from './kernel.js';
import { withLock } from './lock.js';
import { type BuildOptions, make } from './make.js';
import { debianSource, kernelHeaders, kernelSource, requirePrograms } from './source.js';

export interface DriverBuild extends BuildOptions {
  /** A stock kernel in the cache, as --kernel names it: `6.1`, `6.1.0-50-amd64`. */
  kernel: string;
  /** Names of faults, made after the patches. */
  faults?: readonly string[];
  /** Paths of unified diffs, with a/ and b/ before the paths. */
  patches?: readonly string[];
  /** A kernel's source in place of Debian's. */
  source?: string;
}

/** The driver's folder: path in it to content. */
type Files = Map<string, Buffer>;

const MAX_FILES = 5000;
const MAX_BYTES = 256 * 1024 ** 2;
const MAX_PATCH = 4 * 1024 ** 2;

/**
 * Builds i915.ko, or finds that it has been: six minutes of CPU the first time, seconds after.
 * @returns the path of the module in the cache, stripped of debug information.
 * @throws {BuildError} the compiler's words. @throws {VmError} what is missing, or does not fit.
 */
export async function buildDriver(build: DriverBuild): Promise<string> {
  const { faults = [], patches = [], signal } = build;
  for (const name of faults) driverFault(name);
  requirePrograms(['make', 'ld', 'strip', ...(patches.length ? ['patch'] : [])]);
  const { release, version } = await stockKernel(build.kernel);
  const source = build.source
    ? await kernelSource(build.source, build)
    : await debianSource(version, build);
  const files = await readDriver(join(source.dir, I915));
  for (const patch of patches) await applyPatch(files, patch, signal);
  const read = (path: string) => fileOf(files, path);
  for (const [path, text] of editedFiles(read, faults))
    files.set(relative(I915, path), Buffer.from(text));

  const out = join(cacheRoot(), 'drivers', release, `${nameOf(build)}-${hashOf(version, files)}`);
  const module = join(out, 'i915.ko');
  if (existsSync(module)) return module;

  const headers = await kernelHeaders(release, version, build);
  requirePrograms([await compilerOf(headers)]);
  const from = source.version ?? createHash('sha256').update(source.dir).digest('hex').slice(0, 12);
  const tree = join(cacheRoot(), 'build-trees', `i915-${release}@${from}`);
  await mkdir(tree, { recursive: true });
  const say = (what: string) => build.progress?.({ what, done: 0, total: 0 });
  return withLock(
    `${tree}.lock`,
    async (lock) => {
      const folder = join(tree, I915);
      await writeTree(tree, files);
      // i915's trace points name their header by a path from include/trace, and a file of its own
      // names drivers/platform's by one from i915's folder, which the source answers. Debug
      // information would be stripped anyway.
      const includes = [folder, join(tree, 'include/trace'), join(source.dir, I915)];
      const flags = `-g0 ${includes.map((dir) => `-I${dir}`).join(' ')}`;
      await make(['-C', headers, `M=${folder}`, `KCFLAGS=${flags}`, 'i915.ko'], {
        ...build,
        tree,
        cwd: tree,
        lock,
        whole: true,
      });
      await publish(out, async (tmp) => {
        const args = ['--strip-debug', '-o', join(tmp, 'i915.ko'), join(folder, 'i915.ko')];
        await command('strip', args, { signal });
      });
      return module;
    },
    { signal, waiting: () => say(`waiting for another build in ${basename(tree)}`) },
  );
}

/** A kernel of Debian's in the cache, and the version of its package. */
async function stockKernel(spec: string): Promise<{ release: string; version: string }> {
  const release = (await cachedKernels()).find((r) => fits(r, spec));
  if (release === undefined)
    throw new VmError(
      (await builtKernels()).includes(spec)
        ? `i915 is built into kernel ${spec}: \`i915-userptr vm kernels build --driver-fault\` breaks it there`
        : `kernel ${spec} is not in the cache: \`i915-userptr vm kernels fetch ${spec}\` fetches it`,
    );
  const list = await readFile(join(kernelsDir(), release, 'source'), 'utf8').catch(() => '');
  const version = /^linux-image-\S+ ([\w.+~:-]+)$/m.exec(list)?.[1];
  if (version === undefined)
    throw new VmError(
      `the cache does not tell which package ${release} came from: \`i915-userptr vm kernels remove ${release}\` and fetch it again`,
    );
  return { release, version };
}

function nameOf({ faults = [], patches = [] }: DriverBuild): string {
  return [...faults, ...(patches.length ? ['patched'] : [])].join('-') || 'clean';
}

function hashOf(version: string, files: Files): string {
  const hash = createHash('sha256').update(version);
  for (const [path, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`\0${path}\0${content.length}\0`).update(content);
  return hash.digest('hex').slice(0, 12);
}

function fileOf(files: Files, path: string): string {
  const content = files.get(relative(I915, path));
  if (!content) throw new VmError(`this source has no ${path}`);
  return content.toString('utf8');
}

async function readDriver(folder: string): Promise<Files> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((e) => {
    throw new VmError(`the source of i915 cannot be read: ${said(e)}`);
  });
  const files: Files = new Map();
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const content = await readFile(path);
    bytes += content.length;
    files.set(relative(folder, path), content);
    if (files.size > MAX_FILES || bytes > MAX_BYTES)
      throw new VmError(`${folder} is more than the source of i915: has it been built in?`);
  }
  return files;
}

/** The paths that a unified diff touches. */
export function pathsOfPatch(text: string): string[] {
  const paths = new Set<string>();
  for (const line of text.split('\n')) {
    const [, path] = /^(?:---|\+\+\+) ([^\t\n]+)/.exec(line) ?? [];
    if (path && path !== '/dev/null') paths.add(path.trimEnd().replace(/^[^/]*\//, ''));
  }
  return [...paths];
}

/** Applies a patch to a copy of the files that it touches, so that a half applied one is nowhere. */
async function applyPatch(files: Files, patch: string, signal?: AbortSignal): Promise<void> {
  const input = await readFile(patch).catch((e) => {
    throw new VmError(`--patch ${patch}: ${said(e)}`);
  });
  if (input.length > MAX_PATCH)
    throw new VmError(`--patch ${patch}: longer than ${MAX_PATCH} bytes`);
  const paths = pathsOfPatch(input.toString('utf8'));
  if (paths.length === 0) throw new VmError(`--patch ${patch}: not a unified diff`);
  for (const path of paths)
    if (!path.startsWith(`${I915}/`) || path.split('/').includes('..'))
      throw new VmError(
        `--patch ${patch}: it changes ${path}, outside ${I915}; for that build the kernel: i915-userptr vm kernels build`,
      );
  await withTemporary(join(cacheRoot(), 'drivers', 'patch'), async (tmp) => {
    for (const path of paths) {
      const content = files.get(relative(I915, path));
      const file = join(tmp, path);
      await mkdir(dirname(file), { recursive: true });
      if (content) await writeFile(file, content);
    }
    const args = ['-p1', '--batch', '--forward', '--no-backup-if-mismatch', '-r', '-', '-d', tmp];
    await command('patch', args, { input, signal }).catch((e) => {
      throw signal?.aborted ? e : new VmError(`--patch ${patch} does not apply: ${said(e)}`);
    });
    for (const path of paths) {
      const key = relative(I915, path);
      const file = join(tmp, path);
      if (existsSync(file)) files.set(key, await readFile(file));
      else files.delete(key);
    }
  });
}

/** Makes the tree's sources what `files` says; what is so already keeps its time, and its object. */
async function writeTree(tree: string, files: Files): Promise<void> {
  const folder = join(tree, I915);
  const list = join(tree, 'files.json');
  const before: unknown = existsSync(list) ? JSON.parse(await readFile(list, 'utf8')) : [];
  const old = Array.isArray(before) ? before.filter((p) => typeof p === 'string') : [];
  await mkdir(join(tree, 'include/trace'), { recursive: true });
  // First all that may be there, so that nothing of a build that is killed is forgotten.
  await writeFile(list, JSON.stringify([...new Set([...old, ...files.keys()])]));
  for (const path of old) if (!files.has(path)) await rm(join(folder, path), { force: true });
  for (const [path, content] of files) {
    const file = join(folder, path);
    const there = await readFile(file).catch(() => undefined);
    if (there?.equals(content)) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  await writeFile(list, JSON.stringify([...files.keys()]));
}

/** Debian's headers name the compiler that the kernel was built with. */
async function compilerOf(headers: string): Promise<string> {
  const text = await readFile(join(headers, '.kernelvariables'), 'utf8').catch(() => '');
  return /^CC\b.*?\b(gcc-\d+)\s*$/m.exec(text)?.[1] ?? 'gcc';
}
