// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { constant, type EngineSlot, native, type ResetStats, type U64 } from '../native.js';
import type { Device } from './device.js';

/** What a context is created with; each is a SETPARAM extension of GEM_CONTEXT_CREATE_EXT (5.1). */
export interface ContextOptions {
  /** Batches finish though the context is destroyed or the file closed (5.4). */
  persistence?: boolean;
  /** After a hang the context goes on from its default state; if not, it is banned (5.0). */
  recoverable?: boolean;
  bannable?: boolean;
  /** -1023 to 1023; above 0 takes CAP_SYS_NICE. */
  priority?: number;
  vm?: Vm;
  /** All engines of the context share one timeline, in order. */
  singleTimeline?: boolean;
  /** Further parameters, by number or name, with their values. */
  params?: readonly (readonly [string | number, U64])[];
  /** Flags of the ioctl as they are. */
  flags?: number;
}

/** A virtual engine: `slot` of the map is balanced among `siblings` (5.6). */
export interface LoadBalance {
  slot: number;
  siblings: readonly EngineSlot[];
}

/** A slot of an engine map with no engine: I915_ENGINE_CLASS_INVALID. */
export const NO_ENGINE: EngineSlot = { class: 0xffff, instance: 0xffff };

function paramNumber(param: string | number): U64 {
  if (typeof param === 'number') return check.u64(param, 'param');
  const prefix = 'I915_CONTEXT_PARAM_';
  check.string(param, 'param');
  return constant(param.startsWith(prefix) ? param : prefix + param);
}

const pairs = (slots: readonly EngineSlot[], name: string): Uint16Array =>
  Uint16Array.from(slots.flatMap((slot) => [u16(slot.class, name), u16(slot.instance, name)]));

const u16 = (value: number, name: string): number =>
  check.u32(value, name) <= 0xffff ? value : check.refuse(name, 'an integer, 0 to 65535', value);

/** A GPU context. Destroy it, or declare it with `using`. */
export class Context implements Disposable {
  readonly device: Device;
  /** Of the device's file; 0 is the default context. */
  id: number;

  constructor(device: Device, id: number) {
    this.device = device;
    this.id = id;
  }

  static create(device: Device, options: ContextOptions): Context {
    const params: [U64, U64][] = [];
    const set = (name: string, value: U64 | boolean | undefined) => {
      if (value !== undefined) params.push([paramNumber(name), BigInt(value)]);
    };
    set('VM', options.vm?.id);
    set('PERSISTENCE', options.persistence);
    set('RECOVERABLE', options.recoverable);
    set('BANNABLE', options.bannable);
    set('PRIORITY', options.priority === undefined ? undefined : signed(options.priority));
    for (const [param, value] of options.params ?? [])
      params.push([paramNumber(param), check.u64(value, 'params')]);
    const flags =
      check.u32(options.flags ?? 0, 'flags') |
      (options.singleTimeline ? constant('I915_CONTEXT_CREATE_FLAGS_SINGLE_TIMELINE') : 0);
    const list = BigUint64Array.from(params.flat().map(BigInt));
    return new Context(device, native.contextCreate(device.id, flags >>> 0, list));
  }

  /** DRM_IOCTL_I915_GEM_CONTEXT_DESTROY. */
  destroy(): void {
    native.contextDestroy(this.device.id, this.id);
    this.id = 0;
  }

  [Symbol.dispose](): void {
    if (this.id && this.device.id) this.destroy();
  }

  /** By name, with or without `I915_CONTEXT_PARAM_`: `PERSISTENCE`, or by number. */
  getparam(param: string | number): bigint {
    return native.contextGetparam(this.device.id, this.id, paramNumber(param));
  }

  /** A negative value is passed as the driver reads it, in two's complement. */
  setparam(param: string | number, value: U64 | boolean, size = 0): void {
    native.contextSetparam(
      this.device.id,
      this.id,
      paramNumber(param),
      check.u32(size, 'size'),
      typeof value === 'boolean' ? Number(value) : signed(value),
    );
  }

  /** A parameter whose value is a pointer to a struct: its bytes. */
  setparamBytes(param: string | number, bytes: ArrayBufferView): void {
    native.contextSetparamBytes(
      this.device.id,
      this.id,
      paramNumber(param),
      check.bytes(bytes, 'bytes'),
    );
  }

  /** Which engines the numbers of an execbuf stand for (5.2). No slots: the legacy numbers again. */
  setEngines(slots: readonly EngineSlot[], balance?: LoadBalance): void {
    native.contextSetEngines(
      this.device.id,
      this.id,
      pairs(slots, 'slots'),
      u16(balance?.slot ?? 0, 'balance.slot'),
      pairs(balance?.siblings ?? [], 'balance.siblings'),
    );
  }

  /** The map; empty when the legacy numbers are in use. */
  getEngines(): EngineSlot[] {
    return native.contextGetEngines(this.device.id, this.id);
  }

  resetStats(): ResetStats {
    return native.resetStats(this.device.id, this.id);
  }
}

const signed = (value: U64): bigint =>
  value < 0 ? BigInt.asUintN(64, check.i64(value, 'value')) : check.address(value, 'value');

/** An address space of the GPU, for contexts that share one. */
export class Vm implements Disposable {
  readonly device: Device;
  id: number;

  constructor(device: Device, id: number) {
    this.device = device;
    this.id = id;
  }

  /** DRM_IOCTL_I915_GEM_VM_DESTROY; contexts that use it keep it. */
  destroy(): void {
    native.vmDestroy(this.device.id, this.id);
    this.id = 0;
  }

  [Symbol.dispose](): void {
    if (this.id && this.device.id) this.destroy();
  }
}
