// SPDX-License-Identifier: MIT
// Arguments, before the kernel sees them: what cannot be passed at all is refused here, with what
// was expected. What can be passed and is wrong, the driver must be seen to refuse.
import type { U64 } from './native.js';

const show = (value: unknown): string =>
  typeof value === 'string'
    ? JSON.stringify(value)
    : typeof value === 'bigint'
      ? `${value}n`
      : typeof value === 'object' && value !== null
        ? `an ${value.constructor?.name ?? 'object'}`
        : String(value);

/** Throws what a wrong argument is told: TypeError: `size: expected ..., got ...`. */
export function refuse(name: string, expected: string, value: unknown): never {
  throw new TypeError(`${name}: expected ${expected}, got ${show(value)}`);
}

const U64_END = 1n << 64n;

/** A size, address or other number of 64 bits: a safe integer or a bigint, 0 to 2^64 - 1. */
export function u64(value: U64, name: string): U64 {
  if (
    typeof value === 'bigint'
      ? value >= 0n && value < U64_END
      : Number.isSafeInteger(value) && value >= 0
  )
    return value;
  return refuse(name, 'an integer, 0 to 2^64 - 1', value);
}

/** As u64, but a bigint in any case: what an address is. */
export function address(value: U64, name: string): bigint {
  return typeof value === 'bigint' && value >= 0n && value < U64_END
    ? value
    : BigInt(u64(value, name));
}

/** A number of 64 bits that may be negative. */
export function i64(value: U64, name: string): bigint {
  if (
    typeof value === 'bigint'
      ? value >= -U64_END / 2n && value < U64_END / 2n
      : Number.isSafeInteger(value)
  )
    return BigInt(value);
  return refuse(name, 'an integer, -2^63 to 2^63 - 1', value);
}

/** A handle, flags or other number of 32 bits. */
export function u32(value: number, name: string): number {
  if (typeof value === 'number' && value >>> 0 === value) return value;
  return refuse(name, 'an integer, 0 to 2^32 - 1', value);
}

/** An fd, pid or other int. */
export function i32(value: number, name: string): number {
  if (typeof value === 'number' && (value | 0) === value) return value;
  return refuse(name, 'an integer, -2^31 to 2^31 - 1', value);
}

/** A length that becomes a buffer: at most 1 GiB. */
export function length(value: U64, name: string): number {
  const n = Number(u64(value, name));
  return n <= 2 ** 30 ? n : refuse(name, 'at most 2^30 bytes at once', value);
}

export function bytes(value: ArrayBufferView, name: string): ArrayBufferView {
  return ArrayBuffer.isView(value)
    ? value
    : refuse(name, 'a Buffer, typed array or DataView', value);
}

export function bool(value: boolean, name: string): boolean {
  return typeof value === 'boolean' ? value : refuse(name, 'true or false', value);
}

export function string(value: string, name: string): string {
  if (typeof value !== 'string') return refuse(name, 'a string', value);
  return value.includes('\0') ? refuse(name, 'a string without NUL bytes', value) : value;
}

/** One of the words in `table`; the answer is what it stands for there. */
export function word<T>(value: string, table: Readonly<Record<string, T>>, name: string): T {
  const found = typeof value === 'string' && Object.hasOwn(table, value) ? table[value] : undefined;
  return found ?? refuse(name, `one of ${Object.keys(table).join(', ')}`, value);
}
