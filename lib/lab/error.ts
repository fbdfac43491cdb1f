// SPDX-License-Identifier: MIT

/** The lab could not do what it was asked. The message says what is wrong. */
export class LabError extends Error {
  override readonly name = 'LabError';
}
