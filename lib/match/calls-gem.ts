// SPDX-License-Identifier: MIT
// The ioctls of GEM objects but execbuf, as data.
import fc from 'fast-check';
import { constant } from '../native.js';
import {
  ALL_ONES,
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
import {
  areaAt,
  areas,
  files,
  firstObjects,
  KERNEL_ADDRESS,
  objectSlots,
  slots,
} from './layout.js';
import { readStep } from './ops.js';
import type { Data, Scribe } from './scribe.js';
import type { CallSpec, FieldValues } from './spec.js';
import type { Place } from './uapi.js';

const c = constant;

export const anyObject: Choice[] = [
  goodOf(slotOf(...firstObjects), '', 12),
  goodOf(slotOf(...objectSlots), '', 6),
  goodOf(slotOf(...slots.odd), '', 2),
  goodOf(slotOf(...slots.imported), 'imported', 1),
  bad('handle 0', 0),
  bad('unknown handle', [NO_HANDLE, 0xffff_ffff]),
];
const closable = anyObject.filter(({ kind }) => kind !== 'imported');

/** Memory for `length` bytes that a call reads or writes, and addresses that are none. */
export const userMemory = (place: Place): Choice[] => [
  goodOf(
    fc
      .tuple(fc.constantFrom(0, 1, 2, 3, 4), fc.nat(14), fc.constantFrom(0, 8, 4092))
      .map(([n, page, in_]) => areaAt(place, n, page) + BigInt(in_)),
  ),
  bad('memory unmapped', areaAt(place, 6)),
  bad('no user address', [KERNEL_ADDRESS, 1n << 47n, ALL_ONES, ALL_ONES - 4095n]),
  bad('memory ends', endOf(place)),
];

/** What an extension chain may be. `real` are the extensions that the call knows, which it takes. */
export const extensions = (place: Place, real: readonly Choice[]): Choice[] => [
  good(0n, '', 6),
  ...real,
  bad('extension unknown', [
    [{ type: 'i915_user_extension', fields: { name: 0x77 } }],
    [{ type: 'i915_user_extension', fields: { name: 3 } }],
  ]),
  bad('extension flags', [[{ type: 'i915_user_extension', fields: { flags: 1 } }]]),
  bad('extension reserved', [[{ type: 'i915_user_extension', fields: { rsvd: 1n << 96n } }]]),
  bad('extension unmapped', [areaAt(place, 6), KERNEL_ADDRESS, 1n]),
];

const region = (cls: number, instance: number) =>
  Buffer.from(Uint16Array.from([cls, instance]).buffer);
const regions = (fields: FieldValues, next?: Data): Data => [
  { type: 'drm_i915_gem_create_ext_memory_regions', fields, ...(next ? { next } : {}) },
];

const createSizes: Choice[] = [
  good([4096n, 8192n, 65536n]),
  good([1n, 4095n, 4097n, 12345n], 'size rounded up', 4),
  bad('size 0', 0n),
  bad('size overflows', [ALL_ONES, ALL_ONES - 4094n]),
  bad('size too large', [1n << 43n, 1n << 60n, 1n << 63n]),
  good([1n << 42n, (1n << 43n) - 4096n], 'size of more than memory', 1),
];

export const gemCalls = (place: Place): CallSpec[] => {
  const memory = userMemory(place);
  const odd = { field: 'handle', to: slotOf(...slots.odd) };
  return [
    {
      name: 'I915_GEM_CREATE',
      type: 'drm_i915_gem_create',
      fields: { size: createSizes, pad: zero('pad'), handle: [good(0), good(NO_HANDLE, '', 1)] },
      take: odd,
    },
    {
      name: 'I915_GEM_CREATE_EXT',
      type: 'drm_i915_gem_create_ext',
      fields: {
        size: createSizes,
        flags: [good(0), bad('needs CPU access', 1), bad('unknown flag', unknownBits(1))],
        extensions: extensions(place, [
          good([regions({ num_regions: 1, regions: [region(0, 0)] })], 'in system memory', 3),
          bad('no such region', [
            regions({ num_regions: 1, regions: [region(1, 0)] }),
            regions({ num_regions: 1, regions: [region(0, 1)] }),
            regions({ num_regions: 1, regions: [region(7, 7)] }),
          ]),
          bad('region twice', [
            regions({ num_regions: 2, regions: [region(0, 0), region(0, 0)] }),
            regions(
              { num_regions: 1, regions: [region(0, 0)] },
              regions({ num_regions: 1, regions: [region(0, 0)] }),
            ),
          ]),
          bad('count of regions', [
            regions({ num_regions: 0, regions: 0n }),
            regions({ num_regions: 8, regions: 0n }),
            regions({ num_regions: 0xffff_ffff, regions: 0n }),
          ]),
          bad('regions unmapped', [regions({ num_regions: 1, regions: areaAt(place, 6) })]),
          bad('regions pad', [regions({ pad: 1, num_regions: 1, regions: [region(0, 0)] })]),
          bad('protected content', [
            [
              {
                type: 'drm_i915_gem_create_ext_protected_content',
                fields: { base: 1n << 64n, flags: 0 },
              },
            ],
            [
              {
                type: 'drm_i915_gem_create_ext_protected_content',
                fields: { base: 1n << 64n, flags: 1 },
              },
            ],
          ]),
          bad('set PAT', [
            [
              {
                type: 'drm_i915_gem_create_ext_set_pat',
                fields: { base: 2n << 64n, pat_index: 0 },
              },
            ],
            [
              {
                type: 'drm_i915_gem_create_ext_set_pat',
                fields: { base: 2n << 64n, pat_index: 99 },
              },
            ],
          ]),
        ]),
      },
      take: odd,
    },
    {
      name: 'I915_GEM_USERPTR',
      type: 'drm_i915_gem_userptr',
      fields: {
        user_ptr: [
          goodOf(
            fc
              .tuple(fc.constantFrom(...areas), fc.nat(15))
              .map(([{ n }, page]) => areaAt(place, n, page)),
          ),
          bad('pointer unaligned', [
            areaAt(place, 0) + 1n,
            areaAt(place, 0) + 8n,
            areaAt(place, 0) + 4095n,
          ]),
          bad('no user address', [KERNEL_ADDRESS, 1n << 47n, 0x7fff_ffff_f000n, ALL_ONES - 4095n]),
          bad('pointer 0', 0n),
        ],
        user_size: [
          good([4096n, 8192n, 65536n]),
          good([2097152n], 'huge page', 2),
          bad('size 0', 0n, 2),
          bad('size unaligned', [1n, 4095n, 4097n, 8n], 2),
          bad('size too large', [1n << 43n, 1n << 63n, ALL_ONES, ALL_ONES - 4095n], 2),
          bad('size of all memory', [(1n << 43n) - 4096n, 0x7fff_ffff_f000n, 1n << 42n], 1),
        ],
        flags: [
          good(0),
          good(c('I915_USERPTR_READ_ONLY'), 'read-only', 3),
          good(c('I915_USERPTR_PROBE'), 'probe', 3),
          good(c('I915_USERPTR_PROBE') | c('I915_USERPTR_READ_ONLY'), 'probe, read-only', 2),
          bad(
            'unsynchronized',
            [
              c('I915_USERPTR_UNSYNCHRONIZED'),
              c('I915_USERPTR_UNSYNCHRONIZED') + c('I915_USERPTR_PROBE'),
            ],
            2,
          ),
          bad('unknown flag', unknownBits(0x8000_0003), 2),
        ],
        handle: [good(0), good(NO_HANDLE, '', 1)],
      },
      take: odd,
      weight: 4,
    },
    {
      name: 'GEM_CLOSE',
      type: 'drm_gem_close',
      fields: { handle: closable, pad: zero('pad') },
      // A zero, on success: no later call takes the handle for what it was.
      forget: { slot: 'handle', zero: 'pad' },
    },
    {
      name: 'I915_GEM_BUSY',
      type: 'drm_i915_gem_busy',
      fields: { handle: anyObject, busy: [good(0), good(0xffff_ffff, '', 1)] },
    },
    {
      name: 'I915_GEM_WAIT',
      type: 'drm_i915_gem_wait',
      fields: {
        bo_handle: anyObject,
        flags: [good(0), bad('unknown flag', unknownBits(0))],
        timeout_ns: [good(0n), good([-1n, -(1n << 63n)], 'for ever', 4)],
      },
      // Cut short, for ever becomes a very long time, of which some is over.
      masks: { timeout_ns: 'clock' },
    },
    {
      name: 'I915_GEM_SET_DOMAIN',
      type: 'drm_i915_gem_set_domain',
      fields: { handle: anyObject },
      groups: [
        [
          good(
            [
              { read_domains: 1, write_domain: 0 },
              { read_domains: 1, write_domain: 1 },
            ],
            'CPU',
          ),
          good(
            [
              { read_domains: 0x40, write_domain: 0 },
              { read_domains: 0x40, write_domain: 0x40 },
            ],
            'GTT',
            4,
          ),
          good(
            [
              { read_domains: 0x80, write_domain: 0 },
              { read_domains: 0x80, write_domain: 0x80 },
            ],
            'WC',
            4,
          ),
          good(
            [
              { read_domains: 0x41, write_domain: 0 },
              { read_domains: 0xc1, write_domain: 0 },
            ],
            'several domains',
            2,
          ),
          good({ read_domains: 0, write_domain: 0 }, 'no domain', 2),
          bad(
            'GPU domain',
            [2, 4, 8, 0x10, 0x20].flatMap((bit) => [
              { read_domains: bit, write_domain: 0 },
              { read_domains: bit, write_domain: bit },
            ]),
          ),
          bad('two write domains', [
            { read_domains: 0x41, write_domain: 0x41 },
            { read_domains: 0xc1, write_domain: 0xc1 },
          ]),
          bad('written and not read', [
            { read_domains: 0, write_domain: 1 },
            { read_domains: 1, write_domain: 0x40 },
            { read_domains: 0x41, write_domain: 1 },
          ]),
          bad('unknown domain', [
            { read_domains: 0x100, write_domain: 0 },
            { read_domains: 0x8000_0000, write_domain: 0x8000_0000 },
            { read_domains: 0x101, write_domain: 0 },
          ]),
        ],
      ],
      weight: 2,
    },
    {
      name: 'I915_GEM_SW_FINISH',
      type: 'drm_i915_gem_sw_finish',
      fields: { handle: anyObject },
    },
    {
      name: 'I915_GEM_SET_CACHING',
      type: 'drm_i915_gem_caching',
      fields: {
        handle: anyObject,
        caching: [
          good([0, 1], '', 8),
          good(2, 'display', 3),
          bad('unknown level', [3, 0x8000_0001, 0xffff_ffff]),
        ],
      },
    },
    {
      name: 'I915_GEM_GET_CACHING',
      type: 'drm_i915_gem_caching',
      fields: { handle: anyObject, caching: [good(0), good(0xffff_ffff, '', 1)] },
    },
    {
      name: 'I915_GEM_SET_TILING',
      type: 'drm_i915_gem_set_tiling',
      fields: {
        handle: anyObject,
        tiling_mode: [
          good(0, 'linear'),
          good(1, 'X', 6),
          good(2, 'Y', 6),
          bad('unknown mode', [3, 99, 0xffff_ffff]),
        ],
        stride: [
          good([512, 1024, 4096], '', 8),
          good(128, 'stride of one Y tile', 2),
          good(0x800 * 128, 'largest stride', 1),
          bad('stride', [0, 1, 64, 511, 513, 0x800 * 128 + 512, 0xffff_ff00]),
        ],
        swizzle_mode: [good([0, 0xffff_ffff])],
      },
    },
    {
      name: 'I915_GEM_GET_TILING',
      type: 'drm_i915_gem_get_tiling',
      fields: { handle: anyObject, tiling_mode: [good([0, 0xffff_ffff])] },
    },
    {
      name: 'I915_GEM_MADVISE',
      type: 'drm_i915_gem_madvise',
      fields: { retained: [good([0, 0xffff_ffff])] },
      groups: [
        [
          goodOf(
            slotOf(...objectSlots).map((handle) => ({ handle, madv: 0 })),
            'will need',
            8,
          ),
          // Of GEM objects alone: lib/match/differences.ts, notDrawn.
          goodOf(
            slotOf(...slots.gem.keys()).map((handle) => ({ handle, madv: 1 })),
            "don't need",
            2,
          ),
          badOf(
            'unknown advice',
            slotOf(...objectSlots).map((handle) => ({ handle, madv: 2 })),
          ),
          bad('unknown handle', [
            { handle: NO_HANDLE, madv: 0 },
            { handle: 0, madv: 1 },
          ]),
          bad('unknown handle and advice', { handle: NO_HANDLE, madv: 0xffff_ffff }),
        ],
      ],
    },
    {
      name: 'I915_GEM_PREAD',
      type: 'drm_i915_gem_pread',
      fields: { handle: anyObject, pad: [good([0, 1])], ...transfer(), data_ptr: memory },
      weight: 2,
    },
    {
      name: 'I915_GEM_PWRITE',
      type: 'drm_i915_gem_pwrite',
      fields: { handle: anyObject, pad: [good([0, 1])], ...transfer(), data_ptr: memory },
      after: (scribe, { handle, offset, data_ptr }) => {
        if (data_ptr !== endOf(place)) return;
        // How much of it was written.
        const read = scribe.room(32);
        scribe.ioctl({
          name: 'I915_GEM_PREAD',
          type: 'drm_i915_gem_pread',
          fields: { handle: handle ?? 0, offset: offset ?? 0n, size: 32n, data_ptr: read },
        });
        scribe.add(readStep(read, 32));
      },
      weight: 2,
    },
    {
      name: 'I915_GEM_MMAP',
      type: 'drm_i915_gem_mmap',
      fields: {
        handle: anyObject,
        offset: [good(0n), bad('offset', [1n, 4096n, ALL_ONES, ALL_ONES - 4095n])],
        size: [good(4096n), bad('size', [0n, 1n << 40n, ALL_ONES])],
        flags: [good([0n, 1n]), bad('unknown flag', unknownBits(1, 64))],
      },
      masks: { addr_ptr: 'address' },
    },
    {
      name: 'I915_GEM_MMAP_OFFSET',
      type: 'drm_i915_gem_mmap_offset',
      fields: {
        handle: anyObject,
        pad: [good([0, 1])],
        flags: [
          good([1n, 2n], '', 8),
          good(0n, 'GTT', 3),
          good(3n, 'UC', 3),
          bad('fixed', 4n),
          bad('unknown flag', [5n, 0x100n, 1n << 63n]),
        ],
        extensions: extensions(place, []),
      },
      take: { field: 'offset', to: slotOf(...slots.offset) },
      masks: { offset: 'fakeOffset' },
      weight: 2,
    },
    {
      name: 'I915_GEM_MMAP_GTT',
      type: 'drm_i915_gem_mmap_gtt',
      fields: { handle: anyObject, pad: [good([0, 1])] },
      take: { field: 'offset', to: slotOf(...slots.offset) },
      masks: { offset: 'fakeOffset' },
    },
    {
      name: 'PRIME_HANDLE_TO_FD',
      type: 'drm_prime_handle',
      fields: {
        handle: anyObject,
        flags: [
          good([c('DRM_CLOEXEC'), c('DRM_CLOEXEC') | c('DRM_RDWR')]),
          good([0, c('DRM_RDWR')], 'no flag', 3),
          bad('unknown flag', unknownBits(c('DRM_CLOEXEC') | c('DRM_RDWR'))),
        ],
        fd: [good(0xffff_ffff)],
      },
      take: { field: 'fd', to: fileSlotOf(...files.dmabuf) },
      before: (scribe) => closeAll(scribe, files.dmabuf),
    },
    {
      name: 'PRIME_FD_TO_HANDLE',
      type: 'drm_prime_handle',
      fields: {
        handle: [good(0)],
        flags: [good([0, 0xffff_ffff])],
        fd: [
          goodOf(fileSlotOf(...files.dmabuf)),
          bad('no dma-buf', [-1, 9999]),
          badOf('another file', fileSlotOf(...files.gpu, ...files.memfd)),
        ],
      },
      take: { field: 'handle', to: slotOf(...slots.imported) },
    },
    { name: 'I915_GEM_THROTTLE', type: '', fields: {} },
    {
      name: 'I915_GEM_GET_APERTURE',
      type: 'drm_i915_gem_get_aperture',
      fields: { aper_size: [good([0n, ALL_ONES])] },
      masks: { aper_available_size: 'memory' },
    },
  ];
};

/** Eight bytes before the memory's end. */
const endOf = (place: Place): bigint => areaAt(place, 1, 15) + 4088n;

function transfer(): Record<string, Choice[]> {
  return {
    offset: [
      good([0n, 8n, 4088n]),
      good([1n, 4095n], 'unaligned', 2),
      good(4096n, 'second page', 2),
      bad('offset', [1n << 40n, ALL_ONES, ALL_ONES - 4095n]),
    ],
    size: [
      good([8n, 4096n, 1n]),
      good(0n, 'size 0', 1),
      bad('size', [1n << 41n, ALL_ONES, 1n << 63n]),
    ],
  };
}

function closeAll(scribe: Scribe, which: readonly number[]): void {
  for (const n of which) scribe.add({ call: 'close', line: `close f${n}`, kinds: ['plain'] });
}
