// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { buildKernel, flavours } from '../../vm/build.js';
import { building, faultOption, jobsOption } from './building.js';

interface BuildFlags {
  lockdep?: true;
  kasan?: true;
  kcov?: true;
  driverFault?: string[];
  name?: string;
  jobs?: number;
}

const after = `
The configuration is x86_64_defconfig and kvm_guest.config with a fragment of this package over them:
i915 and all that the guest needs is built in, and vmlinux (with KASAN or kcov: bzImage) is all there
is to boot. Objects stay in the cache: after a change of one line a build takes seconds. No build
writes in the source.

Examples:
  i915-userptr vm kernels build debian:6.1 --lockdep        then: vm run --kernel lockdep
  i915-userptr vm kernels build ~/linux --name mine -j 8    then: vm run --kernel mine
  i915-userptr vm kernels build debian:6.1 --lockdep --driver-fault notifier-lock
                                                            lockdep must report a cycle of locks
`;

/** `ends` is told the exit status. */
export function buildCommand(ends: (status: number) => void): Command {
  return new Command('build')
    .description('build a kernel for the VM from source, and keep it in the cache under a name')
    .argument('<source>', "a kernel's source, or debian:VERSION: debian:6.1, debian:6.1.176-1")
    .option('--lockdep', 'check the order of locks (PROVE_LOCKING)')
    .option('--kasan', 'find uses after free and out of bounds (KASAN)')
    .option('--kcov', 'tell the code that a syscall reaches (KCOV)')
    .addOption(faultOption('--driver-fault', 'break i915 on purpose: vm driver faults lists how'))
    .option('--name <name>', 'for --kernel; by default what was asked for: lockdep, kasan, built')
    .addOption(jobsOption())
    .addHelpText('after', after)
    .action(async (source: string, flags: BuildFlags) => {
      const built = await building((options) =>
        buildKernel({
          ...options,
          source,
          flavours: flavours.filter((flavour) => flags[flavour]),
          jobs: flags.jobs,
          ...(flags.driverFault && { faults: flags.driverFault }),
          ...(flags.name !== undefined && { name: flags.name }),
        }),
      );
      if (built.unmet.length)
        process.stderr.write(`this source has not taken: ${built.unmet.join('; ')}\n`);
      process.stdout.write(
        `${built.name}: ${built.release} in ${built.dir}\ni915-userptr vm run --kernel ${built.name}\n`,
      );
      ends(0);
    });
}
