// SPDX-License-Identifier: MIT
// The border between JavaScript and C++: nothing that is passed over it ends the process.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, I915Error, memory, mmap, openDevice } from '../../lib/index.js';
import { constant, native, packageRoot } from '../../lib/native.js';

// biome-ignore lint/suspicious/noExplicitAny: arguments of every wrong type are the subject here
type Any = any;

/** What a function answers to any arguments: a value, or an exception of the kinds it may throw. */
function survives(fn: (...args: Any[]) => unknown, args: unknown[]): void {
  try {
    fn(...args);
  } catch (error) {
    const allowed =
      error instanceof TypeError || error instanceof RangeError || error instanceof I915Error;
    if (!allowed) throw error;
  }
}

describe('the loader', () => {
  it('finds the addon from a working directory elsewhere', () => {
    const dist = join(packageRoot, 'dist', 'native.js');
    const script = `import(${JSON.stringify(dist)}).then((m) => console.log(typeof m.native.mmap))`;
    const out = execFileSync(process.execPath, ['-e', script], { cwd: '/', encoding: 'utf8' });
    expect(out.trim()).toBe('function');
  });

  it('says what to do when the addon is not built', () => {
    const script = `
      require('node-gyp-build');
      require.cache[require.resolve('node-gyp-build')].exports = () => {
        throw new Error('No native build was found for ...');
      };
      import(${JSON.stringify(join(packageRoot, 'dist', 'native.js'))})
        .catch((error) => console.log(error.message));`;
    const out = execFileSync(process.execPath, ['-e', script], {
      cwd: packageRoot,
      encoding: 'utf8',
    });
    expect(out.trim()).toBe('the native addon is not built: run `npm run build:native`');
  });

  it('loads in several worker_threads at once, each with devices of its own', async () => {
    const script = `
      const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(join(packageRoot, 'dist', 'index.js'))}).then((lib) => {
        const { device } = lib.openDevice('soft');
        const memory = lib.mmap(4096);
        for (let i = 0; i < 1000; i++) device.userptr(memory).close();
        // Left open on purpose: the environment's end closes it.
        parentPort.postMessage(device.version().name);
      });`;
    const names = await Promise.all(
      Array.from(
        { length: 4 },
        () =>
          new Promise<string>((resolve, reject) => {
            const worker = new Worker(script, { eval: true });
            let name = '';
            worker.once('message', (message: string) => {
              name = message;
            });
            worker.once('error', reject);
            worker.once('exit', (code) =>
              code ? reject(new Error(`exit ${code}`)) : resolve(name),
            );
          }),
      ),
    );
    expect(names).toEqual(Array(4).fill('i915'));
  });

  it('has each constant as a number, by the name of the kernel', () => {
    expect(Object.keys(native.constants).length).toBeGreaterThan(300);
    expect(Object.values(native.constants).every(Number.isSafeInteger)).toBe(true);
    expect(constant('MADV_PAGEOUT')).toBe(21);
    expect(constant('DRM_IOCTL_I915_GEM_USERPTR')).toBe(0xc0186473);
    expect(() => constant('I915_NO_SUCH')).toThrow('I915_NO_SUCH: no such constant');
  });
});

