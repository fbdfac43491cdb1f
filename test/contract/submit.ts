// SPDX-License-Identifier: MIT
// Batches for the contract suite: made, placed and submitted the same way on every device.
import type { TestContext } from 'vitest';
import type { Address } from '../../lib/batch/batch.js';
import { Batch } from '../../lib/batch/batch.js';
import type { Context } from '../../lib/device/context.js';
import type { Device } from '../../lib/device/device.js';
import type { Exec, ExecObject, ExecResult } from '../../lib/device/exec.js';
import type { GemObject } from '../../lib/device/gem.js';
import type { Mapping } from '../../lib/memory/mapping.js';
import type { EngineInfo } from '../../lib/native.js';
import { answer, LONG } from './devices.js';

/** An object of a batch, and what a command calls a byte of it. */
export interface Placed {
  entry: ExecObject;
  at(delta?: number): Address;
}

/** From gen8 on objects are softpinned; before, the driver fills their addresses in. */
const softpins = (device: Device): boolean => device.gen >= 80;

/** Places an object for batches; `also` is what else its entry says. */
export function place(object: GemObject, also: Partial<ExecObject> = {}): Placed {
  if (!softpins(object.device))
    return { entry: { object, ...also }, at: (delta = 0) => ({ object, delta }) };
  const address = object.device.allocateAddress(object.size);
  return { entry: { object, address, ...also }, at: (delta = 0) => address + BigInt(delta) };
}

/** Maps an object for the CPU without caches between, on whatever GPU. */
export function mapUncached(object: GemObject): Mapping {
  return answer(() => object.mmapOffset('wc')) === 'ok'
    ? object.mmap({ type: 'wc' })
    : object.mmap({ type: 'fixed' });
}

/** Writes into an object by a mapping: newer GPUs have no pwrite. */
export function put(object: GemObject, offset: number, bytes: ArrayBufferView): void {
  using map = mapUncached(object);
  map.write(offset, bytes);
}

/** Reads out of an object by a mapping. */
export function get(object: GemObject, offset: number, length: number): Buffer {
  using map = mapUncached(object);
  return map.read(offset, length);
}

/** What a submission left: its answer and the object that holds its batch. */
export interface Submission {
  batch: GemObject;
  result: ExecResult;
}

/** A batch in an object of its own, and the execbuf that submits it; `write` appends its commands. */
export function prepare(
  device: Device,
  objects: readonly Placed[],
  write: (batch: Batch) => void,
  exec: Partial<Exec> = {},
): { batch: GemObject; exec: Exec } {
  const commands = new Batch(device.gen);
  write(commands);
  commands.end();
  const batch = device.create(commands.length);
  put(batch, 0, commands.bytes());
  const entry = place(batch).entry;
  return {
    batch,
    exec: {
      ...exec,
      objects: [
        ...objects.map((o) => o.entry),
        { ...entry, ...(softpins(device) ? {} : { relocations: commands.relocations }) },
      ],
    },
  };
}

/** Submits a batch. */
export function submit(
  device: Device,
  objects: readonly Placed[],
  write: (batch: Batch) => void,
  exec: Partial<Exec> = {},
): Submission {
  const made = prepare(device, objects, write, exec);
  return { batch: made.batch, result: device.execbuf(made.exec) };
}

/** Submits a batch and waits until it is done. */
export function run(
  device: Device,
  objects: readonly Placed[],
  write: (batch: Batch) => void,
  exec: Partial<Exec> = {},
): ExecResult {
  const { batch, result } = submit(device, objects, write, exec);
  batch.wait(LONG);
  batch.close();
  return result;
}

/** Stores a dword into an object by the GPU and waits for it. */
export function storeDword(
  device: Device,
  object: GemObject,
  offset: number,
  value: number,
  exec: Partial<Exec> = {},
): void {
  const placed = place(object, { write: true });
  run(device, [placed], (b) => b.storeDword(placed.at(offset), value), exec);
}

/** An execbuf of a batch that only ends. */
export function emptyBatch(device: Device): { batch: GemObject; exec: Exec } {
  return prepare(device, [], () => {});
}

/** A context whose engine 0 is this one. */
export function contextOn(device: Device, engine: EngineInfo): Context {
  const context = device.context();
  context.setEngines([engine]);
  return context;
}

/** Skips where the GPU takes no relocations: from gen12 on, but for Tiger Lake. */
export function needRelocations(context: TestContext, device: Device): void {
  const { batch, exec } = emptyBatch(device);
  const objects = [{ object: batch, relocations: [{ target: batch, offset: 64 }] }];
  if (answer(() => device.execbuf({ ...exec, objects })) === 'EINVAL')
    context.skip('the driver takes no relocations on this GPU');
}
