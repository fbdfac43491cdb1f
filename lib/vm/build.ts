// SPDX-License-Identifier: MIT
// A kernel for the guest, from source: i915 and all that the guest needs built in, and lockdep, KASAN
// or kcov where asked for.
//
//   build-trees/FLAVOUR@SOURCE/  make's O=: kept, so that a changed line is built in seconds
//   builds/NAME/                 what is booted: vmlinux or bzImage, .config, modules.builtin, kernel.release
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { cacheRoot, publish } from './cache.js';
import { type Config, formatConfig, mergeConfig, parseConfig, unmet } from './config.js';
import { VmError } from './error.js';
import { editedFiles, I915 } from './faults.js';
import { withLock } from './lock.js';
import { type BuildOptions, type MakeOptions, make } from './make.js';
import {
  kernelHeaderFiles,
  kernelSource,
  kernelTools,
  requirePrograms,
  type Source,
} from './source.js';

export const flavours = ['lockdep', 'kasan', 'kcov'] as const;
export type Flavour = (typeof flavours)[number];

export interface KernelBuild extends BuildOptions {
  /** A directory, or `debian:VERSION`. */
  source: string;
  flavours?: readonly Flavour[];
  /** Names of drivers' faults to build in. */
  faults?: readonly string[];
  /** Of the build; by default its flavours and faults: `lockdep`, `lockdep-notifier-lock`, `built`. */
  name?: string;
}

export interface BuiltKernel {
  name: string;
  /** uname -r. */
  release: string;
  dir: string;
  /** Symbols that this source would not set as the fragment asks. */
  unmet: string[];
}

// The fragments are native/'s, whose files a package has beside dist/ (and the tree beside lib/).
const fragmentFile = (name: string) =>
  new URL(`../../native/guest/configs/${name}.config`, import.meta.url);

/** A fragment by its name: `base`, or a flavour. */
export const fragment = (name: string): Config =>
  parseConfig(readFileSync(fragmentFile(name), 'utf8'));

/** Without these the build is not what it is called, or does not boot. */
const needed = [
  'CONFIG_DRM_I915',
  'CONFIG_DRM_I915_USERPTR',
  'CONFIG_PVH',
  'CONFIG_BLK_DEV_INITRD',
];

export function buildName({ flavours: f = [], faults = [], name }: KernelBuild): string {
  if (name === undefined) return [...f, ...faults].join('-') || 'built';
  // It becomes a folder, a word of a command line, and a part of the release.
  if (!/^[a-z][a-z0-9._-]{0,47}$/i.test(name))
    throw new VmError(
      `--name ${name}: expected a letter, then up to 47 letters, digits, dots, dashes and underscores`,
    );
  return name;
}

/**
 * What is booted. vmlinux is entered by PVH, whose C code runs before KASAN's shadow memory and the
 * per-CPU data are there: where it is instrumented, it faults at once (seen: 6.1.176 with KASAN and
 * kcov reboots without a word). A bzImage's own entry is made for that.
 */
export const imageOf = (wanted: readonly Flavour[]): string =>
  wanted.includes('kasan') || wanted.includes('kcov') ? 'arch/x86/boot/bzImage' : 'vmlinux';

/** The object tree belongs to one source and one configuration; faults come and go in it. */
async function treeOf(source: Source, flavour: readonly Flavour[]): Promise<string> {
  const hash = () => realpath(source.dir).then((dir) => createHash('sha256').update(dir));
  const from = source.version ?? (await hash()).digest('hex').slice(0, 12);
  return join(cacheRoot(), 'build-trees', `${flavour.join('-') || 'plain'}@${from}`);
}

/**
 * Builds a kernel and puts it in the cache under its name, in the place of the one before.
 * @throws {BuildError} the compiler's words. @throws {VmError} what is missing, and how to have it.
 */
