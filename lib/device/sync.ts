// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { constant, native, type U64 } from '../native.js';
import type { Device } from './device.js';

/** The fence of a submission as a file (a sync file): readable once it has signalled. */
export class Fence implements Disposable {
  /** -1 after close(). */
  fd: number;

  constructor(fd: number) {
    this.fd = check.i32(fd, 'fd');
  }

  /** Has it signalled within `timeoutMs`? 0 asks and does not wait; negative waits for ever. */
  wait(timeoutMs = -1): boolean {
    return native.pollFd(this.fd, check.i32(timeoutMs, 'timeoutMs'));
  }

  waitAsync(timeoutMs = -1): Promise<boolean> {
    return native.async.pollFd(this.fd, check.i32(timeoutMs, 'timeoutMs'));
  }

  close(): void {
    native.closeFd(this.fd);
    this.fd = -1;
  }

  [Symbol.dispose](): void {
    if (this.fd >= 0) this.close();
  }
}

/** A DRM syncobj: a container for a fence. */
export class Syncobj implements Disposable {
  readonly device: Device;
  handle: number;

  constructor(device: Device, handle: number) {
    this.device = device;
    this.handle = handle;
  }

  destroy(): void {
    native.syncobjDestroy(this.device.id, this.handle);
    this.handle = 0;
  }

  [Symbol.dispose](): void {
    if (this.handle && this.device.id) this.destroy();
  }

  /**
   * Waits for its fence.
   * @param timeoutNs from now; 0 asks and does not wait.
   * @throws {I915Error} ETIME: not yet; EINVAL: it holds no fence (without `forSubmit`).
   */
  wait(timeoutNs: U64 = 0n, options: { forSubmit?: boolean } = {}): void {
    const flags = options.forSubmit ? constant('DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT') : 0;
    const deadline = timeoutNs ? process.hrtime.bigint() + check.i64(timeoutNs, 'timeoutNs') : 0n;
    native.syncobjWait(this.device.id, Uint32Array.of(this.handle), deadline, flags);
  }

  reset(): void {
    native.syncobjReset(this.device.id, Uint32Array.of(this.handle));
  }

  signal(): void {
    native.syncobjSignal(this.device.id, Uint32Array.of(this.handle));
  }

  /** Its fence as a file. */
  exportFence(): Fence {
    const flags = constant('DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE');
    return new Fence(native.syncobjHandleToFd(this.device.id, this.handle, flags));
  }

  /** Takes the fence of a file. */
  importFence(fence: Fence): void {
    const flags = constant('DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE');
    native.syncobjFdToHandle(this.device.id, fence.fd, flags, this.handle);
  }
}
