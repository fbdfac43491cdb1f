// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { constant, type FaultEvent, native, type U64 } from '../native.js';
import type { Mapping } from './mapping.js';

/**
 * userfaultfd(2): accesses to pages of a range wait until this process answers them. Page lookups
 * of a driver wait too, unless `userModeOnly`.
 */
export class Userfaultfd implements Disposable {
  /** -1 after close(). */
  fd: number;
  /** UFFD_FEATURE_* that the kernel has. */
  readonly features: bigint;

  /**
   * @param options.userModeOnly handles faults of user space alone (5.11); without it, it takes
   *   CAP_SYS_PTRACE or vm.unprivileged_userfaultfd.
   * @param options.features UFFD_FEATURE_* to turn on.
   */
  constructor(options: { userModeOnly?: boolean; features?: U64 } = {}) {
    const opened = native.uffdOpen(
      options.userModeOnly ? constant('UFFD_USER_MODE_ONLY') : 0,
      check.u64(options.features ?? 0n, 'features'),
    );
    this.fd = opened.fd;
    this.features = opened.features;
  }

  /** Watches a range for pages that are missing, written though write-protected, or both. */
  register(mapping: Mapping, what: { missing?: boolean; writeProtect?: boolean }): void {
    const mode =
      (what.missing ? constant('UFFDIO_REGISTER_MODE_MISSING') : 0) |
      (what.writeProtect ? constant('UFFDIO_REGISTER_MODE_WP') : 0);
    native.uffdRegister(this.fd, mapping.address, mapping.length, mode);
  }

  unregister(mapping: Mapping): void {
    native.uffdUnregister(this.fd, mapping.address, mapping.length);
  }

  /** Puts pages with this content there and wakes who waits. */
  copy(address: U64, bytes: ArrayBufferView, options: { wake?: boolean } = {}): void {
    const mode = options.wake === false ? constant('UFFDIO_COPY_MODE_DONTWAKE') : 0;
    native.uffdCopy(this.fd, check.u64(address, 'address'), check.bytes(bytes, 'bytes'), mode);
  }

  zeropage(address: U64, length: U64, options: { wake?: boolean } = {}): void {
    const mode = options.wake === false ? constant('UFFDIO_ZEROPAGE_MODE_DONTWAKE') : 0;
    native.uffdZeropage(this.fd, check.u64(address, 'address'), check.u64(length, 'length'), mode);
  }

  wake(address: U64, length: U64): void {
    native.uffdWake(this.fd, check.u64(address, 'address'), check.u64(length, 'length'));
  }

  /** Write-protects pages that are there, or lets them be written and wakes who waits. */
  writeProtect(address: U64, length: U64, on: boolean): void {
    native.uffdWriteprotect(
      this.fd,
      check.u64(address, 'address'),
      check.u64(length, 'length'),
      on ? constant('UFFDIO_WRITEPROTECT_MODE_WP') : 0,
    );
  }

  /** The events there are now; it does not wait. */
  events(): FaultEvent[] {
    return native.uffdEvents(this.fd);
  }

  close(): void {
    native.closeFd(this.fd);
    this.fd = -1;
  }

  [Symbol.dispose](): void {
    if (this.fd >= 0) this.close();
  }
}
