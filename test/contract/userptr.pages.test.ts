// SPDX-License-Identifier: MIT
// Which pages a userptr object has: those that are mapped when it is used, and if it cannot have
// them, EFAULT. After each change of the mapping the GPU works on what stands there now.
import { describe, expect, test } from 'vitest';
import type { Device } from '../../lib/device/device.js';
import type { UserptrObject } from '../../lib/device/gem.js';
import { type Mapping, mmap } from '../../lib/memory/mapping.js';
import { Memfd } from '../../lib/memory/memfd.js';
import { answer, devices, PAGE } from './devices.js';
import { mapUncached, place, prepare, run, storeDword } from './submit.js';

const PAGES = 8;
const OLD = 0x01d0_01d0;
const NEW = 0x7e3d_7e3d;

describe.each(devices({ eras: true }))('$name', (target) => {
  /** Eight pages filled with OLD, lent and used once. */
  const lent = (device: Device, memory = mmap(PAGES * PAGE)) => {
    memory.fill(OLD);
    const object = device.userptr(memory);
    stores(device, object);
    return { memory, object };
  };

  /** Stores NEW into the first dword of each page by the GPU; what that was answered. */
  const stores = (device: Device, object: UserptrObject): string => {
    const placed = place(object, { write: true });
    return answer(() =>
      run(device, [placed], (b) => {
        for (let at = 0; at < Number(object.size); at += PAGE) b.storeDword(placed.at(at), NEW);
      }),
    );
  };

  /** What stands in the first and in the second dword of each page. */
  const heads = (memory: Mapping) => memory.pages().map((_, i) => memory.load32(i * PAGE));
  const tails = (memory: Mapping) => memory.pages().map((_, i) => memory.load32(i * PAGE + 4));
  const all = (value: number) => Array(PAGES).fill(value);

  /** The GPU stores into what is mapped now; what was there before stays. */
  const worksOn = (device: Device, object: UserptrObject, memory: Mapping, before: number[]) => {
    expect(stores(device, object)).toBe('ok');
    expect(heads(memory)).toEqual(all(NEW));
    expect(tails(memory)).toEqual(before);
  };

  describe('EFAULT', () => {
    const refuses = (change: (memory: Mapping) => void) => {
      const device = target.open();
      // Before its first use and after it.
      for (const used of [false, true]) {
        using memory = mmap(PAGES * PAGE);
        const object = device.userptr(memory);
        if (used) expect(stores(device, object)).toBe('ok');
        change(memory);
        expect(stores(device, object), used ? 'used before' : 'never used').toBe('EFAULT');
        // Nor does it have them a moment later.
        expect(stores(device, object)).toBe('EFAULT');
        memory.remap();
        worksOn(device, object, memory, all(0));
        object.close();
      }
    };

    test('when madvise has said that they are not needed, until it says that they are', () => {
      const device = target.open();
      using memory = mmap(PAGES * PAGE);
      const object = device.userptr(memory);
      expect(object.madvise('dontneed')).toBe(true);
      expect(stores(device, object)).toBe('EFAULT');
      expect(object.madvise('willneed')).toBe(true);
      // Kernels 6.1 to 7.3 keep the pages that were looked up above and believe that the object has
      // them: without an invalidate first, the next execbuf spins in the kernel until it is killed
      // (test/vm/bugs.test.ts).
      memory.remap();
      worksOn(device, object, memory, all(0));
    });

    //  M mapped rw, . unmapped
    test('when nothing is mapped: |........|', () => refuses((m) => m.munmap()));
    test('when the first page is not mapped: |.MMMMMMM|', () => refuses((m) => m.munmap(0, PAGE)));
    test('when the last page is not mapped: |MMMMMMM.|', () => refuses((m) => m.munmap(7 * PAGE)));
    test('when a page between is not mapped: |MMM.MMMM|', () =>
      refuses((m) => m.munmap(3 * PAGE, PAGE)));
    //  r PROT_READ, - PROT_NONE
    test('when it may not be written: |rrrrrrrr|', () => refuses((m) => m.mprotect('r')));
    test('when one page may not be written: |MMMMMrMM|', () =>
      refuses((m) => m.mprotect('r', 5 * PAGE, PAGE)));
    test('when one page may not be touched: |MMMM-MMM|', () =>
      refuses((m) => m.mprotect('none', 4 * PAGE, PAGE)));
    test('when it is the mapping of a file that ends before', () =>
      refuses((m) => {
        using file = new Memfd(4 * PAGE);
        m.remap({ fd: file.fd, shared: true });
      }));
    test('when it is the mapping of another object', () => {
      const device = target.open();
      using map = mapUncached(device.create(PAGES * PAGE));
      expect(stores(device, device.userptr(map))).toBe('EFAULT');
    });
    test('when there was never anything', () => {
      const device = target.open();
      const gone = mmap(PAGES * PAGE);
      gone.munmap();
      expect(stores(device, device.userptr(gone))).toBe('EFAULT');
    });
    test('and the other objects of that execbuf are left as they were', () => {
      const device = target.open();
      const good = lent(device);
      using bad = mmap(PAGE, { prot: 'none' });
      const [a, b] = [place(good.object, { write: true }), place(device.userptr(bad))];
      good.memory.fill(OLD);
      const { batch, exec } = prepare(device, [a, b], (x) => x.storeDword(a.at(), NEW));
      expect(answer(() => device.execbuf(exec))).toBe('EFAULT');
      expect(batch.busy()).toBe(0);
      expect(heads(good.memory)).toEqual(all(OLD));
      good.memory.munmap();
    });
  });

  describe('the pages that are there now', () => {
    test('after munmap and mmap at the same address', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      memory.munmap();
      memory.remap();
      expect(heads(memory)).toEqual(all(0));
      worksOn(device, object, memory, all(0));
    });

    test('after mmap over a part of it', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      //  | old | new new new | old old old old |
      memory.remap({}, PAGE, 3 * PAGE);
      expect(heads(memory)).toEqual([NEW, 0, 0, 0, NEW, NEW, NEW, NEW]);
      worksOn(device, object, memory, [OLD, 0, 0, 0, OLD, OLD, OLD, OLD]);
    });

    test('after mprotect and back, with their content', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      for (const prot of ['r', 'none'] as const) {
        memory.mprotect(prot, PAGE, 5 * PAGE);
        expect(stores(device, object)).toBe('EFAULT');
        memory.mprotect('rw', PAGE, 5 * PAGE);
        memory.fill(OLD);
        worksOn(device, object, memory, all(OLD));
      }
    });

    test('after mremap away and back, with their content', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      const home = memory.address;
      const away = memory.mremap({ address: mmap(PAGES * PAGE).address });
      expect(stores(device, object)).toBe('EFAULT');
      // What moved was not touched.
      expect(heads(away)).toEqual(all(NEW));
      away.fill(OLD);
      const back = away.mremap({ address: home });
      worksOn(device, object, back, all(OLD));
      back.munmap();
    });

    test('at the old address when the mapping moved and another took its place', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      using away = memory.mremap({ address: mmap(PAGES * PAGE).address });
      memory.remap();
      away.fill(OLD);
      worksOn(device, object, memory, all(0));
      expect(away.findOther(OLD)).toBe(-1);
      memory.munmap();
    });

    test('after it shrank and grew again', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      memory.mremap({ length: 4 * PAGE, mayMove: false });
      expect(stores(device, object)).toBe('EFAULT');
      memory.slice(0, 4 * PAGE).mremap({ length: PAGES * PAGE, mayMove: false });
      worksOn(device, object, memory, [OLD, OLD, OLD, OLD, 0, 0, 0, 0]);
    });

    test('after MADV_DONTNEED: zeros', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      memory.madvise('dontneed', 2 * PAGE, 2 * PAGE);
      expect(heads(memory)).toEqual([NEW, NEW, 0, 0, NEW, NEW, NEW, NEW]);
      worksOn(device, object, memory, [OLD, OLD, 0, 0, OLD, OLD, OLD, OLD]);
    });

    test('after every innocent advice, with their content', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      for (const advice of [
        'normal',
        'random',
        'sequential',
        'willneed',
        'dontfork',
        'dofork',
        'dontdump',
        'dodump',
        'cold',
        'pageout',
        'populate_read',
        'populate_write',
        'hugepage',
        'nohugepage',
        'mergeable',
        'unmergeable',
      ] as const) {
        // Each has kernels that were built without it.
        const said = answer(() => memory.madvise(advice));
        expect(['ok', 'EINVAL'], advice).toContain(said);
        memory.fill(OLD);
        worksOn(device, object, memory, all(OLD));
      }
    });

    test.each(['shared', 'private'])(
      'of a memfd mapped %s, after truncation and growth',
      (kind) => {
        const device = target.open();
        using file = new Memfd(PAGES * PAGE);
        const { memory, object } = lent(
          device,
          file.mmap(PAGES * PAGE, { shared: kind === 'shared' }),
        );
        file.truncate(4 * PAGE);
        expect(answer(() => memory.load32(4 * PAGE))).toBe('EFAULT');
        expect(stores(device, object)).toBe('EFAULT');
        expect(memory.load32(4)).toBe(OLD);
        file.truncate(PAGES * PAGE);
        // What was cut off is gone, also from private copies.
        worksOn(device, object, memory, [OLD, OLD, OLD, OLD, 0, 0, 0, 0]);
        memory.munmap();
      },
    );

    test('of a shared memfd after a hole was punched', () => {
      const device = target.open();
      using file = new Memfd(PAGES * PAGE);
      const { memory, object } = lent(device, file.mmap(PAGES * PAGE));
      file.punchHole(2 * PAGE, 3 * PAGE);
      expect(heads(memory)).toEqual([NEW, NEW, 0, 0, 0, NEW, NEW, NEW]);
      worksOn(device, object, memory, [OLD, OLD, 0, 0, 0, OLD, OLD, OLD]);
      // The other mappings of the file see it.
      using other = file.mmap(PAGES * PAGE);
      expect(heads(other)).toEqual(all(NEW));
      memory.munmap();
    });

    test('of a shared mapping: what the GPU writes, all who map it see', () => {
      const device = target.open();
      using file = new Memfd(PAGES * PAGE);
      using other = file.mmap(PAGES * PAGE);
      const { memory } = lent(device, file.mmap(PAGES * PAGE));
      expect(heads(other)).toEqual(all(NEW));
      expect(tails(other)).toEqual(all(OLD));
      memory.munmap();
    });

    test('of a private mapping of a file: the file does not change', () => {
      const device = target.open();
      using file = new Memfd(PAGES * PAGE);
      using shared = file.mmap(PAGES * PAGE);
      shared.fill(0x5a5a);
      const { memory } = lent(device, file.mmap(PAGES * PAGE, { shared: false }));
      expect(heads(memory)).toEqual(all(NEW));
      expect(shared.findOther(0x5a5a)).toBe(-1);
      memory.munmap();
    });
  });

  describe('fork', () => {
    test('leaves the parent its pages, whichever side copies', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      for (const touch of ['none', 'read', 'write'] as const) {
        memory.fill(OLD);
        {
          using child = memory.forkHold(touch);
          // While the child shares them the parent writes: the page is copied, and it is the
          // parent's copy that the GPU must find.
          memory.store32(4, 77);
          worksOn(device, object, memory, [77, ...Array(PAGES - 1).fill(OLD)]);
          expect(child.release().errno).toBe(0);
        }
        memory.fill(OLD);
        worksOn(device, object, memory, all(OLD));
      }
    });

    test('of a child that writes every page does not change the parent’s', () => {
      const device = target.open();
      const { memory, object } = lent(device);
      expect(memory.forkTouch('write')).toMatchObject({ errno: 0, signal: 0 });
      expect(tails(memory)).toEqual(all(OLD));
      worksOn(device, object, memory, all(OLD));
    });
  });

  test('overlapping objects see one another’s writes', () => {
    const device = target.open();
    using memory = mmap(PAGES * PAGE);
    //  a: |0 1 2 3 4 5|
    //  b:     |2 3 4 5 6 7|
    //  c:       |3|
    const a = device.userptr(memory.slice(0, 6 * PAGE));
    const b = device.userptr(memory.slice(2 * PAGE));
    const c = device.userptr(memory.slice(3 * PAGE, PAGE));
    storeDword(device, a, 3 * PAGE, 1);
    storeDword(device, b, PAGE + 4, 2);
    storeDword(device, c, 8, 3);
    expect([0, 4, 8].map((at) => memory.load32(3 * PAGE + at))).toEqual([1, 2, 3]);
    // One change is news to all of them, and to none that it does not touch.
    memory.remap({}, 3 * PAGE, PAGE);
    storeDword(device, a, 3 * PAGE, 4);
    storeDword(device, b, PAGE + 4, 5);
    storeDword(device, c, 8, 6);
    expect([0, 4, 8].map((at) => memory.load32(3 * PAGE + at))).toEqual([4, 5, 6]);
  });

  test('one batch may use many of them, and GEM objects beside', () => {
    const device = target.open();
    using memory = mmap(64 * PAGE);
    const objects = memory.pages().map((_, i) => device.userptr(memory.slice(i * PAGE, PAGE)));
    const placed = [...objects, device.create(PAGE)].map((o) => place(o, { write: true }));
    run(device, placed, (b) => {
      for (const [i, p] of placed.entries()) b.storeDword(p.at(), i + 1);
    });
    for (let i = 0; i < 64; i++) expect(memory.load32(i * PAGE)).toBe(i + 1);
  });
});
