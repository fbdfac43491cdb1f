// SPDX-License-Identifier: MIT
// An execbuf in words, and how it becomes rows of numbers for the addon.
import * as check from '../check.js';
import { constant, type Submitted, type U64 } from '../native.js';
import type { Context } from './context.js';
import type { GemObject } from './gem.js';
import { Fence, type Syncobj } from './sync.js';

/** An object, or a handle: of any number, for tests of the driver's refusals. */
export type ObjectRef = GemObject | number;

/** A place in an object that the driver makes point at another. */
export interface Relocation {
  /** What it shall point at; with `handleLut`, an index into the object list. */
  target: ObjectRef;
  /** Bytes into the object that holds the pointer. */
  offset: U64;
  /** Bytes added to the target's address. */
  delta?: number;
  /** The target's address that stands there now. */
  presumed?: U64;
  /** I915_GEM_DOMAIN_* masks. A write domain marks the target as written. */
  readDomains?: number;
  writeDomain?: number;
}

export interface ExecObject {
  object: ObjectRef;
  /** Softpin: the object must be at this GPU address. Bytes, in canonical form. */
  address?: U64;
  /** Where it is thought to be; the driver may move it. Not together with `address`. */
  offset?: U64;
  write?: boolean;
  /** No implicit wait for others that use the object. */
  async?: boolean;
  capture?: boolean;
  /** May be placed above 4 GiB. By default when its address is. */
  wide?: boolean;
  alignment?: U64;
  padToSize?: U64;
  relocations?: readonly Relocation[];
  /** EXEC_OBJECT_* bits besides those above. */
  flags?: U64;
}

export type EngineName = 'default' | 'render' | 'bsd' | 'copy' | 'video-enhance';
const engines: Readonly<Record<EngineName, number>> = {
  default: constant('I915_EXEC_DEFAULT'),
  render: constant('I915_EXEC_RENDER'),
  bsd: constant('I915_EXEC_BSD'),
  copy: constant('I915_EXEC_BLT'),
  'video-enhance': constant('I915_EXEC_VEBOX'),
};

export interface ExecFence {
  syncobj: Syncobj | number;
  wait?: boolean;
  signal?: boolean;
  /** I915_EXEC_FENCE_* bits besides those above. */
  flags?: number;
}

export interface Exec {
  /** The last is the batch, or with `batchFirst` the first. */
  objects: readonly ExecObject[];
  /** Bytes; length 0 is to the end of the object. */
  batchStart?: number;
  batchLength?: number;
  /** A legacy engine by name, or an index of the context's engine map. */
  engine?: EngineName | number;
  context?: Context | number;
  batchFirst?: boolean;
  /** Relocation targets are indices into the object list. */
  handleLut?: boolean;
  /** All presumed addresses are right: the driver may skip what has not moved. */
  noReloc?: boolean;
  /** A sync file, or its fd: not begun before it has signalled. */
  fenceIn?: Fence | number;
  /** A sync file, or its fd: not begun before that submission has begun. */
  fenceSubmit?: Fence | number;
  fenceOut?: boolean;
  /** Syncobjs to wait for and to signal. */
  fences?: readonly ExecFence[];
  /** I915_EXEC_* bits besides those above. */
  flags?: U64;
  /** False: EAGAIN is an answer, not called again. */
  retryEagain?: boolean;
}

export interface ExecResult {
  /** Where each object is, in the order of the list. */
  addresses: bigint[];
  /** The presumed address of each relocation, in the order of the lists. */
  presumed: bigint[];
  /** With `fenceOut`. The caller closes it. */
  fence?: Fence;
}

const PINNED = BigInt(constant('EXEC_OBJECT_PINNED'));
const WRITE = BigInt(constant('EXEC_OBJECT_WRITE'));
const ASYNC = BigInt(constant('EXEC_OBJECT_ASYNC'));
const CAPTURE = BigInt(constant('EXEC_OBJECT_CAPTURE'));
const WIDE = BigInt(constant('EXEC_OBJECT_SUPPORTS_48B_ADDRESS'));
const PAD = BigInt(constant('EXEC_OBJECT_PAD_TO_SIZE'));
const FENCE_WAIT = constant('I915_EXEC_FENCE_WAIT');
const FENCE_SIGNAL = constant('I915_EXEC_FENCE_SIGNAL');
const BATCH_FIRST = BigInt(constant('I915_EXEC_BATCH_FIRST'));
const HANDLE_LUT = BigInt(constant('I915_EXEC_HANDLE_LUT'));
const NO_RELOC = BigInt(constant('I915_EXEC_NO_RELOC'));
const FENCE_IN = BigInt(constant('I915_EXEC_FENCE_IN'));
const FENCE_SUBMIT = BigInt(constant('I915_EXEC_FENCE_SUBMIT'));
const FENCE_OUT = BigInt(constant('I915_EXEC_FENCE_OUT'));
const FENCE_ARRAY = BigInt(constant('I915_EXEC_FENCE_ARRAY'));

