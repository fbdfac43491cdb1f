// SPDX-License-Identifier: MIT
import { Command, CommanderError } from 'commander';
import { I915Error } from '../error.js';
import { LabError } from '../lab/error.js';
import { toolVersion } from '../stress/assemble.js';
import { OptionError } from '../stress/options.js';
import { exitStatus } from '../stress/result.js';
import { VmError } from '../vm/error.js';
import {
  kselftestDescription,
  labDescription,
  matchDescription,
  vmDescription,
} from './descriptions.js';
import { devicesCommand } from './devices.js';
import { runCommand } from './run.js';

const about =
  "Stress tests for i915's userptr: memory that a process lends to an Intel GPU, and takes back while the GPU writes it.";

const after = `
  i915-userptr run              ten seconds on the device it finds
  i915-userptr run --help       what can be chosen, what is judged, what the exit status says
  i915-userptr run --list       stressors, and the software device's strategies and faults
  i915-userptr devices          which nodes there are, and which one a run would take
  i915-userptr vm --help        the real driver, in a VM with an emulated Intel GPU
  i915-userptr kselftest --list the C tests, which run here or in the VM
  i915-userptr lab --help       locking strategies, and every interleaving of them
  i915-userptr match --help     the software device against the real driver, call by call
`;

/** Says what went wrong, and with which status that ends. */
function failed(e: unknown): number {
  if (e instanceof CommanderError) return e.exitCode === 0 ? 0 : exitStatus.usage;
  if (e instanceof OptionError) {
    process.stderr.write(`i915-userptr: ${e.message}\n`);
    return exitStatus.usage;
  }
  const known = [I915Error, VmError, LabError].some((kind) => e instanceof kind);
  const text = e instanceof Error ? (known ? e.message : e.stack) : e;
  process.stderr.write(`i915-userptr: ${text}\n`);
  return exitStatus.error;
}

const vmStub = () => new Command('vm').description(vmDescription);
const kselftestStub = () => new Command('kselftest').description(kselftestDescription);
const matchStub = () => new Command('match').description(matchDescription);
const labStub = () => new Command('lab').description(labDescription);

/** How errors are told and how commands end, for a command and those under it. */
function inheriting(command: Command, from: Command): Command {
  command.copyInheritedSettings(from);
  for (const sub of command.commands) inheriting(sub, command);
  return command;
}

export async function main(argv: string[]): Promise<void> {
  // `| head` has seen enough. The run's process goes with this one.
  for (const out of [process.stdout, process.stderr])
    out.on('error', () => process.exit(exitStatus.error));
  // Node's own status for it, 1, would say that the kernel is at fault.
  process.on('uncaughtException', (e) => process.exit(failed(e)));
  const program = new Command('i915-userptr')
    .description(about)
    .version(toolVersion)
    .helpCommand(false)
    .showHelpAfterError('(--help tells what there is)')
    .exitOverride()
    .addHelpText('after', after);
  let status = 0;
  const ends = (n: number) => {
    status = n;
  };
  // Half of all there is to load: not where a guest's emulated CPU would have to do it.
  const vm = argv[2] === 'vm' ? (await import('./vm/index.js')).vmCommand(ends) : vmStub();
  const lab = argv[2] === 'lab' ? (await import('./lab/index.js')).labCommand(ends) : labStub();
  const kselftest =
    argv[2] === 'kselftest'
      ? (await import('./kselftest.js')).kselftestCommand(ends)
      : kselftestStub();
  const match = argv[2] === 'match' ? (await import('./match.js')).matchCommand(ends) : matchStub();
  for (const command of [runCommand(ends), devicesCommand(), vm, kselftest, lab, match])
    program.addCommand(inheriting(command, program));
  try {
    await program.parseAsync(argv);
  } catch (e) {
    status = failed(e);
  }
  // A process that hangs in the kernel would keep the event loop waiting.
  process.exit(status);
}
