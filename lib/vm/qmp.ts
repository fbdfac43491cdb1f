// SPDX-License-Identifier: MIT
// QEMU's machine protocol, as far as it is needed: a command at a time, and the events.
import type { Duplex } from 'node:stream';
import { onLines } from './lines.js';

interface Waiting {
  resolve: (answer: unknown) => void;
}

export class Qmp {
  readonly #port: Duplex;
  readonly #waiting: Waiting[] = [];
  readonly #onEvent: (name: string, data: Record<string, unknown>) => void;

  constructor(port: Duplex, onEvent: (name: string, data: Record<string, unknown>) => void) {
    this.#port = port;
    this.#onEvent = onEvent;
    onLines(port, (line) => this.#line(line));
    this.#port.write('{"execute":"qmp_capabilities"}\n');
    this.#waiting.push({ resolve: () => {} });
  }

  #line(line: string): void {
    let message: Record<string, unknown>;
    try {
      const json = JSON.parse(line);
      if (typeof json !== 'object' || json === null) return;
      message = json;
    } catch {
      return;
    }
    if (typeof message.event === 'string')
      this.#onEvent(message.event, (message.data ?? {}) as Record<string, unknown>);
    else if ('return' in message || 'error' in message)
      this.#waiting.shift()?.resolve(message.return);
  }

  /** The answer; undefined for an error, and after a second without one. */
  ask(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), 1000);
      this.#waiting.push({
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
      });
      this.#port.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
  }
}
