// SPDX-License-Identifier: MIT
// The kernel's source and headers, from Debian, in the cache; and the tools that a build needs.
//
//   sources/VERSION/  linux-source, unpacked. No build writes in it.
//   headers/RELEASE/  linux-headers and linux-kbuild of a stock kernel, to build a module against
import { accessSync, constants, existsSync } from 'node:fs';
import { readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Apt, osIds, type PackageRecord, totalBytes } from './apt.js';
import { cacheRoot, publish } from './cache.js';
import { command, which } from './command.js';
import { VmError } from './error.js';
import { fits } from './kernel.js';
import type { BuildOptions } from './make.js';
import { compareVersions } from './qemu.js';

export interface Source {
  dir: string;
  /** Debian's version, `6.1.176-1`; none for a directory of the user's. */
  version?: string;
}

const seriesOf = (version: string): string => /^\d+\.\d+/.exec(version)?.[0] ?? version;

/**
 * The source that `debian:VERSION` or a directory names. A version may be short; the newest one in
 * the cache that fits is taken, and Debian's newest is fetched where none does.
 * @throws {VmError} it is no kernel source, it was built in, or Debian has no such version.
 */
export async function kernelSource(spec: string, options: BuildOptions = {}): Promise<Source> {
  const [, wanted] = /^debian:(.*)$/.exec(spec) ?? [];
  if (wanted === undefined) {
    const dir = resolve(spec);
    checkSource(dir);
    return { dir };
  }
  return debianSource(wanted, options);
}

export async function debianSource(wanted: string, options: BuildOptions = {}): Promise<Source> {
  if (!/^\d+\.\d+[\w.~+-]*$/.test(wanted))
    throw new VmError(`debian:${wanted}: expected a version, like debian:6.1 or debian:6.1.176-1`);
  const root = join(cacheRoot(), 'sources');
  const cached = (await readdir(root).catch(() => []))
    .filter((name) => !name.startsWith('.') && fits(name, wanted))
    .sort(compareVersions);
  const newest = cached.at(-1);
  if (newest) return { dir: join(root, newest), version: newest };

  const name = `linux-source-${seriesOf(wanted)}`;
  const apt = await Apt.open(aptOptions(options));
  const records = (await apt.list([name], { signal: options.signal }))
    .filter((r) => fits(r.version, wanted))
    .sort((a, b) => compareVersions(a.version, b.version));
  const found = records.at(-1);
  if (!found)
    throw new VmError(
      `Debian's mirror has no ${name} of version ${wanted}; with the source itself: --source DIR, or DIR in place of debian:${wanted}`,
    );
  requirePrograms(['tar', 'xz']);
  const dir = await publish(join(root, found.version), async (tmp) => {
    const debs = join(tmp, '.deb');
    await apt.unpack([found], debs, aptOptions(options));
    options.progress?.({ what: `unpacking ${name}`, done: 0, total: 0 });
    const tar = join(debs, 'usr/src', `${name}.tar.xz`);
    const args = ['-x', '-J', '-f', tar, '-C', tmp, '--strip-components=1', '--no-same-owner'];
    await command('tar', args, { signal: options.signal });
    await rm(debs, { recursive: true });
  });
  checkSource(dir);
  return { dir, version: found.version };
}

/** That a directory is a kernel's source, in which nobody has built. */
function checkSource(dir: string): void {
  for (const file of ['Kbuild', 'Kconfig', 'arch/x86/configs/x86_64_defconfig'])
    if (!existsSync(join(dir, file)))
      throw new VmError(`${dir} is not a kernel's source: it has no ${file}`);
  for (const file of ['.config', 'include/config'])
    if (existsSync(join(dir, file)))
      throw new VmError(
        `${dir} has been built in (${file}), and make refuses to build it elsewhere: run make mrproper there, or boot that build with --kernel ${dir}`,
      );
}

/**
 * The build tree of a stock kernel from linux-headers: what `make -C` wants.
 * @param version the package's, `6.1.176-1`: headers of another would make other symbol versions.
 */
export async function kernelHeaders(
  release: string,
  version: string,
  options: BuildOptions = {},
): Promise<string> {
  const name = `linux-headers-${release}`;
  const dir = join(cacheRoot(), 'headers', release);
  const build = join(dir, 'usr/src', name);
  if (existsSync(build)) return build;
  const apt = await Apt.open(aptOptions(options));
  const packages = await headerPackages(apt, name, version, options);
  options.progress?.({
    what: `fetching ${name}, ${Math.ceil(totalBytes(packages) / 1e6)} MB`,
    done: 0,
    total: 0,
  });
  await publish(dir, async (tmp) => {
    await apt.unpack(packages, tmp, aptOptions(options));
    await mend(tmp);
  });
  return build;
}

