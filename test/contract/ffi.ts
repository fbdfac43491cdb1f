// SPDX-License-Identifier: MIT
// The second way to the device and to memory: libc (and, for the software device, the C symbols of
// the addon's shared object) through ffi-napi, with the uAPI's structs packed here by hand from the
// comments of drm.h and i915_drm.h. It shares nothing with the addon, so that a mistake there
// cannot confirm itself.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

type Arg = number | string | Buffer | null;
interface Ffi {
  DynamicLibrary: new (path: string | null, mode?: number) => { get(symbol: string): Buffer };
  ForeignFunction: (symbol: Buffer, result: string, args: string[]) => (...args: Arg[]) => unknown;
  errno(): number;
}

const require = createRequire(import.meta.url);
const ffi: Ffi = require('ffi-napi');
const ref: { address(buffer: Buffer): number } = require('ref-napi');

type Signature = readonly [result: string, args: readonly string[]];
type Bound<T> = { [K in keyof T]: (...args: Arg[]) => unknown };

function bind<T extends Record<string, Signature>>(path: string | null, symbols: T): Bound<T> {
  const library = new ffi.DynamicLibrary(path);
  const bound = Object.entries(symbols).map(([name, [result, args]]) => [
    name,
    ffi.ForeignFunction(library.get(name), result, [...args]),
  ]);
  return Object.fromEntries(bound) as Bound<T>;
}

const c = bind(null, {
  open: ['int', ['string', 'int']],
  close: ['int', ['int']],
  ioctl: ['int', ['int', 'ulong', 'pointer']],
  mmap: ['int64', ['uint64', 'size_t', 'int', 'int', 'int', 'int64']],
  munmap: ['int', ['uint64', 'size_t']],
  mprotect: ['int', ['uint64', 'size_t', 'int']],
  madvise: ['int', ['uint64', 'size_t', 'int']],
  process_vm_readv: ['int64', ['int', 'pointer', 'ulong', 'pointer', 'ulong', 'ulong']],
  process_vm_writev: ['int64', ['int', 'pointer', 'ulong', 'pointer', 'ulong', 'ulong']],
});

/** ffi-napi takes numbers beyond 2^53 as decimal text. */
const word = (value: bigint): string => value.toString();
/** What failed with -1, as -errno. */
const status = (result: unknown): number => (Number(result) === -1 ? -ffi.errno() : Number(result));

/** Where a Buffer's memory is; the caller keeps the Buffer alive. */
export const addressOf = (buffer: Buffer): bigint => BigInt(ref.address(buffer));

const iovec = (address: bigint, length: number): Buffer => {
  const vec = Buffer.alloc(16); // struct iovec: void *iov_base; size_t iov_len;
  vec.writeBigUInt64LE(address, 0);
  vec.writeBigUInt64LE(BigInt(length), 8);
  return vec;
};

export const PROT = { none: 0, read: 1, write: 2, rw: 3 } as const;
export const MAP = { shared: 0x01, private: 0x02, fixed: 0x10, anonymous: 0x20 } as const;

/** libc's calls: a value >= 0, or -errno. */
export const libc = {
  mmap(length: number, prot: number = PROT.rw, address = 0n, extra = 0): bigint {
    const flags = MAP.private | MAP.anonymous | extra;
    const at = c.mmap(word(address), length, prot, flags, -1, 0);
    return BigInt(Number(at) === -1 ? -ffi.errno() : (at as number));
  },
  munmap: (address: bigint, length: number): number => status(c.munmap(word(address), length)),
  mprotect: (address: bigint, length: number, prot: number): number =>
    status(c.mprotect(word(address), length, prot)),
  madvise: (address: bigint, length: number, advice: number): number =>
    status(c.madvise(word(address), length, advice)),
  /** Copies out of or into any memory; -EFAULT where there is none. */
  read(address: bigint, into: Buffer): number {
    const local = iovec(addressOf(into), into.length);
    const remote = iovec(address, into.length);
    return status(c.process_vm_readv(process.pid, local, 1, remote, 1, 0));
  },
  write(address: bigint, from: Buffer): number {
    const local = iovec(addressOf(from), from.length);
    const remote = iovec(address, from.length);
    return status(c.process_vm_writev(process.pid, local, 1, remote, 1, 0));
  },
  load32(address: bigint): number {
    const dword = Buffer.alloc(4);
    const got = libc.read(address, dword);
    if (got !== 4) throw new Error(`reading 0x${address.toString(16)}: ${got}`);
    return dword.readUInt32LE();
  },
};

