// SPDX-License-Identifier: MIT
// What a sequence is made of: calls as the player's lines (native/match), each with what the
// comparison and the coverage must know of it.
import { FileSlot, type Patch, type Slot, type Value } from './uapi.js';

/** Why a part of an answer is not compared. */
export const maskReasons = {
  placed: 'a GPU address that the driver chose: any hole will do',
  clock: 'a time',
  fakeOffset: 'a fake offset for mmap: the node and the software device number them differently',
  descriptor: "a descriptor's number, which is the process's own business",
  address: 'a user address that the kernel chose',
  memory: 'how much memory the machine has, and what its kernel makes of it',
} as const;
export type MaskReason = keyof typeof maskReasons;

/** Bytes of an answer that are not compared, and why; at -1, what the call returned. */
export interface Mask {
  at: number;
  length: number;
  why: MaskReason;
  /** Bytes, in hexadecimal, that are told as they are: no address, but what says that there is none. */
  but?: readonly string[];
}

export const answerMask = (why: MaskReason): Mask => ({ at: -1, length: 0, why });

/** One call of a sequence. */
export interface Step {
  /** What the player is told. */
  line: string;
  /** Whose coverage it counts for: an ioctl's name without DRM_IOCTL_, or a system call's. */
  call: string;
  /** What of its arguments is worth a name; all of them stand in the coverage. */
  kinds: readonly string[];
  masks?: readonly Mask[];
}

/** A store of what a call left in its struct into a slot, where it succeeded. */
export interface Take {
  at: number;
  width: number;
  to: Slot | FileSlot;
}

const ref = (slot: Slot | FileSlot): string => `${slot instanceof FileSlot ? 'f' : '$'}${slot.n}`;

export const hexOf = (n: number | bigint): string => `0x${n.toString(16)}`;
const word = (value: Value): string => (typeof value === 'object' ? ref(value) : `${value}`);
const hexBytes = (bytes: Uint8Array): string =>
  bytes.length ? Buffer.from(bytes).toString('hex') : '-';
const patchWords = (patches: readonly Patch[]): string =>
  patches.map(({ at, width, from }) => ` ${at}:${width}=${ref(from)}`).join('');
const takeWords = (takes: readonly Take[]): string =>
  takes.map(({ at, width, to }) => ` ${at}:${width}>${ref(to)}`).join('');

export interface IoctlLine {
  file: number;
  request: number;
  at: bigint;
  /** Written to `at` before the call. */
  bytes?: Uint8Array;
  patches?: readonly Patch[];
  /** Bytes at `at` that are told after it. */
  out: number;
  takes?: readonly Take[];
}

export const ioctlLine = (o: IoctlLine): string =>
  `ioctl f${o.file} ${hexOf(o.request)} ${hexOf(o.at)} ${hexBytes(o.bytes ?? Buffer.alloc(0))} ${o.out}` +
  patchWords(o.patches ?? []) +
  takeWords(o.takes ?? []);

const step = (call: string, line: string, kinds: readonly string[] = ['plain']): Step => ({
  call,
  line,
  kinds,
});

export const writeStep = (at: bigint, bytes: Uint8Array, patches: readonly Patch[] = []): Step =>
  step('write', `write ${hexOf(at)} ${hexBytes(bytes)}${patchWords(patches)}`);
export const readStep = (at: bigint, length: number, masks: readonly Mask[] = []): Step => ({
  ...step('read', `read ${hexOf(at)} ${length}`),
  masks,
});
export const sumStep = (at: bigint, length: number): Step =>
  step('sum', `sum ${hexOf(at)} ${length}`);

/** A call by its words, as the player has them: numbers decimal or hexadecimal, slots, files. */
export const callStep = (
  call: string,
  args: readonly (Value | string)[],
  kinds: readonly string[] = ['plain'],
): Step =>
  step(
    call,
    [
      call,
      ...args.map((a) => (typeof a === 'string' ? a : typeof a === 'bigint' ? hexOf(a) : word(a))),
    ].join(' '),
    kinds,
  );

/** The step done by the player's thread `n`; its answer comes with join. */
export const onThread = (n: number, s: Step): Step => ({
  call: 'start',
  line: `@${n} ${s.line}`,
  kinds: ['plain'],
});
/** Waits for the thread's step, which it answers for. */
export const joinStep = (n: number, s: Step): Step => ({ ...s, line: `join ${n}` });
