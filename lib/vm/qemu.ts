// SPDX-License-Identifier: MIT
// QEMU 10.1 or later: the first with vfio-user-pci, by which the emulated GPU is a process of its
// own. The host's where it will do, else Debian's, in the cache, with the libraries it was built for.
import { existsSync, readFileSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Apt, type AptOptions, type Package, packageList, qemuPackage } from './apt.js';
import { cacheRoot, publish } from './cache.js';
import { command, which } from './command.js';
import { said, VmError } from './error.js';
import { compareVersions } from './version.js';

export { compareVersions };

export const QEMU_LEAST = '10.1';
const DEVICE = 'vfio-user-pci';
const RELEASE = 'trixie-backports';
const PACKAGE = 'qemu-system-x86';

export interface Qemu {
  /** To spawn as it is: `spawn(program, [...args, ...yours], { env: { ...process.env, ...env } })`. */
  program: string;
  args: string[];
  env: Record<string, string>;
  version: string;
  origin: 'host' | 'cache' | 'env';
}

export const qemuDir = (): string => join(cacheRoot(), 'qemu');

/** `QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)`: 11.1.3. */
export function parseQemuVersion(text: string): string | undefined {
  return /^QEMU emulator version (\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)/m.exec(text)?.[1];
}

type Command = Omit<Qemu, 'version' | 'origin'>;

/** The version of a QEMU that will do. @throws {VmError} why it will not. */
async function check(qemu: Command, signal?: AbortSignal): Promise<string> {
  const run = async (...args: string[]) => {
    const env = { ...qemu.env };
    return (await command(qemu.program, [...qemu.args, ...args], { env, signal })).toString('utf8');
  };
  const [about, devices] = await Promise.all([run('--version'), run('-device', 'help')]);
  const version = parseQemuVersion(about);
  if (version === undefined) throw new VmError(`${qemu.program} does not tell its version`);
  if (compareVersions(version, QEMU_LEAST) < 0)
    throw new VmError(`${qemu.program} is ${version}, older than ${QEMU_LEAST}`);
  if (!devices.includes(`"${DEVICE}"`))
    throw new VmError(`${qemu.program} (${version}) was built without ${DEVICE}`);
  return version;
}

/** QEMU as it lies in a directory that Debian's packages were unpacked into. */
function unpacked(dir: string): Command {
  const lib = join(dir, 'usr/lib/x86_64-linux-gnu');
  return {
    program: join(lib, 'ld-linux-x86-64.so.2'),
    args: [
      ...['--library-path', lib],
      join(dir, 'usr/bin/qemu-system-x86_64'),
      ...['-L', join(dir, 'usr/share/qemu'), '-L', join(dir, 'usr/share/seabios')],
    ],
    // Debian's modules are for exactly this QEMU; a host's are not.
    env: { QEMU_MODULE_DIR: join(lib, 'qemu') },
  };
}

function cached(): Qemu | undefined {
  const dir = qemuDir();
  const file = join(dir, 'version');
  const version = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  return /^\d+(\.\d+)+$/.test(version) ? { ...unpacked(dir), version, origin: 'cache' } : undefined;
}

/**
 * $I915_USERPTR_QEMU, else the host's qemu-system-x86_64 where it will do, else the cache's.
 * @throws {VmError} there is none; the message says why the host's will not do.
 */
export async function findQemu(signal?: AbortSignal): Promise<Qemu> {
  const own = process.env.I915_USERPTR_QEMU;
  if (own) {
    const qemu = { program: own, args: [], env: {} };
    const version = await check(qemu, signal).catch((e) => {
      throw new VmError(`I915_USERPTR_QEMU: ${said(e)}`);
    });
    return { ...qemu, version, origin: 'env' };
  }
  const program = which('qemu-system-x86_64');
  let why = 'there is no qemu-system-x86_64';
  if (program) {
    const qemu = { program, args: [], env: {} };
    try {
      return { ...qemu, version: await check(qemu, signal), origin: 'host' };
    } catch (e) {
      why = said(e);
    }
  }
  const ours = cached();
  if (ours) return ours;
  throw new VmError(
    `${why}: \`i915-userptr vm setup\` fetches ${QEMU_LEAST} or later into the cache, or ${qemuPackage()}`,
  );
}

/** What setupQemu would fetch. */
export async function qemuPackages(apt: Apt, options: AptOptions = {}): Promise<Package[]> {
  return apt.closure(RELEASE, [PACKAGE], options);
}

/** Fetches QEMU into the cache, unless it is there. `planned`: what qemuPackages has said. */
export async function setupQemu(options: AptOptions = {}, planned?: Package[]): Promise<Qemu> {
  const before = cached();
  if (before) return before;
  const apt = await Apt.open(options);
  const packages = planned ?? (await qemuPackages(apt, options));
  await publish(qemuDir(), async (tmp) => {
    await apt.unpack(packages, tmp, options);
    await prune(tmp);
    const version = await check(unpacked(tmp), options.signal);
    await writeFile(join(tmp, 'packages'), packageList(packages));
    await writeFile(join(tmp, 'version'), `${version}\n`);
  });
  const qemu = cached();
  if (!qemu) throw new VmError(`${qemuDir()} has no QEMU in it: remove it and try again`);
  return qemu;
}

/** Of 170 MB, what QEMU does not read: documentation, translations, the system's own programs. */
async function prune(dir: string): Promise<void> {
  for (const name of await readdir(dir)) if (name !== 'usr') await remove(dir, name);
  for (const name of await readdir(join(dir, 'usr')))
    if (!['bin', 'lib', 'lib64', 'share'].includes(name)) await remove(dir, 'usr', name);
  for (const name of await readdir(join(dir, 'usr/bin')))
    if (name !== 'qemu-system-x86_64') await remove(dir, 'usr/bin', name);
  for (const name of await readdir(join(dir, 'usr/share')))
    if (!['qemu', 'seabios', 'doc'].includes(name)) await remove(dir, 'usr/share', name);
  // Of the documentation the licences stay.
  const doc = join(dir, 'usr/share/doc');
  for (const name of await readdir(doc))
    for (const file of await readdir(join(doc, name)))
      if (file !== 'copyright') await remove(doc, name, file);
}

const remove = (...path: string[]) => rm(join(...path), { recursive: true, force: true });
