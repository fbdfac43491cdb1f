// SPDX-License-Identifier: MIT
// An ioctl as data: what each field may be. From that come calls that are right, that are wrong in
// one way or in several at once (whose order of precedence is the driver's own), and calls whose
// number or pointer is wrong.
import fc, { type Arbitrary } from 'fast-check';
import { type Choice, type Chosen, choose, kindNames, kindsOf } from './choices.js';
import { areaAt, corner, files, KERNEL_ADDRESS, PAGE } from './layout.js';
import { callStep, type MaskReason, type Step, writeStep } from './ops.js';
import { type Data, type Odd, Scribe, type Struct } from './scribe.js';
import {
  FileSlot,
  type Place,
  requestOf,
  requestSize,
  Slot,
  sizeOf,
  type Value,
  withDir,
  withSize,
} from './uapi.js';

export type FieldValues = Readonly<Record<string, Value | Data>>;

export interface CallSpec {
  /** Without DRM_IOCTL_. */
  name: string;
  /** Empty for one without an argument. */
  type: string;
  /** By field. */
  fields: Readonly<Record<string, readonly Choice[]>>;
  /** Fields that make sense together. */
  groups?: readonly (readonly Choice<FieldValues>[])[];
  take?: { field: string; to: Arbitrary<Slot | FileSlot> };
  /** Where the call succeeds, a field's slot is overwritten with what another field has then. */
  forget?: { slot: string; zero: string };
  masks?: Readonly<Record<string, MaskReason>>;
  /** Before the call, in the same item. */
  before?: (scribe: Scribe, fields: FieldValues) => void;
  /** After it: what it has written behind pointers. `room` is what before() left there. */
  after?: (scribe: Scribe, fields: FieldValues) => void;
  weight?: number;
}

/** A sequence is items; an item stands on its own, so that any of them can be left out. */
export type Item = readonly Step[];

type Oddity = 'size' | 'direction' | 'pointer';
interface OddChoice {
  kind: string;
  what: Oddity;
  /** The change of the size, or the direction, or how the memory is. */
  n: number;
}

const sizes = [4, 8, 64, 256, -1, -4, -8, -16].map((n) => ({
  kind: n > 0 ? 'larger struct' : 'smaller struct',
  what: 'size' as const,
  n,
}));
const directions = [0, 1, 2, 3].map((n) => ({
  kind: 'other direction',
  what: 'direction' as const,
  n,
}));
const UNMAPPED = 0;
const HALF = 1;
const READ_ONLY = 2;
const UNALIGNED = 3;
const NULL = 4;
const KERNEL = 5;
const READ_ONLY_KIND = 'argument read-only';
const pointers = [
  { kind: 'argument unmapped', what: 'pointer' as const, n: UNMAPPED },
  { kind: 'argument half unmapped', what: 'pointer' as const, n: HALF },
  { kind: READ_ONLY_KIND, what: 'pointer' as const, n: READ_ONLY },
  { kind: 'argument unaligned', what: 'pointer' as const, n: UNALIGNED },
  { kind: 'argument null', what: 'pointer' as const, n: NULL },
  { kind: "argument of the kernel's", what: 'pointer' as const, n: KERNEL },
];
export const oddKinds = [...new Set([...sizes, ...directions, ...pointers].map((o) => o.kind))];
const noOddity = fc.constant<OddChoice | undefined>(undefined);
const oddity = fc.oneof(
  { weight: 24, arbitrary: noOddity },
  { weight: 1, arbitrary: fc.constantFrom<OddChoice>(...sizes) },
  { weight: 1, arbitrary: fc.constantFrom<OddChoice>(...directions) },
  { weight: 2, arbitrary: fc.constantFrom<OddChoice>(...pointers) },
);
/** A new descriptor that is not told would stay open for as long as the player runs. */
const toldOddity = fc.oneof(
  { weight: 24, arbitrary: noOddity },
  { weight: 1, arbitrary: fc.constantFrom<OddChoice>(...sizes.filter(({ n }) => n > 0)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<OddChoice>(...pointers.filter((p) => p.kind !== READ_ONLY_KIND)),
  },
);
const untold = ['smaller struct', 'other direction', READ_ONLY_KIND];
/** The calls that give a descriptor. */
const givesFile = ({ take }: CallSpec): boolean => take?.field === 'fd';

/**
 *  | read and write | nothing | read only |
 * A struct is put where the oddity wants it. Returns how to make the call.
 */
function oddPlace(scribe: Scribe, n: number, part: Struct | undefined): Odd {
  if (n === NULL) return { at: 0n, bare: true };
  if (n === UNALIGNED) return { at: scribe.place.args + 3n };
  if (n === KERNEL) return { at: KERNEL_ADDRESS, bare: true };
  const base = areaAt(scribe.place, corner.argument);
  const page = BigInt(PAGE);
  const size = part ? sizeOf(part.type) : 0;
  const packed = part ? scribe.pack(part) : { bytes: Buffer.alloc(0), patches: [] };
  const half = size >> 1;
  const at =
    n === READ_ONLY ? base + 2n * page : n === HALF ? base + page - BigInt(half) : base + page;
  scribe.add(callStep('mmap', [base, 3 * PAGE, 3, 0x32, '-', 0], ['argument memory']));
  if (n === HALF && half)
    scribe.add(
      writeStep(
        at,
        packed.bytes.subarray(0, half),
        packed.patches.filter((p) => p.at + p.width <= half),
      ),
    );
  else if (size) scribe.add(writeStep(at, packed.bytes, packed.patches));
  scribe.add(callStep('munmap', [base + page, PAGE], ['argument memory']));
  scribe.add(callStep('mprotect', [base + 2n * page, PAGE, 1], ['argument memory']));
  return { at, bare: true };
}

const endOddPlace = (scribe: Scribe) =>
  scribe.add(
    callStep('munmap', [areaAt(scribe.place, corner.argument), 3 * PAGE], ['argument memory']),
  );

/** The names of all argument classes that a spec's calls are counted under. */
export function specKinds(spec: CallSpec): string[] {
  const { fields, groups = [], type } = spec;
  const odd = givesFile(spec) ? oddKinds.filter((kind) => !untold.includes(kind)) : oddKinds;
  return [
    ...kindNames([...Object.values(fields), ...(groups as readonly (readonly Choice<never>[])[])]),
    ...(type ? odd : []),
  ];
}

export const gpuFile: Arbitrary<number> = fc.oneof(
  { withCrossShrink: true },
  { weight: 12, arbitrary: fc.constant(files.gpu[0]) },
  { weight: 1, arbitrary: fc.constant(files.gpu[1]) },
);

/** The player leaves out those that it writes itself for the call, and no others. */
const descriptors = (fields: Record<string, Value>): Record<string, MaskReason> =>
  Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value instanceof FileSlot)
      .map(([field]) => [field, 'descriptor' as const]),
  );

