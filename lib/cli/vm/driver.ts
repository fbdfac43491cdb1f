// SPDX-License-Identifier: MIT
import { copyFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Command } from 'commander';
import { buildDriver } from '../../vm/driver.js';
import { said, VmError } from '../../vm/error.js';
import { driverFaults } from '../../vm/faults.js';
import { building, faultOption, fileOption, jobsOption } from './building.js';

interface DriverFlags {
  source?: string;
  patch?: string[];
  fault?: string[];
  output?: string;
  jobs?: number;
}

const after = `
The module is built from Debian's linux-source of the kernel's very version against its headers; both
are fetched into the cache. The objects stay there: the next patch takes seconds. No patch is ever
made in the source.

Examples:
  i915-userptr vm driver build 6.1 --patch fix.patch -o i915.ko    then: vm run --module i915.ko
  i915-userptr vm driver build 6.1 --fault no-set-seq -o broken/i915.ko
`;

/** `ends` is told the exit status. */
export function driverCommand(ends: (status: number) => void): Command {
  const build = new Command('build')
    .description("build i915.ko alone for one of Debian's kernels in the cache")
    .argument('<kernel>', 'as --kernel names it: 6.1, 6.1.0-50-amd64')
    .option('--source <dir>', "a kernel's source in place of Debian's")
    .addOption(fileOption('--patch <file>', 'a unified diff (-p1) of drivers/gpu/drm/i915'))
    .addOption(faultOption('--fault', 'break it on purpose: vm driver faults lists how'))
    .option('-o, --output <file>', 'a copy of the module; its path in the cache is printed without')
    .addOption(jobsOption())
    .addHelpText('after', after)
    .action(async (kernel: string, flags: DriverFlags) => {
      const module = await building((options) =>
        buildDriver({
          ...options,
          kernel,
          jobs: flags.jobs,
          ...(flags.fault && { faults: flags.fault }),
          ...(flags.patch && { patches: flags.patch }),
          ...(flags.source !== undefined && { source: flags.source }),
        }),
      );
      if (flags.output !== undefined) await copyTo(module, flags.output);
      process.stdout.write(`${flags.output ?? module}\n`);
      ends(0);
    });
  const faults = new Command('faults')
    .description('list the ways to break the driver on purpose')
    .action(() => {
      process.stdout.write(faultsText());
    });
  return new Command('driver')
    .description('build i915.ko with a patch, or broken on purpose')
    .addCommand(build)
    .addCommand(faults);
}

export function faultsText(): string {
  const width = Math.max(...driverFaults.map((f) => f.name.length)) + 2;
  return driverFaults
    .map((f) => `${f.name.padEnd(width)}${f.says}\n${' '.repeat(width)}shows: ${f.shows}\n`)
    .join('');
}

/** All or nothing, where a run may be about to load it. */
async function copyTo(from: string, to: string): Promise<void> {
  const tmp = join(dirname(to), `.${basename(to)}.${process.pid}.tmp`);
  try {
    await copyFile(from, tmp);
    await rename(tmp, to);
  } catch (e) {
    await rm(tmp, { force: true });
    throw new VmError(`-o ${to}: ${said(e)}`);
  }
}
