// SPDX-License-Identifier: MIT
// An object that batches have written, one page of which is then another one, and that they write
// again: each page of an object is told of, its first and its last.
import fc, { type Arbitrary } from 'fast-check';
import { constant } from '../native.js';
import { plainExec } from './exec.js';
import { execSteps } from './exec-steps.js';
import { areaAt, areas, files, PAGE, pagesOf } from './layout.js';
import { MOVE, mapArea, PUNCH } from './memory.js';
import { areaOf } from './objects.js';
import { callStep, type Step, sumStep, writeStep } from './ops.js';
import type { Item } from './spec.js';
import { FileSlot, type Place } from './uapi.js';

const c = constant;

const changes = [
  'mmap over',
  'munmap, mmap',
  'madvise DONTNEED',
  'mprotect read',
  'mprotect none',
  'mremap',
  'punch a hole',
] as const;
type Change = (typeof changes)[number];

/** Objects of user memory, of 1, 4 and 16 pages. */
const targets = [10, 14, 18] as const;

export const againItem = (place: Place): Arbitrary<Item> =>
  fc
    .record({
      slot: fc.constantFrom(...targets),
      end: fc.constantFrom('last', 'first', 'last', 'second'),
      change: fc.constantFrom<Change>(...changes),
      engine: fc.constantFrom(1n, 3n, 2n, 4n),
      values: fc.tuple(
        fc.integer({ min: 1, max: 0xffff_ffff }),
        fc.integer({ min: 1, max: 0xffff_ffff }),
      ),
      // What the CPU writes to the new page, if anything.
      byte: fc.option(fc.nat(255)),
    })
    .map(({ slot, end, change, engine, values, byte }) => {
      const last = pagesOf(slot) - 1;
      const page = end === 'last' ? last : end === 'first' ? 0 : Math.min(1, last);
      const store = (edge: number, value: number): Item =>
        execSteps(place, plainExec(slot, [{ page, edge, what: 'dword', value }], engine));
      const { n, page: first } = areaOf(slot);
      const at = areaAt(place, n, first + page);
      return [
        ...store(0, values[0]),
        ...changeSteps(place, change, n, first + page),
        ...(byte === null ? [] : [writeStep(at + 128n, Buffer.alloc(8, byte))]),
        ...store(64, values[1]),
        sumStep(at, PAGE),
      ];
    });

function changeSteps(place: Place, change: Change, n: number, page: number): Step[] {
  const at = areaAt(place, n, page);
  const area = areas[n] as (typeof areas)[number];
  const readWrite = c('PROT_READ') | c('PROT_WRITE');
  switch (change) {
    case 'mmap over':
      return [mapArea(place, area, page, 1)];
    case 'munmap, mmap':
      return [callStep('munmap', [at, PAGE]), mapArea(place, area, page, 1)];
    case 'madvise DONTNEED':
      return [callStep('madvise', [at, PAGE, c('MADV_DONTNEED')], ['DONTNEED'])];
    case 'mprotect read':
      return [callStep('mprotect', [at, PAGE, c('PROT_READ')], ['read'])];
    case 'mprotect none':
      return [
        callStep('mprotect', [at, PAGE, 0], ['none']),
        callStep('mprotect', [at, PAGE, readWrite], ['read, write']),
      ];
    case 'mremap':
      return [
        callStep('mremap', [at, PAGE, PAGE, MOVE, areaAt(place, 6)], ['move']),
        mapArea(place, area, page, 1),
      ];
    case 'punch a hole': {
      const file = new FileSlot(files.memfd[area.how === 'memfd private' ? 1 : 0]);
      return [callStep('fallocate', [file, PUNCH, page * PAGE, PAGE], ['punch a hole'])];
    }
  }
}
