// SPDX-License-Identifier: MIT
// What an argument may be: values that mean something, each with its name in the coverage.
import fc, { type Arbitrary } from 'fast-check';
import type { Data } from './scribe.js';
import { FileSlot, Slot, type Value } from './uapi.js';

export interface Choice<T = Value | Data> {
  /** Its name in the coverage; '' for what is ordinary. */
  kind: string;
  /** The call must fail by it, unless another is wrong before. */
  bad?: boolean;
  weight?: number;
  value: Arbitrary<T>;
}

export interface Chosen<T = Value | Data> {
  kind: string;
  bad: boolean;
  value: T;
}

export const good = <T>(value: T | readonly T[], kind = '', weight = 12): Choice<T> => ({
  kind,
  weight,
  value: Array.isArray(value) ? fc.constantFrom(...(value as T[])) : fc.constant(value as T),
});
export const bad = <T>(kind: string, value: T | readonly T[], weight = 1): Choice<T> => ({
  kind,
  bad: true,
  weight,
  value: Array.isArray(value) ? fc.constantFrom(...(value as T[])) : fc.constant(value as T),
});
export const badOf = <T>(kind: string, value: Arbitrary<T>, weight = 1): Choice<T> => ({
  kind,
  bad: true,
  weight,
  value,
});
export const goodOf = <T>(value: Arbitrary<T>, kind = '', weight = 12): Choice<T> => ({
  kind,
  weight,
  value,
});

/** Shrinks to the first of them. */
export const choose = <T>(choices: readonly Choice<T>[]): Arbitrary<Chosen<T>> =>
  fc.oneof(
    { withCrossShrink: true },
    ...choices.map(({ kind, bad: isBad = false, weight = 1, value }) => ({
      weight,
      arbitrary: value.map((v) => ({ kind, bad: isBad, value: v })),
    })),
  );

/** The names under which a call with these arguments is counted. */
export function kindsOf(chosen: readonly Pick<Chosen<unknown>, 'kind' | 'bad'>[]): string[] {
  const wrong = chosen.filter((c) => c.bad);
  if (wrong.length > 1) return ['several wrong'];
  const names = (wrong.length ? wrong : chosen).map((c) => c.kind).filter((kind) => kind);
  return names.length ? [...new Set(names)] : ['plain'];
}

/** All the names that kindsOf() can give. */
export const kindNames = (lists: readonly (readonly Choice<never>[] | readonly Choice[])[]) => {
  const all = lists.flatMap((list) => [...list].map((c) => ({ kind: c.kind, bad: c.bad })));
  const names = new Set(all.map((c) => c.kind).filter((kind) => kind));
  if (lists.every((list) => [...list].some((c) => c.kind === ''))) names.add('plain');
  if (lists.filter((list) => [...list].some((c) => c.bad)).length > 1) names.add('several wrong');
  return [...names];
};

/** Bits 0 to 31 or 63 that a set of flags does not have. */
export const unknownBits = (known: number | bigint, width: 32 | 64 = 32): bigint[] =>
  Array.from({ length: width }, (_, i) => 1n << BigInt(i)).filter((bit) => !(BigInt(known) & bit));

export const NO_HANDLE = 0x7fff_0000;
export const ALL_ONES = (1n << 64n) - 1n;

/** What a u32 or u64 that must be zero may be instead. */
export const zero = (name: string, weight = 1): Choice[] => [
  good(0, '', 24),
  bad(`${name} not zero`, [1, 0x8000_0000, 0xffff_ffff], weight),
];

export const slotOf = (...slots: number[]): Arbitrary<Slot> =>
  fc.constantFrom(...slots).map((n) => new Slot(n));
export const fileSlotOf = (...slots: number[]): Arbitrary<FileSlot> =>
  fc.constantFrom(...slots).map((n) => new FileSlot(n));
