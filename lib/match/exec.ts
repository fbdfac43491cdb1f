// SPDX-License-Identifier: MIT
// Execbufs: each makes a batch of its own, submits it, waits for it, and looks at what it was
// answered; what it stored is seen in the memory.
import fc, { type Arbitrary } from 'fast-check';
import { constant } from '../native.js';
import { anyContext } from './calls-context.js';
import {
  ALL_ONES,
  bad,
  type Choice,
  type Chosen,
  choose,
  good,
  kindNames,
  unknownBits,
} from './choices.js';
import { BATCH_FIRST, execSteps, HANDLE_LUT, home, NO_RELOC } from './exec-steps.js';
import { firstObjects, objectSlots } from './layout.js';
import { gpuFile, type Item } from './spec.js';
import type { Place } from './uapi.js';

const c = constant;

const engines: Choice<bigint>[] = [
  good([1n, 0n], 'render'),
  good(3n, 'copy', 6),
  good(2n, 'video', 4),
  good(4n, 'video enhance', 4),
  good([2n | (1n << 13n), 2n | (2n << 13n)], 'video by number', 1),
  bad('unknown engine', [5n, 6n, 0x3fn]),
  bad('BSD flags', [1n | (1n << 13n), 3n | (2n << 13n)]),
];

const engineNames = ['render', 'render', 'video', 'copy', 'video enhance'];

/** The copy engine's. */
type Blit = 'fill' | 'copy' | 'fast copy';

/** What a batch does to one place. */
export interface Store {
  page: number;
  edge: number;
  what: 'dword' | 'qword' | 'register' | 'flush' | 'load' | 'pipe control' | Blit;
  value: number;
}
const store: Arbitrary<Store> = fc.record({
  page: fc.constantFrom(0, 1, 3, 15, 511),
  edge: fc.constantFrom(0, 4, 64, 2044, 4032, 4088, 4092),
  what: fc.constantFrom<Store['what'][]>(
    'dword',
    'qword',
    'dword',
    'flush',
    'register',
    'load',
    'pipe control',
    'copy',
    'fill',
    'fast copy',
  ),
  value: fc.integer({ min: 1, max: 0xffff_ffff }),
});

type Where = 'home' | 'anywhere' | 'relocated' | 'other';
export interface Target {
  slot: number;
  where: Where;
  /** For 'other': an address, of which some are no good. */
  address: Chosen<bigint>;
  flags: Chosen<bigint>;
  write: boolean;
  alignment: Chosen<bigint>;
  pad: Chosen<bigint>;
  reserved: Chosen<bigint>;
  stores: readonly Store[];
}

const addresses: Choice<bigint>[] = [
  good([0x3_0000_0000n, 0x7fff_0000_0000n], 'above 4 GiB'),
  good(0xffff_8000_0000_0000n, 'upper half', 3),
  good([home(2) + 4096n, home(14) + 8192n], 'overlapping', 3),
  bad('address not canonical', [0x8000_0000_0000n, 0x1_0000_0000_0000n]),
  bad('address unaligned', [home(3) + 8n, home(3) + 2048n]),
  good([0xffff_ffff_ffff_f000n], 'end of the address space', 1),
  good([0n], 'address 0', 1),
];
const objectFlags: Choice<bigint>[] = [
  good(0n, '', 24),
  good(BigInt(c('EXEC_OBJECT_ASYNC')), 'async', 2),
  good(BigInt(c('EXEC_OBJECT_NEEDS_FENCE')), 'needs a fence register', 1),
  bad('needs GTT', BigInt(c('EXEC_OBJECT_NEEDS_GTT'))),
  bad('unknown object flag', unknownBits(0xff, 64)),
];
const alignments: Choice<bigint>[] = [
  good(0n, '', 20),
  good([4096n, 65536n, 2097152n], 'alignment', 2),
  bad('alignment', [3n, 4097n, 12288n, ALL_ONES]),
];
const pads: Choice<bigint>[] = [
  good(0n, '', 24),
  good([4096n, 65536n], 'pad to size', 2),
  bad('pad to size', [1n, 4097n]),
];
const reserved: Choice<bigint>[] = [good(0n, '', 30), good([1n, ALL_ONES], 'reserved word', 1)];

