// SPDX-License-Identifier: MIT
// Execbufs: each makes a batch of its own, submits it, waits for it, and looks at what it was
// answered; what it stored is seen in the memory.
import fc, { type Arbitrary } from 'fast-check';
import { Batch } from '../batch/batch.js';
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
  kindsOf,
  unknownBits,
} from './choices.js';
import {
  areaAt,
  corner,
  files,
  firstObjects,
  MIB,
  objectSlots,
  PAGE,
  pagesOf,
  slots,
} from './layout.js';
import { callStep, type Mask, readStep, sumStep, writeStep } from './ops.js';
import { type Data, maskOf, Scribe, type Struct } from './scribe.js';
import { gpuFile, type Item } from './spec.js';
import { FileSlot, type Place, Slot, sizeOf, type Value } from './uapi.js';

const c = constant;
/** The emulated GPU, and the software one: Skylake. */
const GEN = 90;
const OBJECT = 'drm_i915_gem_exec_object2';
const RELOCATION = 'drm_i915_gem_relocation_entry';

const PINNED = BigInt(c('EXEC_OBJECT_PINNED'));
const WRITE = BigInt(c('EXEC_OBJECT_WRITE'));
const WIDE = BigInt(c('EXEC_OBJECT_SUPPORTS_48B_ADDRESS'));
const HANDLE_LUT = BigInt(c('I915_EXEC_HANDLE_LUT'));
const NO_RELOC = BigInt(c('I915_EXEC_NO_RELOC'));
const BATCH_FIRST = BigInt(c('I915_EXEC_BATCH_FIRST'));
const FENCE_ARRAY = BigInt(c('I915_EXEC_FENCE_ARRAY'));
const FENCE_IN = BigInt(c('I915_EXEC_FENCE_IN'));
const FENCE_OUT = BigInt(c('I915_EXEC_FENCE_OUT'));
const FENCE_SUBMIT = BigInt(c('I915_EXEC_FENCE_SUBMIT'));
const USE_EXTENSIONS = BigInt(c('I915_EXEC_USE_EXTENSIONS'));

/** A GPU address for each object, apart from each other's; below 4 GiB. */
const home = (slot: number): bigint => 0x1000_0000n + BigInt(slot) * BigInt(8 * MIB);
const BATCH_HOME = 0x0800_0000n;

const engines: Choice<bigint>[] = [
  good([1n, 0n], 'render'),
  good(3n, 'copy', 6),
  good(2n, 'video', 4),
  good(4n, 'video enhance', 4),
  good([2n | (1n << 13n), 2n | (2n << 13n)], 'video by number', 1),
  bad('unknown engine', [5n, 6n, 0x3fn]),
  bad('BSD flags', [1n | (1n << 13n), 3n | (2n << 13n)]),
];

/** What a batch does to one place. */
interface Store {
  page: number;
  edge: number;
  what: 'dword' | 'qword' | 'register' | 'flush';
  value: number;
}
const store: Arbitrary<Store> = fc.record({
  page: fc.constantFrom(0, 1, 3, 15, 511),
  edge: fc.constantFrom(0, 4, 64, 2044, 4088, 4092),
  what: fc.constantFrom('dword', 'qword', 'dword', 'flush', 'register'),
  value: fc.integer({ min: 1, max: 0xffff_ffff }),
});

type Where = 'home' | 'anywhere' | 'relocated' | 'other';
interface Target {
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

type Fence = 'none' | 'out' | 'in' | 'submit' | 'array' | 'timeline';
const fences: Choice<Fence>[] = [
  good<Fence>('none', '', 16),
  good<Fence>('out', 'fence out', 2),
  good<Fence>('in', 'fence in', 1),
  good<Fence>('submit', 'submit fence', 1),
  good<Fence>('array', 'fence array', 2),
  good<Fence>('timeline', 'timeline fences', 2),
];

const lists: Choice<'right' | 'unmapped' | 'none' | 'many' | 'twice' | 'batch written'>[] = [
  good<'right'>('right', '', 30),
  bad('object list unmapped', 'unmapped'),
  bad('no objects', 'none'),
  bad('count too large', 'many'),
  bad('object twice', 'twice'),
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
  anyContext,
  [good('x', 'relocated'), good('x', 'batch in user memory')],
] as never);

