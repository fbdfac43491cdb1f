// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { constant, native, type U64 } from '../native.js';
import { type MapOptions, type Mapping, mmap } from './mapping.js';

/** A file in memory (memfd_create(2)). */
export class Memfd implements Disposable {
  /** -1 after close(). */
  fd: number;

  /** `size` in bytes; `hugetlb`: of huge pages. */
  constructor(size: U64, options: { name?: string; hugetlb?: boolean } = {}) {
    check.u64(size, 'size');
    const flags = constant('MFD_CLOEXEC') | (options.hugetlb ? constant('MFD_HUGETLB') : 0);
    this.fd = native.memfdCreate(check.string(options.name ?? 'i915-userptr', 'name'), flags);
    try {
      this.truncate(size);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Maps a part of it, shared unless told otherwise. */
  mmap(length: U64, options: Omit<MapOptions, 'fd'> = {}): Mapping {
    return mmap(length, { shared: true, ...options, fd: this.fd });
  }

  /** Sets its size: pages beyond it leave every mapping, and an access there is EFAULT. */
  truncate(size: U64): void {
    native.ftruncate(this.fd, check.u64(size, 'size'));
  }

  truncateAsync(size: U64): Promise<void> {
    return native.async.ftruncate(this.fd, check.u64(size, 'size'));
  }

  /** Frees a part of it: that part of every mapping reads as zeros. */
  punchHole(offset: U64, length: U64): void {
    native.fallocate(
      this.fd,
      constant('FALLOC_FL_PUNCH_HOLE') | constant('FALLOC_FL_KEEP_SIZE'),
      check.u64(offset, 'offset'),
      check.u64(length, 'length'),
    );
  }

  close(): void {
    native.closeFd(this.fd);
    this.fd = -1;
  }

  [Symbol.dispose](): void {
    if (this.fd >= 0) this.close();
  }
}
