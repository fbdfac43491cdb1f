// SPDX-License-Identifier: MIT
// What the commands that fetch have in common: progress, and Ctrl-C.
import type { AptOptions, Progress } from '../../vm/apt.js';
import { interruptible } from '../interrupt.js';
import { lineView, type Terminal } from './line-view.js';

/** Of bytes to fetch: as the mirror counts them. */
export const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

/** `linux-image-6.1.0-56-amd64  12 of 71 MB` */
export function progressText({ what, bytes, total }: Progress): string {
  return total ? `${what}  ${Math.floor(bytes / 1e6)} of ${megabytes(total)}` : what;
}

const PLAIN_EVERY_S = 10;

/** Tells of each download, and how far it is. */
export function fetchView(out: Terminal, now = () => performance.now()) {
  let what = '';
  const view = lineView(out, PLAIN_EVERY_S, now);
  return {
    show(progress: Progress): void {
      const fresh = progress.total > 0 && progress.what !== what;
      if (fresh) what = progress.what;
      view.show(progressText(progress), fresh);
    },
    end: view.end,
  };
}

/** Runs what fetches, with its progress on stderr; a Ctrl-C ends it, and removes what it has begun. */
export async function fetching<T>(work: (options: AptOptions) => Promise<T>): Promise<T> {
  const view = fetchView(process.stderr);
  try {
    return await interruptible((signal) => work({ signal, progress: view.show }));
  } finally {
    view.end();
  }
}
