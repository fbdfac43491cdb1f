// SPDX-License-Identifier: MIT
// Whole sequences. Deterministic by construction: what is submitted is waited for before what it wrote
// is looked at, threads are ordered by waits, and each item stands on its own, so that shrinking may
// leave out any.
import fc, { type Arbitrary } from 'fast-check';
import { againItem } from './again.js';
import { contextCalls } from './calls-context.js';
import { gemCalls } from './calls-gem.js';
import { infoCalls } from './calls-info.js';
import { syncCalls } from './calls-sync.js';
import { execItem, execKinds } from './exec.js';
import { gateItem, gateKinds } from './gate.js';
import { files } from './layout.js';
import { epilogue, gmapItem, memoryItem, memoryKinds, prologue } from './memory.js';
import { NUMBER, numberItem, numberKinds } from './numbers.js';
import { objectItem, objectsAtBegin } from './objects.js';
import { callStep, type Step } from './ops.js';
import { type CallSpec, type Item, specItem, specKinds } from './spec.js';
import { FileSlot, type Place } from './uapi.js';

/** Families of items, and how often each is drawn. */
export const families = {
  memory: 10,
  object: 10,
  exec: 14,
  again: 2,
  gem: 14,
  context: 6,
  sync: 6,
  info: 3,
  gmap: 2,
  gate: 1,
  number: 1,
  file: 1,
} as const;
export type Family = keyof typeof families;

export const allCalls = (place: Place): CallSpec[] => [
  ...gemCalls(place),
  ...contextCalls(place),
  ...syncCalls(place),
  ...infoCalls(place),
];

const anySpec = (specs: readonly CallSpec[], place: Place): Arbitrary<Item> =>
  fc.oneof(
    ...specs.map((spec) => ({ weight: spec.weight ?? 1, arbitrary: specItem(spec, place) })),
  );

const fileItem: Arbitrary<Item> = fc.constantFrom<Item>(
  [callStep('open', [new FileSlot(files.gpu[1])])],
  [callStep('close', [new FileSlot(files.gpu[1])])],
  [callStep('open', [new FileSlot(files.gpu[1])])],
);

/** How long sequences are: items, most of them a few calls. */
const MOST_ITEMS = 30;

/** A sequence: its items, without what is before and after them. */
export function itemsOf(place: Place, only?: readonly Family[]): Arbitrary<readonly Item[]> {
  const arbitraries: Record<Family, Arbitrary<Item>> = {
    memory: memoryItem(place),
    object: objectItem(place),
    exec: execItem(place),
    again: againItem(place),
    gem: anySpec(gemCalls(place), place),
    context: anySpec(contextCalls(place), place),
    sync: anySpec(syncCalls(place), place),
    info: anySpec(infoCalls(place), place),
    gmap: gmapItem(place),
    gate: gateItem(place),
    number: numberItem(place),
    file: fileItem,
  };
  const wanted = (Object.keys(families) as Family[]).filter((f) => !only || only.includes(f));
  const item = fc.oneof(...wanted.map((f) => ({ weight: families[f], arbitrary: arbitraries[f] })));
  return fc.array(item, { minLength: 1, maxLength: MOST_ITEMS, size: 'max' });
}

/** The lines of a sequence, between begin and end. */
export const stepsOf = (place: Place, items: readonly Item[]): Step[] => [
  ...prologue(place),
  ...objectsAtBegin(place),
  ...items.flat(),
  ...epilogue(place),
];

/** The seed of sequence `index` of a run; SplitMix64, of which fast-check takes 32 bits. */
export function seedOf(seed: bigint, index: number): number {
  let z = BigInt.asUintN(64, seed + 0x9e37_79b9_7f4a_7c15n * (BigInt(index) + 1n));
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return Number(BigInt.asIntN(32, z ^ (z >> 31n)));
}

export function sequenceOf(
  arbitrary: Arbitrary<readonly Item[]>,
  seed: bigint,
  index: number,
): readonly Item[] {
  const [items] = fc.sample(arbitrary, { seed: seedOf(seed, index), numRuns: 1 });
  return items ?? [];
}

/** Every call and each class of its arguments that can be drawn. */
export function possible(place: Place): Map<string, readonly string[]> {
  const kinds = new Map<string, readonly string[]>();
  for (const spec of allCalls(place)) kinds.set(spec.name, specKinds(spec));
  for (const more of [memoryKinds, gateKinds])
    for (const [call, names] of Object.entries(more))
      kinds.set(call, [...new Set([...(kinds.get(call) ?? []), ...names])]);
  // A fence that comes out needs the struct copied back.
  kinds.set(
    'I915_GEM_EXECBUFFER2',
    execKinds.filter((kind) => kind !== 'fence out'),
  );
  kinds.set('I915_GEM_EXECBUFFER2_WR', execKinds);
  kinds.set(NUMBER, numberKinds);
  return kinds;
}
