// SPDX-License-Identifier: MIT
// What an execbuf is made of, call by call: its objects, its batch, itself, the wait, and a look at
// all that it may have written.
import { type Address, Batch } from '../batch/batch.js';
import { constant } from '../native.js';
import { kindsOf } from './choices.js';
import type { Exec, Extra, Store, Target } from './exec.js';
import { areaAt, corner, files, MIB, PAGE, pagesOf, slots } from './layout.js';
import { areaOf } from './objects.js';
import { callStep, type Mask, readStep, sumStep, writeStep } from './ops.js';
import { type Data, maskOf, Scribe, type Struct } from './scribe.js';
import type { Item } from './spec.js';
import { FileSlot, type Place, Slot, sizeOf, type Value } from './uapi.js';

const c = constant;
/** The emulated GPU, and the software one: Skylake. */
const GEN = 90;
const OBJECT = 'drm_i915_gem_exec_object2';
const RELOCATION = 'drm_i915_gem_relocation_entry';

const PINNED = BigInt(c('EXEC_OBJECT_PINNED'));
const WRITE = BigInt(c('EXEC_OBJECT_WRITE'));
const WIDE = BigInt(c('EXEC_OBJECT_SUPPORTS_48B_ADDRESS'));
export const HANDLE_LUT = BigInt(c('I915_EXEC_HANDLE_LUT'));
export const NO_RELOC = BigInt(c('I915_EXEC_NO_RELOC'));
export const BATCH_FIRST = BigInt(c('I915_EXEC_BATCH_FIRST'));
const FENCE_ARRAY = BigInt(c('I915_EXEC_FENCE_ARRAY'));
const FENCE_IN = BigInt(c('I915_EXEC_FENCE_IN'));
const FENCE_OUT = BigInt(c('I915_EXEC_FENCE_OUT'));
const FENCE_SUBMIT = BigInt(c('I915_EXEC_FENCE_SUBMIT'));
const USE_EXTENSIONS = BigInt(c('I915_EXEC_USE_EXTENSIONS'));

/** A GPU address for each object, apart from each other's; below 4 GiB. */
export const home = (slot: number): bigint => 0x1000_0000n + BigInt(slot) * BigInt(8 * MIB);
const BATCH_HOME = 0x0800_0000n;

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

/** On which engine it runs: what it does there is no other engine's. 0 where a context says. */
const ringOf = (x: Exec): number => (x.context.value === 0 ? Number(x.engine.value & 0x3fn) : 0);
const RENDER = 1;
const VIDEO = 2;
const COPY = 3;
const VIDEO_ENHANCE = 4;
/** The first general purpose register of an engine. */
const gprOf: Readonly<Record<number, number>> = {
  [RENDER]: 0x2600,
  [VIDEO]: 0x1_2600,
  [COPY]: 0x2_2600,
  [VIDEO_ENHANCE]: 0x1_a600,
};
const MI_NOOP = 0;
const MI_STORE_DWORD = 0x1000_0002;
const MI_LOAD_REGISTER_IMM = 0x1100_0001;
const MI_BATCH_BUFFER_START = 0x1880_0101;
const SECOND_LEVEL = 1 << 22;

function batchOf(x: Exec, at: number): { bytes: Uint8Array; relocs: Reloc[] } {
  const batch = new Batch(GEN);
  const relocs: Reloc[] = [];
  for (let i = 0; i < at / 4; i++) batch.noop();
  for (const [i, t] of x.targets.entries()) {
    // Of an object that moves, or of whose size nothing is known, the first page.
    const pages = x.file || t.where === 'relocated' ? 1 : pagesOf(t.slot);
    if (!t.write || (t.where !== 'relocated' && !isPinned(t))) continue;
    const place = (delta: number) =>
      t.where === 'relocated' ? { object: i + 1, delta } : canonical(addressOf(t) + BigInt(delta));
    for (const s of t.stores) {
      if (s.page >= pages) continue;
      const before = batch.relocations.length;
      addStore(batch, ringOf(x), s, pages, place);
      for (const r of batch.relocations.slice(before))
        relocs.push({ offset: Number(r.offset), delta: r.delta ?? 0, target: i, write: true });
    }
  }
  if (ringOf(x) === COPY) addExtra(batch, x.extra.value);
  const ends = ringOf(x) !== COPY || x.extra.value !== 'no end';
  return { bytes: (ends ? batch.end() : batch).bytes(), relocs };
}

