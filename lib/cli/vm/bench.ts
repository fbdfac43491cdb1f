// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { exitStatus } from '../../stress/result.js';
import { benchVm, type Measure } from '../../vm/bench.js';
import { parseVmFlags, type VmFlagsGiven } from '../../vm/options.js';
import { interruptible } from '../interrupt.js';
import { addVmOptions, splitFlags } from './flags.js';

const after = `
Boots a guest with two CPUs, then one, then four (with --cpus only one, with that many), and prints
as it goes: the boot and where its time goes, register accesses, execbufs a second, what the emulated
GPU's process works for each, and how soon the host's node submits in the guest. Goals are for Debian's
6.1 on a machine that does nothing else; nothing here says how fast a real GPU is.

Exit status: 0 also where a goal is missed, 3 if it could not be measured.

Examples:
  i915-userptr vm bench
  i915-userptr vm bench --kernel 6.12 --cpus 1 --json
`;

/** As many as most goals were set with come first: the boot is that of the first. */
const CPUS = [2, 1, 4];

interface BenchFlags extends VmFlagsGiven {
  json?: boolean;
}

export function vmBenchCommand(ends: (status: number) => void): Command {
  const command = new Command('bench').description('how fast the VM and its emulated GPU are');
  addVmOptions(command);
  return command
    .option('--json', 'as JSON, at the end')
    .addHelpText('after', after)
    .action(async (given: BenchFlags) => {
      const { vm: flags, rest } = splitFlags(given);
      const vm = parseVmFlags(flags);
      const measures: Measure[] = [];
      let subject = '';
      const say = (line: string) => {
        if (!rest.json) process.stdout.write(`${line}\n`);
      };
      await interruptible((signal) =>
        benchVm(
          vm,
          // performance.now() counts from the start of the process.
          { begun: 0, cpus: flags.cpus === undefined ? CPUS : [vm.cpus] },
          {
            signal,
            onProgress: (what) => process.stderr.write(`${what}\n`),
            onSubject: (text) => {
              subject = text;
              say(text);
            },
            onMeasure: (measure) => {
              measures.push(measure);
              say(measureText(measure));
            },
          },
        ),
      );
      if (rest.json) process.stdout.write(`${JSON.stringify({ subject, measures }, null, 2)}\n`);
      ends(exitStatus.pass);
    });
}

/** "register read, there and back      29.1 µs   GOAL   MISSED" */
export function measureText({ what, value, unit, goal }: Measure): string {
  const line = `${what.padEnd(58)} ${valueText(value, unit).padStart(14)}`;
  return goal ? `${line}   ${goal.text}${goal.holds ? '' : '   MISSED'}` : line;
}

function valueText(value: number, unit: Measure['unit']): string {
  if (unit === '/s') return `${Math.round(value).toLocaleString('en-US')}/s`;
  const digits = unit === 'ms' ? 0 : unit === 'µs' ? 1 : 2;
  return `${value.toFixed(digits)} ${unit}`.trimEnd();
}
