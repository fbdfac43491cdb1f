// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { interruptible } from '../interrupt.js';
import { openLab } from './open.js';

const after = `
Runs the strategy along the schedule in the file, and prints it as lanes: one column a thread, one row
a step, what the thread holds then, and the page table where it has changed. A schedule from another
build, whose steps are no longer there, says at which step, and what stood there instead.

Under a debugger, where each replay is the same again:
  i915-userptr lab replay --gdb FILE
which prints the command line; threads are fibers of one thread, so a breakpoint is enough.

Exit status: 0 the finding is not there any more, 1 it is, 2 usage, 3 the file does not fit.
`;

export function replayCommand(ends: (status: number) => void): Command {
  return new Command('replay')
    .description('a counterexample again, from its file')
    .argument('<file>', 'from lab run --save, or lab compare')
    .option('--gdb', 'print the command that does it under gdb')
    .addHelpText('after', after)
    .action(async (file: string, { gdb }: { gdb?: true }) => {
      const { status, errors } = await interruptible(async (signal) => {
        const lab = await openLab(signal);
        if (gdb) {
          process.stdout.write(`${gdbCommand(lab.program, file)}\n`);
          return { status: 0, errors: '' };
        }
        return lab.replay(file, { signal, onText: (text) => process.stdout.write(text) });
      });
      if (errors) process.stderr.write(`${errors.trimEnd()}\n`);
      ends(status);
    });
}

/** As a word of a shell's. */
export const shellWord = (text: string): string =>
  /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** `at`: file:line to stop at, instead of where a property is found not to hold. */
export function gdbCommand(program: string, file: string, at?: string): string {
  const stop = at ? `break ${at}` : 'break i915u::explore::fail';
  return `gdb -ex '${stop.replaceAll("'", '')}' -ex run --args ${shellWord(program)} replay ${shellWord(file)}`;
}
