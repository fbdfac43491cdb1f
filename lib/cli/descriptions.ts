// SPDX-License-Identifier: MIT
// Of commands that are loaded only when they are asked for.

export const vmDescription =
  'the same on the real driver, in a virtual machine with an emulated GPU';
export const kselftestDescription =
  'the C tests of kselftest/, which run without Node too, here or in a virtual machine';
export const labDescription =
  'every locking strategy of the software device, in all interleavings of small scenarios';
export const matchDescription =
  'the software device against the real driver, call by call, in a virtual machine';
