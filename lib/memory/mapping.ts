// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { type ChildEnd, constant, native, type U64 } from '../native.js';
import { PAGE_SIZE } from './memory.js';

/** What a mapping allows: read, write, execute; or the PROT_* bits themselves. */
export type Prot = 'none' | 'r' | 'w' | 'rw' | 'rx' | 'rwx' | number;
const READ = constant('PROT_READ');
const WRITE = constant('PROT_WRITE');
const EXEC = constant('PROT_EXEC');
const prots = {
  none: constant('PROT_NONE'),
  r: READ,
  w: WRITE,
  rw: READ | WRITE,
  rx: READ | EXEC,
  rwx: READ | WRITE | EXEC,
};

/** @internal */
export const protBits = (prot: Prot): number =>
  typeof prot === 'number' ? check.i32(prot, 'prot') : check.word(prot, prots, 'prot');

/** Every advice of the kernel's header, by its name without MADV_, in lower case. */
const advices = Object.fromEntries(
  Object.entries(native.constants)
    .filter(([name]) => name.startsWith('MADV_'))
    .map(([name, value]) => [name.slice('MADV_'.length).toLowerCase(), value]),
);
export type Advice =
  | 'normal'
  | 'random'
  | 'sequential'
  | 'willneed'
  | 'dontneed'
  | 'free'
  | 'remove'
  | 'dontfork'
  | 'dofork'
  | 'mergeable'
  | 'unmergeable'
  | 'hugepage'
  | 'nohugepage'
  | 'dontdump'
  | 'dodump'
  | 'wipeonfork'
  | 'keeponfork'
  | 'cold'
  | 'pageout'
  | 'populate_read'
  | 'populate_write'
  | 'collapse'
  | 'hwpoison'
  | 'soft_offline';
/** The advices there are. */
export const adviceNames = Object.keys(advices) as Advice[];

export interface MapOptions {
  /** A hint, or with `fixed` the place. */
  address?: U64;
  prot?: Prot;
  /** MAP_SHARED; private by default. */
  shared?: boolean;
  /** Replaces what is mapped there. */
  fixed?: boolean;
  /** EEXIST if something is mapped there (4.17). */
  noReplace?: boolean;
  /** Huge pages of hugetlbfs: true for the default size, or log2 of their size. */
  hugetlb?: boolean | number;
  /** A file; anonymous without. */
  fd?: number;
  offset?: U64;
  populate?: boolean;
  noReserve?: boolean;
  /** MAP_* bits besides those above. */
  flags?: number;
}

const HUGE_SHIFT = 26; // MAP_HUGE_SHIFT

function mapFlags(o: MapOptions): number {
  let flags = check.i32(o.flags ?? 0, 'flags');
  flags |= constant(o.shared ? 'MAP_SHARED' : 'MAP_PRIVATE');
  if (o.fd === undefined) flags |= constant('MAP_ANONYMOUS');
  if (o.fixed) flags |= constant('MAP_FIXED');
  if (o.noReplace) flags |= constant('MAP_FIXED_NOREPLACE');
  if (o.populate) flags |= constant('MAP_POPULATE');
  if (o.noReserve) flags |= constant('MAP_NORESERVE');
  if (o.hugetlb) flags |= constant('MAP_HUGETLB');
  if (typeof o.hugetlb === 'number') flags |= check.u32(o.hugetlb, 'hugetlb') << HUGE_SHIFT;
  return flags;
}

/**
 * Maps memory into this process (mmap(2)). `length` in bytes. Without an address it goes where
 * nothing else is put, so that it may be unmapped and mapped again at the same place while other
 * threads of the process, V8's among them, map memory of their own.
 */
export function mmap(length: U64, options: MapOptions = {}): Mapping {
  const bytes = check.u64(length, 'length');
  const address = native.mmap(
    options.address === undefined
      ? native.quietAddress(bytes)
      : check.u64(options.address, 'address'),
    bytes,
    protBits(options.prot ?? 'rw'),
    mapFlags(options),
    check.i32(options.fd ?? -1, 'fd'),
    check.u64(options.offset ?? 0n, 'offset'),
  );
  return new Mapping(address, Number(length));
}

