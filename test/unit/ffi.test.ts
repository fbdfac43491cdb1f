// SPDX-License-Identifier: MIT
// The memory calls, asked a second time through ffi-napi: a mistake in the addon's packing cannot
// confirm itself.
import { beforeAll, describe, expect, it } from 'vitest';
import { memory, mmap } from '../../lib/index.js';
import { constant, native } from '../../lib/native.js';

interface Libc {
  mmap(a: string, l: number, p: number, f: number, fd: number, off: number): string | number;
  munmap(a: string, l: number): number;
  mprotect(a: string, l: number, p: number): number;
  memset(a: string, v: number, l: number): string | number;
  memcmp(a: string, b: Buffer, l: number): number;
  mincore(a: string, l: number, out: Buffer): number;
}

let libc: Libc;
let errno: () => number;
beforeAll(async () => {
  const ffi = (await import('ffi-napi')).default;
  // Addresses go as 64-bit numbers: they are no memory of JavaScript's.
  libc = ffi.Library(null, {
    mmap: ['uint64', ['uint64', 'size_t', 'int', 'int', 'int', 'int64']],
    munmap: ['int', ['uint64', 'size_t']],
    mprotect: ['int', ['uint64', 'size_t', 'int']],
    memset: ['uint64', ['uint64', 'int', 'size_t']],
    memcmp: ['int', ['uint64', 'pointer', 'size_t']],
    mincore: ['int', ['uint64', 'size_t', 'pointer']],
  });
  errno = () => ffi.errno();
});

const RW = 3;
const PRIVATE_ANONYMOUS = 0x22;

describe('memory calls through ffi-napi', () => {
  it('the addon reads and writes what libc mapped, and unmaps it for libc', () => {
    const address = BigInt(libc.mmap('0', 8192, RW, PRIVATE_ANONYMOUS, -1, 0));
    libc.memset(String(address), 0x5a, 8192);
    expect(memory.load64(address + 4096n)).toBe(0x5a5a_5a5a_5a5a_5a5an);
    const text = Buffer.from('written by the addon');
    memory.write(address, text);
    expect(libc.memcmp(String(address), text, text.length)).toBe(0);

    native.munmap(address, 4096);
    expect(() => memory.read(address, 1)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
    expect(libc.mincore(String(address), 4096, Buffer.alloc(1))).toBe(-1);
    expect(errno()).toBe(12); // ENOMEM: a hole
    expect(libc.munmap(String(address + 4096n), 4096)).toBe(0);
    expect(() => memory.load32(address + 4096n)).toThrow(
      expect.objectContaining({ code: 'EFAULT' }),
    );
  });

  it('libc reads what the addon mapped, and its mprotect holds for the addon', () => {
    using map = mmap(4096);
    map.fill(0x04030201);
    expect(libc.memcmp(String(map.address), Buffer.from([1, 2, 3, 4, 1, 2]), 6)).toBe(0);
    expect(libc.mprotect(String(map.address), 4096, constant('PROT_READ'))).toBe(0);
    expect(map.load32()).toBe(0x04030201);
    expect(() => map.store32(0, 1)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
    expect(libc.mprotect(String(map.address), 4096, constant('PROT_NONE'))).toBe(0);
    expect(() => map.load32()).toThrow(expect.objectContaining({ code: 'EFAULT' }));
  });

  it('both answer a bad call with the same errno', () => {
    const bad = [
      [1n, 4096],
      [4096n, 0],
    ] as const;
    for (const [address, length] of bad) {
      expect(libc.munmap(String(address), length)).toBe(-1);
      const expected = errno();
      expect(() => native.munmap(address, length)).toThrow(
        expect.objectContaining({ errno: expected }),
      );
    }
  });
});
