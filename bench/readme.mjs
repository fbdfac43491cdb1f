// SPDX-License-Identifier: MIT
// Runs what the README shows and puts today's output in its place: `npm run readme`, or
// `npm run readme -- WORD` for the commands that have the word.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const file = join(root, 'README.md');
const block = /(<!-- output of: (?:npx i915-userptr )?(.*?) -->\n)[\s\S]*?(<!-- end -->)/g;

function output(args) {
  const argv = args === 'npm start' ? ['run', '--seconds', '10'] : args.split(' ');
  const main = join(root, 'dist/cli/main.js');
  const { stdout, status } = spawnSync(process.execPath, [main, ...argv], { encoding: 'utf8' });
  // One violation stands for those that look alike.
  const cut = stdout.replace(/\nviolation (?!1 )[\s\S]*?\n(?=FAIL: )/, '\n...\n\n');
  return `\`\`\`\n$ ${args === 'npm start' ? '' : 'npx i915-userptr '}${args}\n${cut}$ echo $?\n${status}\n\`\`\`\n`;
}

const [word = ''] = process.argv.slice(2);
const before = readFileSync(file, 'utf8');
writeFileSync(
  file,
  before.replace(block, (all, begin, args, end) =>
    args.includes(word) ? `${begin}${output(args)}${end}` : all,
  ),
);
