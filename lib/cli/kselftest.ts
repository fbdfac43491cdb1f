// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto';
import { createWriteStream, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import pico from 'picocolors';
import { type KtapTest, leaves } from '../kselftest/ktap.js';
import { type KselftestResult, kselftestResultSchema } from '../kselftest/result.js';
import { listKselftest, runKselftest, totalsOf } from '../kselftest/run.js';
import { columns, count } from '../report/units.js';
import { OptionError } from '../stress/options.js';
import { parseVmFlags, type VmFlagsGiven } from '../vm/options.js';
import { kselftestDescription } from './descriptions.js';
import { interruptible } from './interrupt.js';
import { checkWritable, written } from './output.js';
import { integerOption, secondsOption, seedOption, several } from './values.js';
import { addVmOptions, splitFlags } from './vm/flags.js';
import { lineView } from './vm/line-view.js';

const after = `
Builds the programs of kselftest/ (gcc and make are needed) and runs them one after the other: on the
first i915 node of this machine, on the one that --device names, or with --vm in a guest with the
emulated GPU. They are plain C, print KTAP and can be run by hand: see the README beside them. Each
test runs in a process of its own; a report of the kernel's between its begin and its end fails it.

Exit status: 0 pass, 1 a test failed, 2 usage, 3 could not run, 4 all was skipped (no i915 here).
Ctrl-C ends the test that runs, and gives a verdict for those that have.

Examples:
  i915-userptr kselftest --list                      what there is; no root, no GPU
  i915-userptr kselftest --vm                        all of it, in a VM with Debian's 6.1
  i915-userptr kselftest --vm --kernel 6.12 interface
  i915-userptr kselftest -t '*munmap*' -r 10 -s 7    some tests, ten times, with this seed
`;

interface Flags {
  test?: string[];
  drop?: string[];
  repeat?: number;
  seed?: bigint;
  seconds?: number;
  device?: string;
  vm?: true;
  list?: true;
  json?: string;
  ktap?: string;
  quiet?: true;
}

/** On a machine without a terminal: a line so often, or for each program. */
const PLAIN_EVERY_S = 10;
/** Of a test that failed. */
const MAX_SHOWN = 30;
/** What tests of hugetlb mappings and of migration need. */
const MACHINE = { hugepages: '40', numa: true } as const;

export function kselftestCommand(ends: (status: number) => void): Command {
  const command = new Command('kselftest')
    .description(kselftestDescription)
    .argument('[program...]', 'interface, data, ...: all, if none is named')
    .option('-t, --test <pattern>', 'only these tests: fixture.variant.test, with * and ?', several)
    .option('-T, --drop <pattern>', 'and not these', several)
    .option('-r, --repeat <n>', 'each test so many times', integerOption(1, 1e6))
    .option('-s, --seed <n>', 'of all that chance decides', seedOption)
    .option('--seconds <s>', 'of each test that loops', secondsOption)
    .option(
      '-d, --device <node>',
      "a render node, or vm (soft is none: the tests call the kernel's)",
    )
    .option('--vm', 'in a virtual machine, with the emulated GPU')
    .option('--list', 'tell the tests and what each proves')
    .option('--json <file>', 'write the result as JSON; - is stdout, and the words go to stderr')
    .option('--ktap <file>', 'write what the programs print; - is stdout, as with --json')
    .option('--quiet', 'no progress: the failures and the verdict');
  addVmOptions(command);
  return command
    .addHelpText('after', after)
    .action(async (programs: string[], given: Flags & VmFlagsGiven) => {
      const { vm, rest } = splitFlags(given);
      ends(await kselftest(programs, rest, vm));
    });
}

async function kselftest(programs: string[], flags: Flags, vm: VmFlagsGiven): Promise<number> {
  const { test = [], drop = [], repeat = 1, seconds, json, ktap } = flags;
  if (flags.list) {
    const text = await interruptible((signal) => listKselftest(programs, { test, drop }, signal));
    await written(process.stdout, text);
    return 0;
  }
  const asked = flags.device ?? '';
  if (asked === 'soft')
    throw new OptionError('--device soft: the C tests call the kernel; --vm needs no GPU');
  const inVm = flags.vm || asked === 'vm';
  if (!inVm && Object.keys(vm).length)
    throw new OptionError('options of a virtual machine are for --vm');
  const options = {
    programs,
    test,
    drop,
    repeat,
    seed: flags.seed ?? randomBytes(8).readBigUInt64LE() >> 1n,
    seconds,
    device: inVm ? '' : asked,
  };
  for (const [name, file] of Object.entries({ json, ktap }))
    if (file !== undefined && file !== '-') checkWritable(`--${name}`, file);
  if (json === '-' && ktap === '-')
    throw new OptionError('--json - and --ktap -: stdout is for one of them');
  const words = json === '-' || ktap === '-' ? process.stderr : process.stdout;
  const file = ktap === undefined || ktap === '-' ? undefined : createWriteStream(ktap);
  const log = ktap === '-' ? process.stdout : file;
  const view = flags.quiet
    ? undefined
    : lineView(process.stderr, PLAIN_EVERY_S, () => performance.now());
  const done = { pass: 0, fail: 0, skip: 0, xfail: 0 };
  const result = await interruptible((signal) =>
    runKselftest(options, inVm ? parseVmFlags({ ...MACHINE, ...vm }) : undefined, {
      signal,
      onProgress: (what) => view?.show(what, true),
      onTest: (program, name, outcome) => {
        done[outcome as keyof typeof done]++;
        const { pass, fail, skip } = done;
        view?.show(`${program}  ${pass} passed  ${fail} failed  ${skip} skipped  ${name}`);
      },
      onLine: (line) => log?.write(`${line}\n`),
    }),
  ).finally(() => view?.end());
  await new Promise<void>((resolve) => (file ? file.end(resolve) : resolve()));
  const color = pico.isColorSupported && Boolean(words.isTTY);
  await written(words, kselftestText(result, { color, brief: Boolean(flags.quiet) }));
  const text = `${JSON.stringify(kselftestResultSchema.parse(result), null, 2)}\n`;
  if (json === '-') await written(process.stdout, text);
  else if (json !== undefined) writeFileSync(json, text);
  return result.exitStatus;
}

/** What the tests came to, in words. */
export function kselftestText(
  result: KselftestResult,
  { color, brief }: { color: boolean; brief: boolean },
): string {
  const paint = pico.createColors(color);
  const lines: string[] = [];
  if (!brief) {
    const { device, host, seed, notes } = result;
    const head = [
      ['device', device.name],
      ['', device.why],
      ['kernel', `${host.kernel} ${host.machine}, ${host.cpus} CPUs`],
      ['seed', seed],
      ...notes.map((note) => ['note', note]),
    ];
    lines.push(...head.map(([name, text]) => `${name?.padEnd(8)} ${text}`), '');
    const rows = result.programs.map((p) => {
      const of = totalsOf([p]);
      return [p.name, count(of.pass), count(of.fail), count(of.skip), `${p.seconds.toFixed(1)} s`];
    });
    lines.push(...columns([['program', 'passed', 'failed', 'skipped', 'time'], ...rows]), '');
    const skips = result.programs.flatMap((p) => skipLines(p.tests));
    if (skips.length) lines.push(...skips, '');
  }
  for (const { name, tests, problems } of result.programs) {
    for (const { test, path } of leaves(tests))
      if (test.outcome === 'fail') lines.push(...failure(`${name}: ${path.join(' ')}`, test), '');
    for (const problem of problems) lines.push(paint.red(`${name}: ${problem}`));
  }
  const { verdict, why, replay, vm } = result;
  if (vm?.console.length)
    lines.push('the console, last:', ...vm.console.map((l) => `  | ${l}`), '');
  const shown = { pass: paint.green, fail: paint.red, skip: paint.yellow, error: paint.red };
  lines.push(`${shown[verdict](verdict.toUpperCase())}: ${why}`);
  if (verdict === 'fail') lines.push(`again:  ${replay}`);
  return `${lines.join('\n')}\n`;
}

/** Why what was skipped was skipped: each reason once. */
function skipLines(tests: readonly KtapTest[]): string[] {
  const reasons = new Map<string, number>();
  for (const { test } of leaves(tests))
    if (test.outcome === 'skip') reasons.set(test.reason, (reasons.get(test.reason) ?? 0) + 1);
  return [...reasons].map(([why, n]) => `skipped ${n}: ${why}`);
}

function failure(name: string, { reason, diagnostics }: KtapTest): string[] {
  const shown = diagnostics.slice(0, MAX_SHOWN).map((line) => `  # ${line}`);
  if (diagnostics.length > MAX_SHOWN)
    shown.push(`  # ${diagnostics.length - MAX_SHOWN} lines more: --json has them`);
  return [`failed  ${name}${reason ? `: ${reason}` : ''}`, ...shown];
}
