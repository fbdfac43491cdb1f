// SPDX-License-Identifier: MIT
// What the commands that fetch have in common: progress, and Ctrl-C.
import type { AptOptions, Progress } from '../../vm/apt.js';

interface Terminal {
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  write(text: string): unknown;
}

/** Of bytes to fetch: as the mirror counts them. */
export const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

/** `linux-image-6.1.0-56-amd64  12 of 71 MB` */
export function progressText({ what, bytes, total }: Progress): string {
  return total ? `${what}  ${Math.floor(bytes / 1e6)} of ${megabytes(total)}` : what;
}

const PLAIN_EVERY_S = 10;

/** One line that is written over on a terminal; elsewhere one for each download, and now and then. */
export function fetchView(out: Terminal, now = () => performance.now()) {
  let what = '';
  let last = -Infinity;
  return {
    show(progress: Progress): void {
      const text = progressText(progress);
      const seconds = now() / 1000;
      if (out.isTTY) out.write(`\r${text.slice(0, (out.columns || 80) - 1)}\x1b[K`);
      else if ((progress.total && progress.what !== what) || seconds - last >= PLAIN_EVERY_S) {
        what = progress.what;
        last = seconds;
        out.write(`${text}\n`);
      }
    },
    end(): void {
      if (out.isTTY) out.write('\r\x1b[K');
    },
  };
}

/**
 * Runs what fetches, with its progress on stderr. The first Ctrl-C ends it and what it has begun is
 * removed; a second ends this process.
 */
export async function fetching<T>(work: (options: AptOptions) => Promise<T>): Promise<T> {
  const view = fetchView(process.stderr);
  const controller = new AbortController();
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  const handle = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(128 + numbers[signal as keyof typeof numbers]);
    controller.abort();
  };
  for (const name of Object.keys(numbers)) process.on(name, handle);
  try {
    return await work({ signal: controller.signal, progress: (p) => view.show(p) });
  } finally {
    view.end();
    for (const name of Object.keys(numbers)) process.off(name, handle);
  }
}
