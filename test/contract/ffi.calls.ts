// SPDX-License-Identifier: MIT
// The ioctls of a raw device, each struct written out field by field as the uAPI's headers have it.
import { addressOf, pack, type RawDevice, requests } from './ffi.js';

/** What a call returned: >= 0, or -errno. */
export interface Answer {
  ret: number;
}

export const callsOf = (device: RawDevice) => ({
  version() {
    const name = Buffer.alloc(16);
    const args = pack(
      ['s32', 0], // version_major
      ['s32', 0], // version_minor
      ['s32', 0], // version_patchlevel
      ['u32', 0], // padding
      ['u64', name.length],
      ['u64', addressOf(name)],
      ['u64', 0], // date
      ['u64', 0],
      ['u64', 0], // desc
      ['u64', 0],
    );
    const ret = device.ioctl(requests.version, args);
    if (ret < 0) throw new Error(`DRM_IOCTL_VERSION: ${ret}`);
    return {
      name: name.toString('latin1', 0, Number(args.readBigUInt64LE(16))),
      major: args.readInt32LE(0),
      minor: args.readInt32LE(4),
    };
  },

  getparam(param: number): Answer & { value: number } {
    const value = Buffer.alloc(4);
    const args = pack(['s32', param], ['u32', 0], ['u64', addressOf(value)]);
    const ret = device.ioctl(requests.getparam, args);
    return { ret, value: value.readInt32LE() };
  },

  /** Both calls of one query item: for its length, then for its bytes. */
  query(id: number): Answer & { bytes: Buffer } {
    let bytes = Buffer.alloc(0);
    for (;;) {
      const item = pack(
        ['u64', id],
        ['s32', bytes.length],
        ['u32', 0], // flags
        ['u64', bytes.length ? addressOf(bytes) : 0],
      );
      const args = pack(['u32', 1], ['u32', 0], ['u64', addressOf(item)]);
      const ret = device.ioctl(requests.query, args);
      if (ret < 0) return { ret, bytes };
      const length = item.readInt32LE(8);
      if (length < 0 || bytes.length) return { ret: Math.min(length, 0), bytes };
      bytes = Buffer.alloc(length);
    }
  },

  create(size: bigint | number): Answer & { handle: number; size: bigint } {
    const args = pack(['u64', size], ['u32', 0], ['u32', 0]);
    const ret = device.ioctl(requests.create, args);
    return { ret, size: args.readBigUInt64LE(0), handle: args.readUInt32LE(8) };
  },
  close: (handle: number): number =>
    device.ioctl(requests.gemClose, pack(['u32', handle], ['u32', 0])),

  userptr(address: bigint, size: bigint | number, flags: number): Answer & { handle: number } {
    const args = pack(['u64', address], ['u64', size], ['u32', flags], ['u32', 0]);
    const ret = device.ioctl(requests.userptr, args);
    return { ret, handle: args.readUInt32LE(20) };
  },

  pwrite(handle: number, offset: bigint, bytes: Buffer): number {
    const args = pack(
      ['u32', handle],
      ['u32', 0],
      ['u64', offset],
      ['u64', bytes.length],
      ['u64', addressOf(bytes)],
    );
    return device.ioctl(requests.pwrite, args);
  },
  pread(handle: number, offset: bigint, length: number): Answer & { bytes: Buffer } {
    const bytes = Buffer.alloc(length);
    const args = pack(
      ['u32', handle],
      ['u32', 0],
      ['u64', offset],
      ['u64', length],
      ['u64', addressOf(bytes)],
    );
    return { ret: device.ioctl(requests.pread, args), bytes };
  },

  mmapOffset(handle: number, flags: number): Answer & { offset: bigint } {
    const args = pack(['u32', handle], ['u32', 0], ['u64', 0], ['u64', flags], ['u64', 0]);
    const ret = device.ioctl(requests.mmapOffset, args);
    return { ret, offset: args.readBigUInt64LE(8) };
  },

  busy(handle: number): Answer & { busy: number } {
    const args = pack(['u32', handle], ['u32', 0]);
    const ret = device.ioctl(requests.busy, args);
    return { ret, busy: args.readUInt32LE(4) };
  },
  wait(handle: number, timeout: bigint): Answer & { left: bigint } {
    const args = pack(['u32', handle], ['u32', 0], ['s64', timeout]);
    const ret = device.ioctl(requests.wait, args);
    return { ret, left: args.readBigInt64LE(8) };
  },

  setDomain: (handle: number, read: number, write: number): Answer => ({
    ret: device.ioctl(requests.setDomain, pack(['u32', handle], ['u32', read], ['u32', write])),
  }),
  madvise: (handle: number, advice: number): Answer => ({
    ret: device.ioctl(requests.madvise, pack(['u32', handle], ['u32', advice], ['u32', 0])),
  }),

  contextCreate(): Answer & { id: number } {
    const args = pack(['u32', 0], ['u32', 0]);
    const ret = device.ioctl(requests.contextCreate, args);
    return { ret, id: args.readUInt32LE(0) };
  },
  contextDestroy: (id: number): number =>
    device.ioctl(requests.contextDestroy, pack(['u32', id], ['u32', 0])),
  contextGetparam(id: number, param: number): Answer & { value: bigint } {
    const args = pack(['u32', id], ['u32', 0], ['u64', param], ['u64', 0]);
    const ret = device.ioctl(requests.contextGetparam, args);
    return { ret, value: args.readBigUInt64LE(16) };
  },
  contextSetparam: (id: number, param: number, size: number, value: bigint): Answer => ({
    ret: device.ioctl(
      requests.contextSetparam,
      pack(['u32', id], ['u32', size], ['u64', param], ['u64', value]),
    ),
  }),
});
