// SPDX-License-Identifier: MIT
// docs/strategies.md is of this build: `npm run docs` writes what stands between its markers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { Lab } from '../../lib/lab/lab.js';
import { type Lists, verdicts } from '../../lib/lab/schema.js';
import { packageRoot } from '../../lib/native.js';

const page = readFileSync(join(packageRoot, 'docs/strategies.md'), 'utf8');
const blocks = [...page.matchAll(/<!-- (table|lanes): (.*?) -->\n([\s\S]*?)<!-- end -->/g)].map(
  ([, kind = '', args = '', text = '']) => ({ kind, args, text }),
);

let lists: Lists;
beforeAll(async () => {
  lists = await (await Lab.open()).lists();
}, 600_000);

/** Cells of the one table, by scenario and strategy. */
function cells(): Map<string, Map<string, string>> {
  const [table] = blocks.filter(({ kind }) => kind === 'table');
  const rows = (table?.text ?? '')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((text) => text.trim().replaceAll('*', '')),
    );
  const [, ...names] = rows[0] ?? [];
  return new Map(
    rows
      .slice(2)
      .map(([scenario = '', ...words]) => [
        scenario,
        new Map(names.map((name, i) => [name, words[i] ?? ''])),
      ]),
  );
}

test('the table has one cell for each strategy and scenario that there is', () => {
  const found = cells();
  expect([...found.keys()]).toEqual(lists.scenarios.map((s) => s.name));
  for (const row of found.values()) {
    expect([...row.keys()]).toEqual(lists.strategies.map((s) => s.name));
    for (const word of row.values())
      expect(verdicts.filter((v) => v !== 'error')).toContain(word.replace(/\?$/, ''));
  }
});

test('lanes are those of a finding in the table', () => {
  const lanes = blocks.filter(({ kind }) => kind === 'lanes');
  expect(lanes).toHaveLength(3);
  for (const { args, text } of lanes) {
    const [strategy = '', scenario = ''] = args.split(' ').slice(-2);
    const verdict = cells().get(scenario)?.get(strategy);
    expect(verdict, args).toBeDefined();
    expect(verdict).not.toMatch(/^holds/);
    expect(text).toContain(`\`\`\`\n${strategy} in ${scenario}: ${verdict}\n`);
    expect(text.match(/^> +\d+ /gm)).toHaveLength(1);
  }
});
