// SPDX-License-Identifier: MIT
// Sequences without an order: calls that a thread each makes at the same time, over one userptr
// object. What they come to is one of several outcomes; all that is looked at stands still by then.
import fc, { type Arbitrary } from 'fast-check';
import { Batch } from '../batch/batch.js';
import { constant } from '../native.js';
import { gemBatch, waitFor } from './exec-steps.js';
import { areaAt, corner, files, PAGE, slots } from './layout.js';
import { MOVE, PUNCH } from './memory.js';
import { answerMask, callStep, joinStep, onThread, type Step, sumStep, writeStep } from './ops.js';
import { Scribe } from './scribe.js';
import { FileSlot, type Place, Slot, sizeOf } from './uapi.js';

const c = constant;
const GEN = 90;
const PINNED = BigInt(c('EXEC_OBJECT_PINNED'));
const WRITE = BigInt(c('EXEC_OBJECT_WRITE'));
const READ_WRITE = c('PROT_READ') | c('PROT_WRITE');
const FIXED = c('MAP_FIXED');
const PAGES = 4;
/** Pages between the target and where mremap moves it. */
const BEYOND = 8;
const TARGET_GPU = 0x0480_0000n;
const batchGpu = (slot: number) => 0x0400_0000n + BigInt(slot - slots.race) * 0x1_0000n;

export type Memory = 'private' | 'shared' | 'memfd' | 'memfd private';

/** One of the calls, and what of it is drawn. */
export interface Racer {
  what: RacerName;
  page: number;
  pages: number;
  engine: number;
  value: number;
}

export interface Race {
  memory: Memory;
  /** The target's pages have been written by the CPU, and by a batch, before. */
  touched: boolean;
  bound: boolean;
  racers: readonly Racer[];
}

/** What the steps of a racer are made in. */
interface Stage {
  place: Place;
  /** Of the race's own: what is before the calls. */
  scribe: Scribe;
  at: bigint;
  target: Slot;
  /** Of this racer. */
  batch: Slot;
}

const fields = (stage: Stage, name: string, type: string, values: object, take?: string): Step => {
  const at = stage.scribe.room(sizeOf(type));
  stage.scribe.ioctl({
    name,
    type,
    fields: values as never,
    odd: { at },
    ...(take ? { take: { field: take, to: new Slot(slots.raceTaken) } } : {}),
  });
  return stage.scribe.steps.pop() as Step;
};

/** A batch of its own that stores to the first dword of two pages. */
function exec(stage: Stage, { engine, value, page, pages }: Racer, context?: Slot): Step {
  const { scribe, target, batch: slot } = stage;
  const batch = new Batch(GEN);
  for (const p of new Set([page, (page + pages - 1) % PAGES]))
    batch.storeDword(TARGET_GPU + BigInt(p * PAGE), value);
  const bytes = batch.end().bytes();
  gemBatch(scribe, 0, slot, bytes);
  const object = (handle: Slot, offset: bigint, flags: bigint) => ({
    type: 'drm_i915_gem_exec_object2',
    fields: { handle, offset, flags: PINNED | flags },
  });
  const list = scribe.data([object(target, TARGET_GPU, WRITE), object(slot, batchGpu(slot.n), 0n)]);
  return fields(stage, 'I915_GEM_EXECBUFFER2', 'drm_i915_gem_execbuffer2', {
    buffers_ptr: list,
    buffer_count: 2,
    flags: BigInt(engine),
    rsvd1: context ?? 0,
  });
}

const part = ({ at }: Stage, { page }: Racer): bigint => at + BigInt(page * PAGE);
const length = ({ pages }: Racer): number => pages * PAGE;
const context = new Slot(slots.context[0] as number);
const file = new FileSlot(files.memfd[0]);

