// SPDX-License-Identifier: MIT
// What the process does to its mappings, each way that a notifier hears of.
import fc, { type Arbitrary } from 'fast-check';
import { constant } from '../native.js';
import { type Area, areaAt, areas, corner, files, PAGE, pagesOf, slots } from './layout.js';
import { answerMask, callStep, readStep, type Step, sumStep, writeStep } from './ops.js';
import { Scribe } from './scribe.js';
import type { Item } from './spec.js';
import { FileSlot, type Place, Slot } from './uapi.js';

const c = constant;
const READ_WRITE = c('PROT_READ') | c('PROT_WRITE');
const FIXED = c('MAP_FIXED');
const ANONYMOUS = c('MAP_PRIVATE') | c('MAP_ANONYMOUS') | FIXED;
export const PUNCH = c('FALLOC_FL_PUNCH_HOLE') | c('FALLOC_FL_KEEP_SIZE');
const SHARED = c('MAP_SHARED') | FIXED;

const fileOf = ({ how }: Area): FileSlot | undefined =>
  how === 'memfd'
    ? new FileSlot(files.memfd[0])
    : how === 'memfd private'
      ? new FileSlot(files.memfd[1])
      : undefined;

/** Maps pages of an area as it is meant to be. */
export function mapArea(
  place: Place,
  area: Area,
  page = 0,
  pages = area.pages,
  prot = READ_WRITE,
): Step {
  const at = areaAt(place, area.n, page);
  const file = fileOf(area);
  const flags =
    area.how === 'memfd'
      ? SHARED
      : area.how === 'memfd private'
        ? c('MAP_PRIVATE') | FIXED
        : area.how === 'shared'
          ? SHARED | c('MAP_ANONYMOUS')
          : ANONYMOUS;
  const args = [at, pages * PAGE, prot, flags, file ?? '-', file ? page * PAGE : 0];
  return callStep('mmap', args, [area.how === 'none' ? 'private' : area.how]);
}

/** All areas as they are meant to be, with something in them. */
export function prologue(place: Place): Item {
  const scribe = new Scribe(place);
  for (const n of files.memfd) scribe.add(callStep('memfd', [new FileSlot(n), 16 * PAGE]));
  for (const area of areas)
    if (area.how !== 'none')
      scribe.add(
        mapArea(place, area),
        writeStep(areaAt(place, area.n, 1), Buffer.alloc(16, 0x10 + area.n)),
      );
  return scribe.steps;
}

/** What stands in the areas. */
export function epilogue(place: Place): Item {
  return areas.map(({ n, pages }) => sumStep(areaAt(place, n), Math.min(pages, 32) * PAGE));
}

/** Some pages of an area. */
interface Pages {
  area: Area;
  page: number;
  pages: number;
}

const somePages: Arbitrary<Pages> = fc.constantFrom(...areas).chain((area) =>
  fc
    .oneof(
      { withCrossShrink: true },
      { weight: 3, arbitrary: fc.tuple(fc.constant(0), fc.constant(area.pages)) },
      { weight: 4, arbitrary: fc.tuple(fc.nat(15), fc.constantFrom(1, 2, 4)) },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.constantFrom(0, area.pages - 1), fc.constantFrom(1, area.pages)),
      },
    )
    .map(([page, pages]) => ({ area, page, pages: Math.min(pages, area.pages - page) })),
);

const addressOf = (place: Place, { area, page }: Pages) => areaAt(place, area.n, page);

/** How often each is drawn. Left out is what happens later or not: MADV_FREE, and what poisons pages. */
const advices: Readonly<Record<string, number>> = {
  NORMAL: 1,
  RANDOM: 1,
  SEQUENTIAL: 1,
  WILLNEED: 1,
  DONTNEED: 6,
  REMOVE: 3,
  DONTFORK: 1,
  DOFORK: 1,
  MERGEABLE: 1,
  UNMERGEABLE: 1,
  HUGEPAGE: 2,
  NOHUGEPAGE: 1,
  DONTDUMP: 1,
  DODUMP: 1,
  WIPEONFORK: 1,
  KEEPONFORK: 1,
  COLD: 1,
  PAGEOUT: 2,
  POPULATE_READ: 1,
  POPULATE_WRITE: 1,
  COLLAPSE: 2,
  unknown: 1,
};
/** Their answer tells how the kernel was configured, and how much memory there is. */
const memoryAdvice = new Set([
  'HUGEPAGE',
  'NOHUGEPAGE',
  'MERGEABLE',
  'UNMERGEABLE',
  'PAGEOUT',
  'COLLAPSE',
]);
const adviceNumber = (name: string) => (name === 'unknown' ? 999 : c(`MADV_${name}`));

