// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { parseFlags } from '../../stress/options.js';
import { parseVmFlags, type VmFlagsGiven } from '../../vm/options.js';
import { runInVm } from '../../vm/run.js';
import { listText } from '../list.js';
import { addRunOptions, type RunFlags, withOutput } from '../run.js';
import { addVmOptions, splitFlags } from './flags.js';

const after = `
Boots a stock kernel in QEMU, binds its own i915 to the emulated GPU, and runs \`i915-userptr run\`
there, from this machine's files, which the guest sees read-only. The kernel's log is read along: a
WARN, a lockdep report or a GPU reset is a violation. A panic, a hang or a reboot of the guest is a
result of the run, with the console's last lines. Exit status and output are those of \`run\`.

Examples:
  i915-userptr vm run --seconds 30                       Debian's 6.1
  i915-userptr vm run --kernel 6.12 --stressors munmap,mmap
  i915-userptr vm run --kernel ~/linux                   a build tree of your own
  i915-userptr vm run --kernel 6.1 --module i915.ko      one module of your own
  i915-userptr vm run --kernel lockdep --seconds 60      after \`vm kernels build debian:6.1 --lockdep\`
`;

export function vmRunCommand(ends: (status: number) => void): Command {
  const command = new Command('run').description(
    "stress the real i915 driver, in a guest of QEMU's",
  );
  addRunOptions(command, ({ name, group }) => group !== 'Software device' && name !== 'device');
  addVmOptions(command);
  return command.addHelpText('after', after).action(async (given: RunFlags & VmFlagsGiven) => {
    if (given.list) {
      process.stdout.write(listText());
      return;
    }
    const { vm, rest } = splitFlags(given);
    ends(await runVm(rest, vm));
  });
}

export function runVm(given: RunFlags, vmGiven: VmFlagsGiven): Promise<number> {
  const { json: _json, quiet: _quiet, list: _list, ndjson: _ndjson, ...flags } = given;
  const options = parseFlags(flags);
  const vm = parseVmFlags(vmGiven);
  return withOutput(given, ({ signal, onProgress, say }) =>
    runInVm(options, vm, { signal, onRun: onProgress, onProgress: say }),
  );
}
