// SPDX-License-Identifier: MIT
import type { Readable } from 'node:stream';

/** Longer lines are given in pieces: who sends them is not trusted. */
const MAX_LINE = 1 << 20;

/** Calls `take` with each line of a stream, whole and without its end. Bytes are latin1 characters. */
export function onLines(stream: Readable, take: (line: string) => void): void {
  let rest = '';
  stream.on('data', (data: Buffer) => {
    const parts = (rest + data.toString('latin1')).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) take(part);
    if (rest.length > MAX_LINE) {
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
