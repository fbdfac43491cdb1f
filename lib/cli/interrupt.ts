// SPDX-License-Identifier: MIT
// Ctrl-C, and its kin.

const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Tells of the first signal; a second ends this process, and with it what it has started. */
export function onInterrupt(interrupt: (signal: NodeJS.Signals) => void): () => void {
  let before = false;
  const handle = (signal: NodeJS.Signals) => {
    if (before) process.exit(128 + numbers[signal as keyof typeof numbers]);
    before = true;
    interrupt(signal);
  };
  for (const signal of Object.keys(numbers)) process.on(signal, handle);
  return () => {
    for (const signal of Object.keys(numbers)) process.off(signal, handle);
  };
}

/** Runs work that the first signal aborts. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const off = onInterrupt(() => controller.abort());
  try {
    return await work(controller.signal);
  } finally {
    off();
  }
}
