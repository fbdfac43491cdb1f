// SPDX-License-Identifier: MIT
// What EXECBUFFER2 refuses, and in which order: each refusal with its errno, alone and against the
// one before it.
import { describe, expect, test } from 'vitest';
import type { Device } from '../../lib/device/device.js';
import type { Exec } from '../../lib/device/exec.js';
import { type Mapping, mmap } from '../../lib/memory/mapping.js';
import { constant } from '../../lib/native.js';
import { answer, devices, kernelAtLeast, LONG, NO_HANDLE, PAGE, raw, struct } from './devices.js';
import { emptyBatch, get, needRelocations, place, prepare, put } from './submit.js';

const FLAG = (name: string) => BigInt(constant(`I915_EXEC_${name}`));
const OBJECT = (name: string) => BigInt(constant(`EXEC_OBJECT_${name}`));
const BAD_OBJECT_FLAG = 1n << 8n;

type Fields = Record<string, number | bigint>;

/** The ioctl's struct as it is, its object list in `list`. */
const execbuffer2 = (device: Device, fields: Fields) =>
  answer(() => raw(device, 'I915_GEM_EXECBUFFER2', 'drm_i915_gem_execbuffer2', fields));

const writeList = (list: Mapping, ...objects: Fields[]): Fields => {
  list.write(0, Buffer.concat(objects.map((o) => struct('drm_i915_gem_exec_object2', o))));
  return { buffers_ptr: list.address, buffer_count: objects.length };
};

