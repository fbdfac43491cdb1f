// SPDX-License-Identifier: MIT
// What happens while the GPU is busy: a batch that runs until it is told to end keeps an object, and
// with it user memory, in use; calls are made meanwhile, in a thread of their own where they may block.
import fc, { type Arbitrary } from 'fast-check';
import { Batch } from '../batch/batch.js';
import { constant } from '../native.js';
import { waitFor } from './exec-steps.js';
import { areaAt, corner, PAGE, slots } from './layout.js';
import { callStep, joinStep, onThread, type Step, sumStep, writeStep } from './ops.js';
import { Scribe } from './scribe.js';
import type { Item } from './spec.js';
import { FileSlot, type Place, Slot } from './uapi.js';

const c = constant;
const GEN = 90;
const PINNED = BigInt(c('EXEC_OBJECT_PINNED'));
const WRITE = BigInt(c('EXEC_OBJECT_WRITE'));
const GATE_AT = 0x0400_0000n;
const TARGET_AT = 0x0480_0000n;
const STARTED = PAGE - 64;
const TARGET_PAGES = 4;
/** ms; more than any machine takes to begin a batch. */
const BEGIN_BOUND = 8000;
/** ms, for a call to fall asleep or to be over. */
const SLEEP_BOUND = 4000;

const READ_WRITE = c('PROT_READ') | c('PROT_WRITE');

/**
 * Calls that may wait for the GPU. Whether changes of a mapping do is the kernel's era: until 6.8 they
 * all do.
 */
const changes = [
  'munmap',
  'mprotect',
  'mremap',
  'madvise DONTNEED',
  'mmap over',
  'set-domain',
  'set-domain, read',
  'wait',
  'pread',
] as const;
type Change = (typeof changes)[number];
/** Calls that never wait. */
const looks = ['busy', 'wait 0', 'close', 'exec', 'sum', 'store'] as const;
type Look = (typeof looks)[number];

export const gateKinds: Readonly<Record<string, readonly string[]>> = {
  blocked: changes,
  GEM_CLOSE: ['while busy'],
  I915_GEM_BUSY: ['while busy'],
  I915_GEM_WAIT: ['while busy'],
  I915_GEM_SET_DOMAIN: ['while busy'],
  I915_GEM_PREAD: ['while busy'],
  munmap: ['while busy'],
  mprotect: ['while busy'],
  mremap: ['while busy'],
  madvise: ['while busy'],
  mmap: ['while busy'],
};

export function gateItem(place: Place): Arbitrary<Item> {
  return fc
    .record({
      engine: fc.constantFrom(1, 2, 4),
      change: fc.constantFrom<Change>(...changes),
      looks: fc.array(fc.constantFrom<Look>(...looks), { maxLength: 3 }),
      gem: fc.constantFrom(false, false, false, true),
      write: fc.constantFrom(true, true, false),
      value: fc.integer({ min: 1, max: 0xffff_ffff }),
    })
    .map((x) => render(place, x));
}

interface Gate {
  engine: number;
  change: Change;
  looks: readonly Look[];
  /** The target is a GEM object, not user memory. */
  gem: boolean;
  write: boolean;
  value: number;
}

/** The words of an ioctl that is no item of its own. */
function ioctl(place: Place, name: string, type: string, fields: object): Step {
  const scribe = new Scribe(place);
  scribe.ioctl({ name, type, fields: fields as never, kinds: ['while busy'] });
  return scribe.steps[0] as Step;
}

function changeStep(place: Place, { change, gem }: Gate, at: bigint): Step {
  const busy = ['while busy'];
  const handle = new Slot(slots.temp);
  const length = TARGET_PAGES * PAGE;
  switch (change) {
    case 'munmap':
      return callStep('munmap', [at, length], busy);
    case 'mprotect':
      return callStep('mprotect', [at, length, c('PROT_READ')], busy);
    case 'mremap': {
      const flags = c('MREMAP_MAYMOVE') | c('MREMAP_FIXED');
      return callStep('mremap', [at, length, length, flags, at + BigInt(length)], busy);
    }
    case 'madvise DONTNEED':
      return callStep('madvise', [at, length, c('MADV_DONTNEED')], busy);
    case 'mmap over':
      return callStep('mmap', [at, length, READ_WRITE, 0x32, '-', 0], busy);
    case 'set-domain':
      return ioctl(place, 'I915_GEM_SET_DOMAIN', 'drm_i915_gem_set_domain', {
        handle,
        read_domains: 1,
        write_domain: 1,
      });
    case 'set-domain, read':
      return ioctl(place, 'I915_GEM_SET_DOMAIN', 'drm_i915_gem_set_domain', {
        handle,
        read_domains: 1,
      });
    case 'wait':
      return ioctl(place, 'I915_GEM_WAIT', 'drm_i915_gem_wait', {
        bo_handle: handle,
        timeout_ns: -1n,
      });
    case 'pread':
      return ioctl(place, 'I915_GEM_PREAD', 'drm_i915_gem_pread', {
        handle: gem ? handle : new Slot(slots.gate),
        size: 8n,
        data_ptr: place.args + 0x700n,
      });
  }
}

