// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { findNodes, objection } from '../device/open.js';
import { columns } from '../report/units.js';

export const devicesCommand = (): Command =>
  new Command('devices')
    .description('list the DRM nodes: driver, permission, who holds them; and what auto takes')
    .action(() => {
      process.stdout.write(devicesText(findNodes()));
    });

export function devicesText(nodes: ReturnType<typeof findNodes>): string {
  const rows = nodes.map((node) => [
    node.path,
    node.driver || 'driver unknown',
    node.pci || '-',
    objection(node) ?? (node.holdersKnown ? 'free' : 'free, as far as can be seen'),
  ]);
  // columns() sets all but the first to the right, as numbers want it.
  const width = (i: number) => Math.max(...rows.map((row) => row[i]?.length ?? 0));
  const lines = rows.length
    ? columns(rows.map((row) => row.map((cell, i) => cell.padEnd(width(i)))))
    : ['no DRM nodes: there is no /dev/dri here'];
  const taken = nodes.find((node) => objection(node) === null);
  const auto = taken
    ? `${taken.path}, the first i915 render node that no display server holds`
    : 'soft, the software i915: no node above can be used';
  return `${[...lines, '', `auto takes ${auto}`].join('\n')}\n`;
}
