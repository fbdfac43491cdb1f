// SPDX-License-Identifier: MIT
// The device asked a second time, through libc (or the C symbols) with structs packed by hand: what
// it answers must be what lib/device says that it answers.
import { describe, expect, test } from 'vitest';
import { constant } from '../../lib/native.js';
import { answer, devices, NO_HANDLE, USER_END } from './devices.js';
import { type Answer, callsOf } from './ffi.calls.js';
import { addressOf, libc, MAP, PROT, pack, type RawDevice, requests } from './ffi.js';

const PAGE = 4096;
const KERNEL = 0xffff_8000_0000_0000n;
const ERRNO: Readonly<Record<string, number>> = {
  ok: 0,
  ENOENT: -2,
  EIO: -5,
  E2BIG: -7,
  EBADF: -9,
  EAGAIN: -11,
  ENOMEM: -12,
  EACCES: -13,
  EFAULT: -14,
  ENODEV: -19,
  EINVAL: -22,
  ENXIO: -6,
  ETIME: -62,
  EOPNOTSUPP: -95,
};

describe.each(devices())('$name', (target) => {
  const same = (raw: Answer, said: string) => {
    expect(ERRNO[said], `${said} is among the errnos known here`).toBeDefined();
    expect(Math.min(raw.ret, 0)).toBe(ERRNO[said]);
  };

  test('is i915 by both ways', () => {
    const version = target.open().version();
    const raw = callsOf(target.openRaw()).version();
    expect(raw).toEqual({ name: version.name, major: version.major, minor: version.minor });
  });

  test('answers every parameter alike', () => {
    const device = target.open();
    const raw = callsOf(target.openRaw());
    for (let param = -1; param < 64; param++) {
      const mine = raw.getparam(param);
      let value = 0;
      same(
        mine,
        answer(() => {
          value = device.getparam(param);
        }),
      );
      if (mine.ret === 0) expect(mine.value, `parameter ${param}`).toBe(value);
    }
  });

  test('answers queries alike', () => {
    const device = target.open();
    const raw = callsOf(target.openRaw());
    for (const id of [1, 2, 4, 0x7777]) {
      const mine = raw.query(id);
      let bytes: Buffer | undefined;
      same(
        mine,
        answer(() => {
          bytes = device.query(id);
        }),
      );
      // What is free of a region may have changed between.
      if (bytes && id !== 4) expect(mine.bytes).toEqual(bytes);
    }
  });

  test('makes, writes, reads, maps and closes objects', () => {
    const device = target.openRaw();
    const raw = callsOf(device);
    const { handle, size } = raw.create(5000);
    expect(size).toBe(8192n);
    const bytes = Buffer.from('by hand');
    expect(raw.pwrite(handle, 100n, bytes)).toBe(0);
    expect(raw.pread(handle, 100n, 7)).toEqual({ ret: 0, bytes });
    const map = device.mmap(8192, raw.mmapOffset(handle, 1).offset);
    const seen = Buffer.alloc(7);
    expect(libc.read(map + 100n, seen)).toBeOneOf([7, -14]); // PFN mappings are not read so
    expect(libc.munmap(map, 8192)).toBe(0);
    expect(raw.busy(handle)).toEqual({ ret: 0, busy: 0 });
    expect(raw.wait(handle, -1n).ret).toBe(0);
    expect(raw.close(handle)).toBe(0);
    expect(raw.close(handle)).toBe(ERRNO.EINVAL);
  });

  test('refuses objects alike', () => {
    const device = target.open();
    const raw = callsOf(target.openRaw());
    const none = device.object(NO_HANDLE);
    for (const size of [0n, 1n << 44n, (1n << 64n) - 1n])
      same(
        raw.create(size),
        answer(() => device.create(size)),
      );
    same(
      raw.busy(NO_HANDLE),
      answer(() => none.busy()),
    );
    same(
      raw.wait(NO_HANDLE, 0n),
      answer(() => none.wait(0n)),
    );
    same(
      raw.mmapOffset(NO_HANDLE, 1),
      answer(() => none.mmapOffset('wc')),
    );
    same(
      raw.setDomain(NO_HANDLE, 1, 0x40),
      answer(() => none.setDomain(1, 0x40)),
    );
    same(
      raw.setDomain(NO_HANDLE, 1, 0),
      answer(() => none.setDomain(1)),
    );
    same(
      raw.madvise(NO_HANDLE, 2),
      answer(() => none.madvise(2)),
    );
    same(
      { ret: raw.close(NO_HANDLE) },
      answer(() => none.close()),
    );
  });

  test('answers GEM_USERPTR alike, good and bad', () => {
    const device = target.open();
    const raw = callsOf(target.openRaw());
    const at = libc.mmap(4 * PAGE);
    const READ_ONLY = 1;
    const PROBE = 2;
    const UNSYNCHRONIZED = 0x8000_0000;
    const flags = (bits: number) => ({
      readOnly: Boolean(bits & READ_ONLY),
      probe: Boolean(bits & PROBE),
      unsynchronized: bits >>> 31 === 1,
    });
    for (const [address, size, bits] of [
      [at, 4 * PAGE, 0],
      [at, 4 * PAGE, READ_ONLY],
      [at, 4 * PAGE, PROBE],
      [at, 64 * PAGE, PROBE | UNSYNCHRONIZED],
      [at + 1n, PAGE, 0],
      [at, PAGE + 1, 0],
      [at, 0, 0],
      [at, 1n << 44n, 0],
      [KERNEL, PAGE, 0],
      [USER_END, PAGE, 0],
      [USER_END - 4096n, PAGE, 0],
      [0n, PAGE, PROBE],
    ] as const)
      same(
        raw.userptr(address, size, bits >>> 0),
        answer(() => device.userptr(address, size, flags(bits)).close()),
      );
    expect(raw.userptr(at, PAGE, 4).ret).toBe(ERRNO.EINVAL);
    expect(libc.munmap(at, 4 * PAGE)).toBe(0);
  });

  test('answers context parameters alike', () => {
    const device = target.open();
    const raw = callsOf(target.openRaw());
    const context = device.context();
    const { id, ret } = raw.contextCreate();
    expect(ret).toBe(0);
    for (let param = 0; param < 16; param++) {
      if ([7, 9].includes(param)) continue; // SSEU takes a struct; VM gives a new number
      const mine = raw.contextGetparam(id, param);
      let value = 0n;
      same(
        mine,
        answer(() => {
          value = context.getparam(param);
        }),
      );
      if (mine.ret === 0) expect(mine.value, `parameter ${param}`).toBe(value);
      same(
        raw.contextSetparam(id, param, 0, 1n),
        answer(() => context.setparam(param, 1n)),
      );
    }
    expect(raw.contextDestroy(id)).toBe(0);
    expect(raw.contextDestroy(id)).toBe(ERRNO.ENOENT);
  });

  describe('execbuf by hand', () => {
    const softpinned = (raw: ReturnType<typeof callsOf>) => {
      // The generation by what has always told it: gen8 has 48-bit or 32-bit PPGTT, level 2 and up.
      const ppgtt = raw.getparam(constant('I915_PARAM_HAS_ALIASING_PPGTT'));
      return ppgtt.value >= 2 && target.open().gen >= 80;
    };

    /** A batch in an object: MI_STORE_DWORD_IMM of gen8 and later, then MI_BATCH_BUFFER_END. */
    const storing = (raw: ReturnType<typeof callsOf>, address: bigint, value: number) => {
      const { handle } = raw.create(PAGE);
      const dwords = Uint32Array.of(
        (0x20 << 23) | 2,
        Number(address & 0xffff_ffffn),
        Number(address >> 32n),
        value,
        0x0a << 23,
        0,
      );
      expect(raw.pwrite(handle, 0n, Buffer.from(dwords.buffer))).toBe(0);
      return handle;
    };

    /** Two objects where they are said to be; the second is the batch. */
    const exec = (device: RawDevice, data: number, batch: number) => {
      const PINNED = 1n << 4n;
      const entry = (handle: number, offset: bigint, flags: bigint) =>
        pack(
          ['u32', handle],
          ['u32', 0], // relocation_count
          ['u64', 0], // relocs_ptr
          ['u64', 0], // alignment
          ['u64', offset],
          ['u64', flags],
          ['u64', 0], // pad_to_size
          ['u64', 0], // rsvd2
        );
      const list = Buffer.concat([
        entry(data, AT, PINNED | (1n << 2n)), // EXEC_OBJECT_WRITE
        entry(batch, AT + (1n << 20n), PINNED),
      ]);
      const args = pack(
        ['u64', addressOf(list)],
        ['u32', 2], // buffer_count
        ['u32', 0], // batch_start_offset
        ['u32', 0], // batch_len
        ['u32', 0], // DR1
        ['u32', 0], // DR4
        ['u32', 0], // num_cliprects
        ['u64', 0], // cliprects_ptr
        ['u64', 0], // flags
        ['u64', 0], // rsvd1: context 0
        ['u64', 0], // rsvd2
      );
      return device.ioctl(requests.execbuffer2, args);
    };
    const AT = 0x2000_0000n;

    test('stores into the process’s memory, mapped by libc', (context) => {
      const device = target.openRaw();
      const raw = callsOf(device);
      if (!softpinned(raw)) context.skip('the batch is gen8’s and its objects are softpinned');
      const memory = libc.mmap(2 * PAGE);
      const { handle } = raw.userptr(memory, 2 * PAGE, 0);
      const batch = storing(raw, AT + BigInt(PAGE) - 4n, 0xfeed_f00d);
      expect(exec(device, handle, batch)).toBe(0);
      expect(raw.wait(batch, -1n).ret).toBe(0);
      expect(libc.load32(memory + BigInt(PAGE) - 4n)).toBe(0xfeed_f00d);
      expect(libc.load32(memory + BigInt(PAGE))).toBe(0);
      expect(raw.close(handle)).toBe(0);
      expect(libc.munmap(memory, 2 * PAGE)).toBe(0);
    });

    test.for<[string, (memory: bigint) => number]>([
      ['unmapped', (memory) => libc.munmap(memory, 2 * PAGE)],
      ['partly unmapped', (memory) => libc.munmap(memory + BigInt(PAGE), PAGE)],
      ['read-only', (memory) => libc.mprotect(memory, 2 * PAGE, PROT.read)],
      ['not to be touched', (memory) => libc.mprotect(memory, PAGE, PROT.none)],
    ])('is EFAULT when libc has made the pages %s', ([, change], context) => {
      const device = target.openRaw();
      const raw = callsOf(device);
      if (!softpinned(raw)) context.skip('the batch is gen8’s and its objects are softpinned');
      const memory = libc.mmap(2 * PAGE);
      const { handle } = raw.userptr(memory, 2 * PAGE, 0);
      expect(change(memory)).toBe(0);
      expect(exec(device, handle, storing(raw, AT, 1))).toBe(ERRNO.EFAULT);
      // And has them again when libc puts new ones there.
      expect(libc.mmap(2 * PAGE, PROT.rw, memory, MAP.fixed)).toBe(memory);
      const batch = storing(raw, AT, 2);
      expect(exec(device, handle, batch)).toBe(0);
      expect(raw.wait(batch, -1n).ret).toBe(0);
      expect(libc.load32(memory)).toBe(2);
      expect(raw.close(handle)).toBe(0);
      expect(libc.munmap(memory, 2 * PAGE)).toBe(0);
    });
  });
});
