// SPDX-License-Identifier: MIT
// What the driver says of itself: version, parameters, queries; and the way into an ioctl.
import { describe, expect, test } from 'vitest';
import { constant, native } from '../../lib/native.js';
import { answer, BAD_FLAG, devices, field, raw, struct } from './devices.js';

describe.each(devices())('$name', (target) => {
  test('names itself i915 1.6 or later', () => {
    const version = target.open().version();
    expect(version.name).toBe('i915');
    expect([version.major, version.minor >= 6]).toEqual([1, true]);
    expect(version.description).toBe('Intel Graphics');
  });

  test('cuts the version strings to the buffer but tells their whole length', () => {
    const device = target.open();
    const bytes = raw(device, 'VERSION', 'drm_version', {});
    expect(field(bytes, 'drm_version', 'name_len')).toBe(4n);
    expect(field(bytes, 'drm_version', 'desc_len')).toBe(BigInt('Intel Graphics'.length));
  });

  test('answers the capabilities of a driver with PRIME and syncobjs', () => {
    const device = target.open();
    expect(device.getCap('PRIME')).toBe(3n);
    expect(device.getCap('SYNCOBJ')).toBe(1n);
    expect(device.getCap('TIMESTAMP_MONOTONIC')).toBe(1n);
    // Where the display is fused off, the DRM core knows of no capabilities but those above.
    expect(['EINVAL', 'EOPNOTSUPP']).toContain(
      answer(() => raw(device, 'GET_CAP', 'drm_get_cap', { capability: 0x7777 })),
    );
  });

  describe('getparam', () => {
    test('has what every i915 since 5.13 has', () => {
      const device = target.open();
      for (const name of [
        'HAS_GEM',
        'HAS_EXECBUF2',
        'HAS_RELAXED_FENCING',
        'HAS_RELAXED_DELTA',
        'HAS_WAIT_TIMEOUT',
        'HAS_EXEC_NO_RELOC',
        'HAS_EXEC_HANDLE_LUT',
        'HAS_EXEC_SOFTPIN',
        'HAS_EXEC_ASYNC',
        'HAS_EXEC_FENCE',
        'HAS_EXEC_BATCH_FIRST',
        'HAS_EXEC_FENCE_ARRAY',
        'HAS_EXEC_SUBMIT_FENCE',
        'HAS_EXEC_TIMELINE_FENCES',
      ])
        expect(device.getparam(name), name).toBe(1);
      expect(device.getparam('MMAP_GTT_VERSION')).toBeGreaterThanOrEqual(4);
      expect(device.getparam('CHIPSET_ID')).toBeGreaterThan(0);
    });

    test('refuses the parameters of user-space mode setting with ENODEV', () => {
      const device = target.open();
      for (const name of ['IRQ_ACTIVE', 'ALLOW_BATCHBUFFER', 'LAST_DISPATCH'])
        expect(
          answer(() => device.getparam(name)),
          name,
        ).toBe('ENODEV');
      // ENODEV until it was removed from the list of known parameters.
      expect(['ENODEV', 'EINVAL']).toContain(answer(() => device.getparam('HAS_EXEC_CONSTANTS')));
    });

    test.each([0, -1, 0x7fff_ffff])('refuses parameter %i, which does not exist', (param) => {
      expect(answer(() => target.open().getparam(param))).toBe('EINVAL');
    });

    test('writes its answer through a pointer, which may be wrong', () => {
      const device = target.open();
      const at = (value: bigint, param: string) =>
        answer(() =>
          raw(device, 'I915_GETPARAM', 'drm_i915_getparam', {
            param: constant(`I915_PARAM_${param}`),
            value,
          }),
        );
      expect(at(0n, 'HAS_GEM')).toBe('EFAULT');
      expect(at(0xffff_8000_0000_0000n, 'HAS_GEM')).toBe('EFAULT');
      // The parameter is looked at first.
      expect(at(0n, 'IRQ_ACTIVE')).toBe('ENODEV');
    });
  });

  describe('query', () => {
    test('lists the engines, each once, with a render or compute engine first', () => {
      const engines = target.open().engines();
      const names = engines.map((e) => `${e.class}:${e.instance}`);
      expect(new Set(names).size).toBe(names.length);
      expect(names).toContain(`${constant('I915_ENGINE_CLASS_RENDER')}:0`);
      expect(names).toContain(`${constant('I915_ENGINE_CLASS_COPY')}:0`);
    });

    test('lists the memory regions, system memory among them', () => {
      const regions = target.open().memoryRegions();
      const system = regions.find((r) => r.class === constant('I915_MEMORY_CLASS_SYSTEM'));
      expect(system?.instance).toBe(0);
      expect(system?.probedSize).toBeGreaterThan(1n << 20n);
    });

    test('describes slices, subslices and EUs by masks of the size that the head says', () => {
      const topology = target.open().topology();
      const bytes = (bits: number) => Math.ceil(bits / 8);
      expect(topology.maxSlices).toBeGreaterThan(0);
      expect(topology.sliceMask).toHaveLength(bytes(topology.maxSlices));
      expect(topology.subsliceMask).toHaveLength(topology.maxSlices * topology.subsliceStride);
      expect(topology.sliceMask.some((byte) => byte !== 0)).toBe(true);
    });

    const item = (device: ReturnType<typeof target.open>, fields: Record<string, number>) => {
      // The item stands behind the head, in memory that the driver can write.
      const memory = native.mmap(
        0,
        4096,
        3,
        constant('MAP_PRIVATE') + constant('MAP_ANONYMOUS'),
        -1,
        0,
      );
      try {
        native.write(memory, struct('drm_i915_query_item', fields));
        raw(device, 'I915_QUERY', 'drm_i915_query', { num_items: 1, items_ptr: memory });
        const length = field(native.read(memory, 24), 'drm_i915_query_item', 'length');
        return Number(BigInt.asIntN(32, length));
      } finally {
        native.munmap(memory, 4096);
      }
    };

    test('puts the errno of an item into its length and goes on', () => {
      const device = target.open();
      const EINVAL = -22;
      const engineInfo = constant('DRM_I915_QUERY_ENGINE_INFO');
      expect(item(device, { query_id: 0x7777 })).toBe(EINVAL);
      expect(item(device, { query_id: engineInfo, flags: BAD_FLAG })).toBe(EINVAL);
      expect(item(device, { query_id: engineInfo, length: 1 })).toBe(EINVAL);
      expect(item(device, { query_id: engineInfo, length: 4096 })).toBe(-14);
      expect(item(device, { query_id: engineInfo })).toBe(16 + 56 * device.engines().length);
    });

    test('refuses flags, item 0 and a list that is not there', () => {
      const device = target.open();
      const query = (fields: Record<string, number | bigint>) =>
        answer(() => raw(device, 'I915_QUERY', 'drm_i915_query', fields));
      expect(query({ flags: 1 })).toBe('EINVAL');
      expect(query({ flags: 1, num_items: 1 })).toBe('EINVAL');
      expect(query({ num_items: 1 })).toBe('EFAULT');
      expect(query({ num_items: 0 })).toBe('ok');
      expect(answer(() => item(device, { query_id: 0 }))).toBe('EINVAL');
    });
  });

  describe('the way into an ioctl', () => {
    test('refuses numbers that the driver does not have, or not for a render node', () => {
      const device = target.open();
      const other = (request: number) => answer(() => device.ioctlRaw(request, Buffer.alloc(64)));
      expect(other(0x6400 + 0xff)).toBe('EINVAL');
      // Another driver's type of ioctl.
      expect(other(0xc008_5a00)).toBe('ENOTTY');
      expect(answer(() => device.setparam('NUM_USED_FENCES', 1))).toBe('EACCES');
    });

    test('refuses an argument that cannot be read or written', () => {
      const device = target.open();
      const create = constant('DRM_IOCTL_I915_GEM_CREATE');
      for (const pointer of [0n, 8n, 0xffff_ffff_ffff_f000n])
        expect(answer(() => device.ioctlPointer(create, pointer))).toBe('EFAULT');
    });

    test('takes a struct that is shorter or longer than its own', () => {
      const device = target.open();
      // As the direction and size in the number have it: a wait of 4 bytes has handle and no more.
      const { handle } = device.create(4096);
      const nr = constant('DRM_IOCTL_I915_GEM_SW_FINISH') & 0xff;
      const sized = (size: number) => ((1 << 30) | (size << 16) | 0x6400 | nr) >>> 0;
      const argument = struct('drm_i915_gem_wait', { bo_handle: handle });
      expect(answer(() => device.ioctlRaw(sized(4), argument))).toBe('ok');
      expect(answer(() => device.ioctlRaw(sized(16), argument))).toBe('ok');
      // Nothing copied in: handle 0.
      expect(answer(() => device.ioctlRaw(sized(0), argument))).toBe('ENOENT');
    });

    test('is closed for good after close', () => {
      const device = target.open();
      device.close();
      expect(() => device.version()).toThrow();
      expect(() => device.close()).toThrow();
    });
  });

  test('opens the same GPU again as a file of its own', () => {
    const device = target.open();
    using other = device.reopen();
    expect(other.getparam('CHIPSET_ID')).toBe(device.getparam('CHIPSET_ID'));
    const { handle } = device.create(4096);
    expect(answer(() => other.object(handle).busy())).toBe('ENOENT');
  });
});