describe.each(devices())('$name', (target) => {
  /** Says what the driver answers when the empty batch is submitted in this way. */
  const submits = (device: Device, exec: Partial<Exec>) => {
    const empty = emptyBatch(device);
    return answer(() => device.execbuf({ ...empty.exec, ...exec }));
  };

  test('takes a batch that only ends', () => {
    const device = target.open();
    const { batch, exec } = emptyBatch(device);
    device.execbuf(exec);
    expect(answer(() => batch.wait(LONG))).toBe('ok');
  });

  describe('the struct', () => {
    // Each alone, with a list that cannot be read: they are all looked at before the list.
    test.each<[string, Fields, string]>([
      ['no objects', { buffer_count: 0 }, 'EINVAL'],
      ['more objects than an int counts', { buffer_count: 0x8000_0000 }, 'EINVAL'],
      ['flags that there are not', { flags: 1n << 63n }, 'EINVAL'],
      ['the next flag to come', { flags: 1n << 22n }, 'EINVAL'],
      ['constants of gen4', { flags: FLAG('CONSTANTS_ABSOLUTE') }, 'EINVAL'],
      ['clip rectangles', { num_cliprects: 1 }, 'EINVAL'],
      ['a list of clip rectangles', { cliprects_ptr: 8 }, 'EINVAL'],
      ['a DR1', { DR1: 1 }, 'EINVAL'],
      ['a DR4', { DR4: 1 }, 'EINVAL'],
      ['an offset of the batch within a qword', { batch_start_offset: 4 }, 'EINVAL'],
      ['a length of the batch of half a qword', { batch_len: 4 }, 'EINVAL'],
      ['a list that cannot be read', {}, 'EFAULT'],
      [
        'a list that cannot be read, with the DR4 that old X servers gave',
        { DR4: 0xffff_ffff },
        'EFAULT',
      ],
    ])('with %s is refused', (_, fields, expected) => {
      expect(execbuffer2(target.open(), { buffer_count: 1, buffers_ptr: 8, ...fields })).toBe(
        expected,
      );
    });

    test('is read before the objects, and the last object is the batch', () => {
      const device = target.open();
      using list = mmap(PAGE);
      const two = writeList(list, { handle: NO_HANDLE }, { handle: NO_HANDLE });
      expect(execbuffer2(device, two)).toBe('ENOENT');
      // A list that ends in the middle.
      //  | list, 4096 bytes | not mapped |
      //                | obj | obj |
      using memory = mmap(2 * PAGE);
      memory.munmap(PAGE);
      memory.write(PAGE - 56, struct('drm_i915_gem_exec_object2', { handle: NO_HANDLE }));
      expect(execbuffer2(device, { buffers_ptr: memory.at(PAGE - 56), buffer_count: 2 })).toBe(
        'EFAULT',
      );
    });

    test('is not written to by the ioctl that only reads it', () => {
      const device = target.open();
      using list = mmap(PAGE);
      const { batch } = emptyBatch(device);
      const fields = { ...writeList(list, { handle: batch.handle }), rsvd2: 0x1234 };
      const bytes = raw(device, 'I915_GEM_EXECBUFFER2', 'drm_i915_gem_execbuffer2', fields);
      expect(bytes).toEqual(struct('drm_i915_gem_execbuffer2', fields));
    });
  });

  describe('before the objects', () => {
    test('a privileged batch is refused to a render node', () => {
      expect(['EPERM', 'ENODEV']).toContain(submits(target.open(), { flags: FLAG('SECURE') }));
    });

    test('the fence to wait for must be a sync file, and only one of its kind', () => {
      const device = target.open();
      expect(submits(device, { fenceIn: -1 })).toBe('EINVAL');
      expect(submits(device, { fenceIn: 99_999 })).toBe('EINVAL');
      expect(submits(device, { fenceSubmit: 99_999 })).toBe('EINVAL');
      expect(submits(device, { flags: FLAG('FENCE_IN') | FLAG('FENCE_SUBMIT') })).toBe('EINVAL');
    });

    test('the context must be', () => {
      expect(submits(target.open(), { context: NO_HANDLE })).toBe('ENOENT');
    });

    test('the engine must be', () => {
      const device = target.open();
      expect(submits(device, { engine: 63 })).toBe('EINVAL');
      expect(submits(device, { engine: 5 })).toBe('EINVAL');
      // A choice among video engines means nothing to others.
      expect(submits(device, { engine: 'copy', flags: FLAG('BSD_RING1') })).toBe('EINVAL');
    });

    test('each is looked at in the driver’s order', () => {
      const device = target.open();
      const objects = [{ object: NO_HANDLE }];
      const none = { objects, context: NO_HANDLE, engine: 63 };
      expect(submits(device, { ...none, fenceIn: 99_999 })).toBe('EINVAL');
      expect(submits(device, { ...none, fences: [{ syncobj: NO_HANDLE, flags: 4 }] })).toBe(
        'EINVAL',
      );
      expect(submits(device, none)).toBe('ENOENT');
      expect(submits(device, { objects, engine: 63 })).toBe('EINVAL');
      expect(submits(device, { objects })).toBe('ENOENT');
      // Extensions are no clip rectangles; a chain that cannot be read comes before all of these.
      using list = mmap(PAGE);
      const fields = {
        ...writeList(list, { handle: NO_HANDLE }),
        flags: FLAG('USE_EXTENSIONS'),
        cliprects_ptr: 8,
      };
      expect(execbuffer2(device, fields)).toBe('EFAULT');
      expect(
        execbuffer2(device, { ...fields, flags: FLAG('USE_EXTENSIONS') | FLAG('FENCE_ARRAY') }),
      ).toBe('EINVAL');
    });
  });

  describe('an object', () => {
    /** An empty batch after one object with this entry. */
    const withObject = (device: Device, entry: Partial<Exec['objects'][number]>) => {
      const { exec } = emptyBatch(device);
      const object = device.create(2 * PAGE);
      const objects = [{ object, ...entry }, ...exec.objects];
      return answer(() => device.execbuf({ ...exec, objects }));
    };

    test('must be', () => {
      expect(withObject(target.open(), { object: NO_HANDLE })).toBe('ENOENT');
    });

    test('must not be closed', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const object = device.create(PAGE);
      const objects = [{ object: object.handle }, ...exec.objects];
      expect(answer(() => device.execbuf({ ...exec, objects }))).toBe('ok');
      object.close();
      expect(answer(() => device.execbuf({ ...exec, objects }))).toBe('ENOENT');
    });

    test.each<[string, Partial<Exec['objects'][number]>, string]>([
      ['flags that there are not', { flags: BAD_OBJECT_FLAG }, 'EINVAL'],
      ['an alignment that is no power of two', { alignment: 3n * 4096n }, 'EINVAL'],
      ['an alignment of 1 GiB', { alignment: 1n << 30n }, 'ok'],
      ['a padding within a page', { padToSize: PAGE + 8 }, 'EINVAL'],
      ['a padding of whole pages', { padToSize: 4 * PAGE }, 'ok'],
      ['a padding less than its size', { padToSize: PAGE }, 'ok'],
    ])('with %s is answered', (_, entry, expected) => {
      expect(withObject(target.open(), entry)).toBe(expected);
    });

    test('needs no global GTT where there are PPGTTs', (context) => {
      const device = target.open();
      if ((device.tryGetparam('HAS_ALIASING_PPGTT') ?? 0) < 2)
        context.skip('the GPU has no PPGTT for each context');
      expect(withObject(device, { flags: OBJECT('NEEDS_GTT') })).toBe('EINVAL');
    });

    test('that is refused is refused before the next is looked for', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const object = device.create(PAGE);
      const both = (first: Exec['objects'][number], second: Exec['objects'][number]) =>
        answer(() => device.execbuf({ ...exec, objects: [first, second, ...exec.objects] }));
      const bad = { object, flags: BAD_OBJECT_FLAG };
      const none = { object: NO_HANDLE };
      expect(both(bad, none)).toBe('EINVAL');
      expect(both(none, bad)).toBe('ENOENT');
      // Flags before alignment cannot be told apart; the handle comes before its own flags.
      expect(both({ ...none, flags: BAD_OBJECT_FLAG }, bad)).toBe('ENOENT');
    });

    test('may be named twice', () => {
      const device = target.open();
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      const { batch, exec } = prepare(device, [placed, placed], (b) =>
        b.storeDword(placed.at(), 3),
      );
      device.execbuf(exec);
      batch.wait(LONG);
      expect(get(object, 0, 4).readUInt32LE()).toBe(3);
    });
  });

  describe('the batch', () => {
    test('may not be marked as written', () => {
      const device = target.open();
      const { exec } = emptyBatch(device);
      const objects = exec.objects.map((o) => ({ ...o, write: true }));
      expect(answer(() => device.execbuf({ ...exec, objects }))).toBe('EINVAL');
    });

    test('lies within its object', () => {
      const device = target.open();
      const { exec } = emptyBatch(device); // one page
      const at = (batchStart: number, batchLength: number) =>
        answer(() => device.execbuf({ ...exec, batchStart, batchLength }));
      expect(at(0, PAGE)).toBe('ok');
      expect(at(0, 8)).toBe('ok');
      expect(at(0, PAGE + 8)).toBe('EINVAL');
      expect(at(PAGE, 0)).toBe('EINVAL');
      expect(at(PAGE, 8)).toBe('EINVAL');
      expect(at(PAGE - 8, 16)).toBe('EINVAL');
      expect(at(0xffff_fff8, 16)).toBe('EINVAL');
    });

    test('is the first object when told so', () => {
      const device = target.open();
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      const { batch, exec } = prepare(device, [placed], (b) => b.storeDword(placed.at(), 42));
      const objects = [...exec.objects].reverse();
      device.execbuf({ ...exec, objects, batchFirst: true });
      batch.wait(LONG);
      expect(get(object, 0, 4).readUInt32LE()).toBe(42);
      // The other way round the object of zeros would be the batch: a write to it is refused.
      expect(answer(() => device.execbuf({ ...exec, objects }))).toBe('EINVAL');
    });

    test('begins where it is told to', () => {
      const device = target.open();
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      const { batch, exec } = prepare(device, [placed], (b) => {
        b.storeDword(placed.at(0), 1).end();
        while (b.length < 128) b.noop();
        b.storeDword(placed.at(4), 2);
      });
      device.execbuf({ ...exec, batchStart: 128 });
      batch.wait(LONG);
      const stored = get(object, 0, 8);
      expect([stored.readUInt32LE(0), stored.readUInt32LE(4)]).toEqual([0, 2]);
    });

    test('may be a userptr object’s memory', () => {
      const device = target.open();
      using memory = mmap(PAGE);
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      const made = prepare(device, [placed], (b) => b.storeDword(placed.at(), 6));
      memory.write(0, get(made.batch, 0, 256));
      const batch = device.userptr(memory);
      const objects = made.exec.objects.map((o) =>
        o.object === made.batch ? { ...o, object: batch } : o,
      );
      device.execbuf({ ...made.exec, objects });
      batch.wait(LONG);
      expect(get(object, 0, 4).readUInt32LE()).toBe(6);
    });
  });

  test('relocations that cannot be read are EFAULT; too many, EINVAL from 6.12 on', (context) => {
    const device = target.open();
    needRelocations(context, device);
    const { batch } = emptyBatch(device);
    using list = mmap(PAGE);
    const entry = (fields: Fields) =>
      execbuffer2(device, writeList(list, { handle: batch.handle, ...fields }));
    expect(entry({ relocation_count: 1, relocs_ptr: 8 })).toBe('EFAULT');
    expect(entry({ relocation_count: 0, relocs_ptr: 8 })).toBe('ok');
    expect(entry({ relocation_count: 1, relocs_ptr: 0xffff_8000_0000_0000n })).toBe('EFAULT');
    // From 6.12 on 2 GiB of them are refused before one is looked for.
    const many = 2 ** 31 / struct('drm_i915_gem_relocation_entry', {}).length;
    const tooMany = kernelAtLeast(device, 6, 12) ? 'EINVAL' : 'EFAULT';
    for (const relocs_ptr of [8, list.address]) {
      expect(entry({ relocation_count: many - 1, relocs_ptr })).toBe('EFAULT');
      expect(entry({ relocation_count: many, relocs_ptr })).toBe(tooMany);
      expect(entry({ relocation_count: 0xffff_ffff, relocs_ptr })).toBe(tooMany);
    }
  });

  test('a refused execbuf leaves no fence behind and nothing busy', () => {
    const device = target.open();
    const { batch, exec } = emptyBatch(device);
    put(batch, 0, Buffer.alloc(8));
    expect(answer(() => device.execbuf({ ...exec, fenceOut: true, context: NO_HANDLE }))).toBe(
      'ENOENT',
    );
    expect(batch.busy()).toBe(0);
  });
});