const target: Arbitrary<Target> = fc.record({
  slot: fc.oneof(
    { withCrossShrink: true },
    { weight: 3, arbitrary: fc.constantFrom(...firstObjects) },
    { weight: 1, arbitrary: fc.constantFrom(...objectSlots) },
  ),
  where: fc.oneof(
    { withCrossShrink: true },
    { weight: 6, arbitrary: fc.constant<Where>('home') },
    { weight: 4, arbitrary: fc.constant<Where>('relocated') },
    { weight: 1, arbitrary: fc.constant<Where>('anywhere') },
    { weight: 2, arbitrary: fc.constant<Where>('other') },
  ),
  address: choose(addresses),
  flags: choose(objectFlags),
  write: fc.constantFrom(true, true, false),
  alignment: choose(alignments),
  pad: choose(pads),
  reserved: choose(reserved),
  stores: fc.array(store, { minLength: 0, maxLength: 3 }),
});

const execFlags: Choice<bigint>[] = [
  good(0n, '', 24),
  good(NO_RELOC, 'no reloc', 3),
  good(HANDLE_LUT, 'handle LUT', 3),
  good(BATCH_FIRST, 'batch first', 3),
  good(HANDLE_LUT | BATCH_FIRST, 'handle LUT', 2),
  good(1n << 10n, 'is pinned', 1),
  bad('SOL reset', 1n << 8n),
  bad('secure', 1n << 9n),
  bad('constants', [1n << 6n, 2n << 6n, 3n << 6n]),
  bad('resource streamer', 1n << 15n),
  bad('unknown flag', unknownBits((1 << 22) - 1, 64)),
];

/** What the driver's command parser looks at in batches for the copy engine. */
export type Extra =
  | 'none'
  | 'register'
  | 'other register'
  | 'no end'
  | '3D'
  | 'unknown'
  | 'beyond'
  | 'jump out'
  | 'second level';
const extras: Choice<Extra>[] = [
  good<Extra>('none', '', 12),
  good<Extra>('register', 'copy engine register', 1),
  bad<Extra>('other register', 'other register'),
  bad<Extra>('no end of the batch', 'no end'),
  bad<Extra>('3D command', '3D'),
  good<Extra>('unknown', 'unknown command', 1),
  bad<Extra>('command beyond the batch', 'beyond'),
  bad<Extra>('jump out of the batch', 'jump out'),
  bad<Extra>('second level batch', 'second level'),
];

type Fence = 'none' | 'out' | 'in' | 'submit' | 'array' | 'timeline';
const fences: Choice<Fence>[] = [
  good<Fence>('none', '', 16),
  good<Fence>('out', 'fence out', 2),
  good<Fence>('in', 'fence in', 1),
  good<Fence>('submit', 'submit fence', 1),
  good<Fence>('array', 'fence array', 2),
  good<Fence>('timeline', 'timeline fences', 2),
];

const lists: Choice<
  'right' | 'unmapped' | 'none' | 'many' | 'twice' | 'twice, apart' | 'batch written'
>[] = [
  good<'right'>('right', '', 30),
  bad('object list unmapped', 'unmapped'),
  bad('no objects', 'none'),
  bad('count too large', 'many'),
  bad('object twice', 'twice'),
  good<'twice, apart'>('twice, apart', 'object at two addresses', 1),
  bad('batch written', 'batch written'),
];
const starts: Choice<{ start: number; length: number }>[] = [
  good({ start: 0, length: 0 }, '', 24),
  good({ start: 64, length: 0 }, 'batch start', 2),
  good({ start: 0, length: 4096 }, 'batch length', 2),
  bad('batch start unaligned', { start: 4, length: 0 }),
  bad('batch length unaligned', { start: 0, length: 12 }),
  bad('batch beyond its object', [
    { start: 4096, length: 0 },
    { start: 8192, length: 0 },
    { start: 64, length: 4096 },
    { start: 0, length: 8192 },
  ]),
];
const misc: Choice<Record<string, number | bigint>>[] = [
  good({}, '', 30),
  bad('DR1', { DR1: 1 }),
  bad('DR4', { DR4: 1 }),
  good({ DR4: 0xffff_ffff }, 'DR4 of old user space', 1),
  bad('clip rectangles', [{ num_cliprects: 1 }, { cliprects_ptr: 8n }]),
  good({ rsvd2: 0xffff_ffff_0000_0000n }, 'reserved word', 1),
];

