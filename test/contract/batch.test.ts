// SPDX-License-Identifier: MIT
// Data: what every kind of batch that can be emitted leaves in memory, on every engine, in the
// middle of pages and at their edges, in GEM objects and in the process's own memory.
import { describe, expect, type TestContext, test } from 'vitest';
import type { Batch } from '../../lib/batch/batch.js';
import type { Device } from '../../lib/device/device.js';
import { mmap } from '../../lib/memory/mapping.js';
import { constant, type EngineInfo } from '../../lib/native.js';
import { answer, devices, LONG, PAGE } from './devices.js';
import { contextOn, place, prepare, run } from './submit.js';

const RENDER = constant('I915_ENGINE_CLASS_RENDER');
const COPY = constant('I915_ENGINE_CLASS_COPY');
const COMPUTE = constant('I915_ENGINE_CLASS_COMPUTE');
const CS_STALL = constant('PIPE_CONTROL_CS_STALL');

/** The render engine's general purpose registers (gen7.5+), two dwords each. */
const GPR = (n: number) => 0x2600 + 8 * n;

/** Skips where the generation has no such command. */
function needCommand(context: TestContext, device: Device, write: (b: Batch) => void): void {
  const can = answer(() => prepare(device, [], write).batch.close());
  if (can === 'EOPNOTSUPP') context.skip(`generation ${device.gen / 10} has no such command`);
}

const EDGES = [0, 4, PAGE - 4, PAGE, 2 * PAGE - 4];