/** What a forked child does to each page before its parent goes on. */
export type Touch = 'none' | 'read' | 'write';
const touches: Readonly<Record<Touch, number>> = { none: 0, read: 1, write: 2 };

/** A forked child that shares this process's private pages until it is released. */
export class HeldChild implements Disposable {
  #pid: number;
  #fd: number;

  constructor(pid: number, fd: number) {
    this.#pid = pid;
    this.#fd = fd;
  }

  /** Lets it exit: how it ended; errno EFAULT when a page could not be touched. */
  release(): ChildEnd {
    if (!this.#pid) throw new TypeError('the child is released already');
    const pid = this.#pid;
    this.#pid = 0;
    return native.forkRelease(pid, this.#fd);
  }

  [Symbol.dispose](): void {
    if (this.#pid) this.release();
  }
}

/**
 * A range of this process's addresses. Offsets and lengths are in bytes; a length left out reaches
 * to the end. Whether anything is mapped there is the kernel's to say, call by call: after munmap()
 * every access is EFAULT, and the same range can be mapped again.
 */
export class Mapping implements Disposable {
  readonly address: bigint;
  readonly length: number;
  #unmapped = false;

  constructor(address: bigint, length: number) {
    this.address = check.address(address, 'address');
    this.length = Number(check.u64(length, 'length'));
  }

  /** The address of a byte of it. */
  at(offset: U64): bigint {
    const within = check.u64(offset, 'offset');
    if (within > this.length)
      check.refuse('offset', `at most the mapping's length, ${this.length}`, offset);
    return this.address + BigInt(within);
  }

  #range(offset: U64, length: U64 | undefined): [address: bigint, length: number] {
    const start = this.at(offset);
    const n =
      length === undefined ? this.length - Number(offset) : Number(check.u64(length, 'length'));
    if (n > this.length - Number(offset))
      check.refuse('length', `at most ${this.length - Number(offset)} from there`, length);
    return [start, n];
  }

  /** A part of it, from then on a mapping by itself. */
  slice(offset: U64, length?: U64): Mapping {
    return new Mapping(...this.#range(offset, length));
  }

  // ---- content

  /** @throws {I915Error} EFAULT, here and below: not mapped, or not allowed. */
  read(offset: U64 = 0, length?: U64): Buffer {
    const [at, n] = this.#range(offset, length);
    return native.read(at, check.length(n, 'length'));
  }

  write(offset: U64, bytes: ArrayBufferView): void {
    const [at] = this.#range(offset, check.bytes(bytes, 'bytes').byteLength);
    native.write(at, bytes);
  }

  /** Fills with a dword. */
  fill(value: number, offset: U64 = 0, length?: U64): void {
    native.fill(...this.#range(offset, length), check.u32(value, 'value'));
  }

  /** The offset of the first dword from `offset` on that is not `value`, or -1. */
  findOther(value: number, offset: U64 = 0, length?: U64): number {
    const found = native.findOther(...this.#range(offset, length), check.u32(value, 'value'));
    return found < 0n ? -1 : Number(found) + Number(offset);
  }

  /** One access of 4 aligned bytes. */
  load32(offset: U64 = 0): number {
    return native.load32(this.#range(offset, 4)[0]);
  }
  store32(offset: U64, value: number): void {
    native.store32(this.#range(offset, 4)[0], check.u32(value, 'value'));
  }
  /** One access of 8 aligned bytes. */
  load64(offset: U64 = 0): bigint {
    return native.load64(this.#range(offset, 8)[0]);
  }
  store64(offset: U64, value: U64): void {
    native.store64(this.#range(offset, 8)[0], check.u64(value, 'value'));
  }

  // ---- changes

  munmap(offset: U64 = 0, length?: U64): void {
    const [at, n] = this.#range(offset, length);
    native.munmap(at, n);
    this.#unmapped ||= n === this.length;
  }

  /** In the thread pool: it may wait for the GPU. */
  async munmapAsync(offset: U64 = 0, length?: U64): Promise<void> {
    const [at, n] = this.#range(offset, length);
    await native.async.munmap(at, n);
    this.#unmapped ||= n === this.length;
  }

  /** Unmaps what is left of it. */
  [Symbol.dispose](): void {
    if (!this.#unmapped) this.munmap();
  }

  /** Maps new memory over a part of it (MAP_FIXED). */
  remap(options: Omit<MapOptions, 'address' | 'fixed'> = {}, offset: U64 = 0, length?: U64): void {
    const [address, n] = this.#range(offset, length);
    mmap(n, { ...options, address, fixed: true });
    this.#unmapped = false;
  }

  mprotect(prot: Prot, offset: U64 = 0, length?: U64): void {
    native.mprotect(...this.#range(offset, length), protBits(prot));
  }

  mprotectAsync(prot: Prot, offset: U64 = 0, length?: U64): Promise<void> {
    return native.async.mprotect(...this.#range(offset, length), protBits(prot));
  }

  /**
   * Moves or resizes it (mremap(2)): to `address`, to wherever the kernel likes, or with `mayMove`
   * false in its place. This range is then unmapped, but with `dontUnmap`.
   */
  mremap(
    options: { length?: U64; address?: U64; mayMove?: boolean; dontUnmap?: boolean } = {},
  ): Mapping {
    const length = check.u64(options.length ?? this.length, 'length');
    const flags =
      (options.mayMove === false ? 0 : constant('MREMAP_MAYMOVE')) |
      (options.address === undefined ? 0 : constant('MREMAP_FIXED')) |
      (options.dontUnmap ? constant('MREMAP_DONTUNMAP') : 0);
    const at = native.mremap(
      this.address,
      this.length,
      length,
      flags,
      check.u64(options.address ?? 0n, 'address'),
    );
    if (!options.dontUnmap) this.#unmapped = true;
    return new Mapping(at, Number(length));
  }

  madvise(advice: Advice | number, offset: U64 = 0, length?: U64): void {
    native.madvise(...this.#range(offset, length), adviceBits(advice));
  }

  madviseAsync(advice: Advice | number, offset: U64 = 0, length?: U64): Promise<void> {
    return native.async.madvise(...this.#range(offset, length), adviceBits(advice));
  }

  mlock(offset: U64 = 0, length?: U64): void {
    native.mlock(...this.#range(offset, length));
  }

  munlock(offset: U64 = 0, length?: U64): void {
    native.munlock(...this.#range(offset, length));
  }

  // ---- pages

  /** For each page: is it in memory (mincore(2))? */
  mincore(offset: U64 = 0, length?: U64): boolean[] {
    return [...native.mincore(...this.#range(offset, length))].map(Boolean);
  }

  /** The addresses of its pages. */
  pages(): bigint[] {
    return Array.from({ length: Math.ceil(this.length / PAGE_SIZE) }, (_, i) =>
      this.at(i * PAGE_SIZE),
    );
  }

  /** A forked child touches each page and exits: how it ended; errno EFAULT if one could not be. */
  forkTouch(touch: Touch, offset: U64 = 0, length?: U64): ChildEnd {
    return native.forkTouch(...this.#range(offset, length), check.word(touch, touches, 'touch'));
  }

  /** The same, but the child stays: a page that either side writes meanwhile is copied. */
  forkHold(touch: Touch, offset: U64 = 0, length?: U64): HeldChild {
    const { pid, fd } = native.forkHold(
      ...this.#range(offset, length),
      check.word(touch, touches, 'touch'),
    );
    return new HeldChild(pid, fd);
  }
}

const adviceBits = (advice: Advice | number): number =>
  typeof advice === 'number' ? check.i32(advice, 'advice') : check.word(advice, advices, 'advice');
