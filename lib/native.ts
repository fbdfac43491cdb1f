// SPDX-License-Identifier: MIT
// The one place that knows where the addon's file is, and what the addon's functions are called.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { I915Error } from './error.js';

/** A count, size or flags: a safe integer or a bigint, 0 to 2^64 - 1. */
export type U64 = number | bigint;
/** A device, by its number in this instance of the addon. */
export type DeviceId = number;
/** A Buffer, typed array or DataView. */
export type Bytes = ArrayBufferView;

/** How a forked child ended. */
export interface ChildEnd {
  /** What the call in it failed with; 0 when it did not. */
  errno: number;
  /** The signal that ended it, or 0. */
  signal: number;
  /** It did not end in 20 s and was killed. */
  timedOut: boolean;
}

/** Pages, in bytes on x86-64. */
export interface PinCounts {
  acquired: bigint;
  released: bigint;
  invalidates: bigint;
}

/** What the software device counts of itself; the last six are what is alive now. */
export interface SoftStats {
  requests: bigint;
  batches: bigint;
  commands: bigint;
  gpuFaults: bigint;
  resets: bigint;
  invalidates: bigint;
  pinsAcquired: bigint;
  pinsReleased: bigint;
  objects: bigint;
  objectBytes: bigint;
  contexts: bigint;
  vms: bigint;
  bindings: bigint;
  fences: bigint;
}

/** A DRM node of this machine. */
export interface NodeInfo {
  path: string;
  /** The kernel driver's name; empty where sysfs does not say. */
  driver: string;
  /** Its PCI address, or empty. */
  pci: string;
  /** The card node of the same GPU, or empty. */
  card: string;
  render: boolean;
  /** Why this process may not use it; 0: it may. */
  errno: number;
  /** A process that has the card node open: a display server. 0: none was seen. */
  holder: number;
  holderName: string;
  /** False when some process's files could not be read: then no holder proves nothing. */
  holdersKnown: boolean;
  /** A connector is lit. */
  displayOn: boolean;
}

export interface Version {
  major: number;
  minor: number;
  patchlevel: number;
  name: string;
  date: string;
  description: string;
}

export interface EngineInfo {
  class: number;
  instance: number;
  flags: bigint;
  capabilities: bigint;
  logicalInstance: number;
}

export interface MemoryRegion {
  class: number;
  instance: number;
  /** Bytes. */
  probedSize: bigint;
  /** Bytes; 2^64 - 1 for a caller without CAP_PERFMON. */
  unallocatedSize: bigint;
}

/** Masks are of bits, low bit first, each row padded to its stride in bytes. */
export interface Topology {
  maxSlices: number;
  maxSubslices: number;
  maxEusPerSubslice: number;
  subsliceStride: number;
  euStride: number;
  sliceMask: Buffer;
  subsliceMask: Buffer;
  euMask: Buffer;
}

export interface EngineSlot {
  class: number;
  instance: number;
}

export interface ResetStats {
  /** Resets of the whole GPU; 0 without CAP_SYS_ADMIN. */
  resets: number;
  /** Batches of this context that were lost while they ran, or while they waited. */
  active: number;
  pending: number;
}

export interface Tiling {
  mode: number;
  stride: number;
  swizzle: number;
}

export interface Submitted {
  /** The sync file's fd of FENCE_OUT, or -1. */
  fence: number;
  /** Where each object is now. */
  offsets: BigUint64Array;
  /** The presumed offset of each relocation now. */
  presumed: BigUint64Array;
}

/** A command; `address` and `source` are the indices of the dwords that hold addresses, or -1. */
export interface Fragment {
  dwords: Uint32Array;
  address: number;
  source: number;
}

export interface SpinnerFragment {
  dwords: Uint32Array;
  started: number;
  jump: number;
  condition: number;
  loop: number;
  end: number;
}