function takeOf(spec: CallSpec, fields: Record<string, Value>, to: Slot | FileSlot | undefined) {
  const { take, forget } = spec;
  if (take && to) return { take: { field: take.field, to } };
  const slot = forget && fields[forget.slot];
  return slot instanceof Slot ? { take: { field: forget?.zero ?? '', to: slot } } : {};
}

/** Any call of a spec. */
export function specItem(spec: CallSpec, place: Place): Arbitrary<Item> {
  const names = Object.keys(spec.fields);
  const fields = fc.tuple(...names.map((name) => choose(spec.fields[name] ?? [])));
  const groups = fc.tuple(...(spec.groups ?? []).map((group) => choose(group)));
  const to = spec.take?.to ?? fc.constant(undefined);
  const odds = !spec.type ? noOddity : givesFile(spec) ? toldOddity : oddity;
  return fc.tuple(fields, groups, to, gpuFile, odds).map(([chosen, together, slot, file, odd]) => {
    const all: FieldValues = Object.assign(
      Object.fromEntries(names.map((name, i) => [name, (chosen[i] as Chosen).value])),
      ...together.map((g) => g.value),
    );
    const scribe = new Scribe(place);
    // Pointers lead to the same places before and after the call.
    const fixed: Record<string, Value> = {};
    for (const [name, value] of Object.entries(all))
      fixed[name] = Array.isArray(value) ? scribe.data(value as Data) : (value as Value);
    spec.before?.(scribe, all);
    const request = requestOf(spec.name);
    let how: Odd = {};
    if (odd?.what === 'size')
      how = { request: withSize(request, Math.max(0, requestSize(request) + odd.n)) };
    else if (odd?.what === 'direction') how = { request: withDir(request, odd.n) };
    else if (odd) how = oddPlace(scribe, odd.n, { type: spec.type, fields: fixed });
    scribe.ioctl({
      file,
      name: spec.name,
      type: spec.type,
      fields: fixed,
      kinds: odd ? [odd.kind] : kindsOf([...chosen, ...together]),
      ...takeOf(spec, fixed, slot),
      masks: { ...spec.masks, ...(how.bare ? descriptors(fixed) : {}) },
      odd: how,
    });
    spec.after?.(scribe, fixed);
    if (odd?.what === 'pointer' && odd.n < UNALIGNED) endOddPlace(scribe);
    return scribe.steps;
  });
}
