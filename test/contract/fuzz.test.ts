// SPDX-License-Identifier: MIT
// Input that nobody means: any ioctl with any bytes, any number for any argument, any batch. The
// process lives, calls are answered with errnos that the uAPI knows, and the device works after it.
// A failure prints its seed and path; I915_USERPTR_SEED=... repeats it.
//
// Pointers in random bytes are the danger: a device that is asked to write to one does. They are
// drawn from addresses that are this test's own, or nobody's. It runs on the software device alone:
// a real one has a fuzzer of its own (syzkaller), and garbage batches are for a GPU that may hang.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { Batch } from '../../lib/batch/batch.js';
import type { Device } from '../../lib/device/device.js';
import { openDevice } from '../../lib/device/open.js';
import { I915Error } from '../../lib/error.js';
import { type Mapping, mmap } from '../../lib/memory/mapping.js';
import { native } from '../../lib/native.js';
import { answer, answerAsync, LONG, PAGE, struct } from './devices.js';
import { storeDword } from './submit.js';

const seed = Number(process.env.I915_USERPTR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const options = { seed, interruptAfterTimeLimit: 3000, markInterruptAsFailure: false };
const BOUND = 60_000;

const fds = (): Map<string, string> =>
  new Map(
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [[fd, readlinkSync(`/proc/self/fd/${fd}`)]];
      } catch {
        return []; // that of the directory itself
      }
    }),
  );

/** A device whose dma-bufs and sync files, which nobody keeps, are closed with it. */
const soft = (): Device => {
  const before = fds();
  const { device } = openDevice('soft', { hangMs: 20 });
  onTestFinished(() => {
    device.close();
    for (const [fd, what] of fds())
      if (/^(socket:|\/memfd:)/.test(what) && before.get(fd) !== what) native.closeFd(Number(fd));
  });
  return device;
};

/** Still in order? Asked of another file: the one that was abused may be banned from the GPU. */
const works = (device: Device): void => {
  using other = device.reopen();
  using memory = mmap(PAGE);
  storeDword(other, other.userptr(memory), 8, 0x600d);
  expect(memory.load32(8)).toBe(0x600d);
};

/** Errors are the driver's, by errno; all else is a bug. */
const tolerates = (call: () => unknown): void => {
  try {
    call();
  } catch (error) {
    if (!(error instanceof I915Error)) throw error;
    expect(error.errno > 0 && error.errno < 134).toBe(true);
  }
};

const { constants, structs } = native;
const requests = Object.entries(constants)
  .filter(([name]) => name.startsWith('DRM_IOCTL_'))
  .map(([, request]) => request);

/**
 * Numbers that mean something somewhere. As pointers they are the test's own or nobody's: below
 * vm.mmap_min_addr, above what a program that is not position independent and its heap take of the
 * first 4 GiB, or no user address.
 */
const number64 = (memory: Mapping) =>
  fc.oneof(
    fc.constantFrom(0n, 1n, 2n, 4n, 7n, 8n, 4095n, 4096n, (1n << 32n) - 1n, 1n << 32n, 1n << 44n),
    fc.constantFrom(1n << 47n, 1n << 63n, (1n << 64n) - 1n, (1n << 64n) - 4096n),
    fc.constantFrom(...memory.pages(), memory.at(8), memory.at(memory.length - 8)),
    fc.integer({ min: 0, max: 40 }).map(BigInt),
    fc.nat(0xffff).map(BigInt),
    fc.nat(0x7fff_ffff).map((n) => 0x8000_0000n + BigInt(n)),
  );

/** Memory of the test's own, where random pointers point. What goes on behind it is stopped. */
const scratch = (): Mapping => {
  //  | 4 pages | PROT_NONE |
  const memory = mmap(5 * PAGE);
  memory.mprotect('none', 4 * PAGE);
  onTestFinished(() => memory.munmap());
  const taken = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .map((line) => BigInt(`0x${line.split('-')[0] || 'f'.repeat(16)}`));
  expect(taken.filter((at) => at >= 0x8000_0000n && at <= 1n << 32n)).toEqual([]);
  return memory.slice(0, 4 * PAGE);
};

test('every ioctl survives any bytes', { timeout: BOUND }, () => {
  const device = soft();
  const memory = scratch();
  // A wait for ever would be one: what a random batch makes busy, the hang check frees.
  const value = number64(memory);
  const request = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...requests) },
    // The same numbers with other sizes and directions.
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom(...requests), fc.nat(3), fc.nat(256))
        .map(([r, dir, size]) => ((dir << 30) | (size << 16) | (r & 0xffff)) >>> 0),
    },
    { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
  );
  fc.assert(
    fc.property(
      request,
      fc.array(value, { maxLength: 12 }),
      fc.array(value, { maxLength: 24 }),
      (number, words, content) => {
        memory.write(0, Buffer.from(BigUint64Array.from(content).buffer));
        const bytes = Buffer.alloc(128);
        for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(word, i * 8);
        tolerates(() => device.ioctlRaw(number, bytes));
      },
    ),
    { ...options, numRuns: 20_000 },
  );
  works(device);
});