export interface FaultEvent {
  event: number;
  address: bigint;
  flags: bigint;
}

/** The functions that exist in three ways. */
interface Calls {
  ioctlRaw(device: DeviceId, request: U64, bytes: Bytes): Buffer;
  ioctlPointer(device: DeviceId, request: U64, pointer: U64): number;
  version(device: DeviceId): Version;
  getCap(device: DeviceId, capability: U64): bigint;
  getparam(device: DeviceId, param: number): number;
  setparam(device: DeviceId, param: number, value: number): void;
  regRead(device: DeviceId, offset: U64): bigint;
  getAperture(device: DeviceId): { size: bigint; available: bigint };
  query(device: DeviceId, id: U64, flags: number): Buffer;
  queryEngines(device: DeviceId): EngineInfo[];
  queryMemoryRegions(device: DeviceId): MemoryRegion[];
  queryTopology(device: DeviceId): Topology;

  gemCreate(device: DeviceId, size: U64): { handle: number; size: bigint };
  gemCreateExt(
    device: DeviceId,
    size: U64,
    flags: number,
    regions: Uint16Array,
  ): { handle: number; size: bigint };
  gemClose(device: DeviceId, handle: number): void;
  gemUserptr(device: DeviceId, address: U64, size: U64, flags: number): number;
  gemMmapOffset(device: DeviceId, handle: number, flags: U64): bigint;
  gemMmapGtt(device: DeviceId, handle: number): bigint;
  gemMmap(device: DeviceId, handle: number, offset: U64, size: U64, flags: U64): bigint;
  deviceMmap(
    device: DeviceId,
    address: U64,
    length: U64,
    prot: number,
    flags: number,
    offset: U64,
  ): bigint;
  gemPread(device: DeviceId, handle: number, offset: U64, size: U64): Buffer;
  gemPwrite(device: DeviceId, handle: number, offset: U64, bytes: Bytes): void;
  gemPreadTo(device: DeviceId, handle: number, offset: U64, size: U64, address: U64): void;
  gemPwriteFrom(device: DeviceId, handle: number, offset: U64, size: U64, address: U64): void;
  gemSetDomain(device: DeviceId, handle: number, readDomains: number, writeDomain: number): void;
  gemSwFinish(device: DeviceId, handle: number): void;
  gemBusy(device: DeviceId, handle: number): number;
  gemWait(device: DeviceId, handle: number, timeoutNs: U64, flags: number): bigint;
  gemThrottle(device: DeviceId): void;
  gemMadvise(device: DeviceId, handle: number, advice: number): boolean;
  gemSetCaching(device: DeviceId, handle: number, caching: number): void;
  gemGetCaching(device: DeviceId, handle: number): number;
  gemSetTiling(device: DeviceId, handle: number, mode: number, stride: number): Tiling;
  gemGetTiling(
    device: DeviceId,
    handle: number,
  ): { mode: number; swizzle: number; physSwizzle: number };
  primeHandleToFd(device: DeviceId, handle: number, flags: number): number;
  primeFdToHandle(device: DeviceId, fd: number): number;

  contextCreate(device: DeviceId, flags: number, params: BigUint64Array): number;
  contextDestroy(device: DeviceId, context: number): void;
  contextGetparam(device: DeviceId, context: number, param: U64): bigint;
  contextSetparam(device: DeviceId, context: number, param: U64, size: number, value: U64): void;
  contextSetparamBytes(device: DeviceId, context: number, param: U64, bytes: Bytes): void;
  contextSetEngines(
    device: DeviceId,
    context: number,
    engines: Uint16Array,
    slot: number,
    siblings: Uint16Array,
  ): void;
  contextGetEngines(device: DeviceId, context: number): EngineSlot[];
  resetStats(device: DeviceId, context: number): ResetStats;
  vmCreate(device: DeviceId, flags: number): number;
  vmDestroy(device: DeviceId, vm: number): void;