export function execItem(place: Place): Arbitrary<Item> {
  return fc
    .record({
      file: gpuFile,
      engine: choose(engines),
      // What is listed twice is at one place in the end: which, of two, is not the uAPI's to say.
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
      wr: fc.boolean(),
      userBatch: fc.constantFrom(false, false, false, true),
      pinBatch: fc.boolean(),
    })
    .map((x) => render(place, x));
}

interface Exec {
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
  wr: boolean;
  userBatch: boolean;
  pinBatch: boolean;
}

/** An address that no object has; and what the driver says instead of where one is. */
const NO_PLACE = 0xffff_ffff_ffff_ff00n;
const noPlace = ['00ffffffffffffff', 'ffffffffffffffff'];

/** The dword of a command that the last relocation of a batch stands in. */
interface Reloc {
  offset: number;
  delta: number;
  target: number;
  write: boolean;
}

const isPinned = ({ where }: Target) => where === 'home' || where === 'other';
const addressOf = (t: Target): bigint => (t.where === 'other' ? t.address.value : home(t.slot));

/** Bit 47 repeated above it. */
const canonical = (address: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(48, address));

function batchOf(x: Exec, at: number): { bytes: Uint8Array; relocs: Reloc[] } {
  const batch = new Batch(GEN);
  const relocs: Reloc[] = [];
  for (let i = 0; i < at / 4; i++) batch.noop();
  const ring = Number(x.engine.value & 0x3fn);
  for (const [i, t] of x.targets.entries()) {
    for (const s of t.stores) {
      // Of an object that moves, or of whose size nothing is known, the first page.
      const pages = x.file || t.where === 'relocated' ? 1 : pagesOf(t.slot);
      if (s.page >= pages || !t.write) continue;
      const delta = s.page * PAGE + (s.what === 'dword' ? s.edge : s.edge & ~7);
      const to =
        t.where === 'relocated'
          ? { object: i + 1, delta }
          : isPinned(t)
            ? canonical(addressOf(t) + BigInt(delta))
            : undefined;
      if (to === undefined) continue;
      const before = batch.relocations.length;
      if (s.what === 'dword') batch.storeDword(to, s.value);
      else if (s.what === 'qword') batch.storeQword(to, BigInt(s.value) * 0x1_0000_0001n);
      else if (s.what === 'flush' && ring >= 2)
        batch.flushDw({ write: 'immediate', to, value: BigInt(s.value) });
      else if (s.what === 'register' && ring < 2) {
        // A general purpose register of the render engine.
        batch.loadRegisterImm(0x2600, s.value);
        batch.storeRegisterMem(0x2600, to);
      } else batch.storeDword(to, s.value);
      for (const r of batch.relocations.slice(before))
        relocs.push({ offset: Number(r.offset), delta: r.delta ?? 0, target: i, write: true });
    }
  }
  return { bytes: batch.end().bytes(), relocs };
}

