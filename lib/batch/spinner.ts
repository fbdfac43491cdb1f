// SPDX-License-Identifier: MIT
import type { Device } from '../device/device.js';
import type { Exec, ExecObject, ExecResult } from '../device/exec.js';
import type { GemObject } from '../device/gem.js';
import type { Mapping } from '../memory/mapping.js';
import { PAGE_SIZE } from '../memory/memory.js';
import { constant, FOREVER, type U64 } from '../native.js';
import { Batch } from './batch.js';

const SPINNER_END = constant('SPINNER_END');
const STARTED_AT = PAGE_SIZE - 64;

/** As an execbuf; the spinner adds its batch to the objects. */
export type SpinnerOptions = Omit<
  Exec,
  'objects' | 'batchStart' | 'batchLength' | 'batchFirst' | 'handleLut' | 'noReloc'
> & {
  /** Objects that the spinner keeps busy. */
  objects?: readonly ExecObject[];
  /** The GPU address of its batch, one page; softpinned from gen8 on. */
  address?: U64;
};

/**
 * A batch that keeps an engine, and the objects in its list, busy until end(). It can be preempted
 * by another context (gen8+).
 */
export class Spinner implements Disposable {
  readonly batch: GemObject;
  readonly result: ExecResult;
  #map: Mapping;
  #end: number;

  constructor(device: Device, options: SpinnerOptions = {}) {
    const { objects = [], address, ...exec } = options;
    const softpin = device.gen >= 80;
    this.batch = device.create(PAGE_SIZE);
    const at = softpin ? (address ?? device.allocateAddress(PAGE_SIZE)) : undefined;
    const place = (delta: number) =>
      at === undefined ? { object: this.batch, delta } : BigInt(at) + BigInt(delta);
    const batch = new Batch(device.gen);
    this.#end = batch.spin(place(0), place(STARTED_AT));
    batch.end();
    this.batch.pwrite(0, batch.bytes());
    this.#map = this.batch.mmap({ type: device.isSoft ? 'wb' : 'wc' });
    this.result = device.execbuf({
      ...exec,
      objects: [
        ...objects,
        at === undefined
          ? { object: this.batch, relocations: batch.relocations }
          : { object: this.batch, address: at },
      ],
    });
  }

  /** Has the GPU begun it? */
  get started(): boolean {
    return this.#map.load32(STARTED_AT) === 1;
  }

  /** Waits until the GPU has begun it. */
  async untilStarted(timeoutMs = 10_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.started) {
      if (Date.now() > deadline) throw new Error(`the spinner did not start in ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Writes the dword that ends it; it is idle soon after. */
  end(): void {
    this.#map.store32(this.#end, SPINNER_END);
  }

  /** Ends it, waits for it and frees it. */
  close(timeoutNs: U64 = FOREVER): void {
    this.end();
    this.batch.wait(timeoutNs);
    this.#map.munmap();
    this.batch.close();
  }

  [Symbol.dispose](): void {
    if (this.batch.handle && this.batch.device.id) this.close();
  }
}
