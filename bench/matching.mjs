// SPDX-License-Identifier: MIT
// Writes docs/matching.md from what `i915-userptr match --json` has written:
// `npm run build && node bench/matching.mjs RESULT.json...`
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { matchingPage } from '../dist/match/page.js';
import { matchResultSchema } from '../dist/match/result.js';

const files = process.argv.slice(2);
if (!files.length) {
  console.error('which results? node bench/matching.mjs RESULT.json...');
  process.exit(2);
}
const results = files.map((file) =>
  matchResultSchema.parse(JSON.parse(readFileSync(file, 'utf8'))),
);
writeFileSync(join(import.meta.dirname, '..', 'docs/matching.md'), matchingPage(results));
