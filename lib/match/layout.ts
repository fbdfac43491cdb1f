// SPDX-License-Identifier: MIT
// Who uses which of the player's slots, and which part of the arena is what. A slot of an object
// also tells how large that is, and forgets its handle when that is closed: what is stored behind an
// object's end would depend on where the driver places its neighbours.
import type { Place } from './uapi.js';

export const PAGE = 4096;
export const MIB = 1 << 20;
/** In the kernel's half. */
export const KERNEL_ADDRESS = 0xffff_8880_0000_0000n;

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

export const slots = {
  /** GEM objects, by their pages. */
  gem: new Map<number, number>([
    ...range(0, 2).map((n) => [n, 1] as const),
    ...range(4, 6).map((n) => [n, 4] as const),
    [8, 16],
    [9, 513],
  ]),
  userptr: new Map<number, number>([
    ...range(10, 12).map((n) => [n, 1] as const),
    ...range(14, 16).map((n) => [n, 4] as const),
    [18, 16],
    [19, 512],
  ]),
  /** Objects of whatever size, which no batch writes to. */
  odd: range(20, 22),
  /** Imported, and never closed: the handle may be another slot's, too. */
  imported: range(36, 38),
  context: range(24, 26),
  vm: range(28, 29),
  syncobj: range(30, 33),
  /** Fake offsets for mmap. */
  offset: range(34, 36),
  /** Within an item. */
  batch: 40,
  gate: 41,
  temp: 42,
  tempOffset: 43,
  /** The batches of a race, from here on. */
  race: 44,
  raceTaken: 49,
} as const;

/** There at the begin of a sequence, and the ones that are drawn most. */
export const firstObjects: readonly number[] = [0, 4, 10, 14, 18];
export const objectSlots: readonly number[] = [...slots.gem.keys(), ...slots.userptr.keys()];
export const pagesOf = (slot: number): number =>
  slots.gem.get(slot) ?? slots.userptr.get(slot) ?? 1;

export const files = {
  /** Opens of the GPU; 0 is there from the begin. */
  gpu: [0, 1] as const,
  memfd: [4, 5] as const,
  dmabuf: [6, 7] as const,
  sync: [8, 9] as const,
  /** Within an item. */
  temp: 12,
};

/** A part of the arena where mappings come and go. */
export interface Area {
  n: number;
  pages: number;
  how: 'private' | 'shared' | 'memfd' | 'memfd private' | 'huge' | 'none';
}

/**
 *  | 0 private | 1 private | 2 shared | 3 memfd | 4 memfd, private | 5 huge | 6 nothing |
 */
export const areas: readonly Area[] = [
  { n: 0, pages: 16, how: 'private' },
  { n: 1, pages: 16, how: 'private' },
  { n: 2, pages: 16, how: 'shared' },
  { n: 3, pages: 16, how: 'memfd' },
  { n: 4, pages: 16, how: 'memfd private' },
  { n: 5, pages: 528, how: 'huge' },
  { n: 6, pages: 16, how: 'none' },
];
const STRIDE = 4 * MIB;
export const areaAt = (place: Place, n: number, page = 0): bigint =>
  place.arena + BigInt(n * STRIDE + page * PAGE);

/** Parts with one use each, behind the areas. */
export const corner = {
  /** A page that can be read and written, then one that cannot be had, then one to read. */
  argument: 16,
  gate: 17,
  batch: 18,
  gem: 19,
  race: 20,
} as const;
