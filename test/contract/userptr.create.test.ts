// SPDX-License-Identifier: MIT
// GEM_USERPTR itself: what it lends and what it refuses, in which order. Nothing is looked up at
// this time but with PROBE.
import { describe, expect, test } from 'vitest';
import type { Device } from '../../lib/device/device.js';
import { type Mapping, mmap } from '../../lib/memory/mapping.js';
import { Memfd } from '../../lib/memory/memfd.js';
import { constant, native } from '../../lib/native.js';
import { answer, BAD_FLAG, devices, kernelAtLeast, need, PAGE, USER_END } from './devices.js';
import { mapUncached } from './submit.js';

const READ_ONLY = constant('I915_USERPTR_READ_ONLY');
const PROBE = constant('I915_USERPTR_PROBE');
const UNSYNCHRONIZED = constant('I915_USERPTR_UNSYNCHRONIZED');
const KERNEL = 0xffff_8000_0000_0000n;
const TOO_BIG = 1n << 44n;

const userptr = (device: Device, address: bigint, size: bigint | number, flags = 0) =>
  answer(() => {
    const handle = native.gemUserptr(device.id, address, size, flags);
    device.object(handle).close();
  });

describe.each(devices())('$name', (target) => {
  test('lends pages and gives a handle that can be closed', () => {
    const device = target.open();
    using memory = mmap(4 * PAGE);
    const object = device.userptr(memory);
    expect(object.handle).not.toBe(0);
    object.close();
    expect(answer(() => device.object(object.handle).busy())).toBe('ENOENT');
  });

  test('lends the same pages as often as asked, each time as another object', () => {
    const device = target.open();
    using memory = mmap(2 * PAGE);
    const handles = Array.from({ length: 16 }, () => device.userptr(memory).handle);
    expect(new Set(handles).size).toBe(16);
  });

  test('does not look whether anything is mapped', () => {
    const device = target.open();
    const gone = mmap(PAGE);
    gone.munmap();
    expect(userptr(device, gone.address, PAGE)).toBe('ok');
    expect(userptr(device, 0n, PAGE)).toBe('ok');
    expect(userptr(device, USER_END - 4096n, PAGE)).toBe('ok');
  });

  test.each([
    ['no size', 0x10000n, 0, 0, 'EINVAL'],
    ['an address within a page', 0x10001n, PAGE, 0, 'EINVAL'],
    ['a size of part of a page', 0x10000n, PAGE - 1, 0, 'EINVAL'],
    ['a range that ends beyond user addresses', USER_END - 4096n, 2 * PAGE, 0, 'EFAULT'],
    ['a range just beyond user addresses', USER_END, PAGE, 0, 'EFAULT'],
    ['a range that is not canonical', 1n << 63n, PAGE, 0, 'EFAULT'],
    ['the kernel’s own addresses', KERNEL, PAGE, 0, 'EFAULT'],
    ['the last page of all', (1n << 64n) - 4096n, PAGE, 0, 'EFAULT'],
    ['flags that there are not', 0x10000n, PAGE, BAD_FLAG, 'EINVAL'],
    ['flags that there are not beside one that is', 0x10000n, PAGE, 4 | READ_ONLY, 'EINVAL'],
    ['no synchronisation', 0x10000n, PAGE, UNSYNCHRONIZED, 'ENODEV'],
  ])('refuses %s', (_, address, size, flags, expected) => {
    expect(userptr(target.open(), address, size, flags)).toBe(expected);
  });

  // Until 6.3 an object had no more pages than an int counts; from then on its size is bounded by
  // what user addresses there are, and by memory when it is used.
  test.each([
    ['needs more pages than an int counts', 0x10000n, TOO_BIG, 0, 'E2BIG', 'ok'],
    ['is the largest of whole pages', 0x10000n, (1n << 64n) - 4096n, 0, 'E2BIG', 'EFAULT'],
    ['is too big, and part of a page', 0x10000n, TOO_BIG + 1n, 0, 'E2BIG', 'EINVAL'],
    ['is too big, at an address of the kernel’s', KERNEL, TOO_BIG, 0, 'E2BIG', 'EFAULT'],
    ['is too big, with flags that there are not', KERNEL, TOO_BIG, BAD_FLAG, 'EINVAL', 'EINVAL'],
  ])('a size that %s', (_, address, size, flags, before, since) => {
    const device = target.open();
    const expected = kernelAtLeast(device, 6, 3) ? since : before;
    expect(userptr(device, address, size, flags)).toBe(expected);
  });

  // Two faults at once: the answer tells which is looked at first.
  test.each([
    ['flags before the address', KERNEL, PAGE, BAD_FLAG, 'EINVAL'],
    ['flags before UNSYNCHRONIZED', 0x10000n, PAGE, BAD_FLAG | UNSYNCHRONIZED, 'EINVAL'],
    ['no size before the address', KERNEL, 0, 0, 'EINVAL'],
    ['alignment before whose address it is', KERNEL + 1n, PAGE, 0, 'EINVAL'],
    ['whose address it is before UNSYNCHRONIZED', KERNEL, PAGE, UNSYNCHRONIZED, 'EFAULT'],
    ['alignment before UNSYNCHRONIZED', 0x10001n, PAGE, UNSYNCHRONIZED, 'EINVAL'],
    ['UNSYNCHRONIZED before PROBE', 0n, PAGE, UNSYNCHRONIZED | PROBE, 'ENODEV'],
    ['whose address it is before PROBE', KERNEL, PAGE, PROBE, 'EFAULT'],
  ])('looks at %s', (_, address, size, flags, expected) => {
    expect(userptr(target.open(), address, size, flags >>> 0)).toBe(expected);
  });

  test('takes READ_ONLY, or says that the GPU cannot be kept from writing', () => {
    const device = target.open();
    using memory = mmap(PAGE, { prot: 'r' });
    expect(['ok', 'ENODEV']).toContain(userptr(device, memory.address, PAGE, READ_ONLY));
  });

  describe('PROBE', () => {
    const probe = (device: Device, memory: Mapping) =>
      userptr(device, memory.address, memory.length, PROBE);

    // Each pattern is eight pages; M mapped, . not.
    test.for([
      ['MMMMMMMM', 'ok'],
      ['.MMMMMMM', 'EFAULT'],
      ['MMMMMMM.', 'EFAULT'],
      ['MMM..MMM', 'EFAULT'],
      ['M.M.M.M.', 'EFAULT'],
      ['.......M', 'EFAULT'],
      ['M.......', 'EFAULT'],
      ['........', 'EFAULT'],
    ] as const)('of |%s| is answered %s', ([pattern, expected], context) => {
      const device = target.open();
      need(context, device, 'HAS_USERPTR_PROBE');
      using memory = mmap(pattern.length * PAGE);
      for (const [i, page] of [...pattern].entries())
        if (page === '.') memory.munmap(i * PAGE, PAGE);
      expect(probe(device, memory)).toBe(expected);
    });

    test('looks at what is mapped, not at what it allows', (context) => {
      const device = target.open();
      need(context, device, 'HAS_USERPTR_PROBE');
      //  | anonymous rw | r | PROT_NONE | file, shared | anonymous rw |
      using memory = mmap(5 * PAGE);
      using file = new Memfd(PAGE);
      memory.mprotect('r', PAGE, PAGE);
      memory.mprotect('none', 2 * PAGE, PAGE);
      memory.remap({ fd: file.fd, shared: true }, 3 * PAGE, PAGE);
      expect(probe(device, memory)).toBe('ok');
      // Beyond the file's end is mapped all the same.
      file.truncate(0);
      expect(probe(device, memory)).toBe('ok');
    });

    test('refuses the mapping of another object, which has no pages to lend', (context) => {
      const device = target.open();
      need(context, device, 'HAS_USERPTR_PROBE');
      using gtt = mapUncached(device.create(2 * PAGE));
      expect(probe(device, gtt)).toBe('EFAULT');
      expect(userptr(device, gtt.address, gtt.length)).toBe('ok');
    });
  });
});