const handleOf = (ref: ObjectRef, name: string): number =>
  check.u32(typeof ref === 'number' ? ref : ref?.handle, name);

const fdOf = (fence: Fence | number, name: string): number =>
  check.i32(typeof fence === 'number' ? fence : fence?.fd, name);

const OBJECT_ROW = 6;
const RELOCATION_ROW = 6;

function objectFlags(o: ExecObject): bigint {
  let flags = check.address(o.flags ?? 0n, 'flags');
  if (o.address !== undefined) {
    flags |= PINNED;
    if (o.wide ?? o.address >= 0x1_0000_0000n) flags |= WIDE;
  } else if (o.wide) flags |= WIDE;
  if (o.write) flags |= WRITE;
  if (o.async) flags |= ASYNC;
  if (o.capture) flags |= CAPTURE;
  if (o.padToSize !== undefined) flags |= PAD;
  return flags;
}

function packRelocation(r: Relocation, rows: BigUint64Array, at: number): void {
  rows[at] = BigInt(handleOf(r.target, 'relocation.target'));
  rows[at + 1] = BigInt(check.u32(r.delta ?? 0, 'relocation.delta'));
  rows[at + 2] = check.address(r.offset, 'relocation.offset');
  rows[at + 3] = check.address(r.presumed ?? 0n, 'relocation.presumed');
  rows[at + 4] = BigInt(check.u32(r.readDomains ?? 0, 'relocation.readDomains'));
  rows[at + 5] = BigInt(check.u32(r.writeDomain ?? 0, 'relocation.writeDomain'));
}

function execFlags(exec: Exec): bigint {
  const { engine = 'default' } = exec;
  let flags = check.address(exec.flags ?? 0n, 'flags');
  flags |= BigInt(
    typeof engine === 'number'
      ? check.u32(engine, 'engine')
      : check.word(engine, engines, 'engine'),
  );
  if (exec.batchFirst) flags |= BATCH_FIRST;
  if (exec.handleLut) flags |= HANDLE_LUT;
  if (exec.noReloc) flags |= NO_RELOC;
  if (exec.fenceIn !== undefined) flags |= FENCE_IN;
  if (exec.fenceSubmit !== undefined) flags |= FENCE_SUBMIT;
  if (exec.fenceOut) flags |= FENCE_OUT;
  if (exec.fences) flags |= FENCE_ARRAY;
  return flags;
}

type ExecArgs = [
  objects: BigUint64Array,
  relocations: BigUint64Array,
  batchStart: number,
  batchLength: number,
  flags: bigint,
  context: number,
  fenceIn: number,
  fences: Uint32Array,
  retryEagain: boolean,
];

/** @internal */
export function packExec(exec: Exec): { args: ExecArgs; result(s: Submitted): ExecResult } {
  const { objects } = exec;
  if (!Array.isArray(objects)) check.refuse('objects', 'an array', objects);
  const total = objects.reduce((n, o) => n + (o.relocations?.length ?? 0), 0);
  const rows = new BigUint64Array(objects.length * OBJECT_ROW);
  const relocations = new BigUint64Array(total * RELOCATION_ROW);
  let at = 0;
  objects.forEach((o: ExecObject, i) => {
    rows.set(
      [
        BigInt(handleOf(o.object, 'object')),
        check.address(o.alignment ?? 0n, 'alignment'),
        check.address(o.address ?? o.offset ?? 0n, 'address'),
        objectFlags(o),
        check.address(o.padToSize ?? 0n, 'padToSize'),
        BigInt(o.relocations?.length ?? 0),
      ],
      i * OBJECT_ROW,
    );
    for (const r of o.relocations ?? []) packRelocation(r, relocations, at++ * RELOCATION_ROW);
  });

  const fenceIn = exec.fenceIn ?? exec.fenceSubmit;
  const fences = (exec.fences ?? []).flatMap((f) => [
    check.u32(typeof f.syncobj === 'number' ? f.syncobj : f.syncobj?.handle, 'fences.syncobj'),
    (check.u32(f.flags ?? 0, 'fences.flags') |
      (f.wait ? FENCE_WAIT : 0) |
      (f.signal ? FENCE_SIGNAL : 0)) >>>
      0,
  ]);
  return {
    args: [
      rows,
      relocations,
      check.u32(exec.batchStart ?? 0, 'batchStart'),
      check.u32(exec.batchLength ?? 0, 'batchLength'),
      execFlags(exec),
      check.u32(
        typeof exec.context === 'object' ? exec.context.id : (exec.context ?? 0),
        'context',
      ),
      fenceIn === undefined
        ? -1
        : fdOf(fenceIn, exec.fenceIn === undefined ? 'fenceSubmit' : 'fenceIn'),
      Uint32Array.from(fences),
      exec.retryEagain ?? true,
    ],
    result: (s) => ({
      addresses: [...s.offsets],
      presumed: [...s.presumed],
      ...(s.fence >= 0 ? { fence: new Fence(s.fence) } : {}),
    }),
  };
}