function render(place: Place, x: Exec): Item {
  const scribe = new Scribe(place);
  const at = x.start.value.start === 64 ? 64 : 0;
  const { bytes, relocs } = batchOf(x, at);
  const batch = new Slot(slots.batch);
  makeBatch(scribe, x, bytes);

  // The object list, as it will be when the batch is in its place.
  const targets = x.list.value === 'twice' ? [...x.targets, x.targets[0] as Target] : x.targets;
  const first = Boolean(x.flags.value & BATCH_FIRST);
  const lut = Boolean(x.flags.value & HANDLE_LUT);
  const index = (t: number): number => (first ? t + 1 : t);
  const objects: Struct[] = targets.map((t) => objectOf(t));
  const batchFields: Record<string, Value | Data> = {
    handle: batch,
    flags: (x.pinBatch ? PINNED : 0n) | (x.list.value === 'batch written' ? WRITE : 0n),
    offset: x.pinBatch ? BATCH_HOME : 0n,
  };
  let relocsAt = 0n;
  if (relocs.length) {
    const rows = relocs.map((r) => relocation(x, r, lut ? index(r.target) : undefined));
    relocsAt = scribe.data(rows);
    batchFields.relocs_ptr = x.reloc.value === 'unmapped' ? areaAt(place, 6) : relocsAt;
    batchFields.relocation_count = x.reloc.value === 'many' ? 0xffff_ffff : relocs.length;
  }
  const last: Struct = { type: OBJECT, fields: batchFields };
  const list = first ? [last, ...objects] : [...objects, last];
  const listAt = scribe.data(list);

  const extra = fenceFields(scribe, x);
  const name = x.wr || x.fence.value === 'out' ? 'I915_GEM_EXECBUFFER2_WR' : 'I915_GEM_EXECBUFFER2';
  const kinds = kindsOf([
    x.engine,
    x.flags,
    x.context,
    x.fence,
    x.list,
    x.start,
    x.misc,
    ...(relocs.length ? [x.reloc, { kind: 'relocated', bad: false }] : []),
    ...(x.userBatch ? [{ kind: 'batch in user memory', bad: false }] : []),
    ...targets.flatMap((t) => [
      ...(t.where === 'other' ? [t.address] : []),
      t.flags,
      t.alignment,
      t.pad,
      t.reserved,
    ]),
  ]);
  scribe.ioctl({
    file: x.file,
    name,
    type: 'drm_i915_gem_execbuffer2',
    kinds,
    fields: {
      buffers_ptr: x.list.value === 'unmapped' ? areaAt(place, 6) : listAt,
      buffer_count:
        x.list.value === 'none' ? 0 : x.list.value === 'many' ? 0x7fff_ffff : list.length,
      batch_start_offset: x.start.value.start,
      batch_len: x.start.value.length,
      rsvd1: x.context.value,
      ...x.misc.value,
      ...extra.fields,
      flags: x.engine.value | x.flags.value | extra.flags,
    },
  });
  if (x.fence.value === 'out') takeFence(scribe);
  waitFor(scribe, x.file, batch);
  scribe.add(readStep(listAt, list.length * sizeOf(OBJECT), placedMasks(list)));
  if (relocs.length)
    scribe.add(readStep(relocsAt, relocs.length * sizeOf(RELOCATION), presumedMasks(x, relocs)));
  for (const t of x.targets) {
    if (!slots.userptr.has(t.slot) || !t.stores.length) continue;
    scribe.add(
      sumStep(
        areaAt(place, areaOf(t.slot).n, areaOf(t.slot).page),
        Math.min(pagesOf(t.slot), 16) * PAGE,
      ),
    );
  }
  scribe.ioctl({
    file: x.file,
    name: 'GEM_CLOSE',
    type: 'drm_gem_close',
    fields: { handle: batch },
  });
  return scribe.steps;
}

/** Where a slot's userptr object lies, if userptrItem() made it with the first choice. */
export const areaOf = (slot: number): { n: number; page: number } =>
  pagesOf(slot) > 16 ? { n: 5, page: 0 } : { n: slot % 5, page: (slot * 3) % (17 - pagesOf(slot)) };