test('every struct survives one field that is out of place', { timeout: BOUND }, () => {
  const device = soft();
  const memory = scratch();
  const object = device.create(PAGE);
  memory.write(0, struct('drm_i915_gem_exec_object2', { handle: object.handle }));
  // What makes each call a good one; then any one or two fields are changed.
  const good: [string, string, Record<string, number | bigint>][] = [
    ['I915_GEM_CREATE', 'drm_i915_gem_create', { size: PAGE }],
    ['I915_GEM_CREATE_EXT', 'drm_i915_gem_create_ext', { size: PAGE }],
    ['I915_GEM_USERPTR', 'drm_i915_gem_userptr', { user_ptr: memory.address, user_size: PAGE }],
    ['I915_GEM_BUSY', 'drm_i915_gem_busy', { handle: object.handle }],
    ['I915_GEM_WAIT', 'drm_i915_gem_wait', { bo_handle: object.handle }],
    [
      'I915_GEM_PREAD',
      'drm_i915_gem_pread',
      { handle: object.handle, size: 8, data_ptr: memory.at(PAGE) },
    ],
    [
      'I915_GEM_PWRITE',
      'drm_i915_gem_pwrite',
      { handle: object.handle, size: 8, data_ptr: memory.at(PAGE) },
    ],
    ['I915_GEM_MMAP_OFFSET', 'drm_i915_gem_mmap_offset', { handle: object.handle, flags: 2 }],
    ['I915_GEM_SET_DOMAIN', 'drm_i915_gem_set_domain', { handle: object.handle, read_domains: 1 }],
    ['I915_GEM_MADVISE', 'drm_i915_gem_madvise', { handle: object.handle }],
    ['I915_GEM_SET_TILING', 'drm_i915_gem_set_tiling', { handle: object.handle }],
    [
      'I915_GEM_EXECBUFFER2',
      'drm_i915_gem_execbuffer2',
      { buffers_ptr: memory.address, buffer_count: 1 },
    ],
    ['I915_GEM_CONTEXT_CREATE_EXT', 'drm_i915_gem_context_create_ext', { flags: 0 }],
    ['I915_GEM_CONTEXT_SETPARAM', 'drm_i915_gem_context_param', { param: 8, value: 1 }],
    ['I915_GEM_CONTEXT_GETPARAM', 'drm_i915_gem_context_param', { param: 8 }],
    ['I915_QUERY', 'drm_i915_query', { num_items: 1, items_ptr: memory.at(2 * PAGE) }],
    ['SYNCOBJ_CREATE', 'drm_syncobj_create', {}],
    ['SYNCOBJ_WAIT', 'drm_syncobj_wait', { handles: memory.address, count_handles: 1 }],
  ];
  const wrong = fc.constantFrom(...good).chain(([request, type, fields]) =>
    fc.record({
      request: fc.constant(request),
      type: fc.constant(type),
      fields: fc.constant(fields),
      change: fc.dictionary(
        // A long wait for a syncobj that nothing is submitted for would be that.
        fc.constantFrom(
          ...Object.keys(structs[type]?.fields ?? {}).filter((name) => name !== 'timeout_nsec'),
        ),
        number64(memory),
        { minKeys: 1, maxKeys: 2 },
      ),
    }),
  );
  fc.assert(
    fc.property(wrong, ({ request, type, fields, change }) => {
      tolerates(() =>
        device.ioctlRaw(
          constants[`DRM_IOCTL_${request}`] ?? 0,
          struct(type, { ...fields, ...change }),
        ),
      );
    }),
    { ...options, numRuns: 20_000 },
  );
  works(device);
});

test('an object list and its relocations survive any content', { timeout: BOUND }, () => {
  const device = soft();
  const memory = scratch();
  const handles = [
    device.create(PAGE),
    device.create(PAGE),
    device.userptr(memory.slice(PAGE, PAGE)),
  ];
  const batch = new Batch(device.gen).end();
  for (const object of handles.slice(0, 2)) object.pwrite(0, batch.bytes());
  memory.write(PAGE, batch.bytes());
  const any = number64(memory);
  const handle = fc.oneof(fc.constantFrom(...handles.map((o) => BigInt(o.handle))), any);
  const flag = fc.nat(0x1ff).map(BigInt);
  const entry = fc.record({
    handle,
    relocation_count: fc.nat(3).map(BigInt),
    relocs_ptr: fc.oneof(fc.constant(memory.at(2 * PAGE)), any),
    alignment: fc.oneof(fc.constant(0n), any),
    offset: fc.oneof(fc.constant(0n), any),
    flags: flag,
    pad_to_size: fc.oneof(fc.constant(0n), any),
  });
  const relocation = fc.record({
    target_handle: handle,
    delta: any,
    // The batch's end, which comes first, stays: what else it may become can wait for ever.
    offset: fc.oneof(fc.nat(PAGE).map(BigInt), any).filter((offset) => offset >= 8n),
    presumed_offset: any,
    read_domains: fc.nat(0x3e).map(BigInt),
    write_domain: fc.nat(0x3e).map(BigInt),
  });
  const flags = fc.oneof(fc.nat(0x3f).map(BigInt), fc.nat(0x3f_ffff).map(BigInt), any);
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 4 }),
      fc.array(relocation, { minLength: 3, maxLength: 3 }),
      flags,
      (entries, relocations, execFlags) => {
        const pack = (type: string, list: Record<string, bigint>[]) =>
          Buffer.concat(list.map((fields) => struct(type, fields)));
        memory.write(0, pack('drm_i915_gem_exec_object2', entries));
        memory.write(2 * PAGE, pack('drm_i915_gem_relocation_entry', relocations));
        tolerates(() =>
          device.ioctlRaw(
            constants.DRM_IOCTL_I915_GEM_EXECBUFFER2_WR ?? 0,
            struct('drm_i915_gem_execbuffer2', {
              buffers_ptr: memory.address,
              buffer_count: entries.length,
              flags: execFlags,
              // No fd of another's: the process has few, and garbage closes none.
              rsvd2: 0xffff_ffffn,
            }),
          ),
        );
      },
    ),
    { ...options, numRuns: 10_000 },
  );
  works(device);
});

