// SPDX-License-Identifier: MIT
// Sync objects, and sync files, as data. Nothing waits but for what is over: a wait's outcome would
// be a matter of time.
import { constant } from '../native.js';
import {
  bad,
  badOf,
  type Choice,
  fileSlotOf,
  good,
  goodOf,
  NO_HANDLE,
  slotOf,
  unknownBits,
  zero,
} from './choices.js';
import { areaAt, files, slots } from './layout.js';
import { readStep } from './ops.js';
import type { Data, Scribe } from './scribe.js';
import type { CallSpec } from './spec.js';
import { type Place, Slot } from './uapi.js';

const c = constant;
const u32 = (n: number) => Buffer.from(Uint32Array.from([n]).buffer);

/** Handles in a row, as what a pointer leads to. */
const row = (list: readonly (number | Slot)[]): Data =>
  list.map((n) =>
    n instanceof Slot ? { type: 'drm_i915_gem_sw_finish', fields: { handle: n } } : u32(n),
  );
const [s0, s1, s2] = slots.syncobj.map((n) => new Slot(n)) as [Slot, Slot, Slot];

export const anySyncobj: Choice[] = [
  goodOf(slotOf(...slots.syncobj), '', 12),
  bad('unknown syncobj', [0, NO_HANDLE]),
];

const arrays = (place: Place): Choice<Record<string, number | bigint | Data>>[] => [
  good([
    { handles: row([s0]), count_handles: 1 },
    { handles: row([s1]), count_handles: 1 },
  ]),
  good(
    [
      { handles: row([s0, s1]), count_handles: 2 },
      { handles: row([s2, s1, s0]), count_handles: 3 },
      { handles: row([s1, s1]), count_handles: 2 },
    ],
    'several',
    6,
  ),
  bad('no handles', { handles: 0n, count_handles: 0 }),
  bad('unknown syncobj', [
    { handles: row([NO_HANDLE]), count_handles: 1 },
    { handles: row([s0, 0]), count_handles: 2 },
  ]),
  bad('handles unmapped', [
    { handles: areaAt(place, 6), count_handles: 1 },
    { handles: areaAt(place, 1, 15) + 4092n, count_handles: 2 },
  ]),
  bad('count too large', { handles: areaAt(place, 6), count_handles: 0xffff_ffff }),
];

const timeouts: Choice[] = [good([0n, 1n]), good([-1n, -(1n << 63n)], 'negative timeout', 2)];

export const syncCalls = (place: Place): CallSpec[] => {
  const pad = zero('pad');
  const group = arrays(place);
  const results = place.args + 0x900n;
  const points = (n: bigint): Data => [Buffer.from(BigUint64Array.from([n, n + 1n, n]).buffer)];
  const somePoints: Choice[] = [
    good([points(1n), points(2n), points(5n)]),
    good([points(0n)], 'point 0', 3),
    good(0n, 'no points', 1),
    bad('points unmapped', areaAt(place, 6)),
  ];
  return [
    {
      name: 'SYNCOBJ_CREATE',
      type: 'drm_syncobj_create',
      fields: {
        handle: [good([0, NO_HANDLE])],
        flags: [good(0), good(1, 'signalled', 12), bad('unknown flag', unknownBits(1))],
      },
      take: { field: 'handle', to: slotOf(...slots.syncobj) },
      weight: 3,
    },
    {
      name: 'SYNCOBJ_DESTROY',
      type: 'drm_syncobj_destroy',
      fields: { handle: anySyncobj, pad },
    },
    {
      name: 'SYNCOBJ_HANDLE_TO_FD',
      type: 'drm_syncobj_handle',
      fields: {
        handle: anySyncobj,
        flags: [good(0), good(1, 'export a sync file', 12), bad('unknown flag', unknownBits(1))],
        fd: [good(0xffff_ffff)],
        pad,
      },
      take: { field: 'fd', to: fileSlotOf(...files.sync) },
      before: closeSync,
    },
    {
      name: 'SYNCOBJ_FD_TO_HANDLE',
      type: 'drm_syncobj_handle',
      fields: {
        handle: [good(0), ...anySyncobj],
        flags: [good(0), good(1, 'import a sync file', 12), bad('unknown flag', unknownBits(1))],
        fd: [
          goodOf(fileSlotOf(...files.sync)),
          bad('no descriptor', [-1, 9999]),
          badOf('another file', fileSlotOf(...files.gpu, ...files.memfd, ...files.dmabuf)),
        ],
        pad,
      },
      take: { field: 'handle', to: slotOf(...slots.syncobj) },
    },
    {
      name: 'SYNCOBJ_WAIT',
      type: 'drm_syncobj_wait',
      fields: {
        timeout_nsec: timeouts,
        flags: [
          good(0),
          good(1, 'all', 4),
          good([2, 3], 'for submit', 3),
          bad('unknown flag', unknownBits(3)),
        ],
        first_signaled: [good(0)],
        pad: [good([0, 1])],
      },
      groups: [group],
      weight: 2,
    },
    {
      name: 'SYNCOBJ_TIMELINE_WAIT',
      type: 'drm_syncobj_timeline_wait',
      fields: {
        timeout_nsec: timeouts,
        points: somePoints,
        flags: [
          good(0),
          good(1, 'all', 4),
          good([2, 3], 'for submit', 3),
          good([4, 5], 'available', 3),
          bad('unknown flag', unknownBits(7)),
        ],
      },
      groups: [group],
      weight: 2,
    },
    {
      name: 'SYNCOBJ_RESET',
      type: 'drm_syncobj_array',
      fields: { pad },
      groups: [group],
    },
    {
      name: 'SYNCOBJ_SIGNAL',
      type: 'drm_syncobj_array',
      fields: { pad },
      groups: [group],
    },
    {
      name: 'SYNCOBJ_TIMELINE_SIGNAL',
      type: 'drm_syncobj_timeline_array',
      fields: { points: somePoints, flags: zero('flags') },
      groups: [group],
    },
    {
      name: 'SYNCOBJ_QUERY',
      type: 'drm_syncobj_timeline_array',
      fields: {
        points: [good(results), bad('points unmapped', [areaAt(place, 6), 0n])],
        flags: [
          good(0),
          good(c('DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED'), 'last submitted', 6),
          bad('unknown flag', unknownBits(1)),
        ],
      },
      groups: [group],
      after: (scribe) => scribe.add(readStep(results, 24)),
    },
    {
      name: 'SYNCOBJ_TRANSFER',
      type: 'drm_syncobj_transfer',
      fields: {
        src_handle: anySyncobj,
        dst_handle: anySyncobj,
        src_point: [good([0n, 1n]), good([2n, 9n], 'later point', 2)],
        dst_point: [good([0n, 3n]), good([1n, 1n << 40n], 'other point', 3)],
        flags: [good(0), bad('unknown flag', unknownBits(2))],
        pad,
      },
    },
  ];
};

function closeSync(scribe: Scribe): void {
  for (const n of files.sync) scribe.add({ call: 'close', line: `close f${n}`, kinds: ['plain'] });
}
