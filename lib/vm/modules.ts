// SPDX-License-Identifier: MIT
// Which modules to load, in which order. Debian's packages have no modules.dep (depmod writes it
// when they are installed): what a module needs stands in its own .modinfo.
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';
import { readBuffer, section } from './elf.js';
import { said, VmError } from './error.js';
import type { Kernel } from './kernel.js';
import { compressionOf, decompress } from './tools.js';

const MAX_MODULE = 512 * 1024 ** 2;
const MAX_MODULES = 512;

export interface ModuleInfo {
  depends: string[];
  /** `softdep=pre:`: wanted before it where they exist. */
  pre: string[];
  /** The release that it was built for: the first word of vermagic. */
  release: string | undefined;
}

export interface Loaded {
  name: string;
  data: Buffer;
}

/** The kernel takes - and _ for the same. */
export const canonical = (name: string): string => name.replaceAll('-', '_');

/** drivers/i2c/algos/i2c-algo-bit.ko.xz: i2c_algo_bit. Undefined where it is no module's name. */
export function moduleName(path: string): string | undefined {
  const name = /^([\w-]{1,128})\.ko(?:\.(?:gz|xz|zst))?$/.exec(basename(path))?.[1];
  return name === undefined ? undefined : canonical(name);
}

const words = (text: string, by: RegExp) =>
  text
    .split(by)
    .filter((w) => w !== '')
    .slice(0, MAX_MODULES)
    .map(canonical);

/** @throws {VmError} it is not a kernel module. */
export function moduleInfo(data: Buffer): ModuleInfo {
  const info = section(readBuffer(data), '.modinfo');
  if (!info) throw new VmError('not a kernel module: it has no .modinfo');
  const found: ModuleInfo = { depends: [], pre: [], release: undefined };
  for (const entry of info.toString('latin1').split('\0')) {
    const [, key, value = ''] = /^(depends|softdep|vermagic)=(.*)$/s.exec(entry) ?? [];
    if (key === 'depends') found.depends.push(...words(value, /,/));
    else if (key === 'vermagic') found.release = value.split(' ')[0];
    else if (key === 'softdep')
      found.pre.push(...words(/(?:^|\s)pre:([^:]*)(?=\s\w+:|$)/.exec(value)?.[1] ?? '', /\s+/));
  }
  return found;
}

/** A module's file, decompressed. */
export async function readModule(path: string, signal?: AbortSignal): Promise<Buffer> {
  try {
    const data = await readBounded(path, MAX_MODULE);
    const by = compressionOf(data);
    return by ? await decompress(data, by, MAX_MODULE, { signal }) : data;
  } catch (e) {
    throw new VmError(`${path}: ${said(e)}`);
  }
}

export async function readBounded(path: string, most: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > most) throw new VmError(`larger than ${most / 1024 ** 2} MiB`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/**
 * `--module`'s files by the names of the modules that they replace, or add.
 * @throws {VmError} a file is not there or not called like a module.
 */
export function replacements(kernel: Kernel, files: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of files) {
    const path = resolve(file);
    const name = moduleName(path);
    if (name === undefined) throw new VmError(`--module: ${file} is not called NAME.ko`);
    if (!existsSync(path)) throw new VmError(`--module: there is no ${path}`);
    if (kernel.builtin.has(name))
      throw new VmError(
        `--module: ${name} is built into kernel ${kernel.name}, no file can replace it: build that kernel again, or take another --kernel`,
      );
    if (found.has(name)) throw new VmError(`--module: two files for ${name}`);
    found.set(name, path);
  }
  return found;
}

interface Module extends ModuleInfo {
  data: Buffer;
}

/**
 * The modules that `wanted` needs, dependencies first. What is built in is left out; `missing` are
 * those wanted that the kernel has neither as a module nor built in. `replace` has files to take
 * instead of the kernel's own, by name.
 * @throws {VmError} a dependency is missing, or a replacement is for another release.
 */
export async function loadOrder(
  kernel: Kernel,
  wanted: readonly string[],
  replace: ReadonlyMap<string, string> = new Map(),
  signal?: AbortSignal,
): Promise<{ order: Loaded[]; missing: string[] }> {
  const own = new Map([...replace].map(([name, path]) => [canonical(name), path]));
  const builtIn = (name: string) => kernel.builtin.has(name);
  const fileOf = (name: string) => own.get(name) ?? kernel.modules.get(name);

  const known = new Map<string, Module>();
  const missing: string[] = [];
  let next: { name: string; by?: string }[] = [];
  for (const name of new Set(wanted.map(canonical))) {
    if (builtIn(name)) continue;
    if (fileOf(name)) next.push({ name });
    else missing.push(name);
  }
  // One wave is what the wave before depends on.
  while (next.length > 0) {
    if (known.size + next.length > MAX_MODULES)
      throw new VmError(`more than ${MAX_MODULES} modules depend on each other`);
    await inParallel(next, async ({ name, by }) => {
      const path = fileOf(name);
      if (path === undefined)
        throw new VmError(`${by} needs ${name}, which kernel ${kernel.name} does not have`);
      known.set(name, await module(kernel, name, path, own.has(name), signal));
    });
    const wave = new Map<string, { name: string; by: string }>();
    for (const { name: by } of next) {
      const { depends, pre } = known.get(by) as Module;
      const soft = pre.filter((name) => fileOf(name) !== undefined);
      for (const name of [...depends, ...soft])
        if (!builtIn(name) && !known.has(name)) wave.set(name, { name, by });
    }
    next = [...wave.values()];
  }
  return { order: sorted(known, wanted.map(canonical)), missing };
}

async function module(
  kernel: Kernel,
  name: string,
  path: string,
  replaced: boolean,
  signal: AbortSignal | undefined,
): Promise<Module> {
  const data = await readModule(path, signal);
  let info: ModuleInfo;
  try {
    info = moduleInfo(data);
  } catch (e) {
    throw new VmError(`${path}: ${said(e)}`);
  }
  if (replaced && info.release !== kernel.release)
    throw new VmError(
      `${path} is built for ${info.release ?? 'no release'}, the kernel is ${kernel.release}: build ${name} against linux-headers-${kernel.release}, or choose its --kernel`,
    );
  return { ...info, data };
}

/** Dependencies before what needs them; a cycle (softdeps can make one) is cut where it closes. */
function sorted(known: ReadonlyMap<string, Module>, wanted: readonly string[]): Loaded[] {
  const order: Loaded[] = [];
  const seen = new Set<string>();
  const visit = (name: string) => {
    const module = known.get(name);
    if (!module || seen.has(name)) return;
    seen.add(name);
    for (const before of [...module.depends, ...module.pre]) visit(before);
    order.push({ name, data: module.data });
  };
  for (const name of wanted) visit(name);
  return order;
}

/** As many at a time as there are CPUs: each may be a process that decompresses. */
async function inParallel<T>(items: readonly T[], each: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await each(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}
