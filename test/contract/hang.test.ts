// SPDX-License-Identifier: MIT
// A batch that never ends and cannot be preempted: it is found out, reset and told of, and the GPU
// works on for everybody else. Real hardware takes its heartbeat's time to see it: up to 20 s.
import { describe, expect, type TestContext, test } from 'vitest';
import type { Context } from '../../lib/device/context.js';
import type { Device } from '../../lib/device/device.js';
import { mmap } from '../../lib/memory/mapping.js';
import { answer, devices, LONG, PAGE } from './devices.js';
import { contextOn, emptyBatch, get, place, prepare, storeDword } from './submit.js';

const BOUND = 120_000;

describe.each(devices())('$name', (target) => {
  const toHang = (context: TestContext): Device => {
    const device = target.openToHang();
    if (!device.tryGetparam('HAS_GPU_RESET')) context.skip('the GPU cannot be reset');
    if (device.gen < 80) context.skip('the hanging batch needs an address of its own: gen8');
    return device;
  };

  /** Submits a jump to itself; no command in it can be interrupted. */
  const hang = (
    device: Device,
    context: Context | number = 0,
    also = place(device.create(PAGE)),
  ) => {
    const batch = device.create(PAGE);
    const address = device.allocateAddress(PAGE);
    const made = prepare(device, [], (b) => b.start(address));
    using from = made.batch.mmap({ type: 'wc' });
    using to = batch.mmap({ type: 'wc' });
    to.write(0, from.read(0, 64));
    const { fence } = device.execbuf({
      objects: [also.entry, { object: batch, address }],
      context,
      fenceOut: true,
    });
    return { batch, fence };
  };

  const works = (device: Device, context: Context | number = 0): string => {
    const { batch, exec } = emptyBatch(device);
    return answer(() => {
      device.execbuf({ ...exec, context });
      batch.wait(LONG);
    });
  };

  test('is ended by a reset, on every engine, and the engine works again', {
    timeout: BOUND,
  }, (context) => {
    const device = toHang(context);
    for (const engine of device.engines()) {
      using own = contextOn(device, engine);
      const { batch, fence } = hang(device, own);
      expect(
        answer(() => batch.wait(LONG)),
        `engine ${engine.class}`,
      ).toBe('ok');
      expect(fence?.wait(BOUND)).toBe(true);
      fence?.close();
      expect(own.resetStats().active, `engine ${engine.class}`).toBe(1);
      using other = contextOn(device, engine);
      const object = device.create(PAGE);
      storeDword(device, object, 0, 1, { context: other });
      expect(get(object, 0, 4).readUInt32LE()).toBe(1);
      expect(other.resetStats()).toMatchObject({ active: 0, pending: 0 });
    }
  });

  test('leaves a context that can recover in order', { timeout: BOUND }, (context) => {
    const device = toHang(context);
    using own = device.context();
    hang(device, own).batch.wait(LONG);
    expect(works(device, own)).toBe('ok');
  });

  test('bans a context that is not to recover: EIO from then on', { timeout: BOUND }, (context) => {
    const device = toHang(context);
    using own = device.context({ recoverable: false });
    hang(device, own).batch.wait(LONG);
    expect(works(device, own)).toBe('EIO');
    expect(own.resetStats().active).toBe(1);
    expect(works(device)).toBe('ok');
    using fresh = device.context();
    expect(works(device, fresh)).toBe('ok');
  });

  test('takes the batches behind it in its context along', { timeout: BOUND }, (context) => {
    const device = toHang(context);
    using own = device.context({ recoverable: false });
    const object = device.create(PAGE);
    const placed = place(object, { write: true });
    const { batch } = hang(device, own);
    const behind = prepare(device, [placed], (b) => b.storeDword(placed.at(), 1));
    device.execbuf({ ...behind.exec, context: own });
    batch.wait(LONG);
    behind.batch.wait(LONG);
    expect(get(object, 0, 4).readUInt32LE()).toBe(0);
  });

  test('gives the process’s pages back', { timeout: BOUND }, async (context) => {
    const device = toHang(context);
    using memory = mmap(4 * PAGE);
    memory.fill(0x11);
    const object = device.userptr(memory);
    hang(device, 0, place(object, { write: true }));
    // Whether the notifier waits for the batch or not, it ends.
    await memory.munmapAsync(0, PAGE);
    expect(answer(() => object.wait(LONG))).toBe('ok');
    expect(memory.findOther(0x11, PAGE)).toBe(-1);
    memory.remap({}, 0, PAGE);
    storeDword(device, object, 0, 5);
    expect(memory.load32()).toBe(5);
  });
});
