// SPDX-License-Identifier: MIT
// What the commands that build have in common: progress, Ctrl-C, and the compiler's words.
import { InvalidArgumentError, Option } from 'commander';
import { driverFaults } from '../../vm/faults.js';
import { BuildError, type BuildOptions, type Step } from '../../vm/make.js';

interface Terminal {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** 75: "1:15" */
const clock = (seconds: number) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

/** `1:15  341 of 2,100  CC kernel/fork.o` */
export function stepText({ what, done, total }: Step, seconds: number): string {
  const counted = done ? `${done}${total > done ? ` of ${total}` : ''}  ` : '';
  return `${clock(seconds)}  ${counted}${what}`;
}

const PLAIN_EVERY_S = 15;

/** One line that is written over on a terminal; elsewhere one now and then, and each new phase. */
export function stepView(out: Terminal, now = () => performance.now()) {
  const start = now();
  let last = -Infinity;
  return {
    show(step: Step): void {
      const seconds = (now() - start) / 1000;
      const text = stepText(step, seconds);
      if (out.isTTY) out.write(`\r${text.slice(0, (out.columns ?? 80) - 1)}\x1b[K`);
      else if (seconds - last >= PLAIN_EVERY_S) {
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
 * Runs a build with its progress on stderr. The first Ctrl-C ends it, with make's process group; a
 * second ends this process, which takes them with it.
 */
export async function building<T>(work: (options: BuildOptions) => Promise<T>): Promise<T> {
  const view = stepView(process.stderr);
  const controller = new AbortController();
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  const handle = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(128 + numbers[signal as keyof typeof numbers]);
    controller.abort();
  };
  for (const name of Object.keys(numbers)) process.on(name, handle);
  try {
    return await work({ signal: controller.signal, progress: (step) => view.show(step) });
  } catch (e) {
    view.end();
    if (e instanceof BuildError) process.stderr.write(`${e.lines.join('\n')}\n`);
    throw e;
  } finally {
    view.end();
    for (const name of Object.keys(numbers)) process.off(name, handle);
  }
}

export const jobsOption = (): Option =>
  new Option(
    '-j, --jobs <n>',
    'compilers at a time; by default as many as there are processors',
  ).argParser((text) => {
    const jobs = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    if (jobs < 1 || jobs > 1024) throw new InvalidArgumentError('expected 1 to 1024');
    return jobs;
  });

const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value];

/** May be given several times. */
export const fileOption = (flags: string, help: string): Option =>
  new Option(flags, `${help}; may be repeated`).argParser(collect);

export const faultOption = (flags: string, help: string): Option =>
  new Option(`${flags} <name>`, `${help}; may be repeated`).argParser(
    (name: string, before: string[] | undefined) => {
      const names = driverFaults.map((f) => f.name);
      if (!names.includes(name)) throw new InvalidArgumentError(`there are ${names.join(', ')}`);
      return collect(name, before);
    },
  );
