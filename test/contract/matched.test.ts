// SPDX-License-Identifier: MIT
// More of what `i915-userptr match` found between soft and the driver: what takes a setup. The answers
// are the driver's.
import { beforeAll, expect, test } from 'vitest';
import { Batch } from '../../lib/batch/batch.js';
import { areaAt, PAGE } from '../../lib/match/layout.js';
import { callStep, readStep, writeStep } from '../../lib/match/ops.js';
import { buildPlayer } from '../../lib/match/player.js';
import { Scribe, type Struct } from '../../lib/match/scribe.js';
import { FileSlot, Slot } from '../../lib/match/uapi.js';
import { answersTo, place } from './sequence.js';

const BOUND = { timeout: 120_000 };
// The first builds it: minutes, where other work is going on.
beforeAll(async () => void (await buildPlayer()), 600_000);
const EXEC_OBJECT_PINNED = 16n;
const object = new Slot(0);
const batch = new Slot(1);
/** A page of user memory, behind which there is none. */
const page = areaAt(place, 20);

const create = (scribe: Scribe, handle: Slot, pages = 1) =>
  scribe.ioctl({
    name: 'I915_GEM_CREATE',
    type: 'drm_i915_gem_create',
    fields: { size: pages * PAGE },
    take: { field: 'handle', to: handle },
  });
const writeBatch = (scribe: Scribe, bytes: Uint8Array) =>
  scribe.ioctl({
    name: 'I915_GEM_PWRITE',
    type: 'drm_i915_gem_pwrite',
    fields: { handle: batch, size: bytes.length, data_ptr: scribe.data([bytes]) },
  });
const mapPage = (scribe: Scribe) => scribe.add(callStep('mmap', [page, PAGE, 3, 0x32, '-', 0]));
const resultOf = (answer: string | undefined): number => Number(answer?.split(' ')[0]);

/** Of the object's address, into the batch at this offset; it is presumed where nothing is. */
const relocation = (offset: number): Struct => ({
  type: 'drm_i915_gem_relocation_entry',
  fields: {
    target_handle: object,
    offset: BigInt(offset),
    presumed_offset: 0xffff_ffff_ffff_ff00n,
    read_domains: 2,
    write_domain: 2,
  },
});
const RELOCATION_SIZE = 32n;
const PRESUMED = 16n;

/** An execbuf of the object at 16 MiB, and of a batch that does nothing, with these relocations. */
function submit(scribe: Scribe, relocations: bigint, count: number): void {
  const bytes = new Batch(90).end().bytes();
  writeBatch(scribe, bytes);
  const list = scribe.data([
    {
      type: 'drm_i915_gem_exec_object2',
      fields: { handle: object, offset: 0x100_0000n, flags: EXEC_OBJECT_PINNED },
    },
    {
      type: 'drm_i915_gem_exec_object2',
      fields: {
        handle: batch,
        offset: 0x800_0000n,
        flags: EXEC_OBJECT_PINNED,
        relocs_ptr: relocations,
        relocation_count: count,
      },
    },
  ]);
  scribe.ioctl({
    name: 'I915_GEM_EXECBUFFER2',
    type: 'drm_i915_gem_execbuffer2',
    fields: { buffers_ptr: list, buffer_count: 2, flags: 1n },
  });
}

// i915_gem_execbuffer.c, eb_relocate_vma(): 16 of them are copied at a time.
test('relocations are worked on before the end of their array is looked at', BOUND, async () => {
  const scribe = new Scribe(place);
  create(scribe, object);
  create(scribe, batch);
  mapPage(scribe);
  // All that fit; one more is asked for.
  const first = page + BigInt(PAGE) - 16n * RELOCATION_SIZE;
  for (let i = 0; i < 16; i++) {
    const { bytes, patches } = scribe.pack(relocation(2048 + 8 * i));
    scribe.add(writeStep(first + BigInt(i) * RELOCATION_SIZE, bytes, patches));
  }
  submit(scribe, first, 17);
  scribe.add(readStep(first + PRESUMED, 8), readStep(first + 15n * RELOCATION_SIZE + PRESUMED, 8));
  const answers = await answersTo(scribe);
  expect(resultOf(answers.at(-3))).toBe(-14);
  expect(answers.slice(-2)).toEqual(['0 0000000100000000', '0 0000000100000000']);
});

// i915_gem_execbuffer.c, eb_copy_relocations(), the third try of eb_relocate_parse_slow().
test('a relocation that is wrong makes all offsets presumed in vain', BOUND, async () => {
  const scribe = new Scribe(place);
  create(scribe, object);
  create(scribe, batch);
  const at = scribe.data([relocation(2048), relocation(2050)]);
  submit(scribe, at, 2);
  scribe.add(readStep(at + PRESUMED, 8), readStep(at + RELOCATION_SIZE + PRESUMED, 8));
  const answers = await answersTo(scribe);
  expect(resultOf(answers.at(-3))).toBe(-22);
  expect(answers.slice(-2)).toEqual(['0 ffffffffffffffff', '0 ffffffffffffffff']);
});

