// SPDX-License-Identifier: MIT

/** The VM or one of its parts could not be had. The message is one line that says what to do. */
export class VmError extends Error {
  override readonly name = 'VmError';
}

/** For one line: what a program or the system said. */
export const said = (e: unknown): string =>
  (e instanceof Error ? e.message : String(e)).replace(/\s+/g, ' ').trim();
