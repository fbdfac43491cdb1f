// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import type { Lists } from '../../lab/schema.js';
import { interruptible } from '../interrupt.js';
import { openLab } from './open.js';

export const labListCommand = (): Command =>
  new Command('list')
    .description('list the strategies, the scenarios, and the faults that break a strategy')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: true }) => {
      const lists = await interruptible(async (signal) => (await openLab(signal)).lists(signal));
      process.stdout.write(json ? `${JSON.stringify(lists, null, 2)}\n` : labListText(lists));
    });

export function labListText({ strategies, scenarios, faults }: Lists): string {
  const part = (title: string, rows: readonly { name: string; what: string }[]) => {
    const width = Math.max(0, ...rows.map(({ name }) => name.length));
    return [title, ...rows.map(({ name, what }) => `  ${name.padEnd(width)}  ${what}`)].join('\n');
  };
  return `${[
    part('strategies', strategies),
    part('scenarios', scenarios),
    part('faults (lab run --break)', faults),
  ].join('\n\n')}\n`;
}
