// SPDX-License-Identifier: MIT
// What is fetched and built for the VM: QEMU, kernels, tools. Nothing else of the machine changes.
//
//   qemu/             apt/           Debian's package lists
//   kernels/RELEASE/  builds/NAME/   tools/NAME/
//
// A directory there is complete: it is filled under another name, and renamed.
import { mkdirSync, rmSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { said, VmError } from './error.js';

/** $I915_USERPTR_CACHE, $XDG_CACHE_HOME/i915-userptr or ~/.cache/i915-userptr. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  const own = env.I915_USERPTR_CACHE;
  if (own) {
    if (!isAbsolute(own))
      throw new VmError(`I915_USERPTR_CACHE: an absolute path is needed, not ${own}`);
    return own;
  }
  const xdg = env.XDG_CACHE_HOME;
  // The XDG specification: a relative one is ignored.
  const caches = xdg && isAbsolute(xdg) ? xdg : join(homedir(), '.cache');
  return join(caches, 'i915-userptr');
}

const live = new Set<string>();
let made = 0;
// A second Ctrl-C exits without unwinding.
const sweepOwn = () => {
  for (const dir of live) rmSync(dir, { recursive: true, force: true });
};

/** `.NAME.PID.COUNT.tmp` */
const temporary = /^\..+\.(\d+)\.\d+\.tmp$/;

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Removes what processes that were killed have left in a directory. */
export async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = Number(temporary.exec(name)?.[1] ?? 0);
    const path = join(parent, name);
    // Our own PID: another container's, or one before the last boot.
    const dead = pid === process.pid ? !live.has(path) : pid > 0 && !alive(pid);
    // What its last child still writes to stays for the next time.
    if (dead) await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

function newTemporary(dir: string): string {
  if (made === 0) process.on('exit', sweepOwn);
  const path = join(dirname(dir), `.${basename(dir)}.${process.pid}.${made++}.tmp`);
  mkdirSync(path);
  live.add(path);
  return path;
}

async function drop(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  live.delete(path);
}

/** `use` works in a directory beside `dir`, which is removed when it is done. */
export async function withTemporary<T>(dir: string, use: (tmp: string) => Promise<T>): Promise<T> {
  const parent = dirname(dir);
  try {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
  } catch (e) {
    throw new VmError(`the cache cannot be written to (${said(e)}); I915_USERPTR_CACHE moves it`);
  }
  const tmp = newTemporary(dir);
  try {
    return await use(tmp);
  } finally {
    await drop(tmp);
  }
}

/**
 * Makes a directory of the cache: `fill` gets an empty one beside it, which then takes its name.
 * Where another process was first, its directory stays; with `replace` ours takes its place.
 */
export async function publish(
  dir: string,
  fill: (tmp: string) => Promise<void>,
  { replace = false } = {},
): Promise<string> {
  return withTemporary(dir, async (tmp) => {
    await fill(tmp);
    if (await renamed(tmp, dir)) return dir;
    if (!replace) return dir;
    await withTemporary(dir, async (old) => {
      await renamed(dir, old);
      await renamed(tmp, dir);
    });
    return dir;
  });
}

/** False where a directory with something in it is there already. */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw new VmError(`${to} could not be put in place: ${said(e)}`);
  }
}
