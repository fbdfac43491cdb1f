// SPDX-License-Identifier: MIT
// GEM objects: their handles, their content through pread and pwrite, and what user space may say
// of their use.
import { describe, expect, test } from 'vitest';
import type { Device } from '../../lib/device/device.js';
import { mmap } from '../../lib/memory/mapping.js';
import { constant } from '../../lib/native.js';
import {
  answer,
  BAD_FLAG,
  devices,
  field,
  kernelAtLeast,
  NO_HANDLE,
  PAGE,
  raw,
  USER_END,
} from './devices.js';

const CPU = constant('I915_GEM_DOMAIN_CPU');
const GTT = constant('I915_GEM_DOMAIN_GTT');
const RENDER = constant('I915_GEM_DOMAIN_RENDER');

describe.each(devices())('$name', (target) => {
  describe('create', () => {
    test('rounds the size up to pages and says so', () => {
      const device = target.open();
      expect(device.create(1).size).toBe(4096n);
      expect(device.create(4096).size).toBe(4096n);
      expect(device.create(4097).size).toBe(8192n);
    });

    test('gives zeroed memory', () => {
      using map = target
        .open()
        .create(4 * PAGE)
        .mmap();
      expect(map.findOther(0)).toBe(-1);
    });

    test('refuses no size and sizes that no object can have', () => {
      const device = target.open();
      expect(answer(() => device.create(0))).toBe('EINVAL');
      // Rounding up wraps to 0.
      expect(answer(() => device.create((1n << 64n) - 1n))).toBe('EINVAL');
      // Larger than a file may be.
      expect(answer(() => device.create(1n << 63n))).toBe('E2BIG');
    });

    test('refuses more pages than a scatterlist counts: to be made, from 6.3 on to be used', () => {
      const device = target.open();
      const size = 1n << 44n;
      if (kernelAtLeast(device, 6, 3))
        expect(answer(() => device.create(size).setDomain(CPU, CPU))).toBe('E2BIG');
      else expect(answer(() => device.create(size))).toBe('E2BIG');
    });

    test('takes system memory as a placement and refuses what is none', () => {
      const device = target.open();
      const system = { class: constant('I915_MEMORY_CLASS_SYSTEM'), instance: 0 };
      const nowhere = { class: 77, instance: 0 };
      expect(device.create(1, { regions: [system] }).size).toBe(4096n);
      expect(answer(() => device.create(1, { regions: [nowhere] }))).toBe('EINVAL');
      expect(answer(() => device.create(1, { regions: [system, system] }))).toBe('EINVAL');
      expect(answer(() => device.create(1, { flags: BAD_FLAG }))).toBe('EINVAL');
      // The flags are looked at before the extensions, the extensions before the size.
      expect(answer(() => device.create(0, { regions: [nowhere] }))).toBe('EINVAL');
      expect(answer(() => device.create(1n << 63n, { regions: [system] }))).toBe('E2BIG');
      const createExt = (fields: Record<string, number | bigint>) =>
        answer(() => raw(device, 'I915_GEM_CREATE_EXT', 'drm_i915_gem_create_ext', fields));
      expect(createExt({ size: PAGE, extensions: 8 })).toBe('EFAULT');
      expect(createExt({ size: PAGE, extensions: 8, flags: BAD_FLAG })).toBe('EINVAL');
    });
  });

  describe('handles', () => {
    test('are reused, the lowest first, and never 0', () => {
      const device = target.open();
      const [a, b] = [device.create(1), device.create(1)];
      expect(a.handle).not.toBe(0);
      expect(b.handle).not.toBe(a.handle);
      const first = a.handle;
      a.close();
      expect(device.create(1).handle).toBe(first);
    });

    test('are unknown after close, and closed once', () => {
      const device = target.open();
      const { handle } = device.create(1);
      device.object(handle).close();
      expect(answer(() => device.object(handle).busy())).toBe('ENOENT');
      expect(answer(() => device.object(handle).close())).toBe('EINVAL');
      expect(answer(() => device.object(0).close())).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).close())).toBe('EINVAL');
    });

    test('that were never given out are ENOENT to every call that takes one', () => {
      const device = target.open();
      const none = device.object(NO_HANDLE, PAGE);
      using memory = mmap(PAGE);
      const calls = {
        busy: () => none.busy(),
        wait: () => none.wait(0n),
        pread: () => none.pread(0, 4),
        pwrite: () => none.pwrite(0, Buffer.alloc(4)),
        mmapOffset: () => none.mmapOffset(),
        mmapV1: () => none.mmapV1(),
        setDomain: () => none.setDomain(CPU),
        swFinish: () => none.swFinish(),
        madvise: () => none.madvise('willneed'),
        setCaching: () => none.setCaching('cached'),
        getCaching: () => none.getCaching(),
        setTiling: () => none.setTiling('none'),
        getTiling: () => none.getTiling(),
        exportFd: () => none.exportFd(),
        preadTo: () => none.preadTo(memory.address, 0, 4),
      };
      // Newer GPUs lack some of these calls, and say so first.
      for (const [name, call] of Object.entries(calls))
        expect(['ENOENT', 'EOPNOTSUPP', 'ENODEV'], name).toContain(answer(call));
      expect(answer(calls.busy)).toBe('ENOENT');
      expect(answer(calls.wait)).toBe('ENOENT');
      expect(answer(calls.madvise)).toBe('ENOENT');
      expect(answer(calls.exportFd)).toBe('ENOENT');
    });

    test('belong to one file', () => {
      const device = target.open();
      using other = device.reopen();
      const { handle } = device.create(1);
      expect(answer(() => other.object(handle).close())).toBe('EINVAL');
      expect(answer(() => device.object(handle).busy())).toBe('ok');
    });
  });

  describe('pread and pwrite', () => {
    const supported = (device: Device): boolean =>
      answer(() => device.create(1).pread(0, 4)) === 'ok';

    test('carry bytes in and out, across pages and at the edges', (context) => {
      const device = target.open();
      if (!supported(device)) context.skip('the driver has no pread on this GPU');
      const object = device.create(2 * PAGE);
      const bytes = Buffer.from(Array.from({ length: 64 }, (_, i) => i + 1));
      for (const offset of [0, PAGE - 33, 2 * PAGE - 64, 1]) {
        object.pwrite(offset, bytes);
        expect(object.pread(offset, 64)).toEqual(bytes);
      }
    });

    test('are bounded by the object', (context) => {
      const device = target.open();
      if (!supported(device)) context.skip('the driver has no pread on this GPU');
      const object = device.create(PAGE);
      using memory = mmap(PAGE);
      for (const [offset, length] of [
        [PAGE, 1],
        [PAGE - 3, 4],
        [0, PAGE + 1],
        [(1n << 64n) - 1n, 1],
        [(1n << 64n) - 4n, 8],
      ] as const) {
        expect(answer(() => object.preadTo(memory.address, offset, length))).toBe('EINVAL');
        expect(answer(() => object.pwriteFrom(memory.address, offset, length))).toBe('EINVAL');
      }
      // Nothing to copy is nothing to check.
      expect(answer(() => object.preadTo(0n, PAGE + 1, 0))).toBe('ok');
      expect(answer(() => device.object(NO_HANDLE).pwriteFrom(0n, 0, 0))).toBe('ok');
    });

    test('are EFAULT from and to memory that is not there', (context) => {
      const device = target.open();
      if (!supported(device)) context.skip('the driver has no pread on this GPU');
      const object = device.create(PAGE);
      using hole = mmap(PAGE, { prot: 'none' });
      for (const address of [hole.address, 8n, USER_END, 0xffff_8000_0000_0000n]) {
        expect(answer(() => object.preadTo(address, 0, 8))).toBe('EFAULT');
        expect(answer(() => object.pwriteFrom(address, 0, 8))).toBe('EFAULT');
      }
      // An address that no process has is seen before the handle and the bounds.
      const none = device.object(NO_HANDLE);
      expect(answer(() => none.preadTo(USER_END, PAGE, 8))).toBe('EFAULT');
      expect(answer(() => none.preadTo(hole.address, PAGE, 8))).toBe('ENOENT');
      expect(answer(() => object.preadTo(hole.address, PAGE, 8))).toBe('EINVAL');
    });

    test('leave the bytes before a fault in place', (context) => {
      const device = target.open();
      if (!supported(device)) context.skip('the driver has no pread on this GPU');
      const object = device.create(2 * PAGE);
      object.pwrite(0, Buffer.alloc(2 * PAGE, 0x5a));
      //  memory:  | page, rw | PROT_NONE |
      //  pread:   |<--------- 2 pages -->|   EFAULT at the second
      using memory = mmap(2 * PAGE);
      memory.mprotect('none', PAGE);
      expect(answer(() => object.preadTo(memory.address, 0, 2 * PAGE))).toBe('EFAULT');
      expect(memory.findOther(0x5a5a5a5a, 0, PAGE)).toBe(-1);
    });
  });

  describe('set domain', () => {
    test('takes what the CPU uses and refuses what the GPU does', () => {
      const object = target.open().create(PAGE);
      expect(answer(() => object.setDomain(CPU, CPU))).toBe('ok');
      expect(answer(() => object.setDomain(GTT))).toBe('ok');
      expect(answer(() => object.setDomain(CPU | GTT))).toBe('ok');
      expect(answer(() => object.setDomain(RENDER))).toBe('EINVAL');
      expect(answer(() => object.setDomain(CPU, RENDER))).toBe('EINVAL');
      // What is written is read too, and nothing else is.
      expect(answer(() => object.setDomain(CPU, GTT))).toBe('EINVAL');
      expect(answer(() => object.setDomain(CPU | GTT, CPU))).toBe('EINVAL');
    });

    test('looks at the domains before the handle', () => {
      const none = target.open().object(NO_HANDLE);
      expect(answer(() => none.setDomain(RENDER))).toBe('EINVAL');
      expect(answer(() => none.setDomain(CPU, GTT))).toBe('EINVAL');
      expect(answer(() => none.setDomain(0))).toBe('ok');
      expect(answer(() => none.setDomain(CPU))).toBe('ENOENT');
    });
  });

  describe('an object that is idle', () => {
    test('is not busy, and every wait for it is over at once', () => {
      const object = target.open().create(PAGE);
      expect(object.busy()).toBe(0);
      expect(object.wait(0n)).toBe(0n);
      expect(object.wait(-1n)).toBe(-1n);
      const left = object.wait(1_000_000_000n);
      expect(left > 0n && left <= 1_000_000_000n).toBe(true);
    });

    test('wait looks at its flags before the handle', () => {
      const device = target.open();
      const wait = (fields: Record<string, number | bigint>) =>
        answer(() => raw(device, 'I915_GEM_WAIT', 'drm_i915_gem_wait', fields));
      expect(wait({ bo_handle: NO_HANDLE, flags: 1 })).toBe('EINVAL');
      expect(wait({ bo_handle: NO_HANDLE })).toBe('ENOENT');
    });

    test('throttle has nothing to wait for', () => {
      expect(answer(() => target.open().throttle())).toBe('ok');
    });
  });

  describe('madvise', () => {
    test('purges an object that never had pages, for good', () => {
      const object = target.open().create(PAGE);
      expect(object.madvise('willneed')).toBe(true);
      expect(object.madvise('dontneed')).toBe(false);
      expect(object.madvise('willneed')).toBe(false);
      expect(answer(() => object.setDomain(CPU))).toBe('EFAULT');
    });

    test('keeps an object that has pages, until memory is wanted', () => {
      const object = target.open().create(PAGE);
      object.setDomain(CPU, CPU);
      expect(object.madvise('dontneed')).toBe(true);
      expect(object.madvise('willneed')).toBe(true);
    });

    test('refuses other advice, before the handle', () => {
      const device = target.open();
      expect(answer(() => device.create(1).madvise(2))).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).madvise(2))).toBe('EINVAL');
    });
  });

  describe('caching', () => {
    test('is kept and told', (context) => {
      const object = target.open().create(PAGE);
      const set = answer(() => object.setCaching('cached'));
      if (set !== 'ok') context.skip(`the driver has no caching modes on this GPU (${set})`);
      expect(object.getCaching()).toBe(constant('I915_CACHING_CACHED'));
      object.setCaching('none');
      expect(object.getCaching()).toBe(constant('I915_CACHING_NONE'));
    });

    test('refuses modes that there are not, before the handle', (context) => {
      const device = target.open();
      const set = answer(() => device.create(1).setCaching('none'));
      if (set !== 'ok') context.skip(`the driver has no caching modes on this GPU (${set})`);
      expect(answer(() => device.create(1).setCaching(3))).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).setCaching(3))).toBe('EINVAL');
    });
  });

  describe('tiling', () => {
    test('is kept and told, and linear has no stride', (context) => {
      const object = target.open().create(16 * PAGE);
      if (answer(() => object.setTiling('x', 512)) === 'EOPNOTSUPP')
        context.skip('the GPU has no fence registers');
      expect(object.setTiling('x', 512)).toMatchObject({ mode: 1, stride: 512 });
      expect(object.getTiling().mode).toBe(constant('I915_TILING_X'));
      expect(object.setTiling('none', 512)).toEqual({ mode: 0, stride: 0, swizzle: 0 });
      expect(object.getTiling().mode).toBe(constant('I915_TILING_NONE'));
    });

    test('refuses modes and strides that there are not', (context) => {
      const object = target.open().create(16 * PAGE);
      if (answer(() => object.setTiling('x', 512)) === 'EOPNOTSUPP')
        context.skip('the GPU has no fence registers');
      expect(answer(() => object.setTiling(3, 512))).toBe('EINVAL');
      expect(answer(() => object.setTiling('x', 0))).toBe('EINVAL');
      expect(answer(() => object.setTiling('x', 256))).toBe('EINVAL');
      expect(answer(() => object.setTiling('x', 1 << 20))).toBe('EINVAL');
      expect(object.getTiling().mode).toBe(constant('I915_TILING_X'));
    });
  });

  test('tells the size of the global GTT', () => {
    const { size, available } = target.open().aperture();
    expect(size).toBeGreaterThan(0n);
    expect(available).toBeLessThanOrEqual(size);
  });

  test('reads the timestamp register and no other', (context) => {
    const device = target.open();
    const read = (offset: number) => answer(() => device.regRead(offset));
    expect(read(0x1234)).toBe('EINVAL');
    if (read(0x2358) === 'EINVAL') context.skip('the GPU has its timestamp elsewhere');
    expect(device.regRead(0x2358)).toBeGreaterThan(0n);
    expect(
      field(
        raw(device, 'I915_REG_READ', 'drm_i915_reg_read', { offset: 0x2359 }),
        'drm_i915_reg_read',
        'val',
      ),
    ).toBeGreaterThan(0n);
    expect(read(0x235a)).toBe('EINVAL');
  });
});
