// SPDX-License-Identifier: MIT
// Fences of submissions: sync files in and out, arrays of syncobjs, and what a fence does to order.
import { describe, expect, test } from 'vitest';
import { Spinner } from '../../lib/batch/spinner.js';
import type { Device } from '../../lib/device/device.js';
import type { Exec } from '../../lib/device/exec.js';
import { Fence } from '../../lib/device/sync.js';
import { mmap } from '../../lib/memory/mapping.js';
import { constant, native } from '../../lib/native.js';
import { answer, devices, kernelAtLeast, LONG, NO_HANDLE, PAGE, raw } from './devices.js';
import { emptyBatch, get, place, prepare } from './submit.js';

const SOON_MS = 30_000;

describe.each(devices())('$name', (target) => {
  const spinning = async (device: Device, exec: Partial<Exec> = {}) => {
    const context = device.context();
    const spinner = new Spinner(device, { ...exec, context });
    await spinner.untilStarted();
    return spinner;
  };

  test('FENCE_OUT gives a sync file that signals when the batch is done', async () => {
    const device = target.open();
    const spinner = await spinning(device, { fenceOut: true });
    using fence = spinner.result.fence;
    expect(fence).toBeInstanceOf(Fence);
    expect(fence?.wait(0)).toBe(false);
    spinner.end();
    expect(fence?.wait(SOON_MS)).toBe(true);
    spinner.close();
  });

  test('a sync file outlives the device', () => {
    const device = target.open();
    const { exec } = emptyBatch(device);
    using fence = device.execbuf({ ...exec, fenceOut: true }).fence;
    device.close();
    expect(fence?.wait(SOON_MS)).toBe(true);
  });

  test('FENCE_IN keeps a batch of another context from beginning', async () => {
    const device = target.open();
    const spinner = await spinning(device, { fenceOut: true });
    const object = device.create(PAGE);
    const placed = place(object, { write: true });
    const { batch, exec } = prepare(device, [placed], (b) => b.storeDword(placed.at(), 1));
    using fence = spinner.result.fence as Fence;
    device.execbuf({ ...exec, context: device.context(), fenceIn: fence });
    expect(answer(() => batch.wait(100_000_000n))).toBe('ETIME');
    expect(get(object, 0, 4).readUInt32LE()).toBe(0);
    spinner.close();
    batch.wait(LONG);
    expect(get(object, 0, 4).readUInt32LE()).toBe(1);
  });

  test('FENCE_IN of a fence that has signalled keeps nothing', () => {
    const device = target.open();
    const { batch, exec } = emptyBatch(device);
    using fence = device.execbuf({ ...exec, fenceOut: true }).fence as Fence;
    expect(fence.wait(SOON_MS)).toBe(true);
    expect(answer(() => device.execbuf({ ...exec, fenceIn: fence }))).toBe('ok');
    batch.wait(LONG);
  });

  test('FENCE_SUBMIT lets a batch begin once the other has', async () => {
    const device = target.open();
    const spinner = await spinning(device, { fenceOut: true });
    using fence = spinner.result.fence as Fence;
    const { batch, exec } = emptyBatch(device);
    // The spinner runs on, and the batch on another engine or beside it is done all the same.
    const engine = device.engines().length > 1 ? 'copy' : 'default';
    device.execbuf({ ...exec, engine, context: device.context(), fenceSubmit: fence });
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    expect(spinner.batch.busy()).not.toBe(0);
    spinner.close();
  });

  test('one fence can be given on: in and out at once', async () => {
    const device = target.open();
    const spinner = await spinning(device, { fenceOut: true });
    using first = spinner.result.fence as Fence;
    const { exec } = emptyBatch(device);
    const next = device.execbuf({
      ...exec,
      context: device.context(),
      fenceIn: first,
      fenceOut: true,
    });
    using second = next.fence as Fence;
    expect(second.wait(0)).toBe(false);
    spinner.close();
    expect(second.wait(SOON_MS)).toBe(true);
  });

  describe('syncobjs', () => {
    test('are made, signalled, reset and destroyed', () => {
      const device = target.open();
      const syncobj = device.syncobj();
      expect(answer(() => syncobj.wait())).toBe('EINVAL'); // it holds no fence
      syncobj.signal();
      expect(answer(() => syncobj.wait())).toBe('ok');
      syncobj.reset();
      expect(answer(() => syncobj.wait())).toBe('EINVAL');
      expect(answer(() => device.syncobj({ signaled: true }).wait())).toBe('ok');
      const { handle } = syncobj;
      syncobj.destroy();
      expect(answer(() => native.syncobjDestroy(device.id, handle))).toBe('EINVAL');
      expect(answer(() => raw(device, 'SYNCOBJ_CREATE', 'drm_syncobj_create', { flags: 2 }))).toBe(
        'EINVAL',
      );
    });

    test('that are waited for must be, and until 6.8 some must be named', () => {
      const device = target.open();
      const wait = (...handles: number[]) =>
        answer(() => native.syncobjWait(device.id, Uint32Array.from(handles), 0n, 0));
      // With deadlines, in 6.8, a wait for none came to be one that is over.
      expect(wait()).toBe(kernelAtLeast(device, 6, 8) ? 'ok' : 'EINVAL');
      expect(wait(NO_HANDLE)).toBe('ENOENT');
      expect(wait(device.syncobj({ signaled: true }).handle)).toBe('ok');
    });

    test('wait until their time is over', async () => {
      const device = target.open();
      const spinner = await spinning(device, { fenceOut: true });
      using out = spinner.result.fence as Fence;
      const syncobj = device.syncobj();
      syncobj.importFence(out);
      expect(answer(() => syncobj.wait())).toBe('ETIME');
      expect(answer(() => syncobj.wait(10_000_000n))).toBe('ETIME');
      spinner.end();
      expect(answer(() => syncobj.wait(LONG))).toBe('ok');
      spinner.close();
    });

    test('in an array are waited for and signalled by a batch', async () => {
      const device = target.open();
      const spinner = await spinning(device, { fenceOut: true });
      using out = spinner.result.fence as Fence;
      const [before, after] = [device.syncobj(), device.syncobj()];
      before.importFence(out);
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      const { batch, exec } = prepare(device, [placed], (b) => b.storeDword(placed.at(), 5));
      device.execbuf({
        ...exec,
        context: device.context(),
        fences: [
          { syncobj: before, wait: true },
          { syncobj: after, signal: true },
        ],
      });
      expect(answer(() => batch.wait(50_000_000n))).toBe('ETIME');
      expect(answer(() => after.wait())).toBe('ETIME');
      spinner.close();
      expect(answer(() => after.wait(LONG))).toBe('ok');
      expect(get(object, 0, 4).readUInt32LE()).toBe(5);
    });

    test('in an array are refused when they are none, empty, or with flags that are none', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const syncobj = device.syncobj();
      const submit = (...fences: NonNullable<Exec['fences']>) =>
        answer(() => device.execbuf({ ...exec, fences }));
      expect(submit()).toBe('ok');
      expect(submit({ syncobj: NO_HANDLE, signal: true })).toBe('ENOENT');
      expect(submit({ syncobj: NO_HANDLE, flags: 4 })).toBe('EINVAL');
      expect(submit({ syncobj, wait: true })).toBe('EINVAL');
      expect(submit({ syncobj, signal: true })).toBe('ok');
      expect(submit({ syncobj, wait: true })).toBe('ok');
      expect(submit({ syncobj, wait: true, signal: true })).toBe('ok');
      // One that was refused signals nothing.
      const fresh = device.syncobj();
      expect(submit({ syncobj: fresh, signal: true }, { syncobj: NO_HANDLE })).toBe('ENOENT');
      expect(answer(() => fresh.wait())).toBe('EINVAL');
    });

    test('an array that cannot be read is EFAULT', () => {
      const device = target.open();
      using list = mmap(PAGE);
      list.store32(0, emptyBatch(device).batch.handle);
      const submit = (cliprects_ptr: bigint) =>
        answer(() =>
          raw(device, 'I915_GEM_EXECBUFFER2', 'drm_i915_gem_execbuffer2', {
            buffers_ptr: list.address,
            buffer_count: 1,
            num_cliprects: 1,
            cliprects_ptr,
            flags: constant('I915_EXEC_FENCE_ARRAY'),
          }),
        );
      expect(submit(8n)).toBe('EFAULT');
      expect(submit(0xffff_8000_0000_0000n)).toBe('EFAULT');
      list.store32(PAGE - 8, device.syncobj().handle);
      expect(submit(list.at(PAGE - 8))).toBe('ok');
    });

    test('carry a fence to a sync file and back', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const syncobj = device.syncobj();
      device.execbuf({ ...exec, fences: [{ syncobj, signal: true }] });
      using fence = syncobj.exportFence();
      expect(fence.wait(SOON_MS)).toBe(true);
      const other = device.syncobj();
      other.importFence(fence);
      expect(answer(() => other.wait(LONG))).toBe('ok');
      expect(answer(() => device.syncobj().exportFence())).toBe('EINVAL');
    });
  });

  /** A fence that signals when what the spinner does is done. */
  const fenceOf = (spinner: Spinner, device: Device): Fence => {
    const { exec } = emptyBatch(device);
    const at = spinner.result.addresses.at(-1);
    const shared = device.gen >= 80 ? { address: at } : { offset: at };
    // Reads what the spinner reads; a writer must wait for the readers before it.
    const objects = [{ object: spinner.batch, ...shared, write: true }, ...exec.objects];
    const { fence } = device.execbuf({
      ...exec,
      objects,
      context: device.context(),
      fenceOut: true,
    });
    if (!fence) throw new Error('no fence came out');
    return fence;
  };

  test('without a fence, a writer waits for those who use the object before it', async () => {
    const device = target.open();
    const spinner = await spinning(device);
    using fence = fenceOf(spinner, device);
    expect(fence.wait(50)).toBe(false);
    spinner.close();
    expect(fence.wait(SOON_MS)).toBe(true);
  });

  test('EXEC_OBJECT_ASYNC does not wait for them', async () => {
    const device = target.open();
    const object = device.create(PAGE);
    const held = place(object, { write: true });
    const spinner = await spinning(device, { objects: [held.entry] });
    const write = (async: boolean) => {
      const context = device.context();
      // The same place, in an address space of its own.
      const { batch, exec } = prepare(
        device,
        [{ ...held, entry: { ...held.entry, async } }],
        () => {},
      );
      device.execbuf({ ...exec, context, engine: 'copy' });
      return batch;
    };
    expect(answer(() => write(true).wait(LONG))).toBe('ok');
    const waits = write(false);
    expect(answer(() => waits.wait(50_000_000n))).toBe('ETIME');
    spinner.close();
    expect(answer(() => waits.wait(LONG))).toBe('ok');
  });
});