function makeBatch(scribe: Scribe, x: Exec, bytes: Uint8Array): void {
  const { place } = scribe;
  const batch = new Slot(slots.batch);
  if (x.userBatch) {
    const at = areaAt(place, corner.batch);
    scribe.add(callStep('mmap', [at, PAGE, 3, 0x32, '-', 0], ['private']), writeStep(at, bytes));
    scribe.ioctl({
      file: x.file,
      name: 'I915_GEM_USERPTR',
      type: 'drm_i915_gem_userptr',
      fields: { user_ptr: at, user_size: PAGE },
      take: { field: 'handle', to: batch },
    });
    return;
  }
  scribe.ioctl({
    file: x.file,
    name: 'I915_GEM_CREATE',
    type: 'drm_i915_gem_create',
    fields: { size: PAGE },
    take: { field: 'handle', to: batch },
  });
  const data = scribe.data([bytes]);
  scribe.ioctl({
    file: x.file,
    name: 'I915_GEM_PWRITE',
    type: 'drm_i915_gem_pwrite',
    fields: { handle: batch, size: bytes.length, data_ptr: data },
  });
}

export function waitFor(scribe: Scribe, file: number, object: Slot): void {
  scribe.ioctl({
    file,
    name: 'I915_GEM_WAIT',
    type: 'drm_i915_gem_wait',
    kinds: ['for ever'],
    fields: { bo_handle: object, timeout_ns: -1n },
  });
}

function objectOf(t: Target): Struct {
  const address = addressOf(t);
  const pinned = isPinned(t);
  const wide = pinned && address >> 32n ? WIDE : 0n;
  return {
    type: OBJECT,
    fields: {
      handle: new Slot(t.slot),
      alignment: t.alignment.value,
      offset: pinned ? address : 0n,
      flags:
        t.flags.value |
        (pinned ? PINNED : 0n) |
        wide |
        (t.write ? WRITE : 0n) |
        (t.pad.value ? BigInt(c('EXEC_OBJECT_PAD_TO_SIZE')) : 0n),
      pad_to_size: t.pad.value,
      rsvd2: t.reserved.value,
    },
  };
}

function relocation(x: Exec, r: Reloc, lut: number | undefined): Struct {
  const t = x.targets[r.target] as Target;
  const how = x.reloc.value;
  const right = lut ?? new Slot(t.slot);
  return {
    type: RELOCATION,
    fields: {
      target_handle: how === 'target' ? 0x7fff_0000 : right,
      delta: r.delta,
      offset:
        how === 'offset'
          ? BigInt(PAGE - 4)
          : how === 'unaligned'
            ? BigInt(r.offset) + 2n
            : BigInt(r.offset),
      // Not where the target is: each is written.
      presumed_offset: how === 'presumed' ? 0n : NO_PLACE,
      read_domains: how === 'domains' ? 0x41 : 2,
      write_domain: how === 'domains' ? 0x40 : 2,
    },
  };
}

/** What depends on where the driver has put what may be anywhere. */
const placedMasks = (list: readonly Struct[]): Mask[] =>
  list.flatMap((o, i) =>
    BigInt(o.fields.flags as bigint) & PINNED ? [] : [maskOf(OBJECT, 'offset', 'placed', i)],
  );
const presumedMasks = (x: Exec, relocs: readonly Reloc[]): Mask[] =>
  relocs.flatMap((r, i) =>
    isPinned(x.targets[r.target] as Target)
      ? []
      : [{ ...maskOf(RELOCATION, 'presumed_offset', 'placed', i), but: noPlace }],
  );

