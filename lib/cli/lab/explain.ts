// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import type { Strategy } from '../../lab/schema.js';
import { interruptible } from '../interrupt.js';
import { one, openLab } from './open.js';

export const explainCommand = (): Command =>
  new Command('explain')
    .description('what a strategy does, which kernel had it, and what is known against it')
    .argument('[strategy]', 'by default all of them')
    .action(async (name: string | undefined) => {
      const { strategies } = await interruptible(async (signal) =>
        (await openLab(signal)).lists(signal),
      );
      const wanted = name === undefined ? strategies : [one(strategies, name, 'strategy')];
      process.stdout.write(wanted.map(explainText).join('\n'));
    });

const WIDTH = 92;

/** Words in lines, behind a title in the first one. */
function paragraph(title: string, text: string): string[] {
  return text.split('\n').flatMap((part, i) => {
    const lines = [''];
    for (const word of part.split(/\s+/)) {
      const line = lines.at(-1) ?? '';
      if (line && line.length + word.length + 1 > WIDTH - 10) lines.push(word);
      else lines[lines.length - 1] = line ? `${line} ${word}` : word;
    }
    return lines.map((line, j) => `  ${(i + j ? '' : title).padEnd(8)} ${line}`.trimEnd());
  });
}

export function explainText({
  name,
  what,
  waits,
  does,
  kernels,
  against,
  sources,
}: Strategy): string {
  const parts = [
    ['what', what],
    ['does', does],
    ['kernels', kernels],
    [
      'GPU',
      waits
        ? 'done with the pages when invalidate_range_start returns'
        : 'may still write the pages after the invalidate: they stay pinned until the next submission',
    ],
    ['against', against],
    ['sources', sources],
  ];
  return `${[
    name,
    ...parts.flatMap(([title = '', text]) => (text ? paragraph(title, text) : [])),
  ].join('\n')}\n`;
}
