// SPDX-License-Identifier: MIT
// The kernel log of this machine as an oracle: what the kernel says, and what it becomes, between a
// run's own markers.
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { parseKmsg } from './kmsg.js';
import { type Splat, SplatDetector } from './splat.js';
import { parseTaint, type Taint, taintAdded } from './taint.js';

/** What the kernel said during a run. */
export interface KernelVerdict {
  /** The first of each title, and how often it came. */
  splats: (Splat & { times: number })[];
  /** Splats of other titles that were found when MAX_SPLATS were kept already. */
  moreSplats: number;
  taintAdded: Taint[];
  /** Lockdep watched when the run began, and no longer does: locks taken since were not checked. */
  lockdepOff: boolean;
  records: number;
  /** Records that were overwritten before they could be read: splats may be among them. */
  lost: number;
}

export const MAX_SPLATS = 100;
/** Of one poll. A kernel that writes faster than it is read must not hold the run up. */
const MAX_READS = 100_000;
/** More than the largest buffer holds (log_buf_len is at most 2 GiB, and seldom over 16 MiB). */
const MAX_OLD = 5_000_000;

/** Where the kernel's state is read; /dev and /proc but for tests. @internal */
export interface KernelPaths {
  kmsg: string;
  tainted: string;
  lockdepStats: string;
}

const real: KernelPaths = {
  kmsg: '/dev/kmsg',
  tainted: '/proc/sys/kernel/tainted',
  lockdepStats: '/proc/lockdep_stats',
};

/** One record of /dev/kmsg a read. @internal */
export interface KmsgSource {
  /** null: no record is there yet; `overwritten`: those at the reader's place are gone. */
  read(): string | null | 'overwritten';
  /** Never throws: a marker is for the human reader of the log. */
  write(text: string): void;
  close(): void;
}

/** Watches the kernel log from now on. `poll` it a few times a second: the kernel keeps little. */
export class KernelLog {
  readonly #source: KmsgSource;
  readonly #paths: KernelPaths;
  readonly #seed: bigint;
  readonly #detector = new SplatDetector();
  readonly #taint: bigint | null;
  readonly #lockdep: boolean | null;
  readonly #verdict: KernelVerdict = {
    splats: [],
    moreSplats: 0,
    taintAdded: [],
    lockdepOff: false,
    records: 0,
    lost: 0,
  };
  #next: number | undefined;
  #ended = false;

  /** @internal */
  constructor(source: KmsgSource, seed: bigint, paths: KernelPaths = real) {
    this.#source = source;
    this.#paths = paths;
    this.#seed = seed;
    this.#taint = readTaint(paths.tainted);
    this.#lockdep = readLockdep(paths.lockdepStats);
    this.#skip();
    source.write(`i915-userptr: run ${seed} begins`);
  }

  /** Splats since the last poll whose title is new. */
  poll(): Splat[] {
    const found: Splat[] = [];
    this.#each((raw) => {
      const record = parseKmsg(raw);
      if (!record) return;
      const { seq } = record;
      if (seq !== undefined) {
        if (this.#next !== undefined) this.#verdict.lost += Math.max(0, seq - this.#next);
        this.#next = seq + 1;
      }
      this.#verdict.records++;
      found.push(...this.#keep(this.#detector.feed(record)));
    });
    return found;
  }

  /** Ends the watch. The second time it tells the same again. */
  end(): KernelVerdict {
    if (this.#ended) return this.#verdict;
    this.#ended = true;
    try {
      this.#source.write(`i915-userptr: run ${this.#seed} ends`);
      this.poll();
      this.#keep(this.#detector.end());
    } finally {
      this.#source.close();
    }
    const taint = readTaint(this.#paths.tainted);
    if (taint !== null && this.#taint !== null)
      this.#verdict.taintAdded = taintAdded(this.#taint, taint);
    this.#verdict.lockdepOff =
      this.#lockdep === true && readLockdep(this.#paths.lockdepStats) === false;
    return this.#verdict;
  }

  /** What was said before the run is not the run's. */
  #skip(): void {
    this.#each((raw) => {
      const seq = parseKmsg(raw)?.seq;
      if (seq !== undefined) this.#next = seq + 1;
    }, MAX_OLD);
  }

  #each(take: (raw: string) => void, most = MAX_READS): void {
    for (let reads = 0; reads < most; reads++) {
      const raw = this.#source.read();
      if (raw === null) return;
      // The next read begins at the oldest record that is left; its number tells how many are gone.
      if (raw !== 'overwritten') take(raw);
    }
  }

  #keep(found: Splat[]): Splat[] {
    const { splats } = this.#verdict;
    const fresh: Splat[] = [];
    for (const splat of found) {
      const same = splats.find(({ title }) => title === splat.title);
      if (same) same.times++;
      else if (splats.length < MAX_SPLATS) {
        splats.push({ ...splat, times: 1 });
        fresh.push(splat);
      } else this.#verdict.moreSplats++;
    }
    return fresh;
  }
}

/** The watch, or one line that says why there is none and what to do. */
export function watchKernelLog(seed: bigint, paths: KernelPaths = real): KernelLog | string {
  const source = openKmsg(paths.kmsg);
  return typeof source === 'string' ? source : new KernelLog(source, seed, paths);
}

function openKmsg(path: string): KmsgSource | string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return `the kernel log is not watched: ${path}: ${reason(error)}`;
  }
  let out: number | null = null;
  try {
    out = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // Reading without writing is common: no markers then, and the place in the log does without.
  }
  // A read that does not hold a whole record fails with EINVAL; CONSOLE_EXT_LOG_MAX is 8192.
  const buffer = Buffer.allocUnsafe(16_384);
  return {
    read() {
      try {
        const length = readSync(fd, buffer, 0, buffer.length, null);
        return length === 0 ? null : buffer.toString('utf8', 0, length);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN') return null;
        if (code === 'EPIPE' || code === 'EINTR') return 'overwritten';
        throw error;
      }
    },
    write(text) {
      try {
        if (out !== null) writeSync(out, `<5>${text}\n`);
      } catch {
        // See above.
      }
    },
    close() {
      closeSync(fd);
      if (out !== null) closeSync(out);
    },
  };
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES') return 'not permitted; run as root';
  if (code === 'EPERM')
    return 'not permitted; run as root, or set kernel.dmesg_restrict=0 (and printk.devkmsg not to off)';
  if (code === 'ENOENT') return 'missing; a container must be given it (--device /dev/kmsg)';
  return message;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

const readTaint = (path: string) => parseTaint(readText(path) ?? '');

/** Whether lockdep watches: the kernel's debug_locks. null: not configured, or not permitted. */
function readLockdep(path: string): boolean | null {
  const value = /^ *debug_locks: +(\d)/m.exec(readText(path) ?? '')?.[1];
  return value === undefined ? null : value === '1';
}
