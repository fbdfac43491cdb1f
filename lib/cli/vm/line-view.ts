// SPDX-License-Identifier: MIT
// Progress in one line, which a terminal shows over itself.

export interface Terminal {
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  write(text: string): unknown;
}

export interface LineView {
  /** Elsewhere than on a terminal a line comes now and then, and where it is `fresh`. */
  show(text: string, fresh?: boolean): void;
  /** Gives the terminal back. */
  end(): void;
}

export function lineView(out: Terminal, everySeconds: number, now: () => number): LineView {
  let last = -Infinity;
  return {
    show(text, fresh = false) {
      const seconds = now() / 1000;
      if (out.isTTY) out.write(`\r${text.slice(0, (out.columns || 80) - 1)}\x1b[K`);
      else if (fresh || seconds - last >= everySeconds) {
        last = seconds;
        out.write(`${text}\n`);
      }
    },
    end() {
      if (out.isTTY) out.write('\r\x1b[K');
    },
  };
}
