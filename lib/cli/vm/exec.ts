// SPDX-License-Identifier: MIT
// `vm exec` and `vm shell`: a program of this machine's in a guest.
import { constants } from 'node:os';
import { Command } from 'commander';
import { exitStatus } from '../../stress/result.js';
import { VmError } from '../../vm/error.js';
import type { GuestProcess } from '../../vm/guest.js';
import { kernelOf, Machine } from '../../vm/machine.js';
import { parseVmFlags, type VmFlagsGiven } from '../../vm/options.js';
import { prepare } from '../../vm/prepare.js';
import { guestEnv } from '../../vm/run.js';
import { onInterrupt } from '../interrupt.js';
import { addVmOptions, splitFlags } from './flags.js';

interface ExecFlags extends VmFlagsGiven {
  quiet?: boolean;
  log?: boolean;
}

const afterExec = `
The guest has this machine's files, read-only under a layer in memory: programs and libraries of the
host run in it, what they write is gone at its end. The program's output and exit status are this
command's. Put -- before a program that takes options of its own.

Examples:
  i915-userptr vm exec uname -r
  i915-userptr vm exec --kernel 6.12 --log -- sh -c 'echo hello > /dev/kmsg'
  i915-userptr vm exec -- ./my-igt-test --run-subtest basic
`;

const afterShell = `
An interactive shell in the guest, whose files are this machine's, read-only under a layer in memory.
\`exit\` ends the guest. If it does not answer any more, Ctrl-] ends it from outside.
`;

const common = (command: Command) => {
  addVmOptions(command);
  command.option('--quiet', 'say nothing of the boot');
  command.option('--log', "the kernel's log, on stderr");
  return command;
};

export function vmExecCommand(ends: (status: number) => void): Command {
  return common(
    new Command('exec')
      .description('run a program in a guest')
      .argument('<program...>')
      .passThroughOptions(),
  )
    .addHelpText('after', afterExec)
    .action(async (argv: string[], given: ExecFlags) => ends(await execIn(argv, given, false)));
}

export function vmShellCommand(ends: (status: number) => void): Command {
  return common(new Command('shell').description('a shell in a guest'))
    .addHelpText('after', afterShell)
    .action(async (given: ExecFlags) => {
      if (!process.stdin.isTTY)
        throw new VmError('vm shell needs a terminal; `vm exec -- CMD` runs one command without');
      ends(await execIn([process.env.SHELL ?? '/bin/sh', '-i'], given, true));
    });
}

async function execIn(argv: string[], given: ExecFlags, terminal: boolean): Promise<number> {
  const { vm: flags, rest } = splitFlags(given);
  const options = parseVmFlags(flags);
  const say = (text: string) => {
    if (!rest.quiet) process.stderr.write(`${text}\n`);
  };
  const controller = new AbortController();
  let running: GuestProcess | undefined;
  // The first signal goes to the program, if it runs: what it makes of it is its own affair.
  const off = onInterrupt((signal) => {
    if (running) running.kill(constants.signals[signal]);
    else controller.abort();
  });
  const kernel = await kernelOf(options, controller.signal);
  const machine = await Machine.start(kernel, options, {
    signal: controller.signal,
    onProgress: say,
    ...(rest.log && { onKmsg: (record: string) => process.stderr.write(logLine(record)) }),
  });
  try {
    for (const problem of await prepare(machine)) say(problem);
    if (controller.signal.aborted) throw new VmError('interrupted');
    const { rows = 24, columns = 80 } = process.stdout;
    running = await machine.guest.exec(argv, {
      cwd: process.cwd(),
      env: guestEnv(),
      ...(terminal && { pty: { rows, columns } }),
      onStdout: (data) => process.stdout.write(data),
      onStderr: (data) => process.stderr.write(data),
    });
    const restore = terminal ? attach(running, machine) : pipeInput(running);
    try {
      const { status, signal } = await running.exited;
      return signal ? 128 + signal : status;
    } catch (e) {
      const { text, console } = await machine.ended;
      process.stderr.write(
        `${console.map((line) => `  | ${line}\n`).join('')}i915-userptr: ${text}\n`,
      );
      return e instanceof VmError ? exitStatus.error : Promise.reject(e);
    } finally {
      restore();
    }
  } catch (e) {
    // What a machine says that was stopped on the way is not what happened.
    throw controller.signal.aborted && !running ? new VmError('interrupted') : e;
  } finally {
    off();
    await machine.stop();
  }
}

/** The text of a record of /dev/kmsg, with its time. */
function logLine(record: string): string {
  const [, us, text] = /^\d+,\d+,(\d+),[^;]*;([^\n]*)/.exec(record) ?? [];
  return us === undefined ? '' : `[${(Number(us) / 1e6).toFixed(6).padStart(12)}] ${text}\n`;
}

/** Standard input, where it is a file or a pipe. */
function pipeInput(running: GuestProcess): () => void {
  const { stdin } = process;
  if (stdin.isTTY) {
    running.end();
    return () => {};
  }
  stdin.on('data', (data: Buffer) => {
    stdin.pause();
    void running.write(data).then(() => stdin.resume());
  });
  stdin.on('end', () => running.end());
  stdin.on('error', () => running.end());
  return () => stdin.destroy();
}

const CTRL_RIGHT_BRACKET = 0x1d;

/** The terminal's keys to the guest, and its size. */
function attach(running: GuestProcess, machine: Machine): () => void {
  const { stdin, stdout } = process;
  stdin.setRawMode(true);
  const keys = (data: Buffer) => {
    if (data.includes(CTRL_RIGHT_BRACKET)) void machine.stop();
    else void running.write(data);
  };
  const resized = () => running.resize(stdout.rows, stdout.columns);
  stdin.on('data', keys);
  stdout.on('resize', resized);
  return () => {
    stdin.off('data', keys);
    stdout.off('resize', resized);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
