// SPDX-License-Identifier: MIT
// The memory calls, with and without an object lent from what they change: each is the syscall, good
// and bad, and its errno is the kernel's.
import { describe, expect, test } from 'vitest';
import { adviceNames, type Mapping, mmap } from '../../lib/memory/mapping.js';
import { Memfd } from '../../lib/memory/memfd.js';
import * as memory from '../../lib/memory/memory.js';
import { Userfaultfd } from '../../lib/memory/userfaultfd.js';
import { native } from '../../lib/native.js';
import { answer, answerAsync, devices, PAGE, USER_END } from './devices.js';
import { place, prepare, run, storeDword } from './submit.js';

const KERNEL = 0xffff_8000_0000_0000n;
const NOWHERE = 0x1000n; // below vm.mmap_min_addr

/** All of these with no device, and again with every mapping that is made lent to one. */
describe.each([
  { name: 'no device', lend: () => {} },
  ...devices().map((target) => ({
    name: `lent to ${target.name}`,
    lend: (map: Mapping) => {
      const device = target.open();
      const placed = place(device.userptr(map));
      run(device, [placed], (b) => b.noop());
    },
  })),
])('$name', ({ lend }) => {
  /** Anonymous pages, filled with 5, and lent. */
  const lent = (pages: number, options: Parameters<typeof mmap>[1] = {}) => {
    const map = mmap(pages * PAGE, options);
    map.fill(5);
    lend(map);
    return map;
  };

  test('mmap gives zeroed pages, and private and shared ones', () => {
    for (const shared of [false, true]) {
      using map = mmap(4 * PAGE, { shared });
      expect(map.address % 4096n).toBe(0n);
      expect(map.findOther(0)).toBe(-1);
      lend(map);
      expect(map.forkTouch('read')).toMatchObject({ errno: 0, signal: 0 });
    }
  });

  test('mmap puts a mapping where it is told to, and over what is there', () => {
    using map = lent(4);
    const over = mmap(2 * PAGE, { address: map.at(PAGE), fixed: true });
    expect(over.address).toBe(map.at(PAGE));
    expect(map.pages().map((_, i) => map.load32(i * PAGE))).toEqual([5, 0, 0, 5]);
    const taken = { address: map.address, noReplace: true };
    expect(answer(() => mmap(PAGE, taken))).toBe('EEXIST');
    expect(map.load32()).toBe(5);
  });

  test.each<[string, () => unknown, string]>([
    ['no length', () => mmap(0), 'EINVAL'],
    ['more than there are addresses', () => mmap(1n << 62n), 'ENOMEM'],
    [
      'a fixed address within a page',
      () => mmap(PAGE, { address: 0x10001n, fixed: true }),
      'EINVAL',
    ],
    ['a fixed address of the kernel', () => mmap(PAGE, { address: KERNEL, fixed: true }), 'ENOMEM'],
    ['a file that is none', () => mmap(PAGE, { fd: 99_999 }), 'EBADF'],
    ['an offset within a page', () => mmap(PAGE, { offset: 1 }), 'EINVAL'],
  ])('mmap with %s is refused', (_, call, expected) => {
    expect(answer(call)).toBe(expected);
  });

  test('munmap takes a page out, twice without complaint, and all of it at last', () => {
    const map = lent(4);
    map.munmap(PAGE, PAGE);
    map.munmap(PAGE, PAGE);
    expect(answer(() => map.load32(PAGE))).toBe('EFAULT');
    expect([map.load32(0), map.load32(2 * PAGE)]).toEqual([5, 5]);
    map.munmap();
    expect(answer(() => map.read())).toBe('EFAULT');
  });

  test('munmap refuses what is no range', () => {
    using map = lent(2);
    expect(answer(() => native.munmap(map.address + 1n, PAGE))).toBe('EINVAL');
    expect(answer(() => native.munmap(map.address, 0))).toBe('EINVAL');
    expect(answer(() => native.munmap(map.address, 1n << 62n))).toBe('EINVAL');
    expect(answer(() => native.munmap(KERNEL, PAGE))).toBe('EINVAL');
    expect(map.findOther(5)).toBe(-1);
  });

  test('mprotect changes what may be done, page by page, and back', () => {
    using map = lent(3);
    map.mprotect('r', PAGE, PAGE);
    expect(answer(() => map.store32(PAGE, 1))).toBe('EFAULT');
    expect(map.load32(PAGE)).toBe(5);
    map.mprotect('none', PAGE, PAGE);
    expect(answer(() => map.load32(PAGE))).toBe('EFAULT');
    map.store32(2 * PAGE, 6);
    map.mprotect('rw');
    expect(map.load32(PAGE)).toBe(5);
  });

  test('mprotect refuses what is not mapped, and protections that are none', () => {
    const map = lent(3);
    map.munmap(PAGE, PAGE);
    expect(answer(() => map.mprotect('r'))).toBe('ENOMEM');
    // What came before the hole is changed all the same.
    expect(answer(() => map.store32(0, 1))).toBe('EFAULT');
    expect(answer(() => map.mprotect(0x100))).toBe('EINVAL');
    expect(answer(() => native.mprotect(map.address + 1n, PAGE, 1))).toBe('EINVAL');
    map.munmap();
  });

  test('mremap moves, grows and shrinks', () => {
    const map = lent(2);
    using target = mmap(8 * PAGE);
    const moved = map.mremap({ address: target.address });
    expect(moved.address).toBe(target.address);
    expect(moved.findOther(5)).toBe(-1);
    expect(answer(() => map.load32())).toBe('EFAULT');
    const grown = moved.mremap({ length: 3 * PAGE });
    expect(grown.load32(PAGE)).toBe(5);
    expect(grown.load32(2 * PAGE)).toBe(0);
    const shrunk = grown.mremap({ length: PAGE, mayMove: false });
    expect(answer(() => memory.load32(shrunk.address + 4096n))).toBe('EFAULT');
    shrunk.munmap();
  });

  test('mremap refuses what it cannot do', () => {
    using map = lent(2);
    expect(answer(() => native.mremap(map.address, 2 * PAGE, 0, 0, 0))).toBe('EINVAL');
    expect(answer(() => native.mremap(map.address + 1n, PAGE, PAGE, 1, 0))).toBe('EINVAL');
    expect(answer(() => native.mremap(NOWHERE, PAGE, 2 * PAGE, 1, 0))).toBe('EFAULT');
    // Onto itself.
    expect(answer(() => map.mremap({ address: map.at(PAGE) }))).toBe('EINVAL');
    expect(map.findOther(5)).toBe(-1);
  });

  test('mremap may leave the old range there, empty', () => {
    using map = lent(2);
    const said = answer(() => map.mremap({ dontUnmap: true }).munmap());
    expect(['ok', 'EINVAL']).toContain(said); // 5.7
    if (said === 'ok') expect(map.findOther(0)).toBe(-1);
  });

  test('madvise takes every advice that keeps content, and keeps it', () => {
    using map = lent(4);
    const loses = ['dontneed', 'free', 'remove', 'wipeonfork', 'hwpoison', 'soft_offline'];
    for (const advice of adviceNames.filter((a) => !loses.includes(a))) {
      // Kernels may be built without some of them, and a range this small has no huge page.
      expect(['ok', 'EINVAL', 'EBUSY', 'EAGAIN', 'ENOMEM'], advice).toContain(
        answer(() => map.madvise(advice)),
      );
      expect(map.findOther(5), advice).toBe(-1);
    }
  });

  test('madvise DONTNEED zeroes anonymous pages, and gives a file’s pages again', () => {
    using map = lent(3);
    map.madvise('dontneed', PAGE, PAGE);
    expect(map.pages().map((_, i) => map.load32(i * PAGE))).toEqual([5, 0, 5]);
    using file = new Memfd(PAGE);
    using shared = file.mmap(PAGE);
    shared.fill(9);
    lend(shared);
    shared.madvise('dontneed');
    expect(shared.findOther(9)).toBe(-1);
  });

  test('madvise FREE leaves the old content or zeros, and what is written after stays', () => {
    using map = lent(2);
    map.madvise('free');
    expect([0, 5]).toContain(map.load32());
    map.store32(0, 6);
    expect(map.load32()).toBe(6);
  });

  test('madvise REMOVE punches a hole into the file behind', () => {
    using file = new Memfd(2 * PAGE);
    using map = file.mmap(2 * PAGE);
    map.fill(9);
    lend(map);
    map.madvise('remove', PAGE, PAGE);
    expect([map.load32(0), map.load32(PAGE)]).toEqual([9, 0]);
    using anonymous = lent(1);
    expect(answer(() => anonymous.madvise('remove'))).toBe('EINVAL');
  });

  test('madvise WIPEONFORK shows a child zeros', () => {
    using map = lent(1);
    map.madvise('wipeonfork');
    expect(map.forkTouch('write')).toMatchObject({ errno: 0, signal: 0 });
    expect(map.findOther(5)).toBe(-1);
  });

  test('madvise refuses advice that there is not, and what is not mapped', () => {
    const map = lent(2);
    expect(answer(() => map.madvise(9999))).toBe('EINVAL');
    map.munmap(PAGE, PAGE);
    expect(answer(() => map.madvise('dontneed'))).toBe('ENOMEM');
    expect(answer(() => native.madvise(map.address + 1n, PAGE, 4))).toBe('EINVAL');
    map.munmap();
  });

  test('mlock brings pages in and keeps them', () => {
    using map = mmap(4 * PAGE);
    map.mlock();
    expect(map.mincore()).toEqual([true, true, true, true]);
    lend(map);
    // Locked pages are not thrown away.
    expect(answer(() => map.madvise('dontneed'))).toBe('EINVAL');
    map.munlock();
    expect(answer(() => map.madvise('dontneed'))).toBe('ok');
    expect(answer(() => native.mlock(NOWHERE, PAGE))).toBe('ENOMEM');
    expect(answer(() => native.munlock(NOWHERE, PAGE))).toBe('ENOMEM');
  });

  test('mincore tells which pages are there', () => {
    using map = mmap(4 * PAGE);
    map.store32(PAGE, 1);
    map.store32(3 * PAGE, 1);
    expect(map.mincore()).toEqual([false, true, false, true]);
    expect(answer(() => native.mincore(NOWHERE, PAGE))).toBe('ENOMEM');
    expect(answer(() => native.mincore(map.address + 1n, PAGE))).toBe('EINVAL');
  });

  test('move_pages tells where pages are, and moves them to where they are', () => {
    using map = lent(3);
    const nodes = memory.movePages(map.pages());
    for (const node of nodes) expect(node).toBeGreaterThanOrEqual(0);
    expect(memory.movePages(map.pages(), nodes)).toEqual(nodes);
    expect(map.findOther(5)).toBe(-1);
    using untouched = mmap(PAGE);
    const [nothing, kernel] = memory.movePages([untouched.address, KERNEL]);
    // ENOENT, or before 6.3 EFAULT where there is no page table either.
    expect([-2, -14]).toContain(nothing);
    expect(kernel).toBe(-14);
    expect(answer(() => memory.movePages(map.pages(), [9999, 9999, 9999]))).toBe('ENODEV');
  });

  test('fork gives a child its own copy, and tells what it could not touch', () => {
    using map = lent(4);
    expect(map.forkTouch('write')).toEqual({ errno: 0, signal: 0, timedOut: false });
    map.mprotect('r', 2 * PAGE, PAGE);
    expect(map.forkTouch('read').errno).toBe(0);
    expect(map.forkTouch('write').errno).toBe(14);
    map.madvise('dontfork');
    expect(map.forkTouch('read').errno).toBe(14);
    expect(map.findOther(5)).toBe(-1);
  });

  test('a held child keeps its copy while the parent writes', () => {
    using map = lent(2);
    const child = map.forkHold('read');
    map.fill(6);
    expect(child.release()).toEqual({ errno: 0, signal: 0, timedOut: false });
    expect(map.findOther(6)).toBe(-1);
  });

  test('a memfd grows, shrinks and has holes punched', () => {
    using file = new Memfd(4 * PAGE);
    using map = file.mmap(4 * PAGE);
    map.fill(7);
    lend(map);
    file.punchHole(PAGE, 2 * PAGE);
    expect(map.pages().map((_, i) => map.load32(i * PAGE))).toEqual([7, 0, 0, 7]);
    file.truncate(PAGE);
    expect(answer(() => map.load32(PAGE))).toBe('EFAULT');
    file.truncate(4 * PAGE);
    expect(map.load32(3 * PAGE)).toBe(0);
    expect(answer(() => native.ftruncate(file.fd, -1n))).toBe('EINVAL');
    expect(answer(() => native.ftruncate(99_999, 0))).toBe('EBADF');
    expect(answer(() => file.punchHole(0, 0))).toBe('EINVAL');
  });

  test('huge pages of hugetlbfs are mapped where there are any', (context) => {
    const said = answer(() => {
      using map = mmap(2 << 20, { hugetlb: true });
      map.store32(0, 1);
      lend(map);
      expect(map.load32()).toBe(1);
    });
    if (said !== 'ok') context.skip(`no huge pages are set aside (${said})`);
  });

  test('calls in the thread pool are answered as those that are not', async () => {
    const map = lent(2);
    expect(await answerAsync(map.mprotectAsync('r'))).toBe('ok');
    expect(await answerAsync(map.mprotectAsync(0x100))).toBe('EINVAL');
    expect(await answerAsync(map.madviseAsync('dontneed'))).toBe('ok');
    expect(await answerAsync(map.munmapAsync())).toBe('ok');
    expect(answer(() => map.load32())).toBe('EFAULT');
  });
});