test('a batch of garbage ends by itself, by a reset, or with its context', {
  timeout: BOUND,
}, () => {
  const device = soft();
  const base = 0x1000_0000n;
  const header = fc.oneof(
    // MI commands by their opcode and a length, blits, and anything at all.
    fc.tuple(fc.nat(0x3f), fc.nat(0x3f)).map(([op, length]) => (op << 23) | length),
    fc
      .tuple(fc.nat(0x7f), fc.nat(0xff))
      .map(([op, length]) => (0x4000_0000 | (op << 22) | length) >>> 0),
    fc.constantFrom(0, Number(base), Number(base) + 64, 0x2000_0000, 0x2000_0ffc, 1),
    fc.nat(0xffff_ffff),
  );
  fc.assert(
    fc.property(fc.array(header, { minLength: 2, maxLength: 200 }), fc.nat(4), (dwords, engine) => {
      // A file of its own: it may be banned for what it does.
      using file = device.reopen();
      const context = file.context({ persistence: false });
      const target = file.create(PAGE);
      const batch = file.create(PAGE);
      batch.pwrite(0, Uint32Array.from(dwords));
      const objects = [
        { object: target, address: 0x2000_0000n, write: true },
        { object: batch, address: base },
      ];
      // What waits for a semaphore can be preempted, and would wait for ever.
      tolerates(() => file.execbuf({ objects, engine, context }));
      tolerates(() => batch.wait(50_000_000n));
      context.destroy();
      expect(answer(() => batch.wait(LONG))).toBe('ok');
    }),
    { ...options, numRuns: 1000 },
  );
  works(device);
});

test('the typed methods refuse or pass on any argument', { timeout: BOUND }, async () => {
  const device = soft();
  const object = device.create(PAGE);
  using memory = mmap(4 * PAGE);
  const thing = fc.oneof(
    fc.constantFrom<unknown>(
      undefined,
      null,
      true,
      '',
      'wb',
      NaN,
      Infinity,
      -1,
      1.5,
      -1n,
      1n << 64n,
    ),
    fc.bigInt({ min: -(1n << 65n), max: 1n << 65n }),
    fc.double(),
    fc.nat(16),
    fc.constantFrom<unknown>([], {}, () => 1, Symbol('x'), Buffer.alloc(3), object),
  );
  // biome-ignore lint/suspicious/noExplicitAny: wrong types are the point
  const wild = { device, object, memory, context: device.context() } as Record<string, any>;
  // What would end the test's own device or memory, block for ever, or is no call.
  const spared =
    /^(constructor|close|destroy|reopen|.*Async|.*InChild|ioctlPointer|ioctlRaw|at|slice|remap|munmap|mremap|fork.*|mprotect|wait|throttle)$/;
  const methods = Object.entries(wild).flatMap(([name, of]) =>
    [Object.getPrototypeOf(of), Object.getPrototypeOf(Object.getPrototypeOf(of))]
      .flatMap((proto) => Object.getOwnPropertyNames(proto))
      .filter((method) => typeof of[method] === 'function' && !spared.test(method))
      .filter((method) => !(method in Object.prototype))
      .map((method) => [name, method] as const),
  );
  expect(methods.length).toBeGreaterThan(40);
  fc.assert(
    fc.property(
      fc.constantFrom(...methods),
      fc.array(thing, { maxLength: 4 }),
      ([of, method], args) => {
        try {
          wild[of][method](...args);
        } catch (error) {
          if (!(error instanceof I915Error) && !(error instanceof TypeError)) throw error;
        }
      },
    ),
    { ...options, numRuns: 20_000 },
  );
  expect(await answerAsync(object.waitAsync())).toBe('ok');
  expect(answer(() => object.busy())).toBe('ok');
  works(device);
});
