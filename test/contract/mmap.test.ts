// SPDX-License-Identifier: MIT
// Objects in the CPU's address space and in other files: mmap offsets, mappings, dma-bufs.
import { describe, expect, test } from 'vitest';
import type { GemObject, MmapType } from '../../lib/device/gem.js';
import { mmap } from '../../lib/memory/mapping.js';
import { Memfd } from '../../lib/memory/memfd.js';
import { constant, native } from '../../lib/native.js';
import {
  answer,
  answerAsync,
  BAD_FLAG,
  devices,
  kernelAtLeast,
  NO_HANDLE,
  PAGE,
  raw,
} from './devices.js';
import { mapUncached } from './submit.js';

const types: MmapType[] = ['gtt', 'wc', 'wb', 'uc'];

/** mmap(2) at the object's device, as it is. */
const mapAt = (object: GemObject, length: number, offset: bigint, flags = 'MAP_SHARED') =>
  native.deviceMmap(object.device.id, 0, length, 3, constant(flags), offset);

describe.each(devices())('$name', (target) => {
  describe('mmap offset', () => {
    test('is page aligned, and the same each time it is asked for', (context) => {
      const object = target.open().create(2 * PAGE);
      const able = types.filter((type) => answer(() => object.mmapOffset(type)) === 'ok');
      if (!able.length) context.skip('the driver maps this GPU by fixed offsets alone');
      const offsets = able.map((type) => object.mmapOffset(type));
      expect(new Set(offsets).size).toBe(able.length);
      for (const [i, type] of able.entries()) {
        expect((offsets[i] ?? 1n) % 4096n).toBe(0n);
        expect(object.mmapOffset(type)).toBe(offsets[i]);
      }
      expect(answer(() => object.mmapOffset('fixed'))).toBe('ENODEV');
    });

    test('refuses types that there are not, before the handle; and extensions before that', () => {
      const device = target.open();
      expect(answer(() => device.create(1).mmapOffset(5))).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).mmapOffset(5))).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).mmapOffset('fixed'))).toBe('ENOENT');
      const mmapOffset = (fields: Record<string, number>) =>
        answer(() => raw(device, 'I915_GEM_MMAP_OFFSET', 'drm_i915_gem_mmap_offset', fields));
      expect(mmapOffset({ handle: NO_HANDLE, flags: 5, extensions: 8 })).toBe('EFAULT');
    });

    test('of the older, shorter ioctl is that of the GTT', (context) => {
      const object = target.open().create(PAGE);
      if (answer(() => object.mmapOffset('gtt')) !== 'ok')
        context.skip('the GPU has no mappable aperture');
      expect(object.mmapOffsetGtt()).toBe(object.mmapOffset('gtt'));
    });
  });

  describe('a mapping', () => {
    test.for(types)('%s shows the object, as the others do', (type, context) => {
      const object = target.open().create(2 * PAGE);
      const can = answer(() => object.mmapOffset(type));
      if (can !== 'ok') context.skip(`the driver has no such mapping on this GPU (${can})`);
      using map = object.mmap({ type });
      map.fill(0x1234_5678, PAGE - 16, 32);
      // Writes through the aperture are posted, and the other mapping goes past it: a read through
      // the aperture does not pass them, so that all have arrived when it is answered.
      map.load32(PAGE - 16);
      using again = mapUncached(object);
      expect(again.load32(PAGE - 16)).toBe(0x1234_5678);
      expect(again.load32(PAGE + 12)).toBe(0x1234_5678);
      expect(again.load32(PAGE + 16)).toBe(0);
      // And back.
      again.store32(8, 77);
      expect(map.load32(8)).toBe(77);
    });

    test('may be of the first pages alone, but not of more than there are', () => {
      const object = target.open().create(2 * PAGE);
      const offset = object.mmapOffset('wc');
      const at = mapAt(object, PAGE, offset);
      native.store32(at, 5);
      native.munmap(at, PAGE);
      using all = mapUncached(object);
      expect(all.load32()).toBe(5);
      expect(answer(() => mapAt(object, 3 * PAGE, offset))).toBe('EINVAL');
      expect(answer(() => mapAt(object, 0, offset))).toBe('EINVAL');
    });

    //  offset
    //    | page 0 | page 1 | page 2 |      from 6.12 on a mapping may start within the object
    //             |< part >|
    //             |<----- rest ---->|
    test.for(types)('%s may start at a later page from 6.12 on', (type, context) => {
      const device = target.open();
      const object = device.create(3 * PAGE);
      const can = answer(() => object.mmapOffset(type));
      if (can !== 'ok') context.skip(`the driver has no such mapping on this GPU (${can})`);
      const second = object.mmapOffset(type) + 4096n;
      expect(answer(() => mapAt(object, 3 * PAGE, second))).toBe('EINVAL');
      if (!kernelAtLeast(device, 6, 12)) {
        expect(answer(() => mapAt(object, PAGE, second))).toBe('EINVAL');
        expect(answer(() => mapAt(object, 2 * PAGE, second))).toBe('EINVAL');
        return;
      }
      using all = mapUncached(object);
      for (const page of [0, 1, 2]) all.store32(page * PAGE, page);
      const part = mapAt(object, PAGE, second);
      const rest = mapAt(object, 2 * PAGE, second);
      expect(native.load32(part)).toBe(1);
      expect(native.load32(rest + 4096n)).toBe(2);
      native.store32(rest, 7);
      expect(native.load32(part)).toBe(7);
      expect(all.load32(PAGE)).toBe(7);
      native.munmap(part, PAGE);
      native.munmap(rest, 2 * PAGE);
    });

    test('of an offset that belongs to no object is refused', () => {
      const object = target.open().create(2 * PAGE);
      const offset = object.mmapOffset('wc');
      expect(answer(() => mapAt(object, PAGE, offset + 1n))).toBe('EINVAL');
      expect(answer(() => mapAt(object, PAGE, 0n))).toBe('EINVAL');
    });

    test('of an offset that another file asked for is not permitted', () => {
      const device = target.open();
      using other = device.reopen();
      const object = device.create(PAGE);
      const offset = object.mmapOffset('wc');
      expect(answer(() => mapAt(other.object(object.handle), PAGE, offset))).toBe('EACCES');
    });

    test('outlives the handle and the file', () => {
      const device = target.open();
      const object = device.create(PAGE);
      using map = mapUncached(object);
      map.store32(0, 99);
      object.close();
      expect(map.load32()).toBe(99);
      device.close();
      expect(map.load32()).toBe(99);
    });

    test('of the first mmap ioctl takes a part of the object, and is bounded by it', (context) => {
      const object = target.open().create(2 * PAGE);
      const can = answer(() => object.mmapV1()[Symbol.dispose]());
      if (can !== 'ok') context.skip(`the driver has no such mmap on this GPU (${can})`);
      using whole = object.mmapV1();
      using second = object.mmapV1({ offset: PAGE, length: PAGE, wc: true });
      second.store32(0, 4711);
      expect(whole.load32(PAGE)).toBe(4711);
      for (const [offset, length] of [
        [PAGE, 2 * PAGE],
        [2 * PAGE, PAGE],
        [(1n << 64n) - 4096n, PAGE],
      ] as const)
        expect(answer(() => object.mmapV1({ offset, length }))).toBe('EINVAL');
      expect(answer(() => object.mmapV1({ flags: BAD_FLAG }))).toBe('EINVAL');
      const none = object.device.object(NO_HANDLE);
      expect(answer(() => none.mmapV1({ length: PAGE, flags: BAD_FLAG }))).toBe('EINVAL');
    });
  });

  describe('a dma-buf', () => {
    test('comes back to its own file as the handle it came from', () => {
      const device = target.open();
      const object = device.create(PAGE);
      const fd = object.exportFd();
      expect(device.importFd(fd).handle).toBe(object.handle);
      const again = object.exportFd();
      expect(again).not.toBe(fd);
      expect(device.importFd(again).handle).toBe(object.handle);
      native.closeFd(fd);
      native.closeFd(again);
    });

    test('is the same memory in another file, under one handle there', () => {
      const device = target.open();
      using other = device.reopen();
      const object = device.create(PAGE);
      const fd = object.exportFd();
      const imported = other.importFd(fd, PAGE);
      expect(other.importFd(fd).handle).toBe(imported.handle);
      native.closeFd(fd);
      {
        using map = mapUncached(object);
        map.store32(0, 0xabcd);
      }
      object.close();
      using map = mapUncached(imported);
      expect(map.load32()).toBe(0xabcd);
    });

    test('refuses flags that are none, before the handle', () => {
      const device = target.open();
      const object = device.create(PAGE);
      expect(answer(() => object.exportFd({ flags: BAD_FLAG }))).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).exportFd({ flags: BAD_FLAG }))).toBe('EINVAL');
      expect(answer(() => device.object(NO_HANDLE).exportFd())).toBe('ENOENT');
    });

    test('is not any other fd', () => {
      const device = target.open();
      using file = new Memfd(PAGE);
      expect(answer(() => device.importFd(file.fd))).toBe('EINVAL');
      expect(answer(() => device.importFd(-1))).toBe('EBADF');
      expect(answer(() => device.importFd(99_999))).toBe('EBADF');
    });
  });

  describe('a userptr object', () => {
    test('is the CPU’s already: mmap, pread, pwrite and export are refused', () => {
      const device = target.open();
      using memory = mmap(2 * PAGE);
      const object = device.userptr(memory);
      for (const type of types.filter((t) => answer(() => device.create(1).mmapOffset(t)) === 'ok'))
        expect(
          answer(() => object.mmapOffset(type)),
          type,
        ).toBe('ENODEV');
      expect(['ENXIO', 'EOPNOTSUPP']).toContain(answer(() => object.mmapV1()));
      expect(['EINVAL', 'EOPNOTSUPP']).toContain(answer(() => object.pread(0, 4)));
      expect(['EINVAL', 'EOPNOTSUPP']).toContain(answer(() => object.pwrite(0, Buffer.alloc(4))));
      expect(answer(() => object.exportFd())).toBe('EINVAL');
    });

    test('is cached, and stays so', () => {
      const device = target.open();
      using memory = mmap(PAGE);
      const object = device.userptr(memory);
      expect(['ok', 'EOPNOTSUPP']).toContain(answer(() => object.setCaching('cached')));
      expect(['ENXIO', 'EOPNOTSUPP']).toContain(answer(() => object.setCaching('none')));
      expect(['ENXIO', 'EOPNOTSUPP']).toContain(answer(() => object.setTiling('x', 512)));
    });

    test('is not truncated by madvise', () => {
      const device = target.open();
      using memory = mmap(PAGE);
      memory.fill(7);
      const object = device.userptr(memory);
      expect(object.madvise('dontneed')).toBe(true);
      expect(memory.findOther(7)).toBe(-1);
      expect(object.madvise('willneed')).toBe(true);
    });

    test('set domain tells whether its pages can be had', async () => {
      const device = target.open();
      const CPU = constant('I915_GEM_DOMAIN_CPU');
      using memory = mmap(2 * PAGE);
      const object = device.userptr(memory);
      expect(answer(() => object.setDomain(CPU, CPU))).toBe('ok');
      await memory.munmapAsync(PAGE);
      expect(answer(() => object.setDomain(CPU, CPU))).toBe('EFAULT');
      memory.remap({}, PAGE);
      expect(answer(() => object.setDomain(CPU))).toBe('ok');
      expect(await answerAsync(memory.mprotectAsync('r'))).toBe('ok');
      expect(answer(() => object.setDomain(CPU))).toBe('EFAULT');
    });
  });
});
