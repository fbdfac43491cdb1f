// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { Mapping, type Prot, protBits } from '../memory/mapping.js';
import { constant, FOREVER, native, type Tiling, type U64 } from '../native.js';
import type { Device } from './device.js';

/** How the CPU's mapping caches: through the GTT, write-combined, write-back, uncached, or as the
 * object was made (`fixed`: discrete GPUs). */
export type MmapType = 'gtt' | 'wc' | 'wb' | 'uc' | 'fixed';
const mmapTypes: Readonly<Record<MmapType, number>> = {
  gtt: constant('I915_MMAP_OFFSET_GTT'),
  wc: constant('I915_MMAP_OFFSET_WC'),
  wb: constant('I915_MMAP_OFFSET_WB'),
  uc: constant('I915_MMAP_OFFSET_UC'),
  fixed: constant('I915_MMAP_OFFSET_FIXED'),
};

export type Caching = 'none' | 'cached' | 'display';
const cachings: Readonly<Record<Caching, number>> = {
  none: constant('I915_CACHING_NONE'),
  cached: constant('I915_CACHING_CACHED'),
  display: constant('I915_CACHING_DISPLAY'),
};

const advices = {
  willneed: constant('I915_MADV_WILLNEED'),
  dontneed: constant('I915_MADV_DONTNEED'),
};

const tilings = {
  none: constant('I915_TILING_NONE'),
  x: constant('I915_TILING_X'),
  y: constant('I915_TILING_Y'),
};

/** An enumeration's number, from its word or as it is. */
const value = (given: string | number, table: Readonly<Record<string, number>>, name: string) =>
  typeof given === 'number' ? check.u32(given, name) : check.word(given, table, name);

/** A GEM object of a device. Close it, or declare it with `using`. */
export class GemObject implements Disposable {
  readonly device: Device;
  /** Of the device's file. 0 after close(). */
  handle: number;
  /** Bytes. */
  readonly size: U64;

  constructor(device: Device, handle: number, size: U64) {
    this.device = device;
    this.handle = handle;
    this.size = size;
  }

  /** Drops the handle (DRM_IOCTL_GEM_CLOSE); a busy object lives until it is idle. */
  close(): void {
    native.gemClose(this.device.id, this.handle);
    this.handle = 0;
  }

  [Symbol.dispose](): void {
    if (this.handle && this.device.id) this.close();
  }

  // ---- content

  /** The fake offset at which the device's file is to be mapped. */
  mmapOffset(type: MmapType | number = 'wb'): bigint {
    return native.gemMmapOffset(this.device.id, this.handle, value(type, mmapTypes, 'type'));
  }

  /** As mmapOffset('gtt') by the older ioctl (DRM_IOCTL_I915_GEM_MMAP_GTT). */
  mmapOffsetGtt(): bigint {
    return native.gemMmapGtt(this.device.id, this.handle);
  }

  /** Maps the object into this process; `length` in bytes, by default all of it. */
  mmap(
    options: { type?: MmapType | number; prot?: Prot; length?: U64; shared?: boolean } = {},
  ): Mapping {
    const { type = 'wb', prot = 'rw', length = this.size, shared = true } = options;
    const flags = constant(shared ? 'MAP_SHARED' : 'MAP_PRIVATE');
    const at = native.deviceMmap(
      this.device.id,
      0,
      check.u64(length, 'length'),
      protBits(prot),
      flags,
      this.mmapOffset(type),
    );
    return new Mapping(at, Number(length));
  }

  /** Maps by the first mmap ioctl (DRM_IOCTL_I915_GEM_MMAP), write-back or write-combined. */
  mmapV1(options: { offset?: U64; length?: U64; wc?: boolean; flags?: U64 } = {}): Mapping {
    const { offset = 0n, length = this.size, wc = false } = options;
    const flags = options.flags ?? (wc ? constant('I915_MMAP_WC') : 0);
    const at = native.gemMmap(
      this.device.id,
      this.handle,
      check.u64(offset, 'offset'),
      check.u64(length, 'length'),
      check.u64(flags, 'flags'),
    );
    return new Mapping(at, Number(length));
  }

