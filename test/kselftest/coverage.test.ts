// SPDX-License-Identifier: MIT
// kselftest/COVERAGE.md names tests that exist.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { type Built, build } from './build.js';

const text = readFileSync(join(packageRoot, 'kselftest/COVERAGE.md'), 'utf8');
/** Of the tables' lines: program and pattern. */
const named = text
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .flatMap((line) => [...line.matchAll(/`(\w+) ([\w.*]+)`/g)])
  .map(([, program = '', pattern = '']) => ({ program, pattern }));

let built: Built;
beforeAll(async () => {
  built = await build('all');
}, 120_000);
afterAll(() => built?.remove());

it('names tests that there are', () => {
  expect(named.length).toBeGreaterThan(60);
  const missing = named.filter(({ program, pattern }) => {
    const { status, stdout } = built.run(`i915_userptr_${program}`, '-l', '-t', pattern);
    return status !== 0 || stdout.trim() === '';
  });
  expect(missing).toEqual([]);
});

it('leaves out no subtest of the reference suite, and says of each what stands for it', () => {
  const rows = text
    .slice(text.indexOf('| gem_userptr_blits |'), text.indexOf('## What is here'))
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| gem_userptr'));
  const subtests = rows
    .flatMap((line) => (line.split('|')[1] ?? '').split(','))
    .map((s) => s.trim());
  expect(new Set(subtests).size).toBe(subtests.length);
  expect(subtests.length).toBe(90);
  for (const line of rows) expect(line.split('|')[2]?.trim(), line).toMatch(/^(`|none$)/);
});