async function headerPackages(
  apt: Apt,
  name: string,
  version: string,
  options: BuildOptions,
): Promise<PackageRecord[]> {
  const exact = async (wanted: string, any: boolean) => {
    const all = await apt.list([wanted], { signal: options.signal });
    all.sort((a, b) => compareVersions(a.version, b.version));
    return all.find((r) => r.version === version) ?? (any ? all.at(-1) : undefined);
  };
  const first = await exact(name, false);
  if (!first)
    throw new VmError(
      `Debian's mirror has no ${name} of version ${version} any more: fetch a newer kernel, i915-userptr vm kernels fetch`,
    );
  const packages = [first];
  for (const depend of first.depends) {
    if (!/^linux-(headers|kbuild)-/.test(depend)) continue;
    // linux-kbuild may be of a later version: its tools are the same.
    const found = await exact(depend, depend.startsWith('linux-kbuild-'));
    if (!found) throw new VmError(`Debian's mirror has no ${depend} of version ${version}`);
    packages.push(found);
  }
  return packages;
}

/**
 * Unpacked elsewhere than /, what is absolute in the headers leads astray.
 * @internal
 */
export async function mend(root: string): Promise<void> {
  const src = join(root, 'usr/src');
  for (const name of await readdir(src)) {
    const makefile = join(src, name, 'Makefile');
    const text = await readFile(makefile, 'utf8').catch(() => '');
    const mended = text.replace(
      /^include \/usr\/src\/(\S+)\/Makefile$/m,
      // The kernel's Makefile finds its own folder by the path it was read by.
      'include $(abspath $(dir $(lastword $(MAKEFILE_LIST)))../$1)/Makefile',
    );
    if (mended !== text) await writeFile(makefile, mended);
    for (const link of ['scripts', 'tools']) {
      const path = join(src, name, link);
      const target = await readlink(path).catch(() => '');
      if (!target.startsWith('/')) continue;
      await rm(path);
      await symlink(join('../../..', target), path);
    }
  }
}

const debianPackage: Readonly<Record<string, string>> = {
  gcc: 'gcc',
  make: 'make',
  flex: 'flex',
  bison: 'bison',
  bc: 'bc',
  ld: 'binutils',
  strip: 'binutils',
  xz: 'xz-utils',
  tar: 'tar',
  patch: 'patch',
  gzip: 'gzip',
  'libelf.h': 'libelf-dev',
  'openssl/opensslv.h': 'libssl-dev',
};

/** What a kernel is built with. */
export const kernelTools = ['gcc', 'make', 'flex', 'bison', 'bc', 'ld', 'gzip'] as const;
export const kernelHeaderFiles = ['libelf.h', 'openssl/opensslv.h'] as const;

/** @throws {VmError} names all that is missing, and the packages that have it. */
export function requirePrograms(
  programs: readonly string[],
  headers: readonly string[] = [],
  find = { program: which, header: findHeader },
): void {
  const missing = [
    ...programs.filter((name) => !find.program(name)),
    ...headers.filter((name) => !find.header(name)),
  ];
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((name) => debianPackage[name] ?? name))].join(' ');
  const advice = osIds().some((id) => id === 'debian' || id === 'ubuntu')
    ? `apt install ${packages}`
    : `install what Debian calls ${packages}`;
  throw new VmError(`a build needs ${missing.join(', ')}: ${advice}`);
}

function findHeader(name: string): string | undefined {
  for (const dir of ['/usr/include', '/usr/include/x86_64-linux-gnu', '/usr/local/include']) {
    const file = join(dir, name);
    try {
      accessSync(file, constants.R_OK);
      return file;
    } catch {
      // the next
    }
  }
  return undefined;
}

const aptOptions = ({ signal, progress }: BuildOptions) => ({
  signal,
  progress: ({ what, bytes, total }: { what: string; bytes: number; total: number }) => {
    const mb = (n: number) => (n / 1e6).toFixed(0);
    const words = total ? `fetching ${what}, ${mb(bytes)} of ${mb(total)} MB` : `fetching ${what}`;
    progress?.({ what: words, done: 0, total: 0 });
  },
});
