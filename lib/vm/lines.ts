// SPDX-License-Identifier: MIT
import type { Readable } from 'node:stream';

/** A result of a run is shorter. Longer lines are given in pieces: who sends them is not trusted. */
const MAX_LINE = 4 << 20;

/** Calls `take` with each line of a stream, whole and without its end. Bytes are latin1 characters. */
export function onLines(
  stream: Readable,
  take: (line: string) => void,
  longest: number = MAX_LINE,
): void {
  let rest = '';
  stream.on('data', (data: Buffer) => {
    const text = data.toString('latin1');
    // Only what is new is searched: a long line may come a byte at a time.
    if (text.includes('\n')) {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) take(part);
    } else rest += text;
    if (rest.length > longest) {
      take(rest);
      rest = '';
    }
  });
  stream.on('end', () => {
    if (rest) take(rest);
    rest = '';
  });
  // A peer that is killed resets the connection; that it is gone is told by its exit.
  stream.on('error', () => {});
}