// i915_gem_pages.c: "Attempting to obtain a purgeable object".
test('a touch of a mapped object that has no memory and is not needed faults', BOUND, async () => {
  const scribe = new Scribe(place);
  const offset = new Slot(43);
  create(scribe, object);
  scribe.ioctl({
    name: 'I915_GEM_MADVISE',
    type: 'drm_i915_gem_madvise',
    fields: { handle: object, madv: 1 },
  });
  scribe.ioctl({
    name: 'I915_GEM_MMAP_OFFSET',
    type: 'drm_i915_gem_mmap_offset',
    fields: { handle: object, flags: 2n },
    take: { field: 'offset', to: offset },
  });
  scribe.add(
    callStep('gmap', [new FileSlot(0), page, PAGE, 3, 0x11, offset]),
    writeStep(page, Buffer.alloc(8, 1)),
    readStep(page, 8),
  );
  const answers = await answersTo(scribe);
  expect(answers.slice(-3).map(resultOf)).toEqual([Number(page), -14, -14]);
});

// i915_gem_shmem.c, shmem_pwrite(): until 6.16 page by page, then by the file's write_iter.
test.skipIf(process.env.I915_USERPTR_DEVICE)(
  'GEM_PWRITE from memory that ends writes whole pages, from 6.17 on all that there is',
  BOUND,
  async () => {
    const scribe = new Scribe(place);
    create(scribe, object, 4);
    mapPage(scribe).add(writeStep(page + 4088n, Buffer.alloc(8, 7)));
    const write = (from: bigint) =>
      scribe.ioctl({
        name: 'I915_GEM_PWRITE',
        type: 'drm_i915_gem_pwrite',
        fields: { handle: object, size: BigInt(PAGE), data_ptr: from },
      });
    write(page + 4088n);
    write(page + 4096n);
    const room = scribe.room(16);
    scribe.ioctl({
      name: 'I915_GEM_PREAD',
      type: 'drm_i915_gem_pread',
      fields: { handle: object, size: 16n, data_ptr: room },
    });
    scribe.add(readStep(room, 16));
    const told = async (kernel: string) => {
      const answers = await answersTo(scribe, kernel);
      return [resultOf(answers.at(-4)), resultOf(answers.at(-3)), answers.at(-1)];
    };
    expect(await told('6.1')).toEqual([-14, -14, `0 ${'00'.repeat(16)}`]);
    expect(await told('7.2')).toEqual([-5, -14, `0 ${'07'.repeat(8)}${'00'.repeat(8)}`]);
  },
);

// i915_query.c, query_perf_config_list() and query_perf_config_data().
test(
  "PERF_CONFIG tells the driver's own configuration by its number, and no other",
  BOUND,
  async () => {
    const scribe = new Scribe(place);
    const room = place.args + 0xa00n;
    const [list, byUuid, byId] = [1, 2, 3];
    const asked = [
      [list, 0],
      [byUuid, 0],
      [byId, 0],
      [list, 56],
      [list, 55],
      [byUuid, 120],
      [byId, 119],
    ] as const;
    scribe.add(writeStep(room, Buffer.alloc(56)));
    for (const [flags = 0, length] of asked) {
      const item = scribe.data([
        {
          type: 'drm_i915_query_item',
          fields: { query_id: 3n, length, flags, data_ptr: room },
        },
      ]);
      scribe.ioctl({
        name: 'I915_QUERY',
        type: 'drm_i915_query',
        fields: { num_items: 1, items_ptr: item },
      });
      scribe.add(readStep(item + 8n, 4));
    }
    scribe.add(readStep(room, 56));
    const answers = await answersTo(scribe);
    const lengths = asked.map((_, i) => {
      const [, hex = ''] = answers[1 + 3 * i + 2]?.split(' ') ?? [];
      return Buffer.from(hex, 'hex').readInt32LE();
    });
    expect(lengths).toEqual([56, 120, 120, 56, -22, -2, -22]);
    const one = `01${'00'.repeat(7)}`;
    expect(answers.at(-1)).toBe(`0 ${one}${'00'.repeat(40)}${one}`);
  },
);

