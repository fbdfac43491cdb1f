// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import type { Mapping } from '../memory/mapping.js';
import {
  type ChildEnd,
  constant,
  type DeviceId,
  type EngineInfo,
  type MemoryRegion,
  native,
  type SoftStats,
  type Topology,
  type U64,
  type Version,
} from '../native.js';
import { Context, type ContextOptions, Vm } from './context.js';
import { type Exec, type ExecResult, packExec } from './exec.js';
import { GemObject, UserptrObject } from './gem.js';
import { Syncobj } from './sync.js';

/** How the software i915 shall be. */
export interface SoftOptions {
  /** Which kernel's i915 it is: one of `native.softKernels`. */
  kernel?: string;
  /** How lookups are kept apart from invalidates: a name of `native.softStrategies`. As the kernel, if not said. */
  strategy?: string;
  /** Bugs that it shall have: names of `native.softFaults`. */
  faults?: readonly string[];
  /** A fault strikes in one of so many cases, by chance. */
  faultOneIn?: number;
  /** Of that chance. */
  seed?: U64;
  /** A batch that makes no end for so long is reset, as a hang. Milliseconds. */
  hangMs?: number;
  /** Each user batch takes at least so long. Microseconds. */
  batchDelayUs?: number;
}

/** Flags of GEM_USERPTR. */
export interface UserptrOptions {
  /** The GPU may only read: works on memory mapped PROT_READ. */
  readOnly?: boolean;
  /** EFAULT now, rather than at first use, when part of the range is not mapped (5.16). */
  probe?: boolean;
  /** No mmu notifier: refused with ENODEV since 5.11. */
  unsynchronized?: boolean;
}

export interface CreateOptions {
  /** Where it may live, in order of preference: GEM_CREATE_EXT with MEMORY_REGIONS (5.13). */
  regions?: readonly { class: number; instance: number }[];
  /** Flags of GEM_CREATE_EXT. */
  flags?: number;
}

const faultBits = Object.fromEntries(native.softFaults.map((f) => [f.name, f.bit]));
const faultMask = (names: readonly string[]): number =>
  names.reduce((mask, name) => mask | check.word(name, faultBits, 'faults'), 0) >>> 0;

const paramNames = Object.keys(native.constants)
  .filter((name) => name.startsWith('I915_PARAM_'))
  .map((name) => name.slice('I915_PARAM_'.length));

const key = Symbol('Device');

const ADDRESS_END = 1n << 47n;

/**
 * An open file of an i915, real or software. Every method that is an ioctl throws I915Error when the
 * driver refuses; EINTR, and EAGAIN where a retry is what the driver means by it, are called again
 * and counted. Close it, or declare it with `using`.
 */
export class Device implements Disposable {
  /** The node's path, or `soft`. */
  readonly path: string;
  #id: DeviceId;
  #gen = 0;
  #nextAddress = 0x1000_0000n;

  /** @internal openDevice() and reopen() make devices. */
  constructor(secret: symbol, id: DeviceId, path: string) {
    if (secret !== key) throw new TypeError('Device: expected to be made by openDevice()');
    this.#id = id;
    this.path = path;
  }

  /** @internal */
  static node(id: DeviceId, path: string): Device {
    return new Device(key, id, path);
  }

  /** @internal */
  static soft(options: SoftOptions): Device {
    const {
      kernel = native.softKernels[0] ?? '',
      strategy,
      faults = [],
      faultOneIn = 1,
      seed = 1n,
      hangMs = 1000,
      batchDelayUs = 0,
    } = options;
    const id = native.openSoft(
      check.word(kernel, kernels, 'kernel'),
      strategy === undefined ? '' : check.word(strategy, strategies, 'strategy'),
      faultMask(faults),
      check.u32(faultOneIn, 'faultOneIn') || check.refuse('faultOneIn', '1 or more', faultOneIn),
      check.u64(seed, 'seed'),
      BigInt(check.u32(hangMs, 'hangMs')) * 1_000_000n,
      BigInt(check.u32(batchDelayUs, 'batchDelayUs')) * 1000n,
    );
    return new Device(key, id, 'soft');
  }

  /** The device's number in the addon, for `native`'s own functions; 0 once it is closed. */
  get id(): DeviceId {
    return this.#id;
  }

  get isSoft(): boolean {
    return this.path === 'soft';
  }

