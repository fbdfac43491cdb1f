// SPDX-License-Identifier: MIT
// What the commands that build have in common: progress, Ctrl-C, and the compiler's words.
import { InvalidArgumentError, Option } from 'commander';
import { driverFaults } from '../../vm/faults.js';
import { BuildError, type BuildOptions, type Step } from '../../vm/make.js';
import { interruptible } from '../interrupt.js';
import { lineView, type Terminal } from './line-view.js';

/** 75: "1:15" */
const clock = (seconds: number) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

/** `1:15  341 of 2,100  CC kernel/fork.o` */
export function stepText({ what, done, total }: Step, seconds: number): string {
  const counted = done ? `${done}${total > done ? ` of ${total}` : ''}  ` : '';
  return `${clock(seconds)}  ${counted}${what}`;
}

const PLAIN_EVERY_S = 15;

/** Tells where a build is. */
export function stepView(out: Terminal, now = () => performance.now()) {
  const start = now();
  const view = lineView(out, PLAIN_EVERY_S, now);
  return {
    show: (step: Step) => view.show(stepText(step, (now() - start) / 1000)),
    end: view.end,
  };
}

/** Runs a build with its progress on stderr; a Ctrl-C ends it, with make's process group. */
export async function building<T>(work: (options: BuildOptions) => Promise<T>): Promise<T> {
  const view = stepView(process.stderr);
  try {
    return await interruptible((signal) => work({ signal, progress: view.show }));
  } catch (e) {
    view.end();
    if (e instanceof BuildError) process.stderr.write(`${e.lines.join('\n')}\n`);
    throw e;
  } finally {
    view.end();
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
