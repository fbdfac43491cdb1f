// SPDX-License-Identifier: MIT
// Memory by two ways: what one maps, changes or writes, the other finds; and both are refused alike.
import { describe, expect, test } from 'vitest';
import { mmap } from '../../lib/memory/mapping.js';
import * as memory from '../../lib/memory/memory.js';
import { native } from '../../lib/native.js';
import { answer, devices, PAGE } from './devices.js';
import { libc, MAP, PROT } from './ffi.js';
import { place, run, storeDword } from './submit.js';

const EFAULT = -14;
const ENOMEM = -12;
const EINVAL = -22;

test('what libc maps, the addon reads and writes', () => {
  const at = libc.mmap(2 * PAGE);
  expect(at % 4096n).toBe(0n);
  memory.store32(at + 8n, 0x1234);
  expect(libc.load32(at + 8n)).toBe(0x1234);
  expect(libc.write(at + 4096n, Buffer.from('seen'))).toBe(4);
  expect(memory.read(at + 4096n, 4).toString()).toBe('seen');
  expect(libc.munmap(at, 2 * PAGE)).toBe(0);
  expect(answer(() => memory.load32(at))).toBe('EFAULT');
});

test('what the addon maps, libc reads, protects and unmaps', () => {
  const map = mmap(2 * PAGE);
  map.fill(0x77);
  expect(libc.load32(map.address)).toBe(0x77);
  expect(libc.mprotect(map.address, PAGE, PROT.read)).toBe(0);
  expect(answer(() => map.store32(0, 1))).toBe('EFAULT');
  expect(libc.madvise(map.at(PAGE), PAGE, 4 /* MADV_DONTNEED */)).toBe(0);
  expect([map.load32(0), map.load32(PAGE)]).toEqual([0x77, 0]);
  expect(libc.munmap(map.address, 2 * PAGE)).toBe(0);
  expect(answer(() => map.read())).toBe('EFAULT');
});

test('what the addon protects and unmaps is so for libc', () => {
  const at = libc.mmap(2 * PAGE);
  native.mprotect(at, PAGE, PROT.none);
  expect(libc.read(at, Buffer.alloc(4))).toBe(EFAULT);
  native.mprotect(at, PAGE, PROT.rw);
  expect(libc.read(at, Buffer.alloc(4))).toBe(4);
  native.munmap(at, 2 * PAGE);
  expect(libc.read(at, Buffer.alloc(4))).toBe(EFAULT);
  // Libc puts a new mapping into the same place; the addon finds that one.
  expect(libc.mmap(PAGE, PROT.rw, at, MAP.fixed)).toBe(at);
  expect(memory.load32(at)).toBe(0);
  expect(libc.munmap(at, PAGE)).toBe(0);
});

test('both are refused alike', () => {
  using map = mmap(PAGE);
  const ERRNO: Record<string, number> = { ok: 0, EINVAL, ENOMEM, EFAULT };
  const pairs: [number, () => void][] = [
    [libc.munmap(map.address + 1n, PAGE), () => native.munmap(map.address + 1n, PAGE)],
    [libc.munmap(map.address, 0), () => native.munmap(map.address, 0)],
    [libc.munmap(0x1000n, PAGE), () => native.munmap(0x1000n, PAGE)],
    [libc.mprotect(0x1000n, PAGE, 1), () => native.mprotect(0x1000n, PAGE, 1)],
    [libc.mprotect(map.address, PAGE, 0x100), () => native.mprotect(map.address, PAGE, 0x100)],
    [libc.madvise(map.address, PAGE, 9999), () => native.madvise(map.address, PAGE, 9999)],
    [libc.madvise(0x1000n, PAGE, 4), () => native.madvise(0x1000n, PAGE, 4)],
    [Number(libc.mmap(0)), () => mmap(0)],
  ];
  for (const [raw, call] of pairs) expect(raw).toBe(ERRNO[answer(call)]);
});

describe.each(devices())('memory of libc’s, lent to $name', (target) => {
  test('is written by the GPU', () => {
    const device = target.open();
    const at = libc.mmap(4 * PAGE);
    const object = device.userptr(at, 4 * PAGE);
    storeDword(device, object, 3 * PAGE, 0xabcd);
    expect(libc.load32(at + 12288n)).toBe(0xabcd);
    object.close();
    expect(libc.munmap(at, 4 * PAGE)).toBe(0);
  });

  test('may be unmapped behind the addon’s back, and nobody dies', () => {
    const device = target.open();
    const at = libc.mmap(4 * PAGE);
    const object = device.userptr(at, 4 * PAGE);
    storeDword(device, object, 0, 1);
    expect(libc.munmap(at + 4096n, PAGE)).toBe(0);
    // A real driver's notifier has seen it; the model, which has not, has a GPU fault at the most.
    const placed = place(object, { write: true });
    const said = answer(() =>
      run(device, [placed], (b) => b.storeDword(placed.at(4096), 2).storeDword(placed.at(4), 3)),
    );
    expect(['EFAULT', 'ok']).toContain(said);
    expect(libc.read(at + 4096n, Buffer.alloc(4))).toBe(EFAULT);
    object.close();
    expect(libc.munmap(at, 4 * PAGE)).toBe(0);
    // The device works on.
    using fresh = mmap(PAGE);
    storeDword(device, device.userptr(fresh), 0, 5);
    expect(fresh.load32()).toBe(5);
  });
});