type RelocHow =
  | 'right'
  | 'offset'
  | 'unaligned'
  | 'target'
  | 'domains'
  | 'unmapped'
  | 'presumed'
  | 'many';
const relocs: Choice<RelocHow>[] = [
  good<RelocHow>('right', '', 16),
  good<RelocHow>('presumed', 'relocation as presumed', 2),
  bad<RelocHow>('relocation beyond the object', 'offset'),
  bad<RelocHow>('relocation unaligned', 'unaligned'),
  bad<RelocHow>('relocation of an unknown target', 'target'),
  bad<RelocHow>('relocation domains', 'domains'),
  bad<RelocHow>('relocations unmapped', 'unmapped'),
  bad<RelocHow>('count of relocations', 'many'),
];

export const execKinds: readonly string[] = kindNames([
  engines,
  addresses,
  objectFlags,
  alignments,
  pads,
  reserved,
  execFlags,
  fences,
  lists,
  starts,
  misc,
  relocs,
  extras,
  anyContext,
  [good('x', 'relocated'), good('x', 'batch in user memory')],
] as never);

export function execItem(place: Place): Arbitrary<Item> {
  return fc
    .record({
      file: gpuFile,
      engine: choose(engines),
      targets: fc.uniqueArray(target, { minLength: 1, maxLength: 3, selector: (t) => t.slot }),
      flags: choose(execFlags),
      context: fc.oneof(
        { withCrossShrink: true },
        { weight: 4, arbitrary: fc.constant<Chosen>({ kind: '', bad: false, value: 0 }) },
        { weight: 1, arbitrary: choose(anyContext) },
      ),
      fence: choose(fences),
      list: choose(lists),
      start: choose(starts),
      misc: choose(misc),
      reloc: choose(relocs),
      extra: choose(extras),
      wr: fc.boolean(),
      userBatch: fc.constantFrom(false, false, false, true),
      pinBatch: fc.boolean(),
    })
    .map((x) => execSteps(place, x));
}

export interface Exec {
  file: number;
  engine: Chosen<bigint>;
  targets: readonly Target[];
  flags: Chosen<bigint>;
  context: Chosen;
  fence: Chosen<Fence>;
  list: Chosen<string>;
  start: Chosen<{ start: number; length: number }>;
  misc: Chosen<Record<string, number | bigint>>;
  reloc: Chosen<RelocHow>;
  extra: Chosen<Extra>;
  wr: boolean;
  userBatch: boolean;
  pinBatch: boolean;
}

const plain = <T>(value: T): Chosen<T> => ({ kind: '', bad: false, value });

/** An execbuf with nothing special, whose batch stores to one object at its address. */
export const plainExec = (slot: number, stores: readonly Store[], engine = 1n): Exec => ({
  file: 0,
  engine: { ...plain(engine), kind: engineNames[Number(engine)] ?? '' },
  targets: [
    {
      slot,
      where: 'home',
      address: plain(0n),
      flags: plain(0n),
      write: true,
      alignment: plain(0n),
      pad: plain(0n),
      reserved: plain(0n),
      stores,
    },
  ],
  flags: plain(0n),
  context: plain(0),
  fence: plain<Fence>('none'),
  list: plain('right'),
  start: plain({ start: 0, length: 0 }),
  misc: plain({}),
  reloc: plain<RelocHow>('right'),
  extra: plain<Extra>('none'),
  wr: false,
  userBatch: false,
  pinBatch: false,
});