  execbuffer2(
    device: DeviceId,
    objects: BigUint64Array,
    relocations: BigUint64Array,
    batchStart: number,
    batchLength: number,
    flags: U64,
    context: number,
    fenceIn: number,
    fences: Uint32Array,
    retryEagain: boolean,
  ): Submitted;

  syncobjCreate(device: DeviceId, flags: number): number;
  syncobjDestroy(device: DeviceId, handle: number): void;
  syncobjHandleToFd(device: DeviceId, handle: number, flags: number): number;
  syncobjFdToHandle(device: DeviceId, fd: number, flags: number, into: number): number;
  syncobjWait(device: DeviceId, handles: Uint32Array, timeoutNs: U64, flags: number): number;
  syncobjReset(device: DeviceId, handles: Uint32Array): void;
  syncobjSignal(device: DeviceId, handles: Uint32Array): void;

  mmap(address: U64, length: U64, prot: number, flags: number, fd: number, offset: U64): bigint;
  munmap(address: U64, length: U64): void;
  mprotect(address: U64, length: U64, prot: number): void;
  mremap(address: U64, length: U64, newLength: U64, flags: number, newAddress: U64): bigint;
  madvise(address: U64, length: U64, advice: number): void;
  mlock(address: U64, length: U64): void;
  munlock(address: U64, length: U64): void;
  mincore(address: U64, length: U64): Buffer;
  movePages(pages: BigUint64Array, nodes: Int32Array, flags: number): number[];
  memfdCreate(name: string, flags: number): number;
  ftruncate(fd: number, length: U64): void;
  fallocate(fd: number, mode: number, offset: U64, length: U64): void;
  closeFd(fd: number): void;
  pollFd(fd: number, timeoutMs: number): boolean;
  read(address: U64, length: U64): Buffer;
  write(address: U64, bytes: Bytes): void;
  fill(address: U64, length: U64, value: number): void;
  findOther(address: U64, length: U64, value: number): bigint;
  load32(address: U64): number;
  store32(address: U64, value: number): void;
  load64(address: U64): bigint;
  store64(address: U64, value: U64): void;

  uffdOpen(flags: number, features: U64): { fd: number; features: bigint };
  uffdRegister(fd: number, address: U64, length: U64, mode: U64): bigint;
  uffdUnregister(fd: number, address: U64, length: U64): void;
  uffdCopy(fd: number, address: U64, bytes: Bytes, mode: U64): bigint;
  uffdZeropage(fd: number, address: U64, length: U64, mode: U64): bigint;
  uffdWake(fd: number, address: U64, length: U64): void;
  uffdWriteprotect(fd: number, address: U64, length: U64, mode: U64): void;
  uffdEvents(fd: number): FaultEvent[];
}

/** The functions that exist in one. */
interface PlainCalls {
  openNode(path: string): { device: DeviceId; errno: number; driver: string };
  /** No strategy, '': the kernel's own. */
  openSoft(
    kernel: string,
    strategy: string,
    faults: number,
    faultOneIn: number,
    seed: U64,
    hangNs: U64,
    batchDelayNs: U64,
  ): DeviceId;
  reopenSoft(device: DeviceId): DeviceId;
  setSoftFaults(device: DeviceId, faults: number, faultOneIn: number): void;
  softStats(device: DeviceId): SoftStats;
  closeDevice(device: DeviceId): void;
  deviceFd(device: DeviceId): number;
  /** A hint for mmap, where no allocator takes the hole that munmap leaves. */
  quietAddress(length: U64): bigint;
  retries(device: DeviceId): { eintr: bigint; eagain: bigint };
  findNodes(root?: string): NodeInfo[];
  ioctlName(request: U64): string;
  errnoName(errno: number): string;
  graphicsVersion(device: DeviceId): number;

