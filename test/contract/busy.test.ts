// SPDX-License-Identifier: MIT
// Time: busy, wait and its timeouts, what waits for the GPU and what does not.
import { describe, expect, test } from 'vitest';
import { Spinner } from '../../lib/batch/spinner.js';
import type { Device } from '../../lib/device/device.js';
import { mmap } from '../../lib/memory/mapping.js';
import { constant } from '../../lib/native.js';
import { answer, answerAsync, devices, LONG, PAGE } from './devices.js';
import { contextOn, emptyBatch, mapUncached, place } from './submit.js';

const CPU = constant('I915_GEM_DOMAIN_CPU');

describe.each(devices())('$name', (target) => {
  const spinning = async (
    device: Device,
    ...options: ConstructorParameters<typeof Spinner>[1][]
  ) => {
    const spinner = new Spinner(device, ...options);
    await spinner.untilStarted();
    return spinner;
  };

  test('a spinner keeps its batch busy until the CPU writes its end', async () => {
    const device = target.open();
    const spinner = await spinning(device);
    expect(spinner.batch.busy()).not.toBe(0);
    expect(answer(() => spinner.batch.wait(0n))).toBe('ETIME');
    spinner.end();
    expect(answer(() => spinner.batch.wait(LONG))).toBe('ok');
    expect(spinner.batch.busy()).toBe(0);
    spinner.close();
  });

  test('every engine spins and ends', async () => {
    const device = target.open();
    for (const engine of device.engines()) {
      using context = contextOn(device, engine);
      using spinner = await spinning(device, { context });
      expect(spinner.batch.busy(), `engine ${engine.class}`).not.toBe(0);
    }
  });

  test('busy tells the class of the engine that reads, and of the one that writes', async () => {
    const device = target.open();
    for (const engine of device.engines()) {
      const [read, written] = [device.create(PAGE), device.create(PAGE)];
      using context = contextOn(device, engine);
      const objects = [place(read).entry, place(written, { write: true }).entry];
      using spinner = await spinning(device, { context, objects });
      const reader = 0x10000 << engine.class;
      expect(read.busy(), `read by engine ${engine.class}`).toBe(reader);
      expect(written.busy(), `written by engine ${engine.class}`).toBe(reader | (engine.class + 1));
      spinner.end();
      written.wait(LONG);
      expect([read.busy(), written.busy()]).toEqual([0, 0]);
    }
  });

  describe('wait', () => {
    test.each([0n, 1n, 1000n, 20_000_000n])('of %i ns for a busy object is ETIME', async (ns) => {
      const device = target.open();
      using spinner = await spinning(device);
      const start = process.hrtime.bigint();
      // A wait shorter than the kernel's clock tick may be told to come again, and is.
      expect(answer(() => spinner.batch.wait(ns))).toBe('ETIME');
      expect(process.hrtime.bigint() - start).toBeGreaterThanOrEqual(ns);
    });

    test('of no bound ends when the batch does', async () => {
      const device = target.open();
      const spinner = await spinning(device);
      const waited = answerAsync(spinner.batch.waitAsync(-1n));
      spinner.end();
      expect(await waited).toBe('ok');
      spinner.close();
    });

    test('tells what is left of its time', async () => {
      const device = target.open();
      const spinner = await spinning(device);
      const waited = spinner.batch.waitAsync(LONG);
      spinner.end();
      const left = await waited;
      expect(left).toBeGreaterThan(0n);
      expect(left).toBeLessThan(LONG);
      spinner.close();
    });

    test('of one object does not wait for another', async () => {
      const device = target.open();
      using spinner = await spinning(device);
      expect(answer(() => device.create(PAGE).wait(LONG))).toBe('ok');
      const { batch, exec } = emptyBatch(device);
      device.execbuf({ ...exec, engine: 'copy', context: device.context() });
      expect(answer(() => batch.wait(LONG))).toBe('ok');
      expect(spinner.batch.busy()).not.toBe(0);
    });
  });

  test('batches of one context run one after the other', async () => {
    const device = target.open();
    const context = device.context();
    const spinner = await spinning(device, { context });
    const { batch, exec } = emptyBatch(device);
    device.execbuf({ ...exec, context });
    expect(answer(() => batch.wait(50_000_000n))).toBe('ETIME');
    spinner.close();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
  });

  test('set domain for writing waits for the readers, for reading it does not', async () => {
    const device = target.open();
    const object = device.create(PAGE);
    const spinner = await spinning(device, { objects: [place(object).entry] });
    expect(answer(() => object.setDomain(CPU))).toBe('ok');
    expect(object.busy()).not.toBe(0);
    spinner.end();
    expect(answer(() => object.setDomain(CPU, CPU))).toBe('ok');
    expect(object.busy()).toBe(0);
    spinner.close();
  });

  test('what is closed while it is busy is done in its own time', async () => {
    const device = target.open();
    const object = device.create(PAGE);
    const spinner = await spinning(device, { objects: [place(object, { write: true }).entry] });
    object.close();
    expect(answer(() => device.object(object.handle).busy())).toBe('ENOENT');
    expect(spinner.batch.busy()).not.toBe(0);
    expect(answer(() => spinner.close())).toBe('ok');
  });

  test('a mapping of a busy object can be read and written', async () => {
    const device = target.open();
    const object = device.create(PAGE);
    using map = mapUncached(object);
    using spinner = await spinning(device, { objects: [place(object, { write: true }).entry] });
    map.store32(0, 1);
    expect(map.load32()).toBe(1);
    expect(spinner.batch.busy()).not.toBe(0);
  });

  test('a userptr object is busy like any other', async () => {
    const device = target.open();
    using memory = mmap(PAGE);
    const object = device.userptr(memory);
    const spinner = await spinning(device, { objects: [place(object, { write: true }).entry] });
    expect(object.busy()).not.toBe(0);
    expect(answer(() => object.wait(0n))).toBe('ETIME');
    memory.store32(0, 3); // the CPU's still
    spinner.end();
    expect(answer(() => object.wait(LONG))).toBe('ok');
    spinner.close();
  });

  test('a thousand batches in flight are all done at last', () => {
    const device = target.open();
    const object = device.create(PAGE);
    const placed = place(object, { write: true });
    const { batch, exec } = emptyBatch(device);
    for (let i = 0; i < 1000; i++)
      device.execbuf({ ...exec, objects: [placed.entry, ...exec.objects] });
    expect(answer(() => object.wait(LONG))).toBe('ok');
    expect(batch.busy()).toBe(0);
  });

  test('a file that is closed while its batches run ends them or lets them end', async () => {
    const device = target.open();
    const other = device.reopen();
    const spinner = await spinning(other, { fenceOut: true });
    const { fence } = spinner.result;
    spinner.end();
    other.close();
    expect(fence?.wait(30_000)).toBe(true);
    fence?.close();
    // The GPU is whole for others.
    const { batch, exec } = emptyBatch(device);
    device.execbuf(exec);
    expect(answer(() => batch.wait(LONG))).toBe('ok');
  });
});