export const memoryKinds: Readonly<Record<string, readonly string[]>> = {
  mmap: [
    ...new Set(areas.map((a) => a.how).filter((h) => h !== 'none')),
    'over',
    'PROT_NONE',
    'argument memory',
  ],
  munmap: ['plain', 'unaligned', 'nothing there', 'argument memory'],
  mprotect: ['none', 'read', 'read, write', 'unaligned', 'argument memory'],
  mremap: ['move', 'shrink', 'grow in place', 'move over'],
  madvise: Object.keys(advices),
  mlock: ['plain'],
  munlock: ['plain'],
  ftruncate: ['shrink', 'grow'],
  fallocate: ['punch a hole', 'allocate'],
  fork: ['write in the child', 'plain'],
  gmap: ['plain', 'beyond the object', 'other file', 'from within'],
  write: ['plain'],
  read: ['plain'],
  sum: ['plain'],
};

export const MOVE = c('MREMAP_MAYMOVE') | c('MREMAP_FIXED');

export function memoryItem(place: Place): Arbitrary<Item> {
  const one = (step: Step): Item => [step];
  const map = fc
    .tuple(somePages, fc.constantFrom(READ_WRITE, READ_WRITE, READ_WRITE, c('PROT_READ'), 0))
    .map(([p, prot]) => {
      const step = mapArea(place, p.area, p.page, p.pages, prot);
      return one({ ...step, kinds: [prot ? 'over' : 'PROT_NONE'] });
    });
  const unmap = somePages.map((p) =>
    one(
      callStep(
        'munmap',
        [addressOf(place, p), p.pages * PAGE],
        [p.area.how === 'none' ? 'nothing there' : 'plain'],
      ),
    ),
  );
  const unaligned = fc
    .tuple(somePages, fc.constantFrom('munmap', 'mprotect'), fc.constantFrom(8n, 4095n))
    .map(([p, call, by]) => {
      const rest = call === 'mprotect' ? [READ_WRITE] : [];
      return one(callStep(call, [addressOf(place, p) + by, PAGE, ...rest], ['unaligned']));
    });
  const again = somePages.map((p): Item => {
    const { area, page, pages } = p;
    return [
      callStep('munmap', [addressOf(place, p), pages * PAGE]),
      mapArea(place, area, page, pages),
    ];
  });
  const protections = [
    [0, 'none'],
    [c('PROT_READ'), 'read'],
    [READ_WRITE, 'read, write'],
  ] as const;
  const protect = fc
    .tuple(somePages, fc.constantFrom(...protections), fc.boolean())
    .map(([p, [prot, name], back]): Item => {
      const at = addressOf(place, p);
      return [
        callStep('mprotect', [at, p.pages * PAGE, prot], [name]),
        ...(back ? [callStep('mprotect', [at, p.pages * PAGE, READ_WRITE], ['read, write'])] : []),
      ];
    });
  // Of one mapping: what becomes of several at once is the version of Linux.
  const remap = fc
    .tuple(
      somePages.filter(({ area }) => area.how !== 'none'),
      somePages,
      fc.constantFrom('move', 'shrink', 'grow in place', 'move over'),
      fc.boolean(),
    )
    .map(([given, to, how, whole]): Item => {
      const from = whole ? given : { ...given, pages: 1 };
      const before = whole
        ? [
            mapArea(place, from.area, from.page, from.pages),
            writeStep(addressOf(place, from), Buffer.alloc(16, 0x5a)),
          ]
        : [];
      const at = addressOf(place, from);
      const length = from.pages * PAGE;
      if (how === 'shrink') {
        const less = Math.max(PAGE, (length / 2) & ~(PAGE - 1));
        return [...before, callStep('mremap', [at, length, less, 0, 0n], [how])];
      }
      if (how === 'grow in place')
        return [...before, callStep('mremap', [at, length, length + PAGE, 0, 0n], [how])];
      const over = to.area.n !== from.area.n && to.area.n < 6;
      const target = how === 'move over' && over ? addressOf(place, to) : areaAt(place, 6);
      return [
        ...before,
        callStep(
          'mremap',
          [at, length, length, MOVE, target],
          [how === 'move over' && over ? how : 'move'],
        ),
      ];
    });
  const advise = fc
    .tuple(
      somePages,
      fc.oneof(
        ...Object.entries(advices).map(([name, weight]) => ({
          weight,
          arbitrary: fc.constant(name),
        })),
      ),
    )
    .map(([p, name]) => {
      const args = [addressOf(place, p), p.pages * PAGE, adviceNumber(name)];
      const step = callStep('madvise', args, [name]);
      return one(memoryAdvice.has(name) ? { ...step, masks: [answerMask('memory')] } : step);
    });
  const lock = fc
    .tuple(somePages, fc.constantFrom('mlock', 'munlock'))
    .map(([p, call]) => one(callStep(call, [addressOf(place, p), Math.min(p.pages, 4) * PAGE])));
  const truncate = fc
    .tuple(fc.constantFrom(...files.memfd), fc.constantFrom(16, 0, 1, 8, 16))
    .map(
      ([n, pages]): Item => [
        callStep('ftruncate', [new FileSlot(n), pages * PAGE], [pages < 16 ? 'shrink' : 'grow']),
        ...(pages < 16 ? [callStep('ftruncate', [new FileSlot(n), 16 * PAGE], ['grow'])] : []),
      ],
    );
  const shortFile = fc
    .tuple(fc.constantFrom(...files.memfd), fc.constantFrom(16, 8, 1))
    .map(([n, pages]) =>
      one(callStep('ftruncate', [new FileSlot(n), pages * PAGE], [pages < 16 ? 'shrink' : 'grow'])),
    );
  const punch = fc
    .tuple(fc.constantFrom(...files.memfd), fc.nat(15), fc.constantFrom(1, 4), fc.boolean())
    .map(([n, page, pages, hole]) =>
      one(
        callStep(
          'fallocate',
          [new FileSlot(n), hole ? PUNCH : 0, page * PAGE, pages * PAGE],
          [hole ? 'punch a hole' : 'allocate'],
        ),
      ),
    );
  const fill = fc
    .tuple(somePages, fc.nat(255), fc.constantFrom(0, 8, 4088))
    .map(([p, byte, in_]) =>
      one(writeStep(addressOf(place, p) + BigInt(in_), Buffer.alloc(8, byte))),
    );
  const look = somePages.map((p) => one(readStep(addressOf(place, p), 16)));
  const sum = somePages.map((p) => one(sumStep(addressOf(place, p), Math.min(p.pages, 16) * PAGE)));
  const fork = fc
    .tuple(somePages, fc.boolean())
    .map(([p, write]) =>
      one(
        write
          ? callStep('fork', [addressOf(place, p), 'a5a5a5a5'], ['write in the child'])
          : callStep('fork', ['-'], ['plain']),
      ),
    );
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 4, arbitrary: fill },
    { weight: 3, arbitrary: again },
    { weight: 2, arbitrary: map },
    { weight: 3, arbitrary: unmap },
    { weight: 1, arbitrary: unaligned },
    { weight: 4, arbitrary: protect },
    { weight: 2, arbitrary: remap },
    { weight: 6, arbitrary: advise },
    { weight: 1, arbitrary: lock },
    { weight: 2, arbitrary: truncate },
    { weight: 1, arbitrary: shortFile },
    { weight: 2, arbitrary: punch },
    { weight: 2, arbitrary: look },
    { weight: 2, arbitrary: sum },
    { weight: 1, arbitrary: fork },
  );
}