describe('arguments', () => {
  let device: Device;
  beforeAll(() => {
    device = openDevice('soft').device;
  });
  afterAll(() => {
    device.close();
  });

  it('of a wrong type or range are a TypeError that names them and what was expected', () => {
    const wrong = (call: () => unknown, message: string) =>
      expect(call).toThrow(expect.objectContaining({ name: 'TypeError', message }));
    wrong(
      () => native.gemCreate(device.id, -1),
      'gemCreate: size: expected a bigint or an integer, 0 to 2^64 - 1',
    );
    wrong(
      () => native.gemCreate(device.id, 1n << 64n),
      'gemCreate: size: expected a bigint or an integer, 0 to 2^64 - 1',
    );
    wrong(
      () => native.gemCreate(device.id, 1.5),
      'gemCreate: size: expected a bigint or an integer, 0 to 2^64 - 1',
    );
    wrong(
      () => native.gemClose(device.id, '1' as Any),
      'gemClose: handle: expected an integer, 0 to 2^32 - 1',
    );
    wrong(() => (native.gemClose as Any)(), 'gemClose: device: expected a device');
    wrong(() => native.gemClose(4096, 1), 'gemClose: device: expected a device');
    wrong(() => native.load32(2), 'load32: address: expected an address aligned to 4 bytes');
    wrong(() => native.read(0, 2 ** 31), 'read: length: expected at most 2^30 bytes at once');
    wrong(
      () => native.emitNoop(95),
      'emitNoop: gen: expected a graphics version times 10: 60, 70, 75, 80, 90, 110, 120 or 125',
    );
    wrong(() => device.create(-1), 'size: expected an integer, 0 to 2^64 - 1, got -1');
    wrong(
      () => device.create('4096' as Any),
      'size: expected an integer, 0 to 2^64 - 1, got "4096"',
    );
    wrong(() => device.getparam('NO_SUCH'), 'I915_PARAM_NO_SUCH: no such constant');
    wrong(
      () => device.execbuf({ objects: [{ object: -1 }] }),
      'object: expected an integer, 0 to 2^32 - 1, got -1',
    );
    wrong(
      () => device.execbuf({ objects: [], engine: 'warp' as Any }),
      'engine: expected one of default, render, bsd, copy, video-enhance, got "warp"',
    );
    wrong(
      () => openDevice('soft', { strategy: 'hope' }),
      `strategy: expected one of ${native.softStrategies.map((s) => s.name).join(', ')}, got "hope"`,
    );
    wrong(
      () => openDevice('soft', { faults: ['gremlins'] }),
      `faults: expected one of ${native.softFaults.map((f) => f.name).join(', ')}, got "gremlins"`,
    );
  });

  it('that the kernel must judge go through to it', () => {
    expect(() => device.userptr(1, 4096)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => device.getparam(12345)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('with a wrong `this`, and classes without new, throw and do not crash', () => {
    const { Device } = device as Any;
    expect(Device).toBeUndefined();
    const Class = device.constructor as Any;
    expect(() => Class()).toThrow(TypeError);
    expect(() => new Class()).toThrow(TypeError);
    expect(() => new Class(Symbol('Device'), 1, 'soft')).toThrow(TypeError);
    expect(() => Class.prototype.version.call({})).toThrow(TypeError);
    expect(() => Class.prototype.version.call(undefined)).toThrow(TypeError);
    // The addon's functions have no `this`: any will do.
    expect(native.version.call(null as Any, device.id).name).toBe('i915');
  });

  // Called with anything at all. Not called: what would take the test's own memory, files or device
  // away when a number happens to fit, what ends the process, and what belongs to stress runs.
  const excluded =
    /^(m(un)?map|mremap|mprotect|madvise|mlock|closeFd|ftruncate|fallocate|write|fill|store|fork|uffd|poll|ioctl|gemP|deviceMmap|closeDevice|exitNow|stress|board|bench|setErrorClass)/;
  const functions = Object.entries(native).filter(
    ([name, value]) => typeof value === 'function' && !excluded.test(name),
  ) as [string, (...args: Any[]) => unknown][];

  it('of any kind, to any function, end in an answer or an exception', () => {
    expect(functions.length).toBeGreaterThan(60);
    const argument = fc.oneof(
      fc.anything({ withBigInt: true, withTypedArray: true, maxDepth: 1 }),
      fc.integer({ min: -2, max: 3 }),
      fc.bigInt({ min: -1n, max: 1n << 65n }),
      fc.uint8Array({ maxLength: 64 }),
      fc.uint32Array({ maxLength: 16 }),
      fc.bigUint64Array({ maxLength: 16 }),
      fc.constant(device.id),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...functions),
        fc.array(argument, { maxLength: 12 }),
        ([, fn], args) => survives(fn, args),
      ),
      { numRuns: 5000 },
    );
    expect(device.version().name).toBe('i915');
  });

  it('of the right kinds and any value, to the typed methods, end in an answer or an exception', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const small = fc.integer({ min: 0, max: 8 });
    const u64 = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), small, u32);
    const object = fc.record(
      {
        object: fc.oneof(small, u32),
        address: u64,
        write: fc.boolean(),
        alignment: u64,
        padToSize: u64,
        flags: u64,
        relocations: fc.array(
          fc.record({ target: small, offset: u64, delta: u32, presumed: u64 }),
          { maxLength: 3 },
        ),
      },
      { requiredKeys: ['object'] },
    );
    fc.assert(
      fc.property(
        fc.array(object, { maxLength: 4 }),
        fc.record(
          {
            batchStart: u32,
            batchLength: u32,
            engine: small,
            context: small,
            flags: u64,
            handleLut: fc.boolean(),
            fenceIn: fc.constant(-1),
            fences: fc.array(fc.record({ syncobj: small, flags: u32 }), { maxLength: 3 }),
            retryEagain: fc.constant(false),
          },
          { requiredKeys: ['retryEagain'] },
        ),
        (objects, exec) => {
          using target = device.create(4096);
          target.pwrite(0, Uint32Array.of(constant('MI_BATCH_BUFFER_END'), 0));
          survives(() => device.execbuf({ ...exec, objects }), []);
        },
      ),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(u64, u64, u32, (address, size, flags) => {
        survives(
          () => native.gemClose(device.id, native.gemUserptr(device.id, address, size, flags)),
          [],
        );
        survives(() => device.create(size).close(), []);
        survives(
          () => device.create(4096, { flags, regions: [{ class: 0, instance: 0 }] }).close(),
          [],
        );
        survives(() => memory.read(address, size), []);
      }),
      { numRuns: 1000 },
    );
    expect(device.version().name).toBe('i915');
  });

  it('an address that is not mapped is EFAULT to each access', () => {
    const map = mmap(4096);
    map.munmap();
    const { address } = map;
    const bytes = new Uint8Array(8);
    for (const access of [
      () => memory.read(address, 8),
      () => memory.readInto(address, bytes),
      () => memory.write(address, bytes),
      () => memory.load32(address),
      () => memory.store32(address, 1),
      () => memory.load64(address),
      () => memory.store64(address, 1n),
      () => native.fill(address, 8, 1),
      () => native.findOther(address, 8, 1),
      // Kernel space, and an address that is none.
      () => memory.read(0xffff_8000_0000_0000n, 8),
      () => memory.read(0x8000_0000_0000_0000n, 8),
    ])
      expect(access).toThrow(expect.objectContaining({ code: 'EFAULT', errno: 14 }));
  });
});
