// SPDX-License-Identifier: MIT
// The uAPI's structs as bytes, and requests as numbers: from the addon's tables, which the tests
// compare with the system's headers.
import { constant, native } from '../native.js';

/** A value slot of the player's, where a call's outcome is kept: a handle, an offset. */
export class Slot {
  readonly n: number;
  constructor(n: number) {
    this.n = n;
  }
}

/** A file slot of the player's: its descriptor's number. */
export class FileSlot {
  readonly n: number;
  constructor(n: number) {
    this.n = n;
  }
}

export type Value = number | bigint | Slot | FileSlot;
export type Fields = Readonly<Record<string, Value>>;

/** Where the player writes a slot's value before a call: byte offset and width. */
export interface Patch {
  at: number;
  width: number;
  from: Slot | FileSlot;
}

export interface Packed {
  bytes: Buffer;
  patches: Patch[];
}

function layout(type: string) {
  const found = native.structs[type];
  if (!found) throw new TypeError(`${type}: no such struct`);
  return found;
}

export const sizeOf = (type: string): number => layout(type).size;

/** Byte offset and size of a field. */
export function placeOf(type: string, field: string): { offset: number; size: number } {
  const place = layout(type).fields[field];
  if (!place) throw new TypeError(`${type}.${field}: no such field`);
  return place;
}

/** A struct with these fields, all else 0; what slots hold is patched in by the player. */
export function pack(type: string, fields: Fields): Packed {
  const bytes = Buffer.alloc(sizeOf(type));
  const patches: Patch[] = [];
  for (const [name, value] of Object.entries(fields)) {
    const { offset, size } = placeOf(type, name);
    if (typeof value === 'object') {
      patches.push({ at: offset, width: size, from: value });
      continue;
    }
    const bits = BigInt.asUintN(8 * size, BigInt(value));
    for (let i = 0; i < size; i++) bytes[offset + i] = Number((bits >> BigInt(8 * i)) & 0xffn);
  }
  return { bytes, patches };
}

/** Structs one after the other. */
export function packList(parts: readonly Packed[]): Packed {
  const patches: Patch[] = [];
  let length = 0;
  for (const part of parts) {
    for (const patch of part.patches) patches.push({ ...patch, at: patch.at + length });
    length += part.bytes.length;
  }
  return { bytes: Buffer.concat(parts.map(({ bytes }) => bytes)), patches };
}

/** The number of DRM_IOCTL_`name`. */
export const requestOf = (name: string): number => constant(`DRM_IOCTL_${name}`) >>> 0;

/** asm-generic/ioctl.h: dir 31:30, size 29:16, type 15:8, nr 7:0. */
export const requestNumber = (request: number): number => request & 0xff;
export const requestSize = (request: number): number => (request >>> 16) & 0x3fff;
export const requestDir = (request: number): number => request >>> 30;
export const withSize = (request: number, size: number): number =>
  ((request & ~0x3fff_0000) | ((size & 0x3fff) << 16)) >>> 0;
export const withDir = (request: number, dir: number): number =>
  ((request & 0x3fff_ffff) | ((dir & 3) << 30)) >>> 0;

/** Where the player keeps a memory of its own for arguments, and where sequences map theirs. */
export interface Place {
  arena: bigint;
  arenaSize: number;
  args: bigint;
  argsSize: number;
}