/** An open device: each call answers a value >= 0 or -errno. */
export interface RawDevice {
  ioctl(request: number, arg: Buffer | null): number;
  mmap(length: number, offset: bigint): bigint;
  close(): number;
}

/** A DRM node, by libc alone. */
export function openNode(path: string): RawDevice {
  const fd = c.open(path, 0x80002 /* O_RDWR | O_CLOEXEC */) as number;
  if (fd < 0) throw new Error(`open ${path}: errno ${ffi.errno()}`);
  return {
    ioctl: (request, arg) => status(c.ioctl(fd, request, arg)),
    mmap(length, offset) {
      const at = c.mmap(0, length, PROT.rw, MAP.shared, fd, word(offset));
      return BigInt(Number(at) === -1 ? -ffi.errno() : (at as number));
    },
    close: () => status(c.close(fd)),
  };
}

/** The software device, by the C symbols that the addon's file exports. */
export function openSoft(): RawDevice {
  const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
  const path: string = require('node-gyp-build').resolve(root);
  const so = bind(path, {
    i915_userptr_soft_open: ['pointer', []],
    i915_userptr_soft_ioctl: ['int', ['pointer', 'ulong', 'pointer']],
    i915_userptr_soft_mmap: ['int64', ['pointer', 'uint64', 'uint64', 'int', 'int', 'uint64']],
    i915_userptr_soft_close: ['int', ['pointer']],
  });
  const device = so.i915_userptr_soft_open() as Buffer;
  return {
    ioctl: (request, arg) => so.i915_userptr_soft_ioctl(device, request, arg) as number,
    mmap: (length, offset) =>
      BigInt(
        so.i915_userptr_soft_mmap(device, 0, length, PROT.rw, MAP.shared, word(offset)) as number,
      ),
    close: () => so.i915_userptr_soft_close(device) as number,
  };
}

// asm-generic/ioctl.h: direction in bits 31:30, size in 29:16, type in 15:8, number in 7:0.
const ioc = (direction: number, nr: number, size: number): number =>
  ((direction << 30) | (size << 16) | (0x64 << 8) | nr) >>> 0;
const iow = (nr: number, size: number): number => ioc(1, nr, size);
const iowr = (nr: number, size: number): number => ioc(3, nr, size);
const i915 = 0x40; // DRM_COMMAND_BASE

export const requests = {
  version: iowr(0x00, 64),
  gemClose: iow(0x09, 8),
  getparam: iowr(i915 + 0x06, 16),
  busy: iowr(i915 + 0x17, 8),
  create: iowr(i915 + 0x1b, 16),
  pread: iow(i915 + 0x1c, 32),
  pwrite: iow(i915 + 0x1d, 32),
  setDomain: iow(i915 + 0x1f, 12),
  mmapOffset: iowr(i915 + 0x24, 32),
  madvise: iowr(i915 + 0x26, 12),
  execbuffer2: iow(i915 + 0x29, 64),
  wait: iowr(i915 + 0x2c, 16),
  contextDestroy: iow(i915 + 0x2e, 8),
  setCaching: iow(i915 + 0x2f, 8),
  getCaching: iowr(i915 + 0x30, 8),
  userptr: iowr(i915 + 0x33, 24),
  contextGetparam: iowr(i915 + 0x34, 24),
  contextSetparam: iowr(i915 + 0x35, 24),
  query: iowr(i915 + 0x39, 16),
  contextCreate: iowr(i915 + 0x2d, 8),
} as const;

type Field = readonly ['u32' | 's32' | 'u64' | 's64', number | bigint];

/** A struct, its fields written one after the other; the caller puts its padding in. */
export function pack(...fields: Field[]): Buffer {
  const out = Buffer.alloc(fields.reduce((n, [type]) => n + (type.endsWith('64') ? 8 : 4), 0));
  let at = 0;
  for (const [type, value] of fields) {
    if (type === 'u32') at = out.writeUInt32LE(Number(value), at);
    else if (type === 's32') at = out.writeInt32LE(Number(value), at);
    else if (type === 'u64') at = out.writeBigUInt64LE(BigInt(value), at);
    else at = out.writeBigInt64LE(BigInt(value), at);
  }
  return out;
}