  /** Reads `length` bytes by the driver (DRM_IOCTL_I915_GEM_PREAD). */
  pread(offset: U64, length: U64): Buffer {
    return native.gemPread(
      this.device.id,
      this.handle,
      check.u64(offset, 'offset'),
      check.length(length, 'length'),
    );
  }

  /** Writes by the driver (DRM_IOCTL_I915_GEM_PWRITE). */
  pwrite(offset: U64, bytes: ArrayBufferView): void {
    native.gemPwrite(
      this.device.id,
      this.handle,
      check.u64(offset, 'offset'),
      check.bytes(bytes, 'bytes'),
    );
  }

  /** pread() to an address of this process: EFAULT where it is not mapped. */
  preadTo(address: U64, offset: U64, length: U64): void {
    native.gemPreadTo(
      this.device.id,
      this.handle,
      check.u64(offset, 'offset'),
      check.u64(length, 'length'),
      check.u64(address, 'address'),
    );
  }

  /** pwrite() from an address of this process: EFAULT where it is not mapped. */
  pwriteFrom(address: U64, offset: U64, length: U64): void {
    native.gemPwriteFrom(
      this.device.id,
      this.handle,
      check.u64(offset, 'offset'),
      check.u64(length, 'length'),
      check.u64(address, 'address'),
    );
  }

  /** I915_GEM_DOMAIN_* masks; waits until the object is idle for that use. */
  setDomain(readDomains: number, writeDomain = 0): void {
    native.gemSetDomain(
      this.device.id,
      this.handle,
      check.u32(readDomains, 'readDomains'),
      check.u32(writeDomain, 'writeDomain'),
    );
  }

  swFinish(): void {
    native.gemSwFinish(this.device.id, this.handle);
  }

  // ---- time

  /** 0: idle. Bits 31:16: a bit for each engine class that reads; 15:0: the writer's class + 1. */
  busy(): number {
    return native.gemBusy(this.device.id, this.handle);
  }

  /**
   * Waits until the object is idle (DRM_IOCTL_I915_GEM_WAIT).
   * @param timeoutNs nanoseconds; negative: for ever.
   * @returns what is left of the time.
   * @throws {I915Error} ETIME: still busy.
   */
  wait(timeoutNs: U64 = FOREVER): bigint {
    return native.gemWait(this.device.id, this.handle, check.i64(timeoutNs, 'timeoutNs'), 0);
  }

  /** wait() in the thread pool. */
  waitAsync(timeoutNs: U64 = FOREVER): Promise<bigint> {
    return native.async.gemWait(this.device.id, this.handle, check.i64(timeoutNs, 'timeoutNs'), 0);
  }

  // ---- state

  /** @returns false when the pages are gone for good. */
  madvise(advice: keyof typeof advices | number): boolean {
    return native.gemMadvise(this.device.id, this.handle, value(advice, advices, 'advice'));
  }

  setCaching(caching: Caching | number): void {
    native.gemSetCaching(this.device.id, this.handle, value(caching, cachings, 'caching'));
  }

  /** An I915_CACHING_*. */
  getCaching(): number {
    return native.gemGetCaching(this.device.id, this.handle);
  }

  /** `stride` in bytes. @returns what the driver settled on. */
  setTiling(mode: keyof typeof tilings | number, stride = 0): Tiling {
    return native.gemSetTiling(
      this.device.id,
      this.handle,
      value(mode, tilings, 'mode'),
      check.u32(stride, 'stride'),
    );
  }

  getTiling(): { mode: number; swizzle: number; physSwizzle: number } {
    return native.gemGetTiling(this.device.id, this.handle);
  }

  /** A dma-buf's fd (DRM_IOCTL_PRIME_HANDLE_TO_FD), which the caller closes. */
  exportFd(options: { writable?: boolean; flags?: number } = {}): number {
    const flags =
      options.flags ??
      constant('DRM_CLOEXEC') + (options.writable === false ? 0 : constant('DRM_RDWR'));
    return native.primeHandleToFd(this.device.id, this.handle, check.u32(flags, 'flags'));
  }
}

/** Memory of this process, lent to the GPU. */
export class UserptrObject extends GemObject {
  readonly address: bigint;

  constructor(device: Device, handle: number, size: U64, address: bigint) {
    super(device, handle, size);
    this.address = address;
  }
}
