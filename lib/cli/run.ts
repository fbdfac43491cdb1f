// SPDX-License-Identifier: MIT
import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import pico from 'picocolors';
import { progressView } from '../report/progress.js';
import { reportText } from '../report/text.js';
import { defaultText, type Flag, flags, type OptionName, parseFlags } from '../stress/options.js';
import { type Result, resultToJson } from '../stress/result.js';
import { type Progress, runStress } from '../stress/run.js';
import { progressLine, resultLine } from '../stress/stream.js';
import { interruptible } from './interrupt.js';
import { listText } from './list.js';
import { checkWritable, written } from './output.js';

const after = `
A run has submitters, which submit batches that write userptr memory, wait and look at what landed,
and stressors, which change the mappings of the same memory meanwhile. Each value that is found in
it is judged; so are errnos, times, and what is left at the end:

  stale write              what was submitted before a munmap landed in the pages mapped after it
  lost write               a batch is done and its pages did not change, but its write is not there
  lost content             an innocent change (migration, swap-out, fork) lost what was there
  write after protect      a page changed though mprotect(PROT_READ) had returned
  stale read               a batch read something else than the CPU wrote before it was submitted
  read-only object written a batch wrote through I915_USERPTR_READ_ONLY
  forked child saw a write the child's own copy of a page changed
  wrong errno              a call failed in a way that its situation does not allow
  unexpected success       or did not fail where it must: execbuf of memory that is unmapped
  liveness                 an operation, or all of the run, did not end within its bound
  leak                     pins or objects are left when all is closed
  era                      munmap did not wait for the GPU, on a kernel before 6.9
  kernel log               what the kernel says of itself: on soft, lockdep's report of a deadlock
                           that the order of locks allows (I915_USERPTR_LOCKDEP=0: none)
  crash                    the process of the run died

Exit status: 0 pass, 1 violation, 2 usage, 3 could not run, 4 skipped (nothing could run here).
Ctrl-C ends a run within a second, with a verdict for what ran; a second one kills it.

Examples:
  i915-userptr run --seconds 60 --stressors munmap,mmap,mprotect --sizes 4K,2M
  i915-userptr run --device /dev/dri/renderD128 --stressors -fork,-exit --json result.json
  i915-userptr run --device soft --strategy interval-nowait --seconds 5
  i915-userptr run --device soft --fault no-wait --seed 7      a bug on purpose: it must be found
`;

export interface RunFlags extends Partial<Record<OptionName, string>> {
  json?: string;
  list?: boolean;
  quiet?: boolean;
  ndjson?: boolean;
}

/** `ends` is told the exit status of the verdict. */
export function runCommand(ends: (status: number) => void): Command {
  const command = new Command('run').description(
    'stress a device: submissions against changes of the same memory',
  );
  addRunOptions(command, () => true);
  return command.addHelpText('after', after).action(async (given: RunFlags) => {
    if (given.list) process.stdout.write(listText());
    else ends(await runHere(given));
  });
}

/** The options of a run that a command has. */
export function addRunOptions(command: Command, has: (flag: Flag) => boolean): void {
  for (const flag of flags.filter(has)) {
    const { name, arg, help, group } = flag;
    const fallback = defaultText(name);
    const option = new Option(`${flag.flag} <${arg}>`, help + (fallback ? ` (${fallback})` : ''));
    option.attributeName = () => name;
    command.addOption(option.helpGroup(`${group}:`));
  }
  const other = [
    new Option(
      '--json <file>',
      'write the result as JSON; - is stdout, and the words go to stderr',
    ),
    new Option('--list', 'tell the stressors, strategies and faults; needs no root and no GPU'),
    new Option('--quiet', 'no progress and no table: the verdict, and the violations'),
    new Option(
      '--ndjson',
      'progress and result as lines of JSON on stdout, twice a second, and no words',
    ),
  ];
  for (const option of other) command.addOption(option.helpGroup('Output:'));
}

/** On this machine; or in a VM, where the device is that. */
async function runHere(given: RunFlags): Promise<number> {
  const [place, kernel] = given.device?.split(/:(.*)/s) ?? [];
  if (place === 'vm') {
    const { device: _, ...rest } = given;
    const { runVm } = await import('./vm/run.js');
    return runVm(rest, kernel ? { kernel } : {});
  }
  const { json, quiet, list, ndjson, ...flags } = given;
  const options = parseFlags(flags);
  return withOutput(given, (hooks) => runStress(options, hooks));
}

export interface Hooks {
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
  /** A step before the run. */
  say: (what: string) => void;
}

/** Shows a run and what it came to, in the form that was asked for. Returns the exit status. */
export async function withOutput(
  { json, quiet, ndjson }: RunFlags,
  run: (hooks: Hooks) => Promise<Result>,
): Promise<number> {
  if (json !== undefined && json !== '-') checkWritable('--json', json);
  const words = json === '-' ? process.stderr : process.stdout;
  const view = quiet || ndjson ? undefined : progressView(process.stderr);
  const lines = ndjson ? everyHalfSecond() : undefined;
  const result = await interruptible((signal) =>
    run({
      signal,
      onProgress: (progress) => {
        view?.show(progress);
        lines?.(progress);
      },
      say: (what) => {
        if (view) process.stderr.write(`${what}\n`);
      },
    }),
  ).finally(() => view?.end());
  if (ndjson) {
    await written(process.stdout, resultLine(result));
    return result.exitStatus;
  }
  const color = pico.isColorSupported && Boolean(words.isTTY);
  await written(words, reportText(result, { color, brief: Boolean(quiet) }));
  const text = `${JSON.stringify(resultToJson(result), null, 2)}\n`;
  if (json === '-') await written(process.stdout, text);
  else if (json !== undefined) writeFileSync(json, text);
  return result.exitStatus;
}

function everyHalfSecond(): (progress: Progress) => void {
  let next = 0;
  return (progress) => {
    const now = performance.now();
    if (now < next) return;
    next = now + 500;
    process.stdout.write(progressLine(progress));
  };
}