// drm_syncobj.c: a sync file holds the dma_fence_chain, and so does who imports it.
test(
  'a sync file of a timeline makes a timeline of the syncobj that it is imported to',
  BOUND,
  async () => {
    const scribe = new Scribe(place);
    const [from, to] = [new Slot(30), new Slot(31)];
    const file = new FileSlot(8);
    for (const handle of [from, to])
      scribe.ioctl({
        name: 'SYNCOBJ_CREATE',
        type: 'drm_syncobj_create',
        fields: {},
        take: { field: 'handle', to: handle },
      });
    const only = (handle: Slot): readonly Struct[] => [
      { type: 'drm_syncobj_create', fields: { handle } },
    ];
    const points = scribe.data([Buffer.from(BigUint64Array.from([5n]).buffer)]);
    scribe.ioctl({
      name: 'SYNCOBJ_TIMELINE_SIGNAL',
      type: 'drm_syncobj_timeline_array',
      fields: { handles: only(from), points, count_handles: 1 },
    });
    scribe.ioctl({
      name: 'SYNCOBJ_HANDLE_TO_FD',
      type: 'drm_syncobj_handle',
      fields: { handle: from, flags: 1, fd: -1 },
      take: { field: 'fd', to: file },
    });
    scribe.ioctl({
      name: 'SYNCOBJ_FD_TO_HANDLE',
      type: 'drm_syncobj_handle',
      fields: { handle: to, flags: 1, fd: file },
    });
    const room = scribe.room(8);
    scribe.ioctl({
      name: 'SYNCOBJ_QUERY',
      type: 'drm_syncobj_timeline_array',
      fields: { handles: only(to), points: room, count_handles: 1 },
    });
    scribe.add(readStep(room, 8));
    expect((await answersTo(scribe)).at(-1)).toBe('0 0500000000000000');
  },
);

// i915_cmd_parser.c, intel_engine_cmd_parser(), gen9_blt_cmds and gen9_blt_regs.
test(
  "what generation 9's copy engine may not do is refused, and nothing of it is done",
  BOUND,
  async () => {
    const target = 0x100_0000n;
    const store = () => new Batch(90).storeDword(target, 0x77);
    const commands: readonly [number, Uint8Array][] = [
      // Its own general purpose register, and another one.
      [0, store().loadRegisterImm(0x2_2600, 1).end().bytes()],
      [-13, store().loadRegisterImm(0x2_2244, 1).end().bytes()],
      [-13, store().loadRegisterImm(0x2600, 1).end().bytes()],
      // No end, a 3D command, a jump out of the batch, one to a second level.
      [-22, store().noop().bytes()],
      [-22, store().raw(0x7a00_0004, 0, 0, 0, 0, 0).end().bytes()],
      [-22, store().raw(0x1880_0101, 0, 0).end().bytes()],
      [-13, store().raw(0x18c0_0101, 0, 0).end().bytes()],
      // Of no known opcode: as long as it says.
      [0, store().raw(0x1b00_0001, 0, 0).end().bytes()],
    ];
    const scribe = new Scribe(place);
    const results: number[] = [];
    create(scribe, object);
    const words = new Set<number>();
    for (const [, bytes] of commands) {
      create(scribe, batch);
      scribe.ioctl({
        name: 'I915_GEM_PWRITE',
        type: 'drm_i915_gem_pwrite',
        fields: { handle: batch, size: bytes.length, data_ptr: scribe.data([bytes]) },
      });
      const list = scribe.data([
        {
          type: 'drm_i915_gem_exec_object2',
          fields: { handle: object, offset: target, flags: EXEC_OBJECT_PINNED | 4n },
        },
        {
          type: 'drm_i915_gem_exec_object2',
          fields: { handle: batch, offset: 0x800_0000n, flags: EXEC_OBJECT_PINNED },
        },
      ]);
      results.push(scribe.steps.length);
      scribe.ioctl({
        name: 'I915_GEM_EXECBUFFER2',
        type: 'drm_i915_gem_execbuffer2',
        fields: { buffers_ptr: list, buffer_count: 2, flags: 3n },
      });
      // What it stored; and nothing of that is left for the next one.
      const room = scribe.room(8);
      words.add(scribe.steps.length + 1);
      scribe.ioctl({
        name: 'I915_GEM_PREAD',
        type: 'drm_i915_gem_pread',
        fields: { handle: object, size: 4n, data_ptr: room },
      });
      scribe.add(readStep(room, 4));
      scribe.ioctl({
        name: 'I915_GEM_PWRITE',
        type: 'drm_i915_gem_pwrite',
        fields: { handle: object, size: 4n, data_ptr: scribe.room(8) },
      });
      scribe.ioctl({ name: 'GEM_CLOSE', type: 'drm_gem_close', fields: { handle: batch } });
    }
    const answers = await answersTo(scribe);
    expect(results.map((at) => resultOf(answers[at]))).toEqual(commands.map(([result]) => result));
    expect([...words].map((at) => answers[at])).toEqual(
      commands.map(([result]) => (result ? '0 00000000' : '0 77000000')),
    );
  },
);
