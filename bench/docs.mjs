// SPDX-License-Identifier: MIT
// Explores what docs/strategies.md shows, and puts today's table and lanes in their places:
// `npm run docs`. Only what stands between the markers changes.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { compare } from '../dist/lab/compare.js';
import { Lab } from '../dist/lab/lab.js';
import { lanesText } from '../dist/lab/lanes.js';
import { cellOf, markdown } from '../dist/lab/table.js';

const file = join(import.meta.dirname, '..', 'docs/strategies.md');
const block = /(<!-- (table|lanes): (.*?) -->\n)([\s\S]*?)(<!-- end -->)/g;

const lab = await Lab.open();
const { strategies, scenarios } = await lab.lists();
const jobs = availableParallelism();
console.log(`exploring ${strategies.length} strategies in ${scenarios.length} scenarios`);
const all = await compare(lab, { strategies, scenarios, jobs, secondsPerCell: 120 });

/** What a block shows; where there is nothing to show, it stays as it is, and that is said. */
function shown(kind, args, before) {
  if (kind === 'table') return markdown(all);
  const [strategy, scenario] = args.split(' ').slice(-2);
  const cell = cellOf(all, strategy, scenario);
  if (!cell?.lanes) {
    console.error(`${strategy} in ${scenario}: ${cell ? cell.verdict : 'there is no such cell'}`);
    process.exitCode = 1;
    return before;
  }
  const head = `${strategy} in ${scenario}: ${cell.verdict}\n${cell.what.trimEnd()}`;
  return `\`\`\`\n${head}\n\n${lanesText(cell.lanes, { brief: true })}\`\`\`\n`;
}

const page = readFileSync(file, 'utf8');
writeFileSync(
  file,
  page.replace(
    block,
    (_, begin, kind, args, before, end) => begin + shown(kind, args, before) + end,
  ),
);
