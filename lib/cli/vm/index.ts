// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { vmDescription } from '../descriptions.js';
import { vmBenchCommand } from './bench.js';
import { doctorCommand } from './doctor.js';
import { driverCommand } from './driver.js';
import { vmExecCommand, vmShellCommand } from './exec.js';
import { kernelsCommand } from './kernels.js';
import { vmRunCommand } from './run.js';
import { setupCommand } from './setup.js';

const after = `
The real, unmodified i915 driver in a QEMU guest, on an Intel GPU that this project emulates: no Intel
hardware needed, no root, KVM or plain emulation.

  i915-userptr vm setup                 once: QEMU (where the system's is too old), and a kernel
  i915-userptr vm run --seconds 30      the same stress as \`run\`, on that kernel
  i915-userptr vm run --kernel DIR      on a kernel of your own
  i915-userptr vm shell                 look around in the guest
  i915-userptr vm bench                 how fast all that is here
  i915-userptr vm doctor                what is there, and what is missing
`;

export function vmCommand(ends: (status: number) => void): Command {
  const command = new Command('vm')
    .description(vmDescription)
    .helpCommand(false)
    .enablePositionalOptions()
    .addHelpText('after', after);
  for (const sub of [
    vmRunCommand(ends),
    vmExecCommand(ends),
    vmShellCommand(ends),
    vmBenchCommand(ends),
    doctorCommand(ends),
    setupCommand(ends),
    kernelsCommand(ends),
    driverCommand(ends),
  ])
    command.addCommand(sub);
  return command;
}