function fenceFields(
  scribe: Scribe,
  x: Exec,
): { flags: bigint; fields: Record<string, Value | Data> } {
  const [a, b] = slots.syncobj.map((n) => new Slot(n)) as [Slot, Slot];
  const fence = (handle: Slot, flags: number): Struct => ({
    type: 'drm_i915_gem_exec_fence',
    fields: { handle, flags },
  });
  switch (x.fence.value) {
    case 'out':
      // No descriptor, should none be written.
      return { flags: FENCE_OUT, fields: { rsvd2: 0xffff_ffff_0000_0000n } };
    case 'in':
      return { flags: FENCE_IN, fields: { rsvd2: new FileSlot(files.sync[0]) } };
    case 'submit':
      return { flags: FENCE_SUBMIT, fields: { rsvd2: new FileSlot(files.sync[0]) } };
    case 'array':
      return {
        flags: FENCE_ARRAY,
        fields: { num_cliprects: 2, cliprects_ptr: scribe.data([fence(a, 1), fence(b, 2)]) },
      };
    case 'timeline': {
      const points = scribe.data([Buffer.from(BigUint64Array.from([0n, 7n]).buffer)]);
      const handles = scribe.data([fence(a, 1), fence(b, 2)]);
      const chain = scribe.data([
        {
          type: 'drm_i915_gem_execbuffer_ext_timeline_fences',
          fields: { fence_count: 2n, handles_ptr: handles, values_ptr: points },
        },
      ]);
      return { flags: USE_EXTENSIONS, fields: { cliprects_ptr: chain } };
    }
    default:
      return { flags: 0n, fields: {} };
  }
}

/** rsvd2's upper half is the sync file's descriptor: the player keeps it, and tells zeros. */
function takeFence(scribe: Scribe): void {
  const step = scribe.steps.at(-1);
  if (!step) return;
  scribe.steps.splice(-1, 1, { ...step, line: `${step.line} 60:4>f${files.sync[0]}` });
  scribe.steps.splice(-1, 0, {
    call: 'close',
    line: `close f${files.sync[0]}`,
    kinds: ['plain'],
  });
}

function gemObject(place: Place, slot: number): Item {
  const scribe = new Scribe(place);
  scribe.ioctl({
    name: 'I915_GEM_CREATE',
    type: 'drm_i915_gem_create',
    fields: { size: pagesOf(slot) * PAGE },
    take: { field: 'handle', to: new Slot(slot) },
  });
  return scribe.steps;
}

function userptrObject(place: Place, slot: number, at: bigint, flag: Chosen<number>): Item {
  const scribe = new Scribe(place);
  scribe.ioctl({
    name: 'I915_GEM_USERPTR',
    type: 'drm_i915_gem_userptr',
    fields: { user_ptr: at, user_size: pagesOf(slot) * PAGE, flags: flag.value },
    kinds: kindsOf([flag]),
    take: { field: 'handle', to: new Slot(slot) },
  });
  return scribe.steps;
}

/** The objects that are there at the begin. */
export const objectsAtBegin = (place: Place): Item =>
  firstObjects.flatMap((slot) => {
    const { n, page } = areaOf(slot);
    return slots.gem.has(slot)
      ? gemObject(place, slot)
      : userptrObject(place, slot, areaAt(place, n, page), { kind: '', bad: false, value: 0 });
  });

/**
 * Objects that batches write to, all of one file, so that a slot's handle is what the slot says: GEM objects of their slots' sizes, and
 * userptr objects.
 */
export function objectItem(place: Place): Arbitrary<Item> {
  const gem = fc.constantFrom(...slots.gem.keys()).map((slot) => gemObject(place, slot));
  const flags: Choice<number>[] = [
    good(0),
    good(c('I915_USERPTR_READ_ONLY'), 'read-only', 2),
    good(c('I915_USERPTR_PROBE'), 'probe', 3),
  ];
  const userptr = fc
    .tuple(fc.constantFrom(...slots.userptr.keys()), choose(flags), fc.nat(9), fc.nat(15))
    .map(([slot, flag, n, page]): Item => {
      const home = areaOf(slot);
      const large = pagesOf(slot) > 16;
      // Mostly where its memory is summed after an execbuf.
      const at =
        n < 4 && !large
          ? areaAt(place, n, Math.min(page, 16 - pagesOf(slot)))
          : areaAt(place, home.n, home.page);
      return userptrObject(place, slot, at, flag);
    });
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 3, arbitrary: userptr },
    { weight: 2, arbitrary: gem },
  );
}
