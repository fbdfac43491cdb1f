// SPDX-License-Identifier: MIT
// Writes one item of a sequence: an ioctl's struct, and in the player's argument memory all that its
// pointers lead to.
import {
  ioctlLine,
  type Mask,
  type MaskReason,
  readStep,
  type Step,
  type Take,
  writeStep,
} from './ops.js';
import {
  type Fields,
  type FileSlot,
  type Packed,
  type Place,
  pack,
  packList,
  placeOf,
  requestOf,
  type Slot,
  sizeOf,
  type Value,
} from './uapi.js';

/** A struct whose pointers may be structs themselves. */
export interface Struct {
  type: string;
  fields: Readonly<Record<string, Value | Data>>;
  /** Of an extension: the one after it. */
  next?: Data | 'self';
}
/** What a pointer leads to: structs and bytes, one after the other. */
export type Data = readonly (Struct | Uint8Array)[];

const isData = (value: Value | Data): value is Data => Array.isArray(value);

/** How an ioctl is made, where not as it should be. */
export interface Odd {
  request?: number;
  /** Elsewhere than in the argument memory: what is there is the sequence's business. */
  at?: bigint;
  /** Nothing is written to `at` before. */
  bare?: boolean;
}

export interface Call {
  file?: number;
  /** Without DRM_IOCTL_. */
  name: string;
  type: string;
  fields: Readonly<Record<string, Value | Data>>;
  kinds?: readonly string[];
  take?: { field: string; to: Slot | FileSlot };
  /** By field. */
  masks?: Readonly<Record<string, MaskReason>>;
  odd?: Odd;
}

/** An answer's bytes are at most so many. */
const MAX_OUT = 16 << 10;
const HEAD = 0x1000;
/** Bytes a line of the player's may carry. */
const MAX_HEX = 8 << 10;

export class Scribe {
  readonly steps: Step[] = [];
  readonly place: Place;
  #next = HEAD;

  constructor(place: Place) {
    this.place = place;
  }

  add(...steps: Step[]): this {
    this.steps.push(...steps);
    return this;
  }

  /** The address of what these bytes are written to. */
  data(data: Data): bigint {
    const packed = packList(data.map((part) => this.pack(part)));
    const [first] = data;
    if (first && 'next' in first && first.next === 'self')
      packed.bytes.writeBigUInt64LE(this.place.args + BigInt(this.#next), 0);
    return this.#packed(packed);
  }

  #packed(packed: Packed): bigint {
    const at = this.room(packed.bytes.length);
    for (let from = 0; from < packed.bytes.length; from += MAX_HEX) {
      const piece = packed.bytes.subarray(from, from + MAX_HEX);
      const patches = packed.patches
        .filter((p) => p.at >= from && p.at < from + piece.length)
        .map((p) => ({ ...p, at: p.at - from }));
      this.steps.push(writeStep(at + BigInt(from), piece, patches));
    }
    return at;
  }

  /** Argument memory for so many bytes; it starts as zeros. */
  room(length: number): bigint {
    const at = this.place.args + BigInt(this.#next);
    this.#next += (length + 63) & ~63;
    if (this.#next > this.place.argsSize) throw new RangeError('no room for arguments');
    return at;
  }

  pack(part: Struct | Uint8Array): Packed {
    if (part instanceof Uint8Array) return { bytes: Buffer.from(part), patches: [] };
    const fields: Record<string, Value> = {};
    for (const [name, value] of Object.entries(part.fields))
      fields[name] = isData(value) ? this.data(value) : value;
    const packed = pack(part.type, fields as Fields);
    if (part.next && part.next !== 'self') packed.bytes.writeBigUInt64LE(this.data(part.next), 0);
    return packed;
  }

  /** An ioctl. Returns where its struct is. */
  ioctl(call: Call): bigint {
    const { file = 0, name, type, fields, kinds = ['plain'], take, masks = {}, odd = {} } = call;
    const packed = type ? this.pack({ type, fields }) : { bytes: Buffer.alloc(0), patches: [] };
    const request = odd.request ?? requestOf(name);
    const size = type ? sizeOf(type) : 0;
    const at = odd.at ?? this.place.args;
    const takes: Take[] = take
      ? [
          {
            at: placeOf(type, take.field).offset,
            width: placeOf(type, take.field).size,
            to: take.to,
          },
        ]
      : [];
    // A larger struct is all told: the driver has zeroed, or left, what it does not know.
    const told = Math.min(Math.max(size, (request >>> 16) & 0x3fff), MAX_OUT);
    this.steps.push({
      call: name,
      kinds,
      line: ioctlLine({
        file,
        request,
        at,
        bytes: odd.bare
          ? Buffer.alloc(0)
          : Buffer.concat([packed.bytes, Buffer.alloc(Math.max(0, told - size), 0xa5)]),
        patches: odd.bare ? [] : packed.patches,
        out: told,
        takes,
      }),
      masks: Object.entries(masks).map(([field, why]) => maskOf(type, field, why)),
    });
    return at;
  }

  /** Has a slot hold 0, which is no handle and no offset of anything. */
  forget(slot: Slot): this {
    // DRM_CAP_TIMESTAMP_MONOTONIC is 1 on every driver: its upper half is 0.
    this.ioctl({ name: 'GET_CAP', type: 'drm_get_cap', fields: { capability: 6n } });
    const step = this.steps.pop() as Step;
    const at = placeOf('drm_get_cap', 'value').offset + 4;
    this.steps.push({ ...step, line: `${step.line} ${at}:4>$${slot.n}` });
    return this;
  }

  /** Reads a struct, or a row of them. */
  read(at: bigint, type: string, count = 1, masks: readonly Mask[] = []): this {
    this.steps.push(readStep(at, sizeOf(type) * count, masks));
    return this;
  }
}

export function maskOf(type: string, field: string, why: MaskReason, index = 0): Mask {
  const { offset, size } = placeOf(type, field);
  return { at: offset + index * sizeOf(type), length: size, why };
}
