// SPDX-License-Identifier: MIT
// Any address of this process, mapped or not: accesses answer EFAULT instead of dying.
import * as check from '../check.js';
import { constant, native, type PinCounts, type U64 } from '../native.js';

/** Bytes. */
export const PAGE_SIZE = 4096;

/** @throws {I915Error} EFAULT. */
export function read(address: U64, length: U64): Buffer {
  return native.read(check.u64(address, 'address'), check.length(length, 'length'));
}

/** read() into memory of the caller's. */
export function readInto(address: U64, bytes: ArrayBufferView): void {
  native.readInto(check.u64(address, 'address'), check.bytes(bytes, 'bytes'));
}

/** @throws {I915Error} EFAULT: part of it may be written. */
export function write(address: U64, bytes: ArrayBufferView): void {
  native.write(check.u64(address, 'address'), check.bytes(bytes, 'bytes'));
}

/** One access of 4 aligned bytes. */
export function load32(address: U64): number {
  return native.load32(check.u64(address, 'address'));
}
export function store32(address: U64, value: number): void {
  native.store32(check.u64(address, 'address'), check.u32(value, 'value'));
}
/** One access of 8 aligned bytes. */
export function load64(address: U64): bigint {
  return native.load64(check.u64(address, 'address'));
}
export function store64(address: U64, value: U64): void {
  native.store64(check.u64(address, 'address'), check.u64(value, 'value'));
}

/**
 * Moves pages to nodes, or with no nodes asks where they are (move_pages(2)).
 * @returns for each page its node, or a negative errno.
 */
export function movePages(
  pages: readonly U64[],
  nodes: readonly number[] = [],
  options: { all?: boolean } = {},
): number[] {
  return native.movePages(
    BigUint64Array.from(pages, (page) => check.address(page, 'pages')),
    Int32Array.from(nodes, (node) => check.i32(node, 'nodes')),
    constant(options.all ? 'MPOL_MF_MOVE_ALL' : 'MPOL_MF_MOVE'),
  );
}

/** Pages that soft devices took and gave back in this process, and invalidates begun. */
export function pins(): PinCounts {
  return native.pins();
}
