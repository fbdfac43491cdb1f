// SPDX-License-Identifier: MIT
// The lab as a user runs it, on cells that take no time.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lab } from '../../lib/lab/lab.js';
import { cellSchema, comparisonSchema } from '../../lib/lab/schema.js';
import { cli, start, until } from '../stress/cli.js';

let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'i915-lab-'));
  // Built once, and not looked at again by each command.
  process.env.I915_USERPTR_LAB = (await Lab.open()).program;
}, 600_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const run = async (...args: string[]) => {
  const { status, stdout, stderr } = await cli(['lab', 'run', '--json', ...args]);
  if (!stdout) throw new Error(stderr);
  return { status, cell: cellSchema.parse(JSON.parse(stdout)) };
};

describe('a search', () => {
  test('of a strategy that holds is exhaustive', async () => {
    const { status, cell } = await run('interval', 'lookup-invalidate');
    expect(cell).toMatchObject({ verdict: 'holds', exhaustive: true, what: '' });
    expect(cell.executions).toBeGreaterThan(10);
    expect(status).toBe(0);
  });

  test('of the same with one line broken is a finding', async () => {
    const { status, cell } = await run('interval', 'lookup-invalidate', '--break', 'skip-retry');
    expect(cell).toMatchObject({ verdict: 'violated', break: 'skip-retry', minimal: true });
    expect(cell.what).toMatch(/page 0/);
    expect(cell.lanes?.threads).toContain('submit');
    expect(status).toBe(1);
  });

  test('goes no further than it may', async () => {
    const { cell } = await run('interval', 'lookup-invalidate', '--max-executions', '5');
    expect(cell).toMatchObject({ verdict: 'holds', exhaustive: false, stopped: 'executions' });
    expect(cell.executions).toBe(5);
    const bounded = await run('interval', 'lookup-invalidate', '--preemptions', '0');
    expect(bounded.cell).toMatchObject({ exhaustive: false, within_bound: true });
  });

  test('prints its lanes, and the commands that replay it', async () => {
    const file = join(dir, 'lanes.ndjson');
    const args = ['interval', 'lookup-invalidate', '--break', 'skip-retry', '--save', file];
    const { status, stdout } = await cli(['lab', 'run', ...args]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^interval in lookup-invalidate, broken by skip-retry: violated\n/);
    expect(stdout).toMatch(/^> +\d+ /m);
    expect(stdout).toMatch(/┏ +lock mmap_lock +mm\.cpp:\d+/);
    expect(stdout).toContain(`replay: i915-userptr lab replay ${file}`);
  });

  test.each([
    [['none-such', 'lookup-invalidate'], /there is no strategy 'none-such'/],
    [['interval', 'none-such'], /there is no scenario 'none-such'/],
    [['interval', 'exit-busy', '--break', 'x'], /there is no fault 'x'/],
    [['interval', 'exit-busy', '--seconds', '0'], /expected seconds/],
    [['interval', 'exit-busy', '--preemptions', '-1'], /expected 0 to 1000/],
    [['interval', 'exit-busy', '--save', '/nonexistent/x'], /not a directory/],
    [['interval'], /missing required argument/],
  ])('of %j is a usage error', async (args, words) => {
    const { status, stderr, stdout } = await cli(['lab', 'run', ...args]);
    expect(stderr).toMatch(words);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});

describe('a counterexample', () => {
  let once: Promise<string> | undefined;
  const save = async () => {
    const file = join(dir, 'saved.ndjson');
    await run('interval', 'lookup-invalidate', '--break', 'skip-retry', '--save', file);
    return file;
  };
  const saved = () => {
    once ??= save();
    return once;
  };

  test('is the same each time it is replayed', async () => {
    const file = await saved();
    const [first, again] = [await cli(['lab', 'replay', file]), await cli(['lab', 'replay', file])];
    expect(first.status).toBe(1);
    expect(first.stdout).toMatch(/broken by skip-retry: violated/);
    expect(first.stdout).toBe(again.stdout);
    expect(first.stdout).toMatch(/┏ +lock mmap_lock +mm\.cpp:\d+/);
    expect(first.stdout).toMatch(/\nagain violated: .*page 0/);
  });

  test('that no longer fits shows its lanes up to there', async () => {
    const file = join(dir, 'repaired.ndjson');
    const text = readFileSync(await saved(), 'utf8');
    writeFileSync(file, text.replace('"options":"skip-retry"', '"options":""'));
    const { status, stdout, stderr } = await cli(['lab', 'replay', file]);
    expect(stdout).toMatch(/^interval in lookup-invalidate: violated\n/);
    expect(stdout).toMatch(/^> +\d+ /m);
    expect(stdout).not.toMatch(/^(again|now) /m);
    expect(stderr).toMatch(/does not fit this build: step \d+ is /);
    expect(status).toBe(3);
  });

  test('is run under a debugger in words', async () => {
    const file = await saved();
    const { stdout: command } = await cli(['lab', 'replay', '--gdb', file]);
    const program = / --args (\S+) replay /.exec(command)?.[1] ?? '';
    const { status, stdout } = spawnSync(program, ['replay', file], { encoding: 'utf8' });
    expect(stdout).toMatch(/^violated: .*page 0.*\n$/);
    expect(status).toBe(1);
  });

  test('has a command for gdb', async () => {
    const { status, stdout } = await cli(['lab', 'replay', '--gdb', await saved()]);
    expect(stdout).toMatch(/^gdb .* --args \S+ replay \S+saved\.ndjson\n$/);
    expect(status).toBe(0);
  });

  test.each<[string, (text: string) => string, RegExp]>([
    ['that is another program', (t) => t.replace('"act":"lock"', '"act":"wait"'), /does not fit/],
    ['whose end is missing', (t) => `${t.split('\n').slice(0, 6).join('\n')}\n`, /./],
    ['of a strategy that is gone', (t) => t.replace('"interval"', '"gone"'), /gone/],
    ['of another version', (t) => t.replace('"schedule":1', '"schedule":99'), /./],
    ['that is no schedule', () => 'hello\n', /./],
    ['that is empty', () => '', /./],
  ])('%s is refused', async (_, change, words) => {
    const file = join(dir, 'damaged.ndjson');
    writeFileSync(file, change(readFileSync(await saved(), 'utf8')));
    const { status, stderr } = await cli(['lab', 'replay', file]);
    expect(stderr).toMatch(words);
    expect(stderr).toContain('i915-lab: ');
    expect(status).toBe(3);
  });

  test('that is not there is said', async () => {
    const { status, stderr } = await cli(['lab', 'replay', join(dir, 'nowhere')]);
    expect(stderr).toMatch(/No such file/);
    expect(status).toBe(3);
  });
});

describe('a comparison', () => {
  test('is a table, a page and JSON of the same', async () => {
    const json = join(dir, 'c.json');
    const page = join(dir, 'c.html');
    const { status, stdout } = await cli([
      'lab',
      'compare',
      '--strategies',
      'interval,interval-nowait',
      '--scenarios',
      'lookup-invalidate,exit-busy',
      '--jobs',
      '2',
      '--json',
      json,
      '--html',
      page,
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^interval +holds +holds$/m);
    expect(stdout).toMatch(/^interval-nowait +holds +holds$/m);
    const c = comparisonSchema.parse(JSON.parse(readFileSync(json, 'utf8')));
    expect(c.cells).toHaveLength(4);
    expect(c.complete).toBe(true);
    expect(readFileSync(page, 'utf8').match(/<td class="holds"/g)).toHaveLength(4);
  });

  test('of what there is not is a usage error', async () => {
    const { status, stderr } = await cli(['lab', 'compare', '--strategies', 'interval,x']);
    expect(stderr).toMatch(/there is no strategy "x"; there are /);
    expect(status).toBe(2);
  });
});

test('explain and list tell of each strategy', async () => {
  const lists = await (await Lab.open()).lists();
  const list = await cli(['lab', 'list']);
  const explained = await cli(['lab', 'explain']);
  for (const { name } of lists.strategies) {
    expect(list.stdout).toContain(`\n  ${name} `);
    expect(`\n${explained.stdout}`).toContain(`\n${name}\n`);
  }
  const one = await cli(['lab', 'explain', 'x']);
  expect(one.stderr).toMatch(/there is no strategy "x"/);
  expect(one.status).toBe(2);
});

describe('an end from outside', () => {
  /** A search of hours: no reduction. */
  const long = ['lab', 'run', 'interval', 'two-invalidates', '--no-reduction'];

  /** Pids of the searches under a process; they are in sessions of their own. */
  const searches = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number)
      .filter((child) => cmdline(child).includes('two-invalidates'));
  const cmdline = (pid: number): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch {
      return '';
    }
  };

  test.each([
    ['SIGINT', 3],
    ['SIGTERM', 3],
    ['SIGKILL', null],
  ] as const)('%s leaves no process', async (signal, expected) => {
    const command = start(long);
    let found: number[] = [];
    await until('a search runs', () => {
      found = searches(command.pid);
      return found.length > 0;
    });
    command.process.kill(signal);
    const { status } = await command.ended;
    expect(status).toBe(expected);
    await until('it is gone', () => found.every((pid) => cmdline(pid) === ''));
  });

  test('an interrupted comparison shows what was done', async () => {
    const command = start([
      ...['lab', 'compare', '--strategies', 'interval', '--jobs', '1', '--seconds-per-cell', '600'],
    ]);
    let text = '';
    command.process.stderr?.on('data', (data) => {
      text += data;
    });
    await until('it has begun', () => /0 of \d+/.test(text));
    command.process.kill('SIGINT');
    const { status, stdout } = await command.ended;
    expect(stdout).toMatch(/interrupted after \d+ of \d+ cells/);
    expect(status).toBe(3);
  });
});
