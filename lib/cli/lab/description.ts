// SPDX-License-Identifier: MIT

/** Beside the other commands; the rest of `lab` is loaded when it is asked for. */
export const labDescription =
  'every locking strategy of the software device, in all interleavings of small scenarios';
