// SPDX-License-Identifier: MIT
// Where soft and the driver differ on purpose: each with its reason, and found by no more than it must.
import type { Step } from './ops.js';

export interface Sides {
  steps: readonly Step[];
  /** The step whose answers differ. */
  at: number;
  /** What was answered, without what is masked. */
  soft: string;
  driver: string;
  /** The driver's. */
  kernel: string;
}

export interface DeliberateDifference {
  /** For programs, and for docs/matching.md; stays the same. */
  name: string;
  /** What differs, and why it stays so. */
  reason: string;
  matches(sides: Sides): boolean;
}

const HUGE = 'size of more than memory';
/** Calls that need an object's memory to be there. */
const memoryCalls = new Set([
  'I915_GEM_MMAP',
  'I915_GEM_MMAP_GTT',
  'I915_GEM_MMAP_OFFSET',
  'I915_GEM_PWRITE',
  'I915_GEM_PREAD',
]);

export const deliberate: readonly DeliberateDifference[] = [
  {
    name: 'more-than-memory',
    reason:
      "An object of more than the machine's memory cannot be mapped or written in soft, whose objects " +
      'are ranges of one file in memory (native/soft/pool.h); the driver fills memory and swap page ' +
      'by page.',
    matches: ({ steps, at, soft, driver }) =>
      memoryCalls.has(steps[at]?.call ?? '') &&
      /^-(12|28) /.test(soft) &&
      driver.startsWith('0 ') &&
      steps.slice(0, at).some((s) => s.kinds.includes(HUGE)),
  },
];

/** What sequences leave out, as it would differ in every one after it. */
export const notDrawn: readonly { name: string; reason: string }[] = [
  {
    name: 'dontneed-userptr',
    reason:
      'i915 leaks pins: an execbuf of a userptr object that GEM_MADVISE says is not needed pins the pages ' +
      '(i915_gem_object_userptr_submit_init), fails with EFAULT as the object may have none, and the ' +
      'pages stay pinned when the object is freed. Seen on 6.1 and 7.2; soft lets them go.',
  },
];