/** Each by its name in docs/matching.md. */
const calls = {
  exec: (s: Stage, r: Racer) => exec(s, r),
  'exec, other context': (s: Stage, r: Racer) => exec(s, r, context),
  'context destroy': (s: Stage) =>
    fields(s, 'I915_GEM_CONTEXT_DESTROY', 'drm_i915_gem_context_destroy', { ctx_id: context }),
  userptr: (s: Stage, r: Racer) =>
    fields(
      s,
      'I915_GEM_USERPTR',
      'drm_i915_gem_userptr',
      { user_ptr: part(s, r), user_size: length(r) },
      'handle',
    ),
  'userptr, probe': (s: Stage, r: Racer) =>
    fields(
      s,
      'I915_GEM_USERPTR',
      'drm_i915_gem_userptr',
      { user_ptr: part(s, r), user_size: length(r), flags: c('I915_USERPTR_PROBE') },
      'handle',
    ),
  close: (s: Stage) => fields(s, 'GEM_CLOSE', 'drm_gem_close', { handle: s.target }),
  'set-domain': (s: Stage) =>
    fields(s, 'I915_GEM_SET_DOMAIN', 'drm_i915_gem_set_domain', {
      handle: s.target,
      read_domains: 1,
      write_domain: 1,
    }),
  wait: (s: Stage) =>
    fields(s, 'I915_GEM_WAIT', 'drm_i915_gem_wait', { bo_handle: s.target, timeout_ns: -1n }),
  busy: (s: Stage) => fields(s, 'I915_GEM_BUSY', 'drm_i915_gem_busy', { handle: s.target }),
  pread: (s: Stage) =>
    fields(s, 'I915_GEM_PREAD', 'drm_i915_gem_pread', {
      handle: s.target,
      size: 8n,
      data_ptr: s.scribe.room(8),
    }),
  munmap: (s: Stage, r: Racer) => callStep('munmap', [part(s, r), length(r)]),
  'mmap over': (s: Stage, r: Racer) =>
    callStep('mmap', [
      part(s, r),
      length(r),
      READ_WRITE,
      c('MAP_PRIVATE') | c('MAP_ANONYMOUS') | FIXED,
      '-',
      0,
    ]),
  'mprotect none': (s: Stage, r: Racer) => callStep('mprotect', [part(s, r), length(r), 0]),
  'mprotect read': (s: Stage, r: Racer) =>
    callStep('mprotect', [part(s, r), length(r), c('PROT_READ')]),
  // One page: of several mappings at once, as mlock and mprotect make them, it is Linux's version.
  mremap: (s: Stage, r: Racer) =>
    callStep('mremap', [part(s, r), PAGE, PAGE, MOVE, s.at + BigInt((BEYOND + r.page) * PAGE)]),
  'madvise DONTNEED': (s: Stage, r: Racer) =>
    callStep('madvise', [part(s, r), length(r), c('MADV_DONTNEED')]),
  // Whether the pages go is the kernel's choice; that they are not lost is not.
  'madvise PAGEOUT': (s: Stage, r: Racer) => ({
    ...callStep('madvise', [part(s, r), length(r), c('MADV_PAGEOUT')]),
    masks: [answerMask('memory')],
  }),
  ftruncate: () => callStep('ftruncate', [file, PAGE]),
  'punch a hole': (_: Stage, r: Racer) =>
    callStep('fallocate', [file, PUNCH, r.page * PAGE, length(r)]),
  mlock: (s: Stage, r: Racer) => callStep('mlock', [part(s, r), length(r)]),
  store: (s: Stage, r: Racer) => {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(r.value);
    return writeStep(part(s, r) + (r.engine & 1 ? 8n : 0n), value);
  },
} as const;
export type RacerName = keyof typeof calls;

const ofFiles: readonly RacerName[] = ['ftruncate', 'punch a hole'];
export const racerNames = Object.keys(calls) as RacerName[];

/** Two names that can be in one race, in order. */
export const pairOf = (a: RacerName, b: RacerName): string => [a, b].sort().join(' | ');
export const allPairs: readonly string[] = racerNames.flatMap((a, i) =>
  racerNames.slice(i).map((b) => pairOf(a, b)),
);

const racer = (what: Arbitrary<RacerName>): Arbitrary<Racer> =>
  fc
    .record({
      what,
      page: fc.nat(PAGES - 1),
      whole: fc.boolean(),
      engine: fc.constantFrom(1, 2, 3, 4),
      value: fc.integer({ min: 1, max: 0xffff_ffff }),
    })
    .map(({ whole, ...r }) => ({
      ...r,
      page: whole ? 0 : r.page,
      pages: whole ? PAGES : 1,
    }));

