// SPDX-License-Identifier: MIT
// /proc/sys/kernel/tainted, by Documentation/admin-guide/tainted-kernels.rst.

export interface Taint {
  bit: number;
  letter: string;
  words: string;
}

// In the order of their bits. Bit 19 came in 6.15.
const table = [
  ['P', 'proprietary module loaded'],
  ['F', 'module loaded by force'],
  ['S', 'processor or system out of specification'],
  ['R', 'module unloaded by force'],
  ['M', 'machine check'],
  ['B', 'bad page'],
  ['U', 'taint asked for by user space'],
  ['D', 'oops or BUG: the kernel died'],
  ['A', 'ACPI table overridden'],
  ['W', 'WARN'],
  ['C', 'staging driver loaded'],
  ['I', 'workaround for a bug of the firmware'],
  ['O', 'module built out of tree loaded'],
  ['E', 'unsigned module loaded'],
  ['L', 'soft lockup'],
  ['K', 'live patch'],
  ['X', 'auxiliary taint of the distribution'],
  ['T', 'built with randstruct'],
  ['N', 'in-kernel test run'],
  ['J', 'fwctl used to change a device'],
] as const;

/** The taints that a mask holds; a bit that has no name yet is `?`. */
export function decodeTaint(mask: bigint): Taint[] {
  const taints: Taint[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (!((mask >> BigInt(bit)) & 1n)) continue;
    const [letter, words] = table[bit] ?? ['?', `bit ${bit}, of a kernel newer than this program`];
    taints.push({ bit, letter, words });
  }
  return taints;
}

/** The number in /proc/sys/kernel/tainted; null when it is none. */
export function parseTaint(text: string): bigint | null {
  const digits = /^(\d{1,20})\n?$/.exec(text)?.[1];
  return digits === undefined ? null : BigInt(digits);
}

/** Taints are only ever set while the kernel runs: those that came between two readings. */
export function taintAdded(before: bigint, after: bigint): Taint[] {
  return decodeTaint(after & ~before);
}
