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
  {
    name: 'no-fake-offset',
    reason:
      'An object for whose mapping no fake offset is free, as it is too large: ENOSPC, but EPERM where ' +
      'requests are not yet retired. A bug of i915: intel_gt_retire_requests_timeout() says as a long ' +
      'how long it could still have waited, MAX_SCHEDULE_TIMEOUT, and mmap_offset_attach() takes it ' +
      'as an int for an errno, -1. When they are retired is chance.',
    matches: ({ steps, at, soft, driver }) =>
      /^I915_GEM_MMAP_(GTT|OFFSET)$/.test(steps[at]?.call ?? '') &&
      soft.startsWith('-28 ') &&
      driver.startsWith('-1 '),
  },
];

/** What sequences leave out, as it would differ in every one after it. */
export const notDrawn: readonly { name: string; reason: string }[] = [
  {
    name: 'late-advice',
    reason:
      'MADV_FREE, whose pages go when memory is wanted, and MADV_HWPOISON and MADV_SOFT_OFFLINE, which ' +
      "take the machine's memory away.",
  },
  {
    name: 'while-it-runs',
    reason:
      "A batch on the copy engine that the CPU changes while it runs: the driver runs gen9's from a copy, " +
      'soft what was submitted (native/soft/cmd_parser.h).',
  },
  {
    name: 'dontneed-userptr',
    reason:
      'Execbufs of userptr objects that GEM_MADVISE says are not needed: i915 looks their pages up over ' +
      'and over, without end, or, if the call fails for another reason, leaves them pinned when the ' +
      'object is gone (6.1).',
  },
];
