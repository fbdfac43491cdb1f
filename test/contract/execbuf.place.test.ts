// SPDX-License-Identifier: MIT
// Where objects are: relocations, softpin, the handle LUT.
import { describe, expect, test } from 'vitest';
import type { Device } from '../../lib/device/device.js';
import type { Exec, ExecObject, Relocation } from '../../lib/device/exec.js';
import { mmap } from '../../lib/memory/mapping.js';
import { constant } from '../../lib/native.js';
import { answer, devices, LONG, NO_HANDLE, PAGE } from './devices.js';
import { emptyBatch, get, needRelocations, place, prepare, run, submit } from './submit.js';

const DOMAIN = (name: string) => constant(`I915_GEM_DOMAIN_${name}`);
const GIB = 1n << 30n;

describe.each(devices())('$name', (target) => {
  describe('a relocation', () => {
    // An object of two pages whose dwords at `offset` are made to point at another, by the driver.
    const relocate = (device: Device, ...relocations: Partial<Relocation>[]) => {
      const { exec } = emptyBatch(device);
      const [pointed, holder] = [device.create(PAGE), device.create(2 * PAGE)];
      const list = relocations.map((r) => ({ target: pointed, offset: 0, ...r }));
      const objects: ExecObject[] = [
        { object: pointed },
        { object: holder, relocations: list },
        ...exec.objects,
      ];
      const result = device.execbuf({ ...exec, objects });
      return { holder, address: result.addresses[0] ?? 0n, presumed: result.presumed };
    };
    const refused = (device: Device, relocation: Partial<Relocation>) =>
      answer(() => relocate(device, { presumed: 0xdead_0000n, ...relocation }));
    const pointer = (device: Device, bytes: Buffer) =>
      device.gen >= 80 ? bytes.readBigUInt64LE() : BigInt(bytes.readUInt32LE());

    test('is written, and the presumed address updated', (context) => {
      const device = target.open();
      needRelocations(context, device);
      const wrong = 0xdead_0000n;
      const { holder, address, presumed } = relocate(
        device,
        { offset: 0, presumed: wrong },
        { offset: 8, presumed: wrong, delta: 64 },
        { offset: 2 * PAGE - 8, presumed: wrong, delta: 4092 },
      );
      expect(presumed).toEqual([address, address, address]);
      expect(pointer(device, get(holder, 0, 8))).toBe(address);
      expect(pointer(device, get(holder, 8, 8))).toBe(address + 64n);
      expect(pointer(device, get(holder, 2 * PAGE - 8, 8))).toBe(address + 4092n);
    });

    test('may lie across two pages', (context) => {
      const device = target.open();
      needRelocations(context, device);
      const { holder, address } = relocate(device, { offset: PAGE - 4, presumed: 0xdead_0000n });
      expect(pointer(device, get(holder, PAGE - 4, 8))).toBe(address);
    });

    test('whose delta is negative points before the object', (context) => {
      const device = target.open();
      needRelocations(context, device);
      const { holder, address } = relocate(device, { presumed: 0xdead_0000n, delta: 0xffff_fff0 });
      expect(BigInt.asUintN(32, pointer(device, get(holder, 0, 8)))).toBe(
        BigInt.asUintN(32, address - 16n),
      );
    });

    test('that is right already is not written', (context) => {
      const device = target.open();
      needRelocations(context, device);
      const placed = place(device.create(PAGE));
      const holder = device.create(PAGE);
      const address = submit(device, [placed], () => {}).result.addresses[0] ?? 0n;
      const { exec } = emptyBatch(device);
      const pointed = placed.entry.object;
      const objects = [
        { ...placed.entry, offset: address },
        { object: holder, relocations: [{ target: pointed, offset: 0, presumed: address }] },
        ...exec.objects,
      ];
      const result = device.execbuf({ ...exec, objects });
      expect(result.presumed).toEqual([address]);
      expect(get(holder, 0, 8)).toEqual(Buffer.alloc(8));
    });

    test.for<[string, Partial<Relocation>, string]>([
      ['an object that is not in the list', { target: NO_HANDLE }, 'ENOENT'],
      ['two write domains', { readDomains: 2, writeDomain: 2 | 4 }, 'EINVAL'],
      ['the CPU’s domain', { readDomains: DOMAIN('CPU') }, 'EINVAL'],
      ['a write in the GTT’s domain', { writeDomain: DOMAIN('GTT') }, 'EINVAL'],
      ['a place beyond the object', { offset: 2 * PAGE }, 'EINVAL'],
      ['a place that ends beyond the object', { offset: 2 * PAGE - 3 }, 'EINVAL'],
      ['a place far beyond', { offset: (1n << 64n) - 4n }, 'EINVAL'],
      ['a place within a dword', { offset: 2 }, 'EINVAL'],
      ['an unknown object, before its domains', { target: NO_HANDLE, writeDomain: 6 }, 'ENOENT'],
    ])('with %s is refused', ([, relocation, expected], context) => {
      const device = target.open();
      needRelocations(context, device);
      expect(refused(device, relocation)).toBe(expected);
    });

    test('is written into userptr memory too', (context) => {
      const device = target.open();
      needRelocations(context, device);
      using memory = mmap(2 * PAGE);
      const holder = device.userptr(memory);
      const pointed = device.create(PAGE);
      const { exec } = emptyBatch(device);
      const relocations = [{ target: pointed, offset: PAGE - 4, presumed: 0xdead_0000n }];
      const objects = [{ object: pointed }, { object: holder, relocations }, ...exec.objects];
      const address = device.execbuf({ ...exec, objects }).addresses[0] ?? 0n;
      expect(pointer(device, memory.read(PAGE - 4, 8))).toBe(address);
    });

    test('makes a batch of any object work, wherever that is', (context) => {
      const device = target.open();
      needRelocations(context, device);
      const object = device.create(PAGE);
      let relocations: Relocation[] = [];
      const { batch, exec } = prepare(device, [], (b) => {
        b.storeDword({ object, delta: 12 }, 0x600d);
        relocations = b.relocations.map((r) => ({ ...r, presumed: 0xdead_0000n }));
      });
      device.execbuf({ ...exec, objects: [{ object }, { object: batch, relocations }] });
      batch.wait(LONG);
      expect(get(object, 12, 4).readUInt32LE()).toBe(0x600d);
    });
  });

  describe('the handle LUT', () => {
    test('makes targets indices of the list', (context) => {
      const device = target.open();
      needRelocations(context, device);
      const object = device.create(PAGE);
      const holder = device.create(PAGE);
      const { exec } = emptyBatch(device);
      const at = (index: number): Exec => ({
        ...exec,
        handleLut: true,
        objects: [
          { object },
          { object: holder, relocations: [{ target: index, offset: 0, presumed: 0xdead_0000n }] },
          ...exec.objects,
        ],
      });
      const { addresses } = device.execbuf(at(0));
      expect(get(holder, 0, 4).readUInt32LE()).toBe(Number(addresses[0]));
      expect(answer(() => device.execbuf(at(2)))).toBe('ok');
      expect(answer(() => device.execbuf(at(3)))).toBe('ENOENT');
      expect(answer(() => device.execbuf(at(object.handle + 1000)))).toBe('ENOENT');
    });
  });

  describe('softpin', () => {
    const pin = (device: Device, ...entries: ExecObject[]) => {
      const { exec } = emptyBatch(device);
      return answer(() => device.execbuf({ ...exec, objects: [...entries, ...exec.objects] }));
    };
    const end = (device: Device): bigint => device.context().getparam('GTT_SIZE');

    test('puts the object where it is told to, to the last page', (context) => {
      const device = target.open();
      if (device.gen < 80) context.skip('the GPU has no address space of its own to pin in');
      const object = device.create(PAGE);
      for (const address of [0x4000_0000n, 0xffff_e000n, end(device) - 4096n]) {
        const canonical = BigInt.asUintN(64, BigInt.asIntN(48, address));
        const entry = { object, address: canonical, write: true };
        run(device, [{ entry, at: (d = 0) => canonical + BigInt(d) }], (b) =>
          b.storeDword(canonical + 4n, Number(address >> 16n)),
        );
        expect(get(object, 4, 4).readUInt32LE()).toBe(Number(address >> 16n));
      }
    });

    test('refuses addresses that cannot be', (context) => {
      const device = target.open();
      if (device.gen < 80) context.skip('the GPU has no address space of its own to pin in');
      const object = device.create(2 * PAGE);
      const at = (address: bigint, wide = true) => pin(device, { object, address, wide });
      expect(at(0x4000_0800n)).toBe('EINVAL');
      // Bit 47 must be repeated above.
      if (end(device) === 1n << 48n) expect(at(1n << 47n)).toBe('EINVAL');
      const last = BigInt.asUintN(64, BigInt.asIntN(48, end(device) - 4096n));
      expect(at(last)).toBe('EINVAL'); // a page too long
      // Above 4 GiB it takes the flag that says that it may be.
      if (end(device) > 4n * GIB) expect(at(8n * GIB, false)).toBe('EINVAL');
    });

    test('refuses two objects in one place', (context) => {
      const device = target.open();
      if (device.gen < 80) context.skip('the GPU has no address space of its own to pin in');
      const [a, b] = [device.create(4 * PAGE), device.create(4 * PAGE)];
      const base = device.allocateAddress(1n << 20n);
      const both = (shift: number) =>
        pin(device, { object: a, address: base }, { object: b, address: base + BigInt(shift) });
      //  a: |0 1 2 3|
      //  b:       |0 1 2 3|     overlap by a page
      expect(both(3 * PAGE)).toBe('ENOSPC');
      expect(both(0)).toBe('ENOSPC');
      //  a: |0 1 2 3|
      //  b:         |0 1 2 3|   neighbours
      expect(both(4 * PAGE)).toBe('ok');
    });

    test('moves an object that was elsewhere, and evicts what is idle in its place', (context) => {
      const device = target.open();
      if (device.gen < 80) context.skip('the GPU has no address space of its own to pin in');
      const [a, b] = [device.create(PAGE), device.create(PAGE)];
      const [here, there] = [device.allocateAddress(PAGE), device.allocateAddress(PAGE)];
      expect(pin(device, { object: a, address: here })).toBe('ok');
      expect(pin(device, { object: a, address: there }, { object: b, address: here })).toBe('ok');
      run(device, [{ entry: { object: b, address: here }, at: () => here }], (batch) =>
        batch.storeDword(here, 0xb),
      );
      expect(get(b, 0, 4).readUInt32LE()).toBe(0xb);
      expect(get(a, 0, 4).readUInt32LE()).toBe(0);
    });

    test('aligns what it is not told to place', (context) => {
      const device = target.open();
      if (device.gen < 80) context.skip('the GPU has no address space of its own to pin in');
      const { exec } = emptyBatch(device);
      const object = device.create(PAGE);
      const objects = [{ object, alignment: 1n << 24n }, ...exec.objects];
      const { addresses } = device.execbuf({ ...exec, objects });
      expect((addresses[0] ?? 1n) % (1n << 24n)).toBe(0n);
    });

    test('of an address that is not aligned as asked is refused', (context) => {
      const device = target.open();
      if (device.gen < 80) context.skip('the GPU has no address space of its own to pin in');
      const object = device.create(PAGE);
      expect(pin(device, { object, address: 0x5000_1000n, alignment: 1n << 16n })).toBe('EINVAL');
      expect(pin(device, { object, address: 0x5001_0000n, alignment: 1n << 16n })).toBe('ok');
    });
  });

  describe('what the driver places', () => {
    test('is below 4 GiB unless it may be above', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const objects = [{ object: device.create(PAGE) }, ...exec.objects];
      const { addresses } = device.execbuf({ ...exec, objects });
      expect(addresses[0] ?? -1n).toBeLessThan(4n * GIB);
    });

    test('keeps apart, however many there are', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const sizes = Array.from({ length: 200 }, (_, i) => ((i % 7) + 1) * PAGE);
      const objects = sizes.map((size) => ({ object: device.create(size) }));
      const { addresses } = device.execbuf({ ...exec, objects: [...objects, ...exec.objects] });
      const spans = sizes
        .map((size, i) => ({ start: addresses[i] ?? 0n, end: (addresses[i] ?? 0n) + BigInt(size) }))
        .sort((x, y) => (x.start < y.start ? -1 : 1));
      for (const [i, span] of spans.entries()) {
        const next = spans[i + 1];
        if (next) expect(span.end).toBeLessThanOrEqual(next.start);
      }
    });

    test('stays where it is when all presumed addresses are right', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const object = device.create(PAGE);
      const first = device.execbuf({ ...exec, objects: [{ object }, ...exec.objects] });
      const offset = first.addresses[0] ?? 0n;
      const again = device.execbuf({
        ...exec,
        noReloc: true,
        objects: [{ object, offset }, ...exec.objects],
      });
      expect(again.addresses[0]).toBe(offset);
    });

    test('an object of 64 MiB in one piece', () => {
      const device = target.open();
      using memory = mmap(64 << 20);
      const object = device.userptr(memory);
      const placed = place(object, { write: true });
      run(device, [placed], (b) => {
        for (let at = 0; at < memory.length; at += 4 << 20) b.storeDword(placed.at(at), at | 1);
        b.storeDword(placed.at(memory.length - 4), 0xe4d);
      });
      for (let at = 0; at < memory.length; at += 4 << 20) expect(memory.load32(at)).toBe(at | 1);
      expect(memory.load32(memory.length - 4)).toBe(0xe4d);
    });
  });
});
