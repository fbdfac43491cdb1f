// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import pico from 'picocolors';
import { type LanesTextOptions, lanesText } from '../../lab/lanes.js';
import { type Cell, isFinding } from '../../lab/schema.js';
import { count } from '../../report/units.js';
import { exitStatus } from '../../stress/result.js';
import { interruptible } from '../interrupt.js';
import { checkWritable, written } from '../output.js';
import { integerOption, secondsOption } from '../values.js';
import { lineView } from '../vm/line-view.js';
import { openLab } from './open.js';
import { gdbCommand, shellWord } from './replay.js';

const after = `
Goes through all interleavings of the scenario's threads under the strategy, but for those that differ
only in the order of steps that commute, until one of them is a finding or none is left. What is found
is then looked for with fewer preemptions, and printed as lanes: one column a thread, one row a step,
a bar for each lock that the thread holds, and the page table where it has changed.

Exit status: 0 it holds, 1 a finding, 2 usage, 3 it could not run.

Examples:
  i915-userptr lab run none lookup-invalidate
  i915-userptr lab run interval two-invalidates --break skip-retry --save found.ndjson
  i915-userptr lab run interval lookup-invalidate --no-reduction    how many there are in all
  i915-userptr lab run rwsem nested-invalidate --preemptions 1      only with so many preemptions
`;

interface RunFlags {
  break?: string;
  preemptions?: number;
  reduction: boolean;
  maxExecutions?: number;
  seconds?: number;
  save?: string;
  json?: true;
  brief?: true;
}

export function labRunCommand(ends: (status: number) => void): Command {
  return new Command('run')
    .description('explore one strategy in one scenario')
    .argument('<strategy>', 'lab list has their names')
    .argument('<scenario>')
    .option('--break <faults>', 'break the strategy on purpose: names of lab list, with commas')
    .option(
      '--preemptions <n>',
      'no more than so many in an execution; without reduction, and not exhaustive',
      integerOption(0, 1000),
    )
    .option('--no-reduction', 'every interleaving, also those that differ by steps that commute')
    .option('--max-executions <n>', 'give up after', integerOption(1, 1e15 - 1))
    .option('--seconds <s>', 'give up after', secondsOption)
    .option('--save <file>', 'the counterexample, for lab replay')
    .option('--brief', 'lanes without what sets the scene, and without places in the source')
    .option('--json', 'the result as JSON, with the lanes, and no words')
    .addHelpText('after', after)
    .action(async (strategy: string, scenario: string, flags: RunFlags) => {
      const { json, brief = false, ...search } = flags;
      if (search.save !== undefined) checkWritable('--save', search.save);
      const view = lineView(process.stderr, 10, () => performance.now());
      const { cell, program } = await interruptible(async (signal) => {
        const lab = await openLab(signal);
        const cell = await lab.run(
          { strategy, scenario, ...search },
          {
            signal,
            onProgress: ({ executions, steps, seconds }) =>
              view.show(
                `${seconds.toFixed(0)} s  ${count(executions)} executions  ${count(steps)} steps`,
              ),
          },
        );
        return { cell, program: lab.program };
      }).finally(() => view.end());
      const color = pico.isColorSupported && Boolean(process.stdout.isTTY);
      await written(
        process.stdout,
        json ? `${JSON.stringify(cell, null, 2)}\n` : cellText(cell, program, { color, brief }),
      );
      ends(cellStatus(cell));
    });
}

export const cellStatus = (cell: Cell): number =>
  cell.verdict === 'error' ? exitStatus.error : isFinding(cell) ? exitStatus.fail : exitStatus.pass;

/** Verdict, lanes, counts, and how to have it again. */
export function cellText(
  cell: Cell,
  program: string,
  { color = false, brief = false }: LanesTextOptions = {},
): string {
  const paint = pico.createColors(color);
  const good = cell.verdict === 'holds';
  const broken = cell.break ? `, broken by ${cell.break}` : '';
  const head = `${cell.strategy} in ${cell.scenario}${broken}: ${cell.verdict}`;
  const parts = [paint.bold((good ? paint.green : paint.red)(head))];
  if (cell.what) parts[0] += `\n${cell.what.trimEnd()}`;
  if (cell.verdict === 'error') return `${parts[0]}\n`;
  if (cell.lanes) parts.push(lanesText(cell.lanes, { color, brief }).trimEnd());
  const lines = [countsText(cell)];
  if (isFinding(cell)) lines.push(...findingText(cell, program));
  if (cell.lockdep && cell.verdict !== 'lockdep')
    lines.push(`lockdep reports as well: ${cell.lockdep}`);
  parts.push(lines.join('\n'));
  return `${parts.join('\n\n')}\n`;
}

function countsText(cell: Cell): string {
  const rate = cell.seconds >= 0.1 ? `, ${count(Math.round(cell.steps / cell.seconds))}/s` : '';
  const counts = `${count(cell.executions)} executions and ${count(cell.pruned)} cut short, ${count(cell.steps)} steps in ${cell.seconds.toFixed(2)} s${rate}`;
  return `${counts}; ${endText(cell)}`;
}

function endText(cell: Cell): string {
  if (cell.exhaustive) return 'exhaustive: no interleaving is left';
  if (cell.stopped) return `not exhaustive: stopped by the limit of ${cell.stopped}`;
  if (cell.verdict !== 'holds') return 'ended by the finding';
  return cell.within_bound
    ? 'not exhaustive: all that the bound on preemptions allows'
    : 'not exhaustive: some executions were too long';
}

function findingText(cell: Cell, program: string): string[] {
  const lines: string[] = [];
  if (cell.switches !== undefined) {
    const minimal = cell.minimal ? ', none with fewer preemptions ends this way' : '';
    lines.push(
      `counterexample: ${cell.switches} context switches, ${cell.preemptions ?? 0} of them by preemption${minimal}`,
    );
  }
  if (cell.file === undefined) {
    lines.push('to replay it: the same with --save FILE, then i915-userptr lab replay FILE');
    return lines;
  }
  const last = cell.lanes?.steps.findLast((s) => /^[\w.-]+:\d+$/.test(s.where));
  const at = cell.verdict === 'violated' ? undefined : last?.where;
  return [
    ...lines,
    `replay: i915-userptr lab replay ${shellWord(cell.file)}`,
    `debug:  ${gdbCommand(program, cell.file, at)}`,
  ];
}
