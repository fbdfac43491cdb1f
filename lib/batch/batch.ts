// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import type { ObjectRef, Relocation } from '../device/exec.js';
import { constant, type Fragment, native, type U64 } from '../native.js';

/** An object's address, which the driver fills in: the batch records a relocation for it. */
export interface Target {
  object: ObjectRef;
  /** Bytes into the object. */
  delta?: number;
  /** Where the object is thought to be. */
  presumed?: U64;
}

/** A GPU address (the object is softpinned, or known not to move), or a place in an object. */
export type Address = U64 | Target;

/** Comparisons of MI_SEMAPHORE_WAIT: it goes on when memory OP value. */
export const comparisons = { gt: 0, gte: 1, lt: 2, lte: 3, eq: 4, neq: 5 };
export type Comparison = keyof typeof comparisons;

/** What MI_FLUSH_DW and PIPE_CONTROL write when they are done. */
export type PostSync =
  | { write: 'immediate'; to: Address; value: U64 }
  | { write: 'timestamp'; to: Address };

/** A rectangle's place: the first pixel and the bytes from row to row. */
export interface Surface {
  at: Address;
  /** Bytes. */
  pitch: number;
  x?: number;
  y?: number;
}

export interface Rectangle {
  /** Pixels. */
  width: number;
  height: number;
  /** Bits a pixel: 8, 16 or 32. */
  bpp?: number;
}

const RENDER_DOMAIN = constant('I915_GEM_DOMAIN_RENDER');

/**
 * Writes a batch in the encoding of a generation. Every method appends one command and returns the
 * batch.
 * @throws {I915Error} EOPNOTSUPP: the generation lacks the command; EINVAL: an operand does not fit.
 */
export class Batch {
  /** The graphics version times 10, as Device.gen has it. */
  readonly gen: number;
  readonly relocations: Relocation[] = [];
  #dwords: number[] = [];

  constructor(gen: number) {
    this.gen = check.u32(gen, 'gen');
  }

  /** Bytes so far. */
  get length(): number {
    return this.#dwords.length * 4;
  }

  /** What to write into the batch object. */
  bytes(): Uint8Array {
    return new Uint8Array(Uint32Array.from(this.#dwords).buffer);
  }

  /** Its commands in words, a line each; `base` is where it is. */
  toString(base: U64 = 0n): string {
    return native.disassemble(this.gen, Uint32Array.from(this.#dwords), check.u64(base, 'base'));
  }

  #address(at: Address, name: string): bigint {
    if (typeof at !== 'object') return check.address(at, name);
    const { presumed = 0n, delta = 0 } = at;
    return check.address(presumed, `${name}.presumed`) + BigInt(check.u32(delta, `${name}.delta`));
  }

  #relocate(at: Address, dword: number, written: boolean): void {
    if (typeof at !== 'object') return;
    this.relocations.push({
      target: at.object,
      offset: dword * 4,
      delta: at.delta ?? 0,
      presumed: at.presumed ?? 0n,
      readDomains: RENDER_DOMAIN,
      writeDomain: written ? RENDER_DOMAIN : 0,
    });
  }

  #append(fragment: Fragment, to?: Address, written = false, from?: Address): this {
    const base = this.#dwords.length;
    this.#dwords.push(...fragment.dwords);
    if (to !== undefined && fragment.address >= 0)
      this.#relocate(to, base + fragment.address, written);
    if (from !== undefined && fragment.source >= 0)
      this.#relocate(from, base + fragment.source, false);
    return this;
  }

  /** Any dwords, unchecked. */
  raw(...dwords: number[]): this {
    for (const dword of dwords) this.#dwords.push(check.u32(dword, 'dword'));
    return this;
  }

  noop(): this {
    return this.#append(native.emitNoop(this.gen));
  }

  /** MI_ARB_CHECK: here the batch may be preempted (gen8+). */
  arbCheck(): this {
    return this.#append(native.emitArbCheck(this.gen));
  }

  /** MI_BATCH_BUFFER_END, and a MI_NOOP where the length needs one: whole qwords. */
  end(): this {
    this.#append(native.emitBatchEnd(this.gen));
    return this.#dwords.length % 2 ? this.noop() : this;
  }

  /** A jump; `secondLevel` (gen7.5+): to commands whose end returns here. */
  start(to: Address, options: { secondLevel?: boolean } = {}): this {
    const at = this.#address(to, 'to');
    return this.#append(native.emitBatchStart(this.gen, at, options.secondLevel ?? false), to);
  }

  storeDword(to: Address, value: number): this {
    const at = this.#address(to, 'to');
    return this.#append(native.emitStoreDword(this.gen, at, check.u32(value, 'value')), to, true);
  }

  storeQword(to: Address, value: U64): this {
    const at = this.#address(to, 'to');
    return this.#append(native.emitStoreQword(this.gen, at, check.u64(value, 'value')), to, true);
  }

  /** Waits until memory OP value (gen8+). */
  semaphoreWait(at: Address, comparison: Comparison, value: number): this {
    return this.#append(
      native.emitSemaphoreWait(
        this.gen,
        this.#address(at, 'at'),
        check.word(comparison, comparisons, 'comparison'),
        check.u32(value, 'value'),
      ),
      at,
    );
  }

