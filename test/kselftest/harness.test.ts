// SPDX-License-Identifier: MIT
// The harness is held to its own tests: what fails, crashes, hangs, skips and leaves processes
// behind is reported as just that. selftest/check.sh compares; this file looks at what it cannot.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Built, build } from './build.js';

let built: Built;
const run = (program: string, ...args: string[]) => built.run(join('selftest', program), ...args);

beforeAll(async () => {
  // Rejects with check.sh's diff where an output is not as expected.
  built = await build('check');
}, 120_000);
afterAll(() => built?.remove());

describe('the harness', () => {
  it('plans what it then runs', () => {
    const out = readFileSync(join(built.dir, 'selftest/outcomes.out'), 'utf8');
    const plans = [...out.matchAll(/^ {2}1\.\.(\d+)$/gm)].map(([, n]) => Number(n));
    const points = out.match(/^ {2}(not )?ok \d+ /gm) ?? [];
    expect(points.length).toBe(plans.reduce((sum, n) => sum + n, 0));
    expect(out.match(/^(not )?ok \d+ /gm)?.length).toBe(Number(/^1\.\.(\d+)$/m.exec(out)?.[1]));
  });

  it('replays by the command that a failure prints', () => {
    const { stdout } = run('outcomes', '-t', 'fixture.two.is_torn_down');
    const [, args] = /# to replay: \S+ (.*)/.exec(stdout) ?? [];
    expect(args).toMatch(/^-t fixture\.two\.is_torn_down -s 0x[0-9a-f]+$/);
    const again = run('outcomes', ...(args ?? '').split(' '));
    expect(again.stdout).toBe(stdout);
  });

  it('has another seed each time, and the same numbers for the same one', () => {
    const numbers = (...args: string[]) =>
      run('outcomes', '-t', 'seeded', ...args).stdout.match(/^ {2}# 0x[0-9a-f]+/gm);
    expect(numbers('-s', '7')).toEqual(numbers('-s', '7'));
    expect(numbers('-s', '7')).not.toEqual(numbers('-s', '8'));
    expect(run('outcomes', '-t', 'seeded').stdout).not.toBe(run('outcomes', '-t', 'seeded').stdout);
  });

  it.each([[['-x']], [['-r', 'many']], [['-s', '-1']], [['passes']]])('refuses %j', (args) => {
    const { status, stdout } = run('outcomes', ...args);
    expect(status).toBe(1);
    expect(stdout).toBe('');
  });
});