describe.each(devices())('$name', (target) => {
  /** Runs a batch on an engine against two pages of the process's memory, filled with `before`. */
  const withMemory = (
    device: Device,
    engine: EngineInfo | undefined,
    write: (b: Batch, at: (delta?: number) => bigint) => void,
    before = 0x0b0b_0b0b,
  ): number[] => {
    using memory = mmap(2 * PAGE);
    memory.fill(before);
    const object = device.userptr(memory);
    const placed = place(object, { write: true });
    using context = engine ? contextOn(device, engine) : device.context();
    // Before gen8 the driver fills addresses in; Address is then an object, which batches take too.
    run(device, [placed], (b) => write(b, placed.at as (delta?: number) => bigint), { context });
    object.close();
    const bytes = memory.read();
    return [...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)];
  };

  /** The dwords that are not `before`: their byte offsets and values. */
  const changed = (dwords: number[], before = 0x0b0b_0b0b) =>
    dwords.flatMap((value, i) => (value === before ? [] : [[i * 4, value]]));

  const eachEngine = (device: Device, check: (engine: EngineInfo, name: string) => void) => {
    for (const engine of device.engines())
      check(engine, `engine ${engine.class}:${engine.instance}`);
  };

  test('MI_STORE_DWORD_IMM stores that dword and no other, on every engine, at page edges', () => {
    const device = target.open();
    eachEngine(device, (engine, name) => {
      const dwords = withMemory(device, engine, (b, at) => {
        for (const edge of EDGES) b.storeDword(at(edge), 0xc0de_0000 + edge);
      });
      expect(changed(dwords), name).toEqual(EDGES.map((edge) => [edge, 0xc0de_0000 + edge]));
    });
  });

  test('MI_STORE_DWORD_IMM of a qword stores both halves, on every engine', () => {
    const device = target.open();
    eachEngine(device, (engine, name) => {
      const dwords = withMemory(device, engine, (b, at) => {
        b.storeQword(at(PAGE - 8), 0x1122_3344_5566_7788n).storeQword(at(PAGE), 0x99n << 32n);
      });
      expect(changed(dwords), name).toEqual([
        [PAGE - 8, 0x5566_7788],
        [PAGE - 4, 0x1122_3344],
        [PAGE, 0],
        [PAGE + 4, 0x99],
      ]);
    });
  });

  test('commands run in order', () => {
    const dwords = withMemory(target.open(), undefined, (b, at) => {
      for (let i = 1; i <= 100; i++)
        b.storeDword(at(64), i)
          .noop()
          .storeDword(at(64 + 4 * i), i);
    });
    expect(dwords[16]).toBe(100);
    for (let i = 1; i <= 100; i++) expect(dwords[16 + i]).toBe(i);
  });

  test('MI_BATCH_BUFFER_END ends: what stands after it does not run', () => {
    const dwords = withMemory(target.open(), undefined, (b, at) => {
      b.storeDword(at(0), 1).end().storeDword(at(4), 2);
    });
    expect(changed(dwords)).toEqual([[0, 1]]);
  });

  test('MI_BATCH_BUFFER_START jumps over what stands between', (context) => {
    const device = target.open();
    if (device.gen < 80) context.skip('the jump’s target is not known before gen8');
    const object = device.create(PAGE);
    const placed = place(object, { write: true });
    // One batch in an object of its own, at a known address.
    const self = device.create(PAGE);
    const base = device.allocateAddress(PAGE);
    const made = prepare(device, [placed], (b) => {
      b.storeDword(placed.at(0), 1);
      const jump = b.length;
      b.start(base + 256n);
      expect(jump).toBeLessThan(200);
      while (b.length < 200) b.storeDword(placed.at(4), 2);
      while (b.length < 256) b.noop();
      b.storeDword(placed.at(8), 3);
    });
    using commands = made.batch.mmap({ type: 'wc' });
    using map = self.mmap({ type: 'wc' });
    map.write(0, commands.read());
    device.execbuf({ objects: [placed.entry, { object: self, address: base }] });
    self.wait(LONG);
    using result = object.mmap({ type: 'wc' });
    expect([result.load32(0), result.load32(4), result.load32(8)]).toEqual([1, 0, 3]);
  });

  test('MI_BATCH_BUFFER_START to a second level returns at that one’s end', (context) => {
    const device = target.open();
    if (device.gen < 80) context.skip('no second level before gen7.5, no softpin before gen8');
    const object = device.create(PAGE);
    const placed = place(object, { write: true });
    const inner = prepare(device, [], (b) => b.storeDword(placed.at(4), 2));
    const called = place(inner.batch);
    run(device, [placed, called], (b) =>
      b
        .storeDword(placed.at(0), 1)
        .start(called.at(), { secondLevel: true })
        .storeDword(placed.at(8), 3),
    );
    using result = object.mmap({ type: 'wc' });
    expect([result.load32(0), result.load32(4), result.load32(8)]).toEqual([1, 2, 3]);
  });

  test.for(['gt', 'gte', 'lt', 'lte', 'eq', 'neq'] as const)(
    'MI_SEMAPHORE_WAIT %s goes on when memory compares so',
    (comparison, context) => {
      const device = target.open();
      needCommand(context, device, (b) => b.semaphoreWait(0x1000n, 'eq', 0));
      // Memory OP value, with memory 0x0b0b0b0b.
      const value = {
        gt: 5,
        gte: 0x0b0b_0b0b,
        lt: 0x0c00_0000,
        lte: 0x0b0b_0b0b,
        eq: 0x0b0b_0b0b,
        neq: 1,
      };
      eachEngine(device, (engine, name) => {
        const dwords = withMemory(device, engine, (b, at) => {
          b.semaphoreWait(at(128), comparison, value[comparison]).storeDword(at(0), 7);
        });
        expect(changed(dwords), name).toEqual([[0, 7]]);
      });
    },
  );

  test('MI_LOAD_REGISTER_IMM and MI_STORE_REGISTER_MEM carry a value through a register', (context) => {
    const device = target.open();
    if (device.gen < 75) context.skip('no general purpose registers before gen7.5');
    const engine = device.engines().find((e) => e.class === RENDER);
    const dwords = withMemory(device, engine, (b, at) => {
      b.loadRegisterImm(GPR(0), 0x600d_f00d).storeRegisterMem(GPR(0), at(PAGE - 4));
    });
    expect(changed(dwords)).toEqual([[PAGE - 4, 0x600d_f00d]]);
  });

  test('MI_LOAD_REGISTER_MEM and MI_LOAD_REGISTER_REG copy memory and registers', (context) => {
    const device = target.open();
    if (device.gen < 75) context.skip('no general purpose registers before gen7.5');
    const engine = device.engines().find((e) => e.class === RENDER);
    const dwords = withMemory(device, engine, (b, at) => {
      b.storeDword(at(0), 0xfeed)
        .loadRegisterMem(GPR(1), at(0))
        .loadRegisterReg(GPR(1), GPR(2))
        .storeRegisterMem(GPR(2), at(PAGE));
    });
    expect(changed(dwords)).toEqual([
      [0, 0xfeed],
      [PAGE, 0xfeed],
    ]);
  });

  test('MI_FLUSH_DW writes its value when it is done, on every engine but render', () => {
    const device = target.open();
    eachEngine(device, (engine, name) => {
      if (engine.class === RENDER || engine.class === COMPUTE) return;
      const dwords = withMemory(device, engine, (b, at) => {
        b.flushDw({
          write: 'immediate',
          to: at(PAGE - 8),
          value: 0x2222_2222_1111_1111n,
        }).flushDw();
      });
      expect(changed(dwords), name).toEqual([
        [PAGE - 8, 0x1111_1111],
        [PAGE - 4, 0x2222_2222],
      ]);
    });
  });

  test('PIPE_CONTROL writes its value when it is done', () => {
    const device = target.open();
    const engine = device.engines().find((e) => e.class === RENDER);
    const dwords = withMemory(device, engine, (b, at) => {
      b.pipeControl(CS_STALL, { write: 'immediate', to: at(8), value: 0x4444_4444_3333_3333n });
    });
    expect(changed(dwords)).toEqual([
      [8, 0x3333_3333],
      [12, 0x4444_4444],
    ]);
  });

  test('timestamps go on from one command to the next', () => {
    const device = target.open();
    const engine = device.engines().find((e) => e.class === RENDER);
    const dwords = withMemory(
      device,
      engine,
      (b, at) => {
        b.pipeControl(CS_STALL, { write: 'timestamp', to: at(0) });
        for (let i = 0; i < 200; i++) b.storeDword(at(64), i);
        b.pipeControl(CS_STALL, { write: 'timestamp', to: at(8) });
      },
      0,
    );
    const time = (i: number) => (BigInt(dwords[i + 1] ?? 0) << 32n) | BigInt(dwords[i] ?? 0);
    expect(time(0)).toBeGreaterThan(0n);
    expect(time(2)).toBeGreaterThanOrEqual(time(0));
  });

  describe('blits', () => {
    const copyEngine = (context: TestContext, device: Device) => {
      const engine = device.engines().find((e) => e.class === COPY);
      if (!engine) context.skip('the GPU has no copy engine');
      return engine;
    };
    const PITCH = 256; // 64 dwords; two pages are 32 rows

    test('XY_COLOR_BLT fills a rectangle and nothing around it', (context) => {
      const device = target.open();
      needCommand(context, device, (b) =>
        b.colorBlt({ at: 0n, pitch: PITCH }, { width: 1, height: 1 }, 0),
      );
      //  rows 14..17 (the page's edge is between 15 and 16), columns 3..12
      const dwords = withMemory(device, copyEngine(context, device), (b, at) => {
        b.colorBlt({ at: at(), pitch: PITCH, x: 3, y: 14 }, { width: 10, height: 4 }, 0xcccc_cccc);
      });
      const inside = (i: number) => i % 64 >= 3 && i % 64 < 13 && i >> 6 >= 14 && i >> 6 < 18;
      expect(dwords.findIndex((v, i) => v !== (inside(i) ? 0xcccc_cccc : 0x0b0b_0b0b))).toBe(-1);
    });

    test.for([8, 16] as const)('XY_COLOR_BLT of %i bits a pixel', (bpp, context) => {
      const device = target.open();
      needCommand(context, device, (b) =>
        b.colorBlt({ at: 0n, pitch: PITCH }, { width: 1, height: 1, bpp }, 0),
      );
      // Eight bytes at the beginning of the second row.
      const dwords = withMemory(device, copyEngine(context, device), (b, at) => {
        const size = { width: 64 / bpp, height: 1, bpp };
        b.colorBlt({ at: at(), pitch: PITCH, y: 1 }, size, 0x7777_7777);
      });
      expect(changed(dwords)).toEqual([
        [PITCH, 0x7777_7777],
        [PITCH + 4, 0x7777_7777],
      ]);
    });

    const copies = {
      XY_SRC_COPY_BLT: (b: Batch) => b.srcCopyBlt.bind(b),
      XY_FAST_COPY_BLT: (b: Batch) => b.fastCopyBlt.bind(b),
    };

    test.for(Object.keys(copies) as (keyof typeof copies)[])(
      '%s copies a page onto the next',
      (name, context) => {
        const device = target.open();
        const size = { width: 64, height: 16 };
        needCommand(context, device, (b) =>
          copies[name](b)({ at: 0n, pitch: PITCH }, { at: 0x1000n, pitch: PITCH }, size),
        );
        const dwords = withMemory(device, copyEngine(context, device), (b, at) => {
          for (let i = 0; i < 8; i++) b.storeDword(at(i * 516), i + 1);
          b.flushDw();
          copies[name](b)({ at: at(PAGE), pitch: PITCH }, { at: at(0), pitch: PITCH }, size);
        });
        expect(dwords.slice(1024)).toEqual(dwords.slice(0, 1024));
        expect(dwords[0]).toBe(1);
        expect(dwords[129 * 7]).toBe(8);
      },
    );

    test('XY_SRC_COPY_BLT copies a rectangle between pitches', (context) => {
      const device = target.open();
      needCommand(context, device, (b) =>
        b.srcCopyBlt({ at: 0n, pitch: 64 }, { at: 0n, pitch: 64 }, { width: 1, height: 1 }),
      );
      const dwords = withMemory(device, copyEngine(context, device), (b, at) => {
        for (let i = 0; i < 4; i++) b.storeDword(at(4 * (16 * i + 2)), 100 + i);
        b.flushDw();
        b.srcCopyBlt(
          { at: at(PAGE), pitch: 128, x: 5, y: 1 },
          { at: at(0), pitch: 64, x: 2, y: 0 },
          { width: 1, height: 4 },
        );
      });
      for (let i = 0; i < 4; i++) expect(dwords[1024 + 32 * (1 + i) + 5]).toBe(100 + i);
      expect(changed(dwords).length).toBe(8);
    });
  });

  test('a batch of a given length on an engine with a command parser does the same', () => {
    const device = target.open();
    eachEngine(device, (engine, name) => {
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      const { batch, exec } = prepare(device, [placed], (b) => b.storeDword(placed.at(4), 9));
      using context = contextOn(device, engine);
      device.execbuf({ ...exec, context, batchLength: 64 });
      batch.wait(LONG);
      using map = object.mmap({ type: 'wc' });
      expect(map.load32(4), name).toBe(9);
    });
  });
});