  /** The DRM file's descriptor; -1 on soft. */
  get fd(): number {
    return native.deviceFd(this.#id);
  }

  /** Another open file of the same GPU: handles and contexts of its own. */
  reopen(): Device {
    if (this.isSoft) return new Device(key, native.reopenSoft(this.#id), 'soft');
    const { device, errno } = native.openNode(this.path);
    if (errno) throw new Error(`${this.path} cannot be opened again: ${native.errnoName(errno)}`);
    return new Device(key, device, this.path);
  }

  /** Closes the file: handles, contexts and fences go. What is busy lives until it is idle. */
  close(): void {
    native.closeDevice(this.#id);
    this.#id = 0;
  }

  [Symbol.dispose](): void {
    if (this.#id) this.close();
  }

  // ---- the driver and what it has

  /** DRM_IOCTL_VERSION. */
  version(): Version {
    return native.version(this.#id);
  }

  /** DRM_IOCTL_GET_CAP, by name: `PRIME`, `SYNCOBJ`, ... */
  getCap(name: string): bigint {
    return native.getCap(this.#id, named('DRM_CAP_', name));
  }

  /**
   * A parameter of I915_GETPARAM by name, with or without `I915_PARAM_`: `CHIPSET_ID`.
   * @throws {I915Error} EINVAL: this kernel does not know it; ENODEV: the GPU does not have it.
   */
  getparam(name: string | number): number {
    return native.getparam(
      this.#id,
      typeof name === 'number' ? check.i32(name, 'param') : named('I915_PARAM_', name),
    );
  }

  /** Every parameter by name; null where the driver refuses it. */
  params(): Record<string, number | null> {
    return Object.fromEntries(paramNames.map((name) => [name, this.tryGetparam(name)]));
  }

  /** As getparam(), or null where the driver refuses it. */
  tryGetparam(name: string | number): number | null {
    try {
      return this.getparam(name);
    } catch (error) {
      if (error instanceof TypeError) throw error;
      return null;
    }
  }

  /** I915_SETPARAM, by name: `NUM_USED_FENCES`, ... Nothing of it is left in 6.1. */
  setparam(name: string | number, value: number): void {
    const param =
      typeof name === 'number' ? check.i32(name, 'param') : named('I915_SETPARAM_', name);
    native.setparam(this.#id, param, check.i32(value, 'value'));
  }

  /** The graphics version times 10, by the chipset id: 90 is Skylake's; 0: not one we know. */
  get gen(): number {
    this.#gen ||= native.graphicsVersion(this.#id);
    return this.#gen;
  }

  /** A register that user space may read (DRM_IOCTL_I915_REG_READ). */
  regRead(offset: U64): bigint {
    return native.regRead(this.#id, check.u64(offset, 'offset'));
  }

  /** Bytes of the global GTT. */
  aperture(): { size: bigint; available: bigint } {
    return native.getAperture(this.#id);
  }

  /** One item of DRM_IOCTL_I915_QUERY, as its bytes. `id` may be a name: `ENGINE_INFO`. */
  query(id: string | number, flags = 0): Buffer {
    return native.query(
      this.#id,
      typeof id === 'number' ? check.u64(id, 'id') : named('DRM_I915_QUERY_', id),
      check.u32(flags, 'flags'),
    );
  }

  engines(): EngineInfo[] {
    return native.queryEngines(this.#id);
  }

  memoryRegions(): MemoryRegion[] {
    return native.queryMemoryRegions(this.#id);
  }

  topology(): Topology {
    return native.queryTopology(this.#id);
  }

  // ---- objects

  /** A GEM object of `size` bytes, rounded up to pages. It reads as zeros. */
  create(size: U64, options: CreateOptions = {}): GemObject {
    check.u64(size, 'size');
    const { regions, flags = 0 } = options;
    const made =
      regions || flags
        ? native.gemCreateExt(
            this.#id,
            size,
            check.u32(flags, 'flags'),
            Uint16Array.from((regions ?? []).flatMap((r) => [r.class, r.instance])),
          )
        : native.gemCreate(this.#id, size);
    return new GemObject(this, made.handle, made.size);
  }

  /**
   * Lends memory of this process to the GPU (DRM_IOCTL_I915_GEM_USERPTR). Address and size must be
   * whole pages; nothing is looked up before the first execbuf.
   * @throws {I915Error} EINVAL: flags, alignment, size 0; E2BIG: 2^44 bytes and more; EFAULT: not
   *   the process's own memory, or with `probe`: not mapped; ENODEV: unsynchronized, or read-only on
   *   a GPU that cannot be kept from writing.
   */
  userptr(address: U64, size: U64, options?: UserptrOptions): UserptrObject;
  userptr(mapping: Mapping, options?: UserptrOptions): UserptrObject;
  userptr(
    at: U64 | Mapping,
    sizeOrOptions?: U64 | UserptrOptions,
    options?: UserptrOptions,
  ): UserptrObject {
    const flagged =
      typeof at === 'object' ? (sizeOrOptions as UserptrOptions | undefined) : options;
    const start = typeof at === 'object' ? at.address : check.address(at, 'address');
    const size = typeof at === 'object' ? at.length : check.u64(sizeOrOptions as U64, 'size');
    const handle = native.gemUserptr(this.#id, start, size, flagged ? userptrFlags(flagged) : 0);
    return new UserptrObject(this, handle, size, start);
  }

  /** The object behind a dma-buf's fd (DRM_IOCTL_PRIME_FD_TO_HANDLE). `size` in bytes, if known. */
  importFd(fd: number, size: U64 = 0n): GemObject {
    return new GemObject(this, native.primeFdToHandle(this.#id, check.i32(fd, 'fd')), size);
  }

  /** An object by a handle of this file. */
  object(handle: number, size: U64 = 0n): GemObject {
    return new GemObject(this, check.u32(handle, 'handle'), size);
  }

  /** Waits until what this file submitted 20 ms ago is done (DRM_IOCTL_I915_GEM_THROTTLE). */
  throttle(): void {
    native.gemThrottle(this.#id);
  }

  /**
   * A range of GPU addresses that was not given out before, for softpinned objects. Bytes. All of
   * them are below 2^47, where an address and its canonical form are the same.
   */
  allocateAddress(size: U64, alignment: U64 = 4096n): bigint {
    const align = check.address(alignment, 'alignment');
    if (align === 0n || (align & (align - 1n)) !== 0n)
      check.refuse('alignment', 'a power of two', alignment);
    const start = (this.#nextAddress + align - 1n) & -align;
    const end = start + check.address(size, 'size');
    if (end > ADDRESS_END)
      check.refuse('size', `at most the ${ADDRESS_END - start} bytes left`, size);
    this.#nextAddress = end;
    return start;
  }

  // ---- contexts and submission

  context(options: ContextOptions = {}): Context {
    return Context.create(this, options);
  }

  /** The context that every file has. */
  get defaultContext(): Context {
    return new Context(this, 0);
  }

  /** An address space of the GPU (DRM_IOCTL_I915_GEM_VM_CREATE). */
  vm(flags = 0): Vm {
    return new Vm(this, native.vmCreate(this.#id, check.u32(flags, 'flags')));
  }

  /** Submits a batch (DRM_IOCTL_I915_GEM_EXECBUFFER2). */
  execbuf(exec: Exec): ExecResult {
    const packed = packExec(exec);
    return packed.result(native.execbuffer2(this.#id, ...packed.args));
  }

  /** The same in the thread pool: a full ring, a fence or a page lookup may keep it waiting. */
  async execbufAsync(exec: Exec): Promise<ExecResult> {
    const packed = packExec(exec);
    return packed.result(await native.async.execbuffer2(this.#id, ...packed.args));
  }

  /** The same in a forked child, which has another mm: how it ended. */
  execbufInChild(exec: Exec): ChildEnd {
    return native.child.execbuffer2(this.#id, ...packExec(exec).args);
  }

  syncobj(options: { signaled?: boolean } = {}): Syncobj {
    const flags = options.signaled ? constant('DRM_SYNCOBJ_CREATE_SIGNALED') : 0;
    return new Syncobj(this, native.syncobjCreate(this.#id, flags));
  }

  // ---- wrong on purpose

  /**
   * One ioctl with its struct as bytes, for input that the methods above refuse to make. Nothing is
   * checked and nothing is called again. Pointers in the bytes are the caller's business: on a real
   * node they can have this process's memory overwritten. `native.structs` has the layouts.
   * @returns the bytes as the driver left them; at least as long as the request's number says.
   */
  ioctlRaw(request: U64, bytes: ArrayBufferView): Buffer {
    return native.ioctlRaw(this.#id, check.u64(request, 'request'), check.bytes(bytes, 'bytes'));
  }

  /** One ioctl with any number where its pointer belongs. */
  ioctlPointer(request: U64, pointer: U64): number {
    return native.ioctlPointer(
      this.#id,
      check.u64(request, 'request'),
      check.u64(pointer, 'pointer'),
    );
  }

  /** ioctlRaw() in a forked child: how it ended. */
  ioctlInChild(request: U64, bytes: ArrayBufferView): ChildEnd {
    return native.child.ioctlRaw(
      this.#id,
      check.u64(request, 'request'),
      check.bytes(bytes, 'bytes'),
    );
  }

  /** How often calls were interrupted, or collided with an invalidate, and made again. */
  retries(): { eintr: bigint; eagain: bigint } {
    return native.retries(this.#id);
  }

  // ---- soft only

  /** @throws {TypeError} on a real node. */
  softStats(): SoftStats {
    return native.softStats(this.#id);
  }

  /** @throws {TypeError} on a real node. */
  setSoftFaults(faults: readonly string[], oneIn = 1): void {
    native.setSoftFaults(this.#id, faultMask(faults), check.u32(oneIn, 'oneIn'));
  }
}

const kernels = Object.fromEntries(native.softKernels.map((k) => [k, k]));
const strategies = Object.fromEntries(native.softStrategies.map((s) => [s.name, s.name]));

const READ_ONLY = constant('I915_USERPTR_READ_ONLY');
const PROBE = constant('I915_USERPTR_PROBE');
const UNSYNCHRONIZED = constant('I915_USERPTR_UNSYNCHRONIZED');

const userptrFlags = (o: UserptrOptions): number =>
  (o.readOnly ? READ_ONLY : 0) + (o.probe ? PROBE : 0) + (o.unsynchronized ? UNSYNCHRONIZED : 0);

function named(prefix: string, name: string): number {
  check.string(name, 'name');
  return constant(name.startsWith(prefix) ? name : prefix + name);
}