  loadRegisterImm(register: number, value: number): this {
    return this.#append(
      native.emitLoadRegisterImm(
        this.gen,
        check.u32(register, 'register'),
        check.u32(value, 'value'),
      ),
    );
  }

  /** Gen7.5+. */
  loadRegisterReg(from: number, to: number): this {
    return this.#append(
      native.emitLoadRegisterReg(this.gen, check.u32(from, 'from'), check.u32(to, 'to')),
    );
  }

  /** Gen7+. */
  loadRegisterMem(register: number, from: Address): this {
    const at = this.#address(from, 'from');
    return this.#append(
      native.emitLoadRegisterMem(this.gen, check.u32(register, 'register'), at),
      from,
    );
  }

  storeRegisterMem(register: number, to: Address): this {
    const at = this.#address(to, 'to');
    return this.#append(
      native.emitStoreRegisterMem(this.gen, check.u32(register, 'register'), at),
      to,
      true,
    );
  }

  /** MI_FLUSH_DW: all engines but render. */
  flushDw(after?: PostSync): this {
    const { op, at, value } = this.#postSync(after);
    return this.#append(native.emitFlushDw(this.gen, op, at, value), after?.to, true);
  }

  /** PIPE_CONTROL: the render engine. `flags` are PIPE_CONTROL_* of `native.constants`. */
  pipeControl(flags: number, after?: PostSync): this {
    const { op, at, value } = this.#postSync(after);
    return this.#append(
      native.emitPipeControl(this.gen, check.u32(flags, 'flags'), op, at, value),
      after?.to,
      true,
    );
  }

  #postSync(after?: PostSync): { op: number; at: bigint; value: U64 } {
    if (!after) return { op: 0, at: 0n, value: 0n };
    const at = this.#address(after.to, 'to');
    return after.write === 'timestamp'
      ? { op: 3, at, value: 0n }
      : { op: 1, at, value: check.u64(after.value, 'value') };
  }

  /** XY_COLOR_BLT, up to gen12, the copy engine. */
  colorBlt(to: Surface, size: Rectangle, color: number): this {
    return this.#append(
      native.emitColorBlt(
        this.gen,
        ...this.#surface(to, 'to'),
        check.u32(size.width, 'width'),
        check.u32(size.height, 'height'),
        check.u32(color, 'color'),
        check.u32(size.bpp ?? 32, 'bpp'),
      ),
      to.at,
      true,
    );
  }

  /** XY_SRC_COPY_BLT, up to gen12, the copy engine. */
  srcCopyBlt(to: Surface, from: Surface, size: Rectangle): this {
    return this.#copy(native.emitSrcCopyBlt, to, from, size);
  }

  /** XY_FAST_COPY_BLT, gen9+, the copy engine. */
  fastCopyBlt(to: Surface, from: Surface, size: Rectangle): this {
    return this.#copy(native.emitFastCopyBlt, to, from, size);
  }

  #copy(emit: typeof native.emitSrcCopyBlt, to: Surface, from: Surface, size: Rectangle): this {
    return this.#append(
      emit(
        this.gen,
        ...this.#surface(to, 'to'),
        ...this.#surface(from, 'from'),
        check.u32(size.width, 'width'),
        check.u32(size.height, 'height'),
        check.u32(size.bpp ?? 32, 'bpp'),
      ),
      to.at,
      true,
      from.at,
    );
  }

  #surface(s: Surface, name: string): [at: bigint, pitch: number, x: number, y: number] {
    return [
      this.#address(s.at, `${name}.at`),
      check.u32(s.pitch, `${name}.pitch`),
      check.u32(s.x ?? 0, `${name}.x`),
      check.u32(s.y ?? 0, `${name}.y`),
    ];
  }

  /**
   * Commands that run until the CPU writes SPINNER_END at the returned byte offset. `self` is where
   * the batch will be; `started`: a dword that becomes 1 first.
   */
  spin(self: Address, started?: Address): number {
    const base = this.#dwords.length;
    const spinner = native.emitSpinner(
      this.gen,
      this.#address(self, 'self') + BigInt(base * 4),
      started === undefined ? undefined : this.#address(started, 'started'),
      16,
    );
    this.#dwords.push(...spinner.dwords);
    if (started !== undefined && spinner.started >= 0)
      this.#relocate(started, base + spinner.started, true);
    if (typeof self === 'object') {
      const within = (index: number) => ({
        ...self,
        delta: (self.delta ?? 0) + (base + index) * 4,
      });
      this.#relocate(within(spinner.loop), base + spinner.jump, false);
      if (spinner.condition >= 0)
        this.#relocate(within(spinner.end), base + spinner.condition, false);
    }
    return (base + spinner.end) * 4;
  }
}
