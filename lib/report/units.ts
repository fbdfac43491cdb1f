// SPDX-License-Identifier: MIT
import { getSystemErrorMap } from 'node:util';

/** 1234567: "1,234,567" */
export const count = (n: number | bigint): string => n.toLocaleString('en-US');

/** Three digits and a unit: "950 ns", "12.3 µs", "4.56 ms", "1.20 s". */
export function duration(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  for (const [unit, size] of [
    ['µs', 1e3],
    ['ms', 1e6],
  ] as const)
    if (ns < size * 999.5) return `${(ns / size).toPrecision(3)} ${unit}`;
  return `${(ns / 1e9).toFixed(2)} s`;
}

export const hex = (v: bigint, digits = 0): string => `0x${v.toString(16).padStart(digits, '0')}`;

/** Microseconds with their sign, for times relative to an event. */
export const micros = (ns: bigint): string => (Number(ns) / 1000).toFixed(1);

/** 0, an address, or the name of an errno. */
export function answer(result: bigint): string {
  if (result >= 0n) return result > 0xffffn ? hex(result) : `${result}`;
  return getSystemErrorMap().get(Number(result))?.[0] ?? `${result}`;
}

/** Cells padded to their columns: the first to the left, the others to the right. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