/** Maps an object through the device, writes it, looks at it and unmaps it. */
export function gmapItem(place: Place): Arbitrary<Item> {
  const at = areaAt(place, corner.gem);
  return fc
    .tuple(
      fc.constantFrom(...slots.gem.keys(), ...slots.odd),
      fc.constantFrom(2n, 1n, 2n, 3n),
      fc.constantFrom(1, 4, 1, 1024),
      fc.constantFrom(0, 0, 0, 1),
      fc.constantFrom(READ_WRITE, READ_WRITE, c('PROT_READ')),
      fc.nat(255),
      fc.constantFrom(0, 0, 0, 0, PAGE, 3 * PAGE, 8),
    )
    .map(([slot, flags, pages, file, prot, byte, wanted]) => {
      // Behind an object's offsets may be another one's, or not.
      const known = slots.gem.has(slot) && wanted < pagesOf(slot) * PAGE;
      const within = known ? wanted : 0;
      const scribe = new Scribe(place);
      const offset = new Slot(slots.tempOffset);
      scribe.forget(offset);
      scribe.ioctl({
        name: 'I915_GEM_MMAP_OFFSET',
        type: 'drm_i915_gem_mmap_offset',
        fields: { handle: new Slot(slot), flags },
        take: { field: 'offset', to: offset },
        masks: { offset: 'fakeOffset' },
      });
      const kind = within
        ? 'from within'
        : file
          ? 'other file'
          : pages > 16
            ? 'beyond the object'
            : 'plain';
      const from = within ? `$${offset.n}+${within}` : offset;
      const args = [new FileSlot(file), at, pages * PAGE, prot, SHARED, from];
      scribe.add(
        callStep('gmap', args, [kind]),
        writeStep(at + 8n, Buffer.alloc(8, byte)),
        readStep(at, 32),
        callStep('munmap', [at, pages * PAGE]),
      );
      return scribe.steps;
    });
}
