// SPDX-License-Identifier: MIT
// The objects that batches write to.
import fc, { type Arbitrary } from 'fast-check';
import { constant } from '../native.js';
import { type Choice, type Chosen, choose, good, kindsOf } from './choices.js';
import { areaAt, firstObjects, PAGE, pagesOf, slots } from './layout.js';
import { Scribe } from './scribe.js';
import type { Item } from './spec.js';
import { type Place, Slot } from './uapi.js';

const c = constant;

/** Where a slot's userptr object lies, if userptrItem() made it with the first choice. */
export const areaOf = (slot: number): { n: number; page: number } =>
  pagesOf(slot) > 16 ? { n: 5, page: 0 } : { n: slot % 5, page: (slot * 3) % (17 - pagesOf(slot)) };

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
