// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import pico from 'picocolors';
import { type LanesTextOptions, lanesText } from '../../lab/lanes.js';
import type { Replay } from '../../lab/schema.js';
import { interruptible } from '../interrupt.js';
import { written } from '../output.js';
import { openLab } from './open.js';

const after = `
Runs the strategy along the schedule in the file, and prints it as lanes: one column a thread, one row
a step, a bar for each lock that the thread holds, and the page table where it has changed. A schedule
from another build, whose steps are no longer there, says at which step, and what stood there instead.

Under a debugger, where each replay is the same again:
  i915-userptr lab replay --gdb FILE
which prints the command line; threads are fibers of one thread, so a breakpoint is enough.

Exit status: 0 the finding is not there any more, 1 it is, 2 usage, 3 the file does not fit.
`;

export function replayCommand(ends: (status: number) => void): Command {
  return new Command('replay')
    .description('a counterexample again, from its file')
    .argument('<file>', 'from lab run --save, or lab compare')
    .option('--brief', 'lanes without what sets the scene, and without places in the source')
    .option('--gdb', 'print the command that does it under gdb')
    .addHelpText('after', after)
    .action(async (file: string, { gdb, brief = false }: { gdb?: true; brief?: boolean }) => {
      const { status, errors, text } = await interruptible(async (signal) => {
        const lab = await openLab(signal);
        if (gdb) return { status: 0, errors: '', text: `${gdbCommand(lab.program, file)}\n` };
        const { replay, ...ended } = await lab.replay(file, { signal });
        const color = pico.isColorSupported && Boolean(process.stdout.isTTY);
        return { ...ended, text: replay ? replayText(replay, { color, brief }) : '' };
      });
      await written(process.stdout, text);
      if (errors) process.stderr.write(`${errors.trimEnd()}\n`);
      ends(status);
    });
}

/** What the file says, the lanes, and what came of it. */
export function replayText(replay: Replay, options: LanesTextOptions = {}): string {
  const paint = pico.createColors(options.color ?? false);
  const broken = replay.break ? `, broken by ${replay.break}` : '';
  const head = `${replay.strategy} in ${replay.scenario}${broken}: ${replay.found}`;
  const parts = [`${paint.bold(head)}\n${replay.found_what.trimEnd()}`.trimEnd()];
  parts.push(lanesText(replay.lanes, options).trimEnd());
  if (!replay.mismatch) {
    const what = replay.what.trimEnd();
    parts.push(`${replay.same ? 'again' : 'now'} ${replay.verdict}${what ? `: ${what}` : ''}`);
  }
  return `${parts.join('\n\n')}\n`;
}

/** As a word of a shell's. */
export const shellWord = (text: string): string =>
  /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** `at`: file:line to stop at, instead of where a property is found not to hold. */
export function gdbCommand(program: string, file: string, at?: string): string {
  const stop = at ? `break ${at}` : 'break i915u::explore::fail';
  return `gdb -ex '${stop.replaceAll("'", '')}' -ex run --args ${shellWord(program)} replay ${shellWord(file)}`;
}