describe('accesses', () => {
  const kinds: Record<string, (address: bigint) => unknown> = {
    load32: (a) => memory.load32(a),
    store32: (a) => memory.store32(a, 1),
    load64: (a) => memory.load64(a),
    store64: (a) => memory.store64(a, 1n),
    read: (a) => memory.read(a, 8),
    readInto: (a) => memory.readInto(a, Buffer.alloc(8)),
    write: (a) => memory.write(a, Buffer.alloc(8)),
    fill: (a) => native.fill(a, 8, 1),
    findOther: (a) => native.findOther(a, 8, 1),
  };

  test.each(Object.keys(kinds))('%s is EFAULT wherever nothing may be touched', (name) => {
    const access = kinds[name] as (address: bigint) => unknown;
    using none = mmap(PAGE, { prot: 'none' });
    for (const address of [
      0n,
      NOWHERE,
      none.address,
      USER_END,
      KERNEL,
      (1n << 64n) - 8n,
      1n << 63n,
    ])
      expect(
        answer(() => access(address)),
        `0x${address.toString(16)}`,
      ).toBe('EFAULT');
  });

  test('see what the others wrote', () => {
    using map = mmap(PAGE);
    map.store64(8, 0x1122_3344_5566_7788n);
    expect([map.load32(8), map.load32(12)]).toEqual([0x5566_7788, 0x1122_3344]);
    expect(map.read(8, 3)).toEqual(Buffer.from([0x88, 0x77, 0x66]));
    map.write(1, Buffer.from([0xaa, 0xbb]));
    expect(map.load32()).toBe(0x00bb_aa00);
    map.fill(0x0102_0304, 64, 7);
    expect(map.read(64, 8)).toEqual(Buffer.from([4, 3, 2, 1, 4, 3, 2, 0]));
    expect(map.findOther(0x0102_0304, 64, 8)).toBe(68);
  });

  test('reach up to the fault and no further', () => {
    using map = mmap(2 * PAGE);
    map.mprotect('none', PAGE);
    expect(answer(() => map.write(PAGE - 4, Buffer.alloc(8, 1)))).toBe('EFAULT');
    expect(map.load32(PAGE - 4)).toBe(0x0101_0101);
    expect(answer(() => map.read(PAGE - 4, 8))).toBe('EFAULT');
    expect(answer(() => map.read(PAGE - 4, 4))).toBe('ok');
  });
});