function lookSteps(scribe: Scribe, look: Look, at: bigint): void {
  const handle = new Slot(slots.temp);
  const { place } = scribe;
  switch (look) {
    case 'busy':
      scribe.add(ioctl(place, 'I915_GEM_BUSY', 'drm_i915_gem_busy', { handle }));
      return;
    case 'wait 0':
      scribe.add(ioctl(place, 'I915_GEM_WAIT', 'drm_i915_gem_wait', { bo_handle: handle }));
      return;
    case 'close': {
      // Its fences and its memory live on; what is asked of the handle afterwards is refused.
      scribe.add(ioctl(place, 'GEM_CLOSE', 'drm_gem_close', { handle }));
      return;
    }
    case 'exec': {
      const list = scribe.data([
        {
          type: 'drm_i915_gem_exec_object2',
          fields: { handle: new Slot(slots.gate), offset: GATE_AT, flags: PINNED },
        },
      ]);
      // The same batch after itself: it ends at once, when its turn comes.
      scribe.ioctl({
        name: 'I915_GEM_EXECBUFFER2',
        type: 'drm_i915_gem_execbuffer2',
        kinds: ['render'],
        fields: { buffers_ptr: list, buffer_count: 1, flags: 1n },
      });
      return;
    }
    case 'sum':
      scribe.add(sumStep(at + BigInt(PAGE), PAGE));
      return;
    case 'store':
      scribe.add(writeStep(at + 2n * BigInt(PAGE), Buffer.alloc(8, 0x77)));
  }
}

function render(place: Place, x: Gate): Item {
  const scribe = new Scribe(place);
  const gateAt = areaAt(place, corner.gate);
  const targetAt = areaAt(place, corner.gate, 256);
  const gate = new Slot(slots.gate);
  const target = new Slot(slots.temp);
  const offset = new Slot(slots.tempOffset);
  const create = (to: Slot, size: number) =>
    scribe.ioctl({
      name: 'I915_GEM_CREATE',
      type: 'drm_i915_gem_create',
      fields: { size },
      take: { field: 'handle', to },
    });
  create(gate, PAGE);
  scribe.ioctl({
    name: 'I915_GEM_MMAP_OFFSET',
    type: 'drm_i915_gem_mmap_offset',
    fields: { handle: gate, flags: 2n },
    take: { field: 'offset', to: offset },
    masks: { offset: 'fakeOffset' },
  });
  const shared = c('MAP_SHARED') | c('MAP_FIXED');
  scribe.add(
    callStep('gmap', [new FileSlot(0), gateAt, PAGE, READ_WRITE, shared, offset]),
    callStep('mmap', [targetAt, TARGET_PAGES * PAGE, READ_WRITE, 0x32, '-', 0], ['private']),
  );
  if (x.gem) create(target, TARGET_PAGES * PAGE);
  else
    scribe.ioctl({
      name: 'I915_GEM_USERPTR',
      type: 'drm_i915_gem_userptr',
      fields: { user_ptr: targetAt, user_size: TARGET_PAGES * PAGE },
      take: { field: 'handle', to: target },
    });
  const batch = new Batch(GEN);
  const end = batch.spin(GATE_AT, GATE_AT + BigInt(STARTED));
  if (x.write) batch.storeDword(TARGET_AT + 8n, x.value);
  batch.end();
  scribe.add(writeStep(gateAt, batch.bytes()));
  const list = scribe.data([
    {
      type: 'drm_i915_gem_exec_object2',
      fields: { handle: target, offset: TARGET_AT, flags: PINNED | (x.write ? WRITE : 0n) },
    },
    {
      type: 'drm_i915_gem_exec_object2',
      fields: { handle: gate, offset: GATE_AT, flags: PINNED },
    },
  ]);
  scribe.ioctl({
    name: 'I915_GEM_EXECBUFFER2',
    type: 'drm_i915_gem_execbuffer2',
    kinds: [x.engine === 1 ? 'render' : x.engine === 2 ? 'video' : 'video enhance'],
    fields: { buffers_ptr: list, buffer_count: 2, flags: BigInt(x.engine) },
  });
  scribe.add(callStep('poll', [gateAt + BigInt(STARTED), 1, BEGIN_BOUND]));
  for (const look of x.looks) lookSteps(scribe, look, targetAt);
  const change = changeStep(place, x, targetAt);
  scribe.add(
    onThread(0, change),
    callStep('blocked', [0, SLEEP_BOUND], [x.change]),
    writeStep(gateAt + BigInt(end), endWord),
    joinStep(0, change),
  );
  waitFor(scribe, 0, gate);
  scribe.add(sumStep(targetAt, 2 * TARGET_PAGES * PAGE));
  for (const handle of [target, gate])
    scribe.ioctl({ name: 'GEM_CLOSE', type: 'drm_gem_close', fields: { handle } });
  scribe.add(
    callStep('munmap', [gateAt, PAGE]),
    callStep('munmap', [targetAt, 2 * TARGET_PAGES * PAGE]),
  );
  return scribe.steps;
}

const endWord = Buffer.from(Uint32Array.from([c('SPINNER_END')]).buffer);
