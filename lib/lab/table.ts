// SPDX-License-Identifier: MIT
// A comparison as text and as Markdown.
import pico from 'picocolors';
import { count } from '../report/units.js';
import { type Cell, type Comparison, isFinding, isOpen, type Verdict } from './schema.js';

/** `holds`; `holds?` where the search did not come to its end; `-` where there was none. */
export const cellWord = (cell: Cell | undefined): string =>
  cell ? cell.verdict + (isOpen(cell) ? '?' : '') : '-';

export const cellOf = (c: Comparison, strategy: string, scenario: string): Cell | undefined =>
  c.cells.find((cell) => cell.strategy === strategy && cell.scenario === scenario);

/** Of lockdep's report, which is long, the title. */
const whatText = ({ verdict, lockdep, what }: Cell): string =>
  verdict === 'lockdep' && lockdep ? lockdep : what;

/** What was found, in one line. */
export function sentence(cell: Cell): string {
  const { verdict, stopped } = cell;
  const line = whatText(cell)
    .trim()
    .replace(/\s*\n\s*/g, '; ');
  return line || (stopped ? `${verdict}, stopped by the limit of ${stopped}` : verdict);
}

/** `144 cells in 41.2 s, two at a time; 60 findings; of the others 80 of 84 exhaustive` */
export function summary(c: Comparison): string {
  const findings = c.cells.filter(isFinding).length;
  const open = c.cells.filter(isOpen).length;
  const errors = c.cells.filter((cell) => cell.verdict === 'error').length;
  const steps = c.cells.reduce((sum, cell) => sum + cell.steps, 0);
  const total = c.strategies.length * c.scenarios.length;
  return [
    `${c.complete ? '' : `interrupted after ${c.cells.length} of `}${total} cells in ${c.seconds.toFixed(1)} s, ${c.jobs} at a time`,
    `${count(steps)} steps`,
    `${findings} findings`,
    open ? `not exhaustive (?): ${open}` : 'every search that found nothing was exhaustive',
    ...(errors ? [`${errors} failed`] : []),
  ].join('; ');
}

interface TableOptions {
  color?: boolean;
  /** Characters; a table that is wider is broken into several. */
  width?: number;
}

export function tableText(c: Comparison, { color = false, width = 100 }: TableOptions = {}) {
  const paint = pico.createColors(color);
  const colors: Record<Verdict, (text: string) => string> = {
    holds: paint.green,
    violated: paint.red,
    deadlocks: paint.magenta,
    livelocks: paint.yellow,
    lockdep: paint.cyan,
    error: (text) => paint.bold(paint.red(text)),
  };
  const first = Math.max(...c.strategies.map((s) => s.name.length)) + 2;
  const columns = c.scenarios.map((scenario) => {
    const words = scenario.name.split('-');
    const cells = c.strategies.map((s) => cellOf(c, s.name, scenario.name));
    const room = Math.max(...words.map((w) => w.length), ...cells.map((x) => cellWord(x).length));
    return { words, cells, room: room + 2 };
  });
  const bands: (typeof columns)[] = [];
  let used = Infinity;
  for (const column of columns) {
    if (used + column.room > width) {
      bands.push([]);
      used = first;
    }
    bands.at(-1)?.push(column);
    used += column.room;
  }
  const blocks = bands.map((band) => {
    const height = Math.max(...band.map((column) => column.words.length));
    const head = Array.from({ length: height }, (_, i) =>
      [
        ''.padEnd(first),
        ...band.map(({ words, room }) => (words[i - height + words.length] ?? '').padEnd(room)),
      ]
        .join('')
        .trimEnd(),
    );
    const rows = c.strategies.map((s, i) => {
      const cells = band.map(({ cells, room }) => {
        const cell = cells[i];
        const word = cellWord(cell);
        const gap = ' '.repeat(room - word.length);
        return (cell ? colors[cell.verdict](word) : word) + gap;
      });
      return (s.name.padEnd(first) + cells.join('')).trimEnd();
    });
    return [...head.map((line) => paint.bold(line)), ...rows].join('\n');
  });
  return `${blocks.join('\n\n')}\n\n${summary(c)}\n`;
}

/** What was found, cell by cell. */
export function findingsText(c: Comparison, { color = false }: TableOptions = {}): string {
  const paint = pico.createColors(color);
  const lines = c.cells
    .filter((cell) => isFinding(cell) || cell.verdict === 'error')
    .flatMap((cell) => [
      paint.bold(`${cell.strategy} in ${cell.scenario}: ${cell.verdict}`),
      ...whatText(cell)
        .split('\n')
        .filter((line) => line.trim())
        .slice(0, 8)
        .map((line) => `  ${line}`),
      ...(cell.file ? [`  ${cell.file}`] : []),
    ]);
  return lines.map((line) => `${line}\n`).join('');
}

/** No HTML, no links, no cell that ends early: what a name or a sentence may hold stays text. */
export const markdownText = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replace(/[\\`*_[\]{}>|#~$]/g, (ch) => `\\${ch}`)
    .replace(/\s+/g, ' ');

/** Scenarios are the rows, of which there are more. */
export function markdown(c: Comparison): string {
  const mark = (cell: Cell | undefined) =>
    cell?.verdict === 'holds' ? cellWord(cell) : `**${cellWord(cell)}**`;
  const row = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const rows = c.scenarios.map((scenario) =>
    row([
      scenario.name,
      ...c.strategies.map((strategy) => mark(cellOf(c, strategy.name, scenario.name))),
    ]),
  );
  const findings = c.cells
    .filter(isFinding)
    .map((cell) => `- ${cell.strategy}, ${cell.scenario}: ${markdownText(sentence(cell))}`);
  return `${[
    row(['', ...c.strategies.map((s) => s.name)]),
    row(['---', ...c.strategies.map(() => '---')]),
    ...rows,
    '',
    `${summary(c)}.`,
    ...(findings.length
      ? [
          '',
          '<details><summary>Each finding in a sentence</summary>',
          '',
          ...findings,
          '',
          '</details>',
        ]
      : []),
  ].join('\n')}\n`;
}
