// SPDX-License-Identifier: MIT
// Mappings that change while the GPU uses them. Until 6.9 the notifier waits for the GPU; since then
// the pages stay pinned and the call returns. In both eras the call ends, what was submitted before
// never shows in pages that came after, and nothing is lost that the call did not take away.

import { spawn, spawnSync } from 'node:child_process';
import type { TestContext } from 'vitest';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Device } from '../../lib/device/device.js';
import type { GemObject } from '../../lib/device/gem.js';
import { type Mapping, mmap } from '../../lib/memory/mapping.js';
import { Memfd } from '../../lib/memory/memfd.js';
import { answer, devices, LONG, need, PAGE } from './devices.js';
import { emptyBatch, mapUncached, place, prepare, run, storeDword } from './submit.js';

const PAGES = 8;
const OLD = 0x01d0_01d0;
const STALE = 0xbad0_bad0;

/** Gives a call that may wait for the GPU this long to end before the GPU is let go. */
const HEAD_START_MS = 100;
/** After this long another process lets the GPU go. */
const RESCUE_S = 5;

describe.each(devices({ eras: true }))('$name', (target) => {
  /**
   * A batch on the GPU that waits until go() and then stores STALE into each page of the object.
   * It has begun when this returns.
   *
   * While a notifier waits for the GPU its caller holds mmap_lock, and whatever else of this process
   * needs that lock, like an allocation of the JavaScript engine, waits too. So the gate is memory
   * that is mapped and touched before, and should this process be stuck all the same, another one
   * opens it.
   */
  const armed = async (context: TestContext, device: Device, object: GemObject) => {
    if (device.gen < 80) context.skip('the batch waits by MI_SEMAPHORE_WAIT: gen8');
    const file = new Memfd(PAGE);
    const map = file.mmap(PAGE);
    map.store32(0, 0);
    const [o, g] = [place(object, { write: true }), place(device.userptr(map), { write: true })];
    const { batch, exec } = prepare(device, [o, g], (b) => {
      b.storeDword(g.at(64), 1).semaphoreWait(g.at(0), 'eq', 1);
      for (let at = 0; at < Number(object.size); at += PAGE) b.storeDword(o.at(at), STALE);
    });
    // Made before the batch: fork() is itself a change of mappings.
    const rescue = spawn('sh', ['-c', `sleep ${RESCUE_S}; printf '\\001' >&3`], {
      stdio: ['ignore', 'ignore', 'ignore', file.fd],
    });
    onTestFinished(() => {
      map.store32(0, 1);
      rescue.kill();
      file.close();
    });
    device.execbuf({ ...exec, context: device.context() });
    while (map.load32(64) !== 1) await new Promise((resolve) => setTimeout(resolve, 1));
    return { batch, go: () => map.store32(0, 1) };
  };

  /** Did it end by itself, with the GPU still held? */
  const endsMeanwhile = (call: Promise<unknown>): Promise<boolean> =>
    Promise.race([
      call.then(() => true),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), HEAD_START_MS)),
    ]);

  /**
   * Makes the change while the batch holds the pages, and lets the batch go when the change has
   * ended or is seen to wait. `then` runs as soon as the change has ended, in one era with the
   * batch still to store.
   */
  const changeWhileBusy = async (
    context: TestContext,
    memory: Mapping,
    change: () => Promise<void>,
    then: () => void,
  ) => {
    const device = target.open();
    memory.fill(OLD);
    const object = device.userptr(memory);
    const { batch, go } = await armed(context, device, object);
    const changing = change();
    const free = await endsMeanwhile(changing);
    if (!free) go();
    await changing;
    then();
    if (free) go();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    return { device, object };
  };

  const heads = (memory: Mapping, from = 0, to = PAGES) =>
    Array.from({ length: to - from }, (_, i) => memory.load32((from + i) * PAGE));
  const all = (value: number, n = PAGES) => Array(n).fill(value);

  describe('no write of a batch submitted before shows after', () => {
    test('munmap and mmap at the same address', async (context) => {
      const memory = mmap(PAGES * PAGE);
      await changeWhileBusy(
        context,
        memory,
        () => memory.munmapAsync(),
        () => memory.remap(),
      );
      expect(memory.findOther(0)).toBe(-1);
      memory.munmap();
    });

    test('munmap and mmap of a page in the middle, while the others are written', async (context) => {
      using memory = mmap(PAGES * PAGE);
      await changeWhileBusy(
        context,
        memory,
        () => memory.munmapAsync(3 * PAGE, PAGE),
        () => memory.remap({}, 3 * PAGE, PAGE),
      );
      expect(heads(memory)).toEqual(all(STALE).with(3, 0));
      expect(memory.findOther(0, 3 * PAGE, PAGE)).toBe(-1);
    });

    test('MADV_DONTNEED, in the pages that come when they are touched', async (context) => {
      using memory = mmap(PAGES * PAGE);
      await changeWhileBusy(
        context,
        memory,
        () => memory.madviseAsync('dontneed'),
        () => expect(memory.findOther(0)).toBe(-1),
      );
      expect(memory.findOther(0)).toBe(-1);
    });

    test('truncation of a memfd and growth', async (context) => {
      using file = new Memfd(PAGES * PAGE);
      using memory = file.mmap(PAGES * PAGE);
      await changeWhileBusy(
        context,
        memory,
        () => file.truncateAsync(0),
        () => file.truncate(PAGES * PAGE),
      );
      expect(memory.findOther(0)).toBe(-1);
    });
  });

  test('munmap of an object of a shared memfd loses no write: the file has them', async (context) => {
    using file = new Memfd(PAGES * PAGE);
    const memory = file.mmap(PAGES * PAGE);
    using other = file.mmap(PAGES * PAGE);
    await changeWhileBusy(
      context,
      memory,
      () => memory.munmapAsync(),
      () => {},
    );
    expect(heads(other)).toEqual(all(STALE));
  });

  test('mprotect and back loses no write of the batch', async (context) => {
    using memory = mmap(PAGES * PAGE);
    const { device, object } = await changeWhileBusy(
      context,
      memory,
      () => memory.mprotectAsync('r'),
      () => {},
    );
    expect(heads(memory)).toEqual(all(STALE));
    memory.mprotect('rw');
    storeDword(device, object, 4, 1);
    expect([memory.load32(0), memory.load32(4)]).toEqual([STALE, 1]);
  });

  test('a neighbour that changes is nobody’s business', async (context) => {
    const device = target.open();
    using memory = mmap(3 * PAGES * PAGE);
    //  | neighbour | object, busy | neighbour |
    const object = device.userptr(memory.slice(PAGES * PAGE, PAGES * PAGE));
    const { batch, go } = await armed(context, device, object);
    // Neither of these waits, in no era; if one did, nothing would let the GPU go.
    memory.remap({}, 0, PAGES * PAGE);
    memory.mprotect('r', 2 * PAGES * PAGE, PAGES * PAGE);
    memory.munmap(2 * PAGES * PAGE, PAGES * PAGE);
    expect(object.busy()).not.toBe(0);
    go();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    expect(heads(memory, PAGES, 2 * PAGES)).toEqual(all(STALE));
  });

  test('what gains a right takes nothing away from the GPU', async (context) => {
    const device = target.open();
    using memory = mmap(PAGES * PAGE);
    const object = device.userptr(memory);
    const { batch, go } = await armed(context, device, object);
    for (const advice of ['dontfork', 'dofork', 'sequential', 'normal'] as const)
      memory.madvise(advice);
    expect(memory.mincore()).toEqual(all(1).map(Boolean));
    go();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    expect(heads(memory)).toEqual(all(STALE));
  });

  test('an object that is closed while it is busy is still written, and its pages are let go', async (context) => {
    const device = target.open();
    const memory = mmap(PAGES * PAGE);
    const object = device.userptr(memory);
    const { batch, go } = await armed(context, device, object);
    object.close();
    go();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    expect(heads(memory)).toEqual(all(STALE));
    memory.munmap();
    memory.remap();
    storeDword(device, device.userptr(memory), 0, 1);
    expect(heads(memory)).toEqual(all(0).with(0, 1));
    memory.munmap();
  });

  test('an object that is closed while it is busy, then unmapped: no stale write', async (context) => {
    const memory = mmap(PAGES * PAGE);
    const device = target.open();
    const object = device.userptr(memory);
    const { batch, go } = await armed(context, device, object);
    object.close();
    const changing = memory.munmapAsync();
    const free = await endsMeanwhile(changing);
    if (!free) go();
    await changing;
    memory.remap();
    if (free) go();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    expect(memory.findOther(0)).toBe(-1);
    memory.munmap();
  });

  test('a file that is closed while its object is busy lets the pages go', async (context) => {
    const device = target.open();
    const other = device.reopen();
    const memory = mmap(PAGES * PAGE);
    const { go } = await armed(context, other, other.userptr(memory));
    go();
    other.close();
    await memory.munmapAsync();
    memory.remap();
    expect(memory.findOther(0)).toBe(-1);
    storeDword(device, device.userptr(memory), 0, 1);
    expect(memory.load32()).toBe(1);
    memory.munmap();
  });

  test('a child that shared the pages may exit while they are busy', async (context) => {
    const device = target.open();
    using memory = mmap(PAGES * PAGE);
    memory.fill(OLD);
    using child = memory.forkHold('read');
    memory.fill(OLD); // copied: what the GPU gets is this process's own
    const object = device.userptr(memory);
    const { batch, go } = await armed(context, device, object);
    expect(child.release()).toMatchObject({ errno: 0, signal: 0 });
    expect(object.busy()).not.toBe(0);
    go();
    expect(answer(() => batch.wait(LONG))).toBe('ok');
    expect(heads(memory)).toEqual(all(STALE));
  });

  test('a process that exits while its object is busy does exit', {
    timeout: 90_000,
  }, (context) => {
    const device = target.open();
    const can = answer(() => device.context({ persistence: false }).destroy());
    if (can !== 'ok') context.skip(`the driver cannot end a context’s batches here (${can})`);
    const script = `
      import { mmap, openDevice, Spinner } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
      const { device } = openDevice(${JSON.stringify(device.path)}, { hangMs: 60000 });
      const object = device.userptr(mmap(8 * 4096));
      const address = device.allocateAddress(object.size);
      const objects = [{ object, address, write: true }];
      const context = device.context({ persistence: false });
      const spinner = new Spinner(device, { context, objects });
      await spinner.untilStarted();
      if (!object.busy()) process.exit(2);
      process.exit(0);`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 60_000,
      encoding: 'utf8',
    });
    expect(child).toMatchObject({ status: 0, signal: null, stderr: '' });
    // And the GPU is whole.
    using memory = mmap(PAGE);
    storeDword(device, device.userptr(memory), 0, 1);
    expect(memory.load32()).toBe(1);
  });

  describe('another process', () => {
    test('may not use an object whose pages are this one’s', () => {
      const device = target.open();
      using memory = mmap(PAGE);
      const placed = place(device.userptr(memory), { write: true });
      const { exec } = prepare(device, [placed], (b) => b.storeDword(placed.at(), STALE));
      // Never used: nothing that this process has pinned may help.
      expect(device.execbufInChild(exec)).toMatchObject({ errno: 14, signal: 0 });
      expect(memory.load32()).toBe(0);
      expect(answer(() => device.execbuf(exec))).toBe('ok');
    });

    test('may submit what is of the GPU alone', () => {
      const device = target.open();
      const { batch, exec } = emptyBatch(device);
      expect(device.execbufInChild(exec)).toMatchObject({ errno: 0, signal: 0 });
      expect(answer(() => batch.wait(LONG))).toBe('ok');
    });
  });

  describe('a read-only object', () => {
    const readOnly = (context: TestContext, device: Device, memory: Mapping) => {
      if (answer(() => device.userptr(memory, { readOnly: true }).close()) === 'ENODEV')
        context.skip('the GPU cannot be kept from writing');
      return device.userptr(memory, { readOnly: true });
    };

    test('of a mapping that may not be written can be read by the GPU', (context) => {
      const device = target.open();
      using memory = mmap(PAGES * PAGE);
      memory.fill(OLD);
      memory.mprotect('r');
      const from = place(readOnly(context, device, memory));
      const to = place(device.create(PAGE), { write: true });
      const GPR0 = 0x2600;
      run(
        device,
        [from, to],
        (b) => b.loadRegisterMem(GPR0, from.at(5 * PAGE)).storeRegisterMem(GPR0, to.at()),
        { engine: 'render' },
      );
      using map = mapUncached(to.entry.object as GemObject);
      expect(map.load32()).toBe(OLD);
    });

    test('is never written, whether the mapping may be or not', (context) => {
      const device = target.open();
      using memory = mmap(PAGES * PAGE);
      memory.fill(OLD);
      for (const prot of ['rw', 'r'] as const) {
        memory.mprotect(prot);
        const placed = place(readOnly(context, device, memory));
        run(device, [placed], (b) => {
          for (let i = 0; i < PAGES; i++) b.storeDword(placed.at(i * PAGE), STALE);
        });
        expect(memory.findOther(OLD), prot).toBe(-1);
      }
    });

    test('is not written either when the execbuf says that it is', (context) => {
      const device = target.open();
      using memory = mmap(PAGE);
      memory.fill(OLD);
      const placed = place(readOnly(context, device, memory), { write: true });
      run(device, [placed], (b) => b.storeDword(placed.at(), STALE));
      expect(memory.findOther(OLD)).toBe(-1);
    });

    test('still needs its pages', (context) => {
      const device = target.open();
      using memory = mmap(2 * PAGE);
      const object = readOnly(context, device, memory);
      const { exec } = prepare(device, [place(object)], (b) => b.noop());
      memory.mprotect('none', PAGE);
      expect(answer(() => device.execbuf(exec))).toBe('EFAULT');
      memory.mprotect('r', PAGE);
      expect(answer(() => device.execbuf(exec))).toBe('ok');
    });

    test('of the zero page and of a file that may only be read', (context) => {
      const device = target.open();
      need(context, device, 'HAS_USERPTR_PROBE');
      using untouched = mmap(PAGE, { prot: 'r' });
      expect(
        answer(() => run(device, [place(readOnly(context, device, untouched))], (b) => b.noop())),
      ).toBe('ok');
    });
  });
});
