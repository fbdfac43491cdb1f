// SPDX-License-Identifier: MIT
import { mkdtempSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import pico from 'picocolors';
import { type CompareProgress, compare } from '../../lab/compare.js';
import { LabError } from '../../lab/error.js';
import { html } from '../../lab/html.js';
import type { Comparison } from '../../lab/schema.js';
import { findingsText, markdown, tableText } from '../../lab/table.js';
import { count } from '../../report/units.js';
import { exitStatus } from '../../stress/result.js';
import { said } from '../../vm/error.js';
import { onInterrupt } from '../interrupt.js';
import { checkWritable, written } from '../output.js';
import { integerOption, secondsOption } from '../values.js';
import { lineView } from '../vm/line-view.js';
import { chosen, openLab } from './open.js';

const after = `
Explores each strategy in each scenario, some at a time, and prints a table: strategies are the rows.
A ? marks what was not found by a search that did not come to its end. Each finding has its sentence
below the table, and a file for \`lab replay\`. --json and --html also hold the lanes.

Ctrl-C ends it, with a table of the cells that were done. Exit status: 0 if all of them ran, whatever
they found; 2 usage; 3 if one could not run, or it was interrupted.

Examples:
  i915-userptr lab compare                                         all by all, every processor
  i915-userptr lab compare --strategies none,interval --scenarios lookup-invalidate,exit-busy
  i915-userptr lab compare --html table.html --save-dir findings   a page to send, files to replay
  i915-userptr lab compare --json - --seconds-per-cell 5 | jq '.cells[] | [.strategy, .scenario, .verdict]'
`;

interface CompareFlags {
  strategies?: string;
  scenarios?: string;
  jobs: number;
  secondsPerCell: number;
  json?: string;
  html?: string;
  saveDir?: string;
  markdown?: true;
}

export function compareCommand(ends: (status: number) => void): Command {
  return new Command('compare')
    .description('explore all strategies in all scenarios: a table')
    .option('--strategies <names>', 'only these, with commas')
    .option('--scenarios <names>', 'only these, with commas')
    .option(
      '-j, --jobs <n>',
      'searches at a time',
      integerOption(1, 256),
      Math.min(256, availableParallelism()),
    )
    .option('--seconds-per-cell <s>', 'a search gives up after', secondsOption, 60)
    .option('--json <file>', 'all of it as JSON; - is stdout, and the words go to stderr')
    .option('--html <file>', 'a page of its own, with the lanes of each finding')
    .option('--save-dir <dir>', 'where the counterexamples go; by default under /tmp')
    .option('--markdown', 'the table as Markdown')
    .addHelpText('after', after)
    .action(async (flags: CompareFlags) => {
      for (const [option, file] of [
        ['--json', flags.json === '-' ? undefined : flags.json],
        ['--html', flags.html],
      ] as const)
        if (file !== undefined) checkWritable(option, file);
      const c = await explore(flags);
      const words = flags.json === '-' ? process.stderr : process.stdout;
      const color = pico.isColorSupported && Boolean(words.isTTY);
      const width = words.isTTY ? (words.columns ?? 100) : 100;
      const text = flags.markdown
        ? markdown(c)
        : `${tableText(c, { color, width })}\n${findingsText(c, { color })}`;
      await written(words, `${text.trimEnd()}\n`);
      const json = `${JSON.stringify(c)}\n`;
      if (flags.json === '-') await written(process.stdout, json);
      else if (flags.json !== undefined) writeFileSync(flags.json, json);
      if (flags.html !== undefined) writeFileSync(flags.html, html(c));
      const ran = c.complete && c.cells.every((cell) => cell.verdict !== 'error');
      ends(ran ? exitStatus.pass : exitStatus.error);
    });
}

/** All of them, or those that were done when the first Ctrl-C came. */
async function explore(flags: CompareFlags): Promise<Comparison> {
  const view = lineView(process.stderr, 5, () => performance.now());
  const controller = new AbortController();
  const { signal } = controller;
  const off = onInterrupt(() => controller.abort());
  let saveDir: string | undefined;
  try {
    const lab = await openLab(signal);
    const lists = await lab.lists(signal);
    const strategies = chosen(lists.strategies, flags.strategies, 'strategy');
    const scenarios = chosen(lists.scenarios, flags.scenarios, 'scenario');
    saveDir = await directory(flags.saveDir);
    const begin = performance.now();
    return await compare(
      lab,
      {
        strategies,
        scenarios,
        jobs: flags.jobs,
        secondsPerCell: flags.secondsPerCell,
        saveDir,
      },
      {
        signal,
        onProgress: (p) => view.show(progressText(p, (performance.now() - begin) / 1000)),
      },
    );
  } finally {
    off();
    view.end();
    // One of our own, with nothing in it.
    if (saveDir && !flags.saveDir && readdirSync(saveDir).length === 0) rmdirSync(saveDir);
  }
}

async function directory(given: string | undefined): Promise<string> {
  try {
    if (given === undefined) return mkdtempSync(join(tmpdir(), 'i915-userptr-lab-'));
    await mkdir(given, { recursive: true });
    return given;
  } catch (e) {
    throw new LabError(`--save-dir: ${said(e)}`);
  }
}

/** `12 s  41 of 144  9 findings  3,456,789 steps  interval in two-invalidates` */
export function progressText({ done, total, findings, steps, now }: CompareProgress, s: number) {
  const found = `${findings} finding${findings === 1 ? '' : 's'}`;
  return [`${s.toFixed(0)} s`, `${done} of ${total}`, found, `${count(steps)} steps`, ...now].join(
    '  ',
  );
}