/** Most have an execbuf: it is what the other calls are there to disturb. */
export function raceOf(): Arbitrary<Race> {
  const any = fc.constantFrom(...racerNames);
  const submits = fc.constantFrom<RacerName>('exec', 'exec', 'exec, other context');
  return fc
    .record({
      memory: fc.constantFrom<Memory>('private', 'private', 'shared', 'memfd', 'memfd private'),
      touched: fc.boolean(),
      bound: fc.boolean(),
      first: fc.oneof(
        { weight: 4, arbitrary: racer(submits) },
        { weight: 1, arbitrary: racer(any) },
      ),
      others: fc.array(racer(any), { minLength: 1, maxLength: 2 }),
    })
    .map(({ first, others, ...race }) => {
      const racers = [first, ...others];
      const needsFile = racers.some(({ what }) => ofFiles.includes(what));
      const memory = needsFile && !race.memory.startsWith('memfd') ? 'memfd' : race.memory;
      return { ...race, memory, racers };
    });
}

/** A race's steps: those before the calls, the calls, those after them. */
export interface Heat {
  before: readonly Step[];
  calls: readonly Step[];
  after: readonly Step[];
}

export function heatOf(place: Place, race: Race): Heat {
  const at = areaAt(place, corner.race);
  const target = new Slot(slots.temp);
  const scribe = new Scribe(place);
  const stage = (batch: number): Stage => ({ place, scribe, at, target, batch: new Slot(batch) });
  map(scribe, race, at);
  scribe.ioctl({
    name: 'I915_GEM_USERPTR',
    type: 'drm_i915_gem_userptr',
    fields: { user_ptr: at, user_size: PAGES * PAGE },
    take: { field: 'handle', to: target },
  });
  scribe.ioctl({
    name: 'I915_GEM_CONTEXT_CREATE_EXT',
    type: 'drm_i915_gem_context_create_ext',
    fields: {},
    take: { field: 'ctx_id', to: context },
  });
  const last: Racer = { what: 'exec', page: 1, pages: 2, engine: 1, value: 0x600d_600d };
  const lastExec = exec(stage(slots.race), last);
  const lastBatch = new Slot(slots.race);
  if (race.bound) {
    scribe.add(lastExec);
    waitFor(scribe, 0, lastBatch);
  }
  const made = race.racers.map((r, i) => calls[r.what](stage(slots.race + 1 + i), r));
  const before = scribe.steps.splice(0);
  // All is quiet again.
  for (const [i, r] of race.racers.entries())
    if (r.what.startsWith('exec')) waitFor(scribe, 0, new Slot(slots.race + 1 + i));
  const look = () => scribe.add(sumStep(at, 2 * BEYOND * PAGE));
  look();
  // The same pages once more, as they are mapped now.
  scribe.add(lastExec);
  waitFor(scribe, 0, lastBatch);
  look();
  return { before, calls: made, after: scribe.steps };
}

function map(scribe: Scribe, { memory, touched }: Race, at: bigint): void {
  const isFile = memory.startsWith('memfd');
  if (isFile) scribe.add(callStep('memfd', [file, PAGES * PAGE]));
  const how = memory === 'private' || memory === 'memfd private' ? 'MAP_PRIVATE' : 'MAP_SHARED';
  const flags = c(how) | FIXED | (isFile ? 0 : c('MAP_ANONYMOUS'));
  scribe.add(callStep('mmap', [at, PAGES * PAGE, READ_WRITE, flags, isFile ? file : '-', 0]));
  if (!touched) return;
  for (let page = 0; page < PAGES; page++)
    scribe.add(writeStep(at + BigInt(page * PAGE + 16), Buffer.alloc(8, 0x50 + page)));
}

/** One run of it: what the player is told, and of its answers those that are the outcome. */
export interface Run {
  lines: readonly string[];
  steps: readonly (Step | undefined)[];
}

/** The threads started in this order, with a pause before each but the first. */
export function runOf(place: Place, heat: Heat, order: readonly number[], pause: number): Run {
  const { before, calls: racers, after } = heat;
  // Memory that nothing else is in: as long as it takes to look at so many pages.
  const at = place.args + BigInt(place.argsSize - Math.max(1, pause) * PAGE);
  const starts = order.flatMap((n, i) => [
    ...(i && pause ? [sumStep(at, pause * PAGE)] : []),
    onThread(n, racers[n] as Step),
  ]);
  const joins = racers.map((s, n) => joinStep(n, s));
  const line = (steps: readonly Step[]) => steps.map((s) => s.line);
  return {
    lines: [...line(before), ...line(starts), ...line(joins), ...line(after)],
    steps: [...before, ...starts.map(() => undefined), ...joins, ...after],
  };
}

export const inOrder = ({ calls: racers }: Heat): number[] => racers.map((_, i) => i);