describe('userfaultfd', () => {
  const open = (context: { skip(why: string): never }) => {
    const said = answer(() => new Userfaultfd({ userModeOnly: true }).close());
    if (said !== 'ok') context.skip(`userfaultfd is not to be had here (${said})`);
    return new Userfaultfd({ userModeOnly: true });
  };
  const until = async (what: () => boolean) => {
    while (!what()) await new Promise((resolve) => setTimeout(resolve, 1));
  };

  test('holds an access to a missing page until it is answered', async (context) => {
    using uffd = open(context);
    using map = mmap(2 * PAGE);
    uffd.register(map, { missing: true });
    expect(uffd.events()).toEqual([]);
    const loaded = native.async.load32(map.at(PAGE));
    const events: bigint[] = [];
    await until(() => {
      for (const event of uffd.events()) events.push(event.address);
      return events.length > 0;
    });
    expect(events).toEqual([map.at(PAGE)]);
    uffd.copy(map.at(PAGE), Buffer.alloc(PAGE, 0x21));
    expect(await loaded).toBe(0x2121_2121);
    uffd.zeropage(map.address, PAGE);
    expect(map.load32()).toBe(0);
    expect(answer(() => uffd.copy(map.address, Buffer.alloc(PAGE)))).toBe('EEXIST');
    uffd.unregister(map);
  });

  test('refuses ranges that cannot be watched', (context) => {
    using uffd = open(context);
    const gone = mmap(PAGE);
    gone.munmap();
    expect(answer(() => uffd.register(gone, { missing: true }))).toBe('EINVAL');
    using map = mmap(PAGE);
    expect(answer(() => uffd.register(map, {}))).toBe('EINVAL');
    expect(answer(() => uffd.register(map, { missing: true }))).toBe('ok');
    using other = open(context);
    expect(answer(() => other.register(map, { missing: true }))).toBe('EBUSY');
  });

  test.for(devices())('holds the page lookup of $name', async (target, context) => {
    const device = target.open();
    const said = answer(() => new Userfaultfd().close());
    if (said !== 'ok')
      context.skip(`userfaultfd for the kernel’s own faults is not to be had (${said})`);
    using uffd = new Userfaultfd();
    using map = mmap(2 * PAGE);
    uffd.register(map, { missing: true });
    const object = device.userptr(map);
    const placed = place(object, { write: true });
    // The lookup happens in the ioctl; in the thread pool, so that this thread can answer.
    const { batch, exec } = prepare(device, [placed], (b) => b.storeDword(placed.at(), 3));
    const submitted = device.execbufAsync(exec);
    const answered = new Set<bigint>();
    let done = false;
    void submitted.finally(() => {
      done = true;
    });
    await until(() => {
      for (const { address } of uffd.events()) {
        const page = address & ~4095n;
        if (!answered.has(page)) uffd.copy(page, Buffer.alloc(PAGE, 0x44));
        answered.add(page);
      }
      return done;
    });
    await submitted;
    batch.wait();
    expect(answered).toEqual(new Set(map.pages()));
    expect([map.load32(0), map.load32(4), map.load32(PAGE)]).toEqual([3, 0x4444_4444, 0x4444_4444]);
    storeDword(device, object, 8, 4);
    expect(map.load32(8)).toBe(4);
  });
});
