// SPDX-License-Identifier: MIT

/** Beside the other commands; the rest of `vm` is loaded when it is asked for. */
export const vmDescription =
  'the same on the real driver, in a virtual machine with an emulated GPU';