  readInto(address: U64, bytes: Bytes): void;
  pins(): PinCounts;
  forkTouch(address: U64, length: U64, touch: number): ChildEnd;
  forkHold(address: U64, length: U64, touch: number): { pid: number; fd: number };
  forkRelease(pid: number, fd: number): ChildEnd;

  emitNoop(gen: number): Fragment;
  emitArbCheck(gen: number): Fragment;
  emitBatchEnd(gen: number): Fragment;
  emitBatchStart(gen: number, address: U64, secondLevel: boolean): Fragment;
  emitStoreDword(gen: number, address: U64, value: number): Fragment;
  emitStoreQword(gen: number, address: U64, value: U64): Fragment;
  emitSemaphoreWait(gen: number, address: U64, compare: number, value: number): Fragment;
  emitLoadRegisterImm(gen: number, register: number, value: number): Fragment;
  emitLoadRegisterReg(gen: number, from: number, to: number): Fragment;
  emitLoadRegisterMem(gen: number, register: number, address: U64): Fragment;
  emitStoreRegisterMem(gen: number, register: number, address: U64): Fragment;
  emitFlushDw(gen: number, postSync: number, address: U64, value: U64): Fragment;
  emitPipeControl(gen: number, flags: number, postSync: number, address: U64, value: U64): Fragment;
  emitColorBlt(
    gen: number,
    address: U64,
    pitch: number,
    x: number,
    y: number,
    width: number,
    height: number,
    color: number,
    bpp: number,
  ): Fragment;
  emitSrcCopyBlt: CopyBlt;
  emitFastCopyBlt: CopyBlt;
  emitSpinner(gen: number, base: U64, started: U64 | undefined, pad: number): SpinnerFragment;
  disassemble(gen: number, dwords: Uint32Array, address: U64): string;
}

type CopyBlt = (
  gen: number,
  address: U64,
  pitch: number,
  x: number,
  y: number,
  source: U64,
  sourcePitch: number,
  sourceX: number,
  sourceY: number,
  width: number,
  height: number,
  bpp: number,
) => Fragment;

export interface Native extends Calls, PlainCalls {
  /** The same in the thread pool, for what may block. */
  async: {
    [K in keyof Calls]: (...args: Parameters<Calls[K]>) => Promise<ReturnType<Calls[K]>>;
  };
  /** The same in a forked child of this process: what another mm is answered. */
  child: { [K in keyof Calls]: (...args: Parameters<Calls[K]>) => ChildEnd };
  /** By the kernel's names: the DRM and i915 uAPI, and what the memory calls take. */
  constants: Readonly<Record<string, number>>;
  /** The uAPI's structs, for input that is wrong on purpose. Bytes. */
  structs: Readonly<
    Record<
      string,
      { size: number; fields: Readonly<Record<string, { offset: number; size: number }>> }
    >
  >;
  softFaults: readonly { name: string; bit: number; what: string }[];
  /** Whose i915 the software device can be: "6.1", which is the default, and later ones. */
  softKernels: readonly string[];
  softStrategies: readonly { name: string; what: string }[];
  setErrorClass(errorClass: typeof I915Error): void;
}

/** The package's folder, from lib/ as from dist/. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..');

function load(): Native {
  const require = createRequire(import.meta.url);
  try {
    return require('node-gyp-build')(packageRoot);
  } catch (cause) {
    // Only a file that is not there is ours to explain; a broken one speaks for itself.
    if (!(cause instanceof Error) || !cause.message.startsWith('No native build was found'))
      throw cause;
    throw new Error('the native addon is not built: run `npm run build:native`', { cause });
  }
}

export const native: Native = load();
native.setErrorClass(I915Error);

const known = native.constants;

/** The value of a constant, by the kernel's name for it. */
export function constant(name: string): number {
  const value = known[name];
  if (value === undefined) throw new TypeError(`${name}: no such constant`);
  return value;
}

/** ns as a bigint never loses digits; a negative time means for ever. */
export const FOREVER = -1n;
