// SPDX-License-Identifier: MIT
// `i915-userptr match` over soft and soft: what it finds in a broken one, and how it goes on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type MatchResult, matchResultSchema } from '../../lib/match/result.js';
import { cli, start } from '../stress/cli.js';

const MINUTE = 60_000;
const parsed = (text: string): MatchResult => matchResultSchema.parse(JSON.parse(text));

async function match(...args: string[]) {
  const ended = await cli(['match', '--quiet', '--json', '-', ...args]);
  return { ...ended, result: parsed(ended.stdout) };
}

describe('i915-userptr match', { timeout: 3 * MINUTE }, () => {
  // The first builds the player.
  beforeAll(() => cli(['match', '--kernel', 'soft', '--sequences', '1']), 10 * MINUTE);

  test.each([
    [['--seconds', '1', '--sequences', '1'], /not both/],
    [['--shard', '3/2'], /I\/N/],
    [['--replay', 'x'], /SEED:INDEX/],
    [['--seed', '18446744073709551616'], /--seed/],
    [['--json', '/nowhere/x'], /--json: \/nowhere/],
    [['--resume', import.meta.filename], /not what/],
  ])('%j is a usage error that says what to do', async (args, text) => {
    const { status, stderr } = await cli(['match', '--kernel', 'soft', ...args]);
    expect(stderr).toMatch(text);
    expect(status).toBe(2);
  });

  test('two that are the same do not differ', async () => {
    const { status, result } = await match('--kernel', 'soft', '--sequences', '200', '--seed', '1');
    expect(result.kernels[0]?.differences).toEqual([]);
    expect(result).toMatchObject({ verdict: 'pass', seed: '1', shard: '1/1' });
    expect(result.kernels[0]).toMatchObject({ sequences: 200, next: 200, era: '6.1' });
    expect(status).toBe(0);
  });

  test('a broken one differs, by a sequence that shows it again', async () => {
    const args = ['--kernel', 'soft', '--soft-break', 'wrong-errno'];
    const { status, result } = await match(...args, '--sequences', '100', '--seed', '1');
    expect(status).toBe(1);
    const [found] = result.kernels[0]?.differences ?? [];
    expect(found).toMatchObject({ call: 'GEM_CLOSE', stable: true });
    expect(found?.lines).toHaveLength(1);
    const again = await match(...args, '--replay', found?.replay ?? '');
    expect(again.result.kernels[0]?.differences.map((d) => d.signature)).toContain(
      found?.signature,
    );
  });

  test('races are played between the sequences, and alone', async () => {
    const args = ['--kernel', 'soft', '--seed', '1'];
    const { result } = await match(...args, '--sequences', '200');
    const [kernel] = result.kernels;
    expect(kernel?.races).toMatchObject({ next: 5, races: 5, runs: 100 });
    expect(kernel?.races.soft).toBeGreaterThanOrEqual(kernel?.races.driver ?? Infinity);
    const none = await match(...args, '--sequences', '50', '--runs', '0');
    expect(none.result.kernels[0]?.races.races).toBe(0);
    const one = await match(...args, '--replay', 'race:1:3', '--runs', '7');
    expect(one.result.kernels[0]).toMatchObject({ calls: 0, races: { races: 1, runs: 7 } });
    expect(one.status).toBe(0);
  });

  test('a race that a broken one cannot win is a difference', async () => {
    const args = ['--kernel', 'soft', '--soft-break', 'wrong-errno', '--replay', 'race:1:394'];
    const { status, result } = await match(...args);
    expect(status).toBe(1);
    expect(result.kernels[0]?.differences[0]).toMatchObject({ call: 'race', stable: true });
  });

  test('it goes on from where it was', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'match-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, 'resume.json');
    const args = ['--kernel', 'soft', '--resume', file, '--seed', '3', '--shard', '2/3'];
    await match(...args, '--sequences', '20');
    const { result } = await match('--kernel', 'soft', '--resume', file, '--sequences', '50');
    expect(result).toMatchObject({ seed: '3', shard: '2/3' });
    expect(result.kernels[0]).toMatchObject({ sequences: 50, next: 50 });
    expect(parsed(readFileSync(file, 'utf8'))).toEqual(result);
    const other = await cli(['match', '--resume', file, '--seed', '4']);
    expect(other).toMatchObject({ status: 2 });
  });

  test('Ctrl-C ends it with a verdict for what was compared', async () => {
    const { process: child, ended } = start(['match', '--kernel', 'soft', '--json', '-']);
    await new Promise<void>((resolve) => {
      child.stderr?.on('data', (data) => {
        if (/calls/.test(String(data))) resolve();
      });
    });
    child.kill('SIGINT');
    const { status, stdout } = await ended;
    expect(parsed(stdout).why).toMatch(/interrupted/);
    expect(status).toBe(0);
  });
});
