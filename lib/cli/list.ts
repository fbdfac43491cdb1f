// SPDX-License-Identifier: MIT
import { stress } from '../stress/snapshot.js';

/** What --list prints. It opens no device. */
export function listText(): string {
  const lines = ['stressors (--stressors)'];
  for (const { name, changes, needs, verified } of stress.stressors) {
    lines.push(`  ${name.padEnd(12)} ${changes}`);
    if (needs) lines.push(`  ${''.padEnd(12)} needs ${needs}`);
    lines.push(`  ${''.padEnd(12)} verified by ${verified}`);
  }
  const table = (title: string, rows: readonly { name: string; what: string }[]) => {
    const width = Math.max(...rows.map(({ name }) => name.length));
    lines.push('', title, ...rows.map(({ name, what }) => `  ${name.padEnd(width)} ${what}`));
  };
  table('strategies of the software device (--strategy)', stress.softStrategies);
  table('faults of the software device (--fault)', stress.softFaults);
  return `${lines.join('\n')}\n`;
}
