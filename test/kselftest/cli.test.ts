// SPDX-License-Identifier: MIT
// `i915-userptr kselftest`, as far as it goes without a GPU.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { kselftestResultSchema } from '../../lib/kselftest/result.js';
import { cli } from '../stress/cli.js';
import { programs, renderNodes } from './build.js';

const MINUTE = 60_000;

describe('i915-userptr kselftest', () => {
  // The first builds the programs.
  beforeAll(() => cli(['kselftest', '--list', '-t', 'none']), 3 * MINUTE);

  it('lists all programs, or the tests that a pattern picks', async () => {
    const all = await cli(['kselftest', '--list']);
    expect(all.status).toBe(0);
    for (const program of programs) expect(all.stdout).toContain(`${program}\n`);
    const some = await cli(['kselftest', '--list', 'data', '-t', '*edge*']);
    const names = some.stdout.split('\n').filter((line) => /^\w+\./.test(line));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(name).toContain('edge');
  });

  it.each([
    [['nonsense'], /kselftest has no nonsense; there are .*data/],
    [['--device', 'soft'], /--device soft: .*--vm/],
    [['--cpus', '2'], /--vm/],
    [['--vm', '--cpus', '0'], /--cpus/],
    [['-r', '0'], /repeat/],
    [['-s', '18446744073709551616'], /--seed/],
    [['--json', '/nowhere/x'], /--json: \/nowhere/],
    [['--json', '-', '--ktap', '-'], /--json - and --ktap -/],
  ])('%j is a usage error that says what to do', async (args, text) => {
    const { status, stderr } = await cli(['kselftest', ...args]);
    expect(stderr).toMatch(text);
    expect(status).toBe(2);
  });

  it.skipIf(renderNodes())('writes KTAP alone to stdout where --ktap is -', async () => {
    const { stdout, stderr } = await cli(['kselftest', 'interface', '--ktap', '-']);
    expect(stdout).toMatch(/^KTAP version 1\n/);
    expect(stdout).not.toMatch(/SKIP: no i915/);
    expect(stderr).toMatch(/^SKIP: no i915/m);
  });

  it.skipIf(renderNodes())(
    'skips with exit status 4 without a GPU, and says so in its files',
    async () => {
      const dir = mkdtempSync(join(tmpdir(), 'i915-userptr-kselftest-cli-'));
      try {
        const [json, ktap] = [join(dir, 'result.json'), join(dir, 'ktap')];
        const { status, stdout } = await cli([
          'kselftest',
          '-s',
          '7',
          '--json',
          json,
          '--ktap',
          ktap,
        ]);
        expect(stdout).toMatch(/^SKIP: no i915/m);
        expect(status).toBe(4);
        const result = kselftestResultSchema.parse(JSON.parse(readFileSync(json, 'utf8')));
        expect(result).toMatchObject({ verdict: 'skip', exitStatus: 4, seed: '7', end: 'itself' });
        expect(result.programs.map(({ name }) => name)).toEqual(programs);
        for (const { status, problems, skipped } of result.programs)
          expect({ status, problems, skipped }).toMatchObject({ status: 4, problems: [] });
        expect(readFileSync(ktap, 'utf8').match(/^KTAP version 1$/gm)).toHaveLength(
          programs.length,
        );
      } finally {
        rmSync(dir, { recursive: true });
      }
    },
  );
});
