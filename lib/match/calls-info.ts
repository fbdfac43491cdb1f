// SPDX-License-Identifier: MIT
// What the driver and the device say of themselves, as data.
import fc from 'fast-check';
import { constant, native } from '../native.js';
import { ALL_ONES, bad, badOf, type Choice, good, goodOf } from './choices.js';
import { areaAt } from './layout.js';
import { readStep } from './ops.js';
import type { Data } from './scribe.js';
import type { CallSpec, FieldValues } from './spec.js';
import type { Place } from './uapi.js';

const c = constant;
const all = (prefix: string) =>
  Object.entries(native.constants)
    .filter(([name]) => name.startsWith(prefix))
    .map(([, value]) => value);

export const infoCalls = (place: Place): CallSpec[] => {
  const room = place.args + 0x900n;
  const unmapped = areaAt(place, 6);
  const text = (n: bigint): Choice[] => [
    good(room + n * 64n),
    good(0n, 'no buffer', 3),
    bad('buffer unmapped', unmapped),
  ];
  const lengths: Choice[] = [good([64n, 0n]), good([1n, 3n], 'short buffer', 4)];
  const queryRoom = place.args + 0xa00n;
  return [
    {
      name: 'VERSION',
      type: 'drm_version',
      fields: {
        name_len: lengths,
        date_len: lengths,
        desc_len: lengths,
        name: text(0n),
        date: text(1n),
        desc: text(2n),
      },
      after: (scribe) => scribe.add(readStep(room, 192)),
    },
    {
      name: 'GET_CAP',
      type: 'drm_get_cap',
      fields: {
        capability: [
          good([c('DRM_CAP_PRIME'), c('DRM_CAP_SYNCOBJ'), c('DRM_CAP_SYNCOBJ_TIMELINE')]),
          goodOf(fc.nat(0x20), 'any capability'),
          bad('unknown capability', [0x100n, ALL_ONES, 1n << 32n]),
        ],
        value: [good([0n, ALL_ONES])],
      },
    },
    {
      name: 'I915_GETPARAM',
      type: 'drm_i915_getparam',
      fields: {
        param: [
          goodOf(fc.constantFrom(...all('I915_PARAM_'))),
          badOf('unknown parameter', fc.constantFrom(0, 60, 99, 1000, -1, 0x7fff_ffff)),
        ],
        value: [good(room), bad('value unmapped', [unmapped, 0n]), good(room + 2n, 'unaligned', 1)],
      },
      after: (scribe) => scribe.add(readStep(room, 8)),
      weight: 3,
    },
    {
      name: 'I915_SETPARAM',
      type: 'drm_i915_setparam',
      fields: {
        param: [good([1, 2, 3, 4]), bad('unknown parameter', [0, 5, -1])],
        value: [good([0, 1])],
      },
    },
    {
      name: 'I915_REG_READ',
      type: 'drm_i915_reg_read',
      fields: {
        offset: [
          good([0x2358n, 0x2359n]),
          bad('other register', [0n, 0x2350n, 0x2360n, 0x12358n, ALL_ONES]),
          bad('unknown flag', [0x235an, 0x235cn]),
        ],
      },
      masks: { val: 'clock' },
    },
    {
      name: 'I915_PERF_OPEN',
      type: 'drm_i915_perf_open_param',
      fields: {
        flags: [good([0, 1, 2, 4]), bad('unknown flag', [8, 0x8000_0000])],
        num_properties: [good([0, 1])],
        properties_ptr: [good(0n)],
      },
    },
    {
      name: 'I915_QUERY',
      type: 'drm_i915_query',
      fields: { flags: [good(0, '', 24), bad('flags not zero', [1, 0x8000_0000])] },
      groups: [
        [
          ...queries(queryRoom, unmapped),
          good({ num_items: 0, items_ptr: 0n }, 'no items', 1),
          bad('items unmapped', { num_items: 1, items_ptr: unmapped }),
        ],
      ],
      after: (scribe, { items_ptr, num_items }) => {
        // No more than was written: behind it is what another item has left there.
        if (typeof items_ptr === 'bigint' && items_ptr !== unmapped && items_ptr)
          scribe.read(items_ptr, 'drm_i915_query_item', Number(num_items));
        scribe.add(readStep(queryRoom, 512));
      },
      weight: 3,
    },
  ];
};

const query = (name: string) => c(`DRM_I915_QUERY_${name}`);

/** Bytes that the answers have on this GPU: topology 32, engines 240, regions 104, perf's list 56. */
function queries(room: bigint, unmapped: bigint): Choice<FieldValues>[] {
  const items = (...list: FieldValues[]): FieldValues => ({
    num_items: list.length,
    items_ptr: list.map((fields) => ({ type: 'drm_i915_query_item', fields })) as Data,
  });
  const item = (id: number | bigint, length: number, more: FieldValues = {}) => ({
    query_id: BigInt(id),
    length,
    data_ptr: room,
    ...more,
  });
  const known = [
    'TOPOLOGY_INFO',
    'ENGINE_INFO',
    'PERF_CONFIG',
    'MEMORY_REGIONS',
    'HWCONFIG_BLOB',
    'GEOMETRY_SUBSLICES',
    'GUC_SUBMISSION_VERSION',
  ].map(query);
  const [topology, engines, perf, regions] = known as [number, number, number, number];
  return [
    good(
      known.map((id) => items(item(id, 0))),
      'length',
      8,
    ),
    good(
      [
        items(item(topology, 32)),
        items(item(engines, 240)),
        items(item(topology, 4096)),
        items(item(engines, 512), item(topology, 0)),
      ],
      'data',
      8,
    ),
    good([items(item(topology, 0), item(regions, 0))], 'two items', 2),
    bad('length too small', [
      items(item(topology, 31)),
      items(item(engines, 1)),
      items(item(regions, 8)),
    ]),
    good(
      [1, 2, 3].map((flags) => items(item(perf, 0, { flags }))),
      'perf configurations, length',
      2,
    ),
    good(
      [items(item(perf, 56, { flags: 1 })), items(item(perf, 4096, { flags: 1 }))],
      'perf list',
      2,
    ),
    bad('perf configuration', [
      items(item(perf, 120, { flags: 2 })),
      items(item(perf, 120, { flags: 3 })),
      items(item(perf, 55, { flags: 1 })),
      items(item(perf, 119, { flags: 2 })),
      items(item(perf, -1, { flags: 3 })),
      items(item(perf, 120, { flags: 3, data_ptr: unmapped })),
      items(item(perf, 56, { flags: 1, data_ptr: 0n })),
    ]),
    bad(
      'negative length',
      // Large ones, and so not refused; of memory the answer would be the machine's.
      known.filter((id) => id !== regions).map((id) => items(item(id, -1))),
    ),
    bad('unknown query', [
      items(item(0, 0)),
      items(item(99, 0)),
      items(item(1n << 32n, 0)),
      items(item((1n << 63n) + 1n, 0)),
    ]),
    bad(
      'item flags',
      known.map((id) => items(item(id, 0, { flags: 7 }))),
    ),
    bad('data unmapped', [
      items(item(topology, 32, { data_ptr: unmapped })),
      items(item(engines, 240, { data_ptr: 0n })),
    ]),
  ];
}