function addStore(
  batch: Batch,
  ring: number,
  s: Store,
  pages: number,
  place: (delta: number) => Address,
): void {
  const delta = s.page * PAGE + (s.what === 'dword' ? s.edge : s.edge & ~7);
  const to = place(delta);
  const immediate = { write: 'immediate', to, value: BigInt(s.value) } as const;
  const gpr = gprOf[ring];
  // A row of 64 bytes, or one in each of two pages.
  const size = { width: 16, height: Math.min(1 + (s.value & 1), pages - s.page) };
  const row = s.edge & ~63;
  const surface = { at: place(s.page * PAGE + row), pitch: PAGE };
  const source = { at: place((row + 128) % PAGE), pitch: PAGE };
  switch (s.what) {
    case 'qword':
      batch.storeQword(to, BigInt(s.value) * 0x1_0000_0001n);
      return;
    case 'flush':
      if (ring < VIDEO) break;
      batch.flushDw(immediate);
      return;
    case 'pipe control':
      if (ring !== RENDER) break;
      batch.pipeControl(c('PIPE_CONTROL_CS_STALL'), immediate);
      return;
    case 'register':
      if (gpr === undefined) break;
      batch.loadRegisterImm(gpr, s.value);
      batch.storeRegisterMem(gpr, to);
      return;
    case 'load':
      if (gpr === undefined) break;
      batch.loadRegisterMem(gpr, place(s.edge & ~3));
      batch.storeRegisterMem(gpr, to);
      return;
    case 'fill':
      if (ring !== COPY) break;
      batch.colorBlt(surface, size, s.value);
      return;
    case 'copy':
      if (ring !== COPY) break;
      batch.srcCopyBlt(surface, source, size);
      return;
    case 'fast copy':
      // It knows no other addresses.
      if (ring !== COPY || (typeof surface.at === 'bigint' && surface.at % 64n)) break;
      batch.fastCopyBlt(surface, source, size);
      return;
  }
  batch.storeDword(to, s.value);
}

function addExtra(batch: Batch, extra: Extra): void {
  const gpr = gprOf[COPY] as number;
  switch (extra) {
    case 'register':
      batch.raw(MI_LOAD_REGISTER_IMM + 2, gpr + 8, 1, gpr + 12, 2);
      return;
    case 'other register':
      batch.raw(MI_LOAD_REGISTER_IMM + 2, gpr + 8, 1, 0x2_2244, 2);
      return;
    case '3D':
      batch.raw(0x7a00_0004, 0, 0, 0, 0, 0);
      return;
    case 'unknown':
      // As long as an MI command says that it is.
      batch.raw(0x1b00_0001, MI_NOOP, MI_NOOP);
      return;
    case 'beyond':
      batch.raw(MI_STORE_DWORD + 0x3f0);
      return;
    case 'jump out':
      batch.raw(MI_BATCH_BUFFER_START, 0x7000_0000, 0);
      return;
    case 'second level':
      batch.raw((MI_BATCH_BUFFER_START | SECOND_LEVEL) >>> 0, Number(BATCH_HOME), 0);
      return;
  }
}

export function execSteps(place: Place, x: Exec): Item {
  const scribe = new Scribe(place);
  const at = x.start.value.start === 64 ? 64 : 0;
  const { bytes, relocs } = batchOf(x, at);
  const batch = new Slot(slots.batch);
  makeBatch(scribe, x, bytes);

  // The object list, as it will be when the batch is in its place.
  const again = x.targets[0] as Target;
  const apart: Target = {
    ...again,
    where: 'other',
    address: { kind: '', bad: false, value: home(again.slot) + BigInt(4 * MIB) },
  };
  const more = { twice: [again], 'twice, apart': [apart] }[x.list.value] ?? [];
  const targets = [...x.targets, ...more];
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
    ...(ringOf(x) === COPY ? [x.extra] : []),
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
  gemBatch(scribe, x.file, batch, bytes);
}

/** A page of the driver's, with these bytes in it. */
export function gemBatch(scribe: Scribe, file: number, batch: Slot, bytes: Uint8Array): void {
  scribe.ioctl({
    file,
    name: 'I915_GEM_CREATE',
    type: 'drm_i915_gem_create',
    fields: { size: PAGE },
    take: { field: 'handle', to: batch },
  });
  const data = scribe.data([bytes]);
  scribe.ioctl({
    file,
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
      : [
          {
            ...maskOf(RELOCATION, 'presumed_offset', 'placed', i),
            // With NO_RELOC it is written where an object has moved, if it has.
            ...(x.flags.value & NO_RELOC ? {} : { but: noPlace }),
          },
        ],
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
