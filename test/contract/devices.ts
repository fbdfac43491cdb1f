// SPDX-License-Identifier: MIT
// What each file of the contract suite starts from: the devices it is asked of, and how to say what
// a call was answered. Nothing beyond this file knows which device it talks to; what a device lacks
// is found out by asking it, and skipped with that reason.
import { release } from 'node:os';
import { onTestFinished, type TestContext } from 'vitest';
import { Device, type SoftOptions } from '../../lib/device/device.js';
import { findNodes, objection, openDevice } from '../../lib/device/open.js';
import { I915Error } from '../../lib/error.js';
import { constant, native } from '../../lib/native.js';
import * as ffi from './ffi.js';

/** A device to run the suite on. */
export interface Target {
  name: string;
  /** The device, closed at the test's end. */
  open(): Device;
  /** The same for batches that hang: it takes no longer to see that than it must. */
  openToHang(): Device;
  /** The same by the second way, with nothing of the addon between. */
  openRaw(): ffi.RawDevice;
}

// Spinners end when a test ends them, also on a machine that is slow for a while.
const soft = (name: string, options: SoftOptions): Target => ({
  name,
  open: () => opened(openDevice('soft', { hangMs: 60_000, ...options }).device),
  openToHang: () => opened(openDevice('soft', { hangMs: 300, ...options }).device),
  openRaw: () => opened(ffi.openSoft()),
});

const node = (path: string): Target => ({
  name: path,
  open: () => opened(openDevice(path).device),
  openToHang: () => opened(openDevice(path).device),
  openRaw: () => opened(ffi.openNode(path)),
});

function opened<T extends Device | ffi.RawDevice>(device: T): T {
  onTestFinished(() => {
    if (!(device instanceof Device)) device.close();
    else if (device.id) device.close();
  });
  return device;
}

const chosen = process.env.I915_USERPTR_DEVICE;
const strategy = process.env.I915_USERPTR_SOFT_STRATEGY;

/**
 * The node that I915_USERPTR_DEVICE names, alone; else soft, and each i915 node of this machine that
 * may be stressed. `eras`: soft also as kernels from 6.9 on are, whose notifier does not wait. Soft has
 * the strategy that I915_USERPTR_SOFT_STRATEGY names, alone; not all of them keep the contract.
 */
export function devices({ eras = false } = {}): Target[] {
  if (chosen) return [node(chosen)];
  if (strategy) return [soft(`soft, ${strategy}`, { strategy })];
  return [
    soft('soft', {}),
    ...(eras ? [soft('soft, interval-nowait', { strategy: 'interval-nowait' })] : []),
    ...findNodes()
      .filter((n) => n.driver === 'i915' && objection(n) === null)
      .map((n) => node(n.path)),
  ];
}

/** What a call was answered: its errno's name, or `ok`. */
export function answer(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    if (error instanceof I915Error) return error.code;
    throw error;
  }
}

/** The same of a call that goes on in the thread pool. */
export async function answerAsync(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    if (error instanceof I915Error) return error.code;
    throw error;
  }
}

export const PAGE = 4096;
/** What even a GPU reset on real hardware is over in. ns. */
export const LONG = 60_000_000_000n;
/** The end of user addresses with four levels of page tables; the last page is never mapped. */
export const USER_END = 0x7fff_ffff_f000n;

/** A bit that has no meaning in any flags of today. */
export const BAD_FLAG = 0x4000_0000;

/** A handle, context or vm that was never given out. */
export const NO_HANDLE = 0x7fff_0000;

const layout = (struct: string) => {
  const found = native.structs[struct];
  if (!found) throw new TypeError(`${struct}: no such struct`);
  return found;
};

/** A struct of the uAPI with these fields, all else 0. */
export function struct(name: string, fields: Readonly<Record<string, number | bigint>>): Buffer {
  const { size, fields: places } = layout(name);
  const bytes = Buffer.alloc(size);
  for (const [field, value] of Object.entries(fields)) {
    const place = places[field];
    if (!place) throw new TypeError(`${name}.${field}: no such field`);
    const bits = BigInt.asUintN(8 * place.size, BigInt(value));
    for (let i = 0; i < place.size; i++)
      bytes[place.offset + i] = Number((bits >> BigInt(8 * i)) & 0xffn);
  }
  return bytes;
}

/** A field of a struct's bytes, unsigned. */
export function field(bytes: Buffer, name: string, member: string): bigint {
  const place = layout(name).fields[member];
  if (!place) throw new TypeError(`${name}.${member}: no such field`);
  let value = 0n;
  for (let i = place.size - 1; i >= 0; i--)
    value = (value << 8n) | BigInt(bytes[place.offset + i] ?? 0);
  return value;
}

/** An ioctl with its struct as it is: `raw(device, 'I915_GEM_WAIT', 'drm_i915_gem_wait', {...})`. */
export function raw(
  device: Device,
  request: string,
  type: string,
  fields: Readonly<Record<string, number | bigint>>,
): Buffer {
  return device.ioctlRaw(constant(`DRM_IOCTL_${request}`), struct(type, fields));
}

/** Whether the device's driver is of this version of the kernel, or later. Soft is the i915 of 6.1. */
export function kernelAtLeast(device: Device, major: number, minor: number): boolean {
  const version = device.path === 'soft' ? '6.1' : release();
  const [, ...parts] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (parts.length !== 2) throw new TypeError(`${version}: not a version of Linux`);
  const [x, y] = parts.map(Number) as [number, number];
  return x > major || (x === major && y >= minor);
}

/** Skips the test when the driver says that it has no such feature. */
export function need(context: TestContext, device: Device, param: string): void {
  if (!device.tryGetparam(param)) context.skip(`the driver answers no to I915_PARAM_${param}`);
}