export async function buildKernel(build: KernelBuild): Promise<BuiltKernel> {
  const wanted = flavours.filter((f) => build.flavours?.includes(f));
  const faults = build.faults ?? [];
  const name = buildName({ ...build, flavours: wanted });
  requirePrograms(kernelTools, kernelHeaderFiles);
  const source = await kernelSource(build.source, build);
  const edited = editedFiles((path) => readFileSync(join(source.dir, path), 'utf8'), faults);
  const tree = await treeOf(source, wanted);
  await mkdir(tree, { recursive: true });
  const say = (what: string) => build.progress?.({ what, done: 0, total: 0 });

  return withLock(
    `${tree}.lock`,
    async (lock) => {
      const run = (args: string[], more?: Partial<MakeOptions>) =>
        make(['-C', source.dir, `O=${tree}`, `LOCALVERSION=-${name}`, ...args], {
          ...build,
          tree,
          cwd: tree,
          lock,
          ...more,
        });
      say('configuring');
      const missed = await configure(source.dir, tree, wanted, run);
      await overlay(tree, edited);
      const image = imageOf(wanted);
      await run([...includesFor(source.dir, edited), basename(image)], { whole: true });
      const release = (await readFile(join(tree, 'include/config/kernel.release'), 'utf8')).trim();
      const dir = join(cacheRoot(), 'builds', name);
      await publish(
        dir,
        async (tmp) => {
          for (const file of [image, '.config', 'modules.builtin'])
            await copyFile(join(tree, file), join(tmp, basename(file)));
          await writeFile(join(tmp, 'kernel.release'), `${release}\n`);
          const of = { source: source.version ?? source.dir, flavours: wanted, faults };
          await writeFile(join(tmp, 'source'), `${JSON.stringify(of)}\n`);
        },
        { replace: true },
      );
      return { name, release, dir, unmet: missed };
    },
    { signal: build.signal, waiting: () => say(`waiting for another build in ${basename(tree)}`) },
  );
}

/** Writes .config: x86_64_defconfig, kvm_guest.config, ours. Returns what could not be had. */
async function configure(
  source: string,
  tree: string,
  wanted: readonly Flavour[],
  run: (args: string[]) => Promise<void>,
): Promise<string[]> {
  const file = join(tree, '.config');
  const stamp = join(tree, 'config.from');
  const read = async () => parseConfig(await readFile(file, 'utf8'));
  const base = fragment('base');
  const flavour = mergeConfig(new Map(), ...wanted.map(fragment));
  const parts = ['x86_64_defconfig', 'kvm_guest.config'];

  // Each of make's runs reads all of Kconfig, some seconds: most of a build after a changed line.
  const from = createHash('sha256').update(formatConfig(mergeConfig(base, flavour)));
  for (const part of ['arch/x86/configs/x86_64_defconfig', 'kernel/configs/kvm_guest.config'])
    from.update(await readFile(join(source, part)).catch(() => part));
  const key = from.digest('hex');
  const same = existsSync(file) && (await readFile(stamp, 'utf8').catch(() => '')) === key;
  if (!same) {
    await rm(stamp, { force: true });
    await run(parts);
    await writeFile(file, formatConfig(mergeConfig(await read(), base, flavour)));
  }
  await run(['olddefconfig']);
  await writeFile(stamp, key);

  const got = await read();
  const lines = unmet(got, mergeConfig(base, flavour));
  const fatal = lines.filter((line) => {
    const symbol = line.slice(0, line.indexOf('='));
    return needed.includes(symbol) || flavour.has(symbol);
  });
  if (fatal.length)
    throw new VmError(`this source cannot be configured for the guest: ${fatal.join('; ')}`);
  return lines;
}

/**
 * Puts edited sources in the object tree, where make's VPATH looks before it looks in the source.
 * make sees by the compiler's command that it was another file that it compiled; those of the build
 * before are gone.
 */
async function overlay(tree: string, edited: ReadonlyMap<string, string>): Promise<void> {
  const list = join(tree, 'overlay.json');
  const before: unknown = existsSync(list) ? JSON.parse(await readFile(list, 'utf8')) : [];
  const old = Array.isArray(before) ? before.filter((p) => typeof p === 'string') : [];
  // The list is written first: a build that is killed leaves none that is not in it.
  await writeFile(list, JSON.stringify([...new Set([...old, ...edited.keys()])]));
  for (const path of old) if (!edited.has(path)) await rm(join(tree, path), { force: true });
  for (const [path, text] of edited) {
    const file = join(tree, path);
    if (existsSync(file) && (await readFile(file, 'utf8')) === text) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  await writeFile(list, JSON.stringify([...edited.keys()]));
}

/** Elsewhere than its neighbours, an edited file is told where their headers are. */
const includesFor = (source: string, edited: ReadonlyMap<string, string>): string[] =>
  [...edited.keys()].map((path) => {
    const object = relative(I915, path).replace(/\.c$/, '.o');
    return `CFLAGS_${object}=-I${join(source, dirname(path))}`;
  });
