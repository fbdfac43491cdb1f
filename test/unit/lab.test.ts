// SPDX-License-Identifier: MIT
// The lab's process, by executables that are not the lab.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { chosen, one } from '../../lib/cli/lab/open.js';
import { integerOption, secondsOption } from '../../lib/cli/values.js';
import { compare } from '../../lib/lab/compare.js';
import { Lab, type Search, searchArgs } from '../../lib/lab/lab.js';
import { comparisonSchema } from '../../lib/lab/schema.js';
import { OptionError } from '../../lib/stress/options.js';
import { cell, comparison, finding, lanes } from './lab.fixtures.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'i915-lab-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A lab that is a shell script. */
function lab(script: string, options = {}): Lab {
  const program = join(dir, 'lab');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  return new Lab(program, options);
}

const search: Search = { strategy: 'interval', scenario: 'lookup-invalidate' };
const result = (more = {}) => JSON.stringify({ type: 'result', ...cell(), ...more });
const prints = (line: string, then = 'exit 0') => `cat <<'EOF'\n${line}\nEOF\n${then}`;

describe('a search', () => {
  test('is its result line', async () => {
    expect(await lab(prints(result())).run(search)).toEqual(cell());
  });

  test('tells its progress', async () => {
    const progress = { executions: 1, pruned: 2, steps: 3, seconds: 1.5 };
    const line = JSON.stringify({ type: 'progress', ...progress });
    const seen: unknown[] = [];
    await lab(prints(`${line}\n${result()}`)).run(search, { onProgress: (p) => seen.push(p) });
    expect(seen).toEqual([{ type: 'progress', ...progress }]);
  });

  test('that finds something ends with status 1', async () => {
    const { strategy, ...rest } = finding();
    const line = JSON.stringify({ type: 'result', ...rest, strategy: 'interval' });
    expect(await lab(prints(line, 'exit 1')).run(search)).toMatchObject({
      verdict: 'deadlocks',
      lanes: { threads: ['main', 'submit', 'munmap'] },
    });
    expect(strategy).toBe('none');
  });

  test.each([
    [
      'a crash',
      'echo "assertion failed" >&2; kill -SEGV $$',
      /killed by SIGSEGV: assertion failed/,
    ],
    ['no result', 'exit 0', /exit status 0/],
    ['a status that does not go with the result', prints(result(), 'exit 1'), /exit status 1/],
    ['status 3', 'echo "i915-lab: no" >&2; exit 3', /exit status 3: i915-lab: no/],
    ['no JSON', prints('hello'), /should not/],
    ['another schema', prints('{"type":"result"}', 'exit 1'), /strategy: .*scenario: /],
    ['a verdict that there is not', prints(result({ verdict: 'fine' })), /verdict/],
    ['a name that is a path', prints(result({ strategy: '../../x' })), /strategy/],
    ['the answer of another cell', prints(result({ scenario: 'exit-busy' })), /answered for/],
  ])('%s is an error of its cell', async (_, script, what) => {
    const found = await lab(script).run(search);
    expect(found).toMatchObject({ ...search, verdict: 'error' });
    expect(found.what).toMatch(what);
  });

  test('that says nothing is ended', async () => {
    const found = await lab('exec sleep 1000', { silence: 200 }).run(search);
    expect(found).toMatchObject({ verdict: 'error' });
    expect(found.what).toMatch(/^it said nothing/);
  });

  test('of what there is not is a usage error, in its words', async () => {
    const script = `echo "i915-lab: there is no strategy 'x'" >&2; echo "usage: ..." >&2; exit 2`;
    await expect(lab(script).run(search)).rejects.toThrow(
      new OptionError("there is no strategy 'x'"),
    );
  });

  test('that is aborted leaves no process', async () => {
    const controller = new AbortController();
    const pidFile = join(dir, 'pid');
    const script = `echo $$ > ${pidFile}\nprintf '%s\\n' '{"type":"progress","executions":1,"pruned":1,"steps":1,"seconds":1}'\nexec sleep 1000`;
    const run = lab(script).run(search, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(run).rejects.toThrow('interrupted');
    const { readFileSync } = await import('node:fs');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });

  test('of an executable that is not there is said', async () => {
    const found = await new Lab(join(dir, 'none')).run(search);
    expect(found).toMatchObject({ verdict: 'error' });
    expect(found.what).toMatch(/not found|No such file/);
  });

  test('passes on what it was asked', () => {
    const all: Search = {
      ...search,
      break: 'skip-retry,no-seq',
      preemptions: 0,
      reduction: false,
      maxExecutions: 7,
      seconds: 1.5,
      save: '/tmp/a b',
    };
    expect(searchArgs(search)).toEqual(['run', 'interval', 'lookup-invalidate']);
    expect(searchArgs({ ...search, reduction: true })).not.toContain('--no-reduction');
    expect(searchArgs(all).slice(3)).toEqual(
      '--break skip-retry,no-seq --preemptions 0 --no-reduction --max-executions 7 --seconds 1.5'
        .split(' ')
        .concat('--save', '/tmp/a b'),
    );
  });
});

describe('the lists', () => {
  const lists = {
    strategies: [{ name: 'none', what: 'x', waits: true }],
    scenarios: [{ name: 'exit-busy', what: 'y' }],
    faults: [],
  };

  test('have what a strategy is known for, where it is told', async () => {
    const { strategies } = await lab(prints(JSON.stringify(lists))).lists();
    expect(strategies[0]).toMatchObject({ name: 'none', against: '', sources: '' });
  });

  test.each([
    ['{"strategies":[]}'],
    ['no'],
    [JSON.stringify({ ...lists, scenarios: [{ name: '<b>', what: '' }] })],
  ])('that are damaged are refused: %s', async (text) => {
    await expect(lab(prints(text)).lists()).rejects.toThrow(/^i915-lab list: /);
  });
});

describe('replay', () => {
  const replay = {
    type: 'replay',
    strategy: 'none',
    scenario: 'exit-busy',
    break: '',
    found: 'violated',
    found_what: 'x',
    verdict: 'violated',
    what: 'x',
    same: true,
    mismatch: '',
    lanes,
  };
  const line = JSON.stringify(replay);

  test.each([
    ['a finding that is there', prints(line, 'exit 1'), 1, '', true],
    ['one that is not', prints(line), 0, '', true],
    ['a file that fits up to a step', prints(line, 'echo "no" >&2; exit 3'), 3, 'no\n', true],
    ['a file that does not fit', 'echo "no" >&2; exit 3', 3, 'no\n', false],
    ['a crash', 'kill -KILL $$', 3, 'killed by SIGKILL', false],
    ['a crash after the lanes', prints(line, 'kill -KILL $$'), 3, 'killed by SIGKILL', false],
    ['nothing said', 'exit 1', 3, 'exit status 1', false],
  ])('%s', async (_, script, status, errors, there) => {
    const { replay: got, ...ended } = await lab(script).replay('x');
    expect(ended).toEqual({ status, errors });
    expect(got).toEqual(there ? replay : undefined);
  });

  test('what is no replay is said', async () => {
    const { status, errors } = await lab(prints('{"type":"replay"}', 'exit 1')).replay('x');
    expect(status).toBe(3);
    expect(errors).toMatch(/should not: strategy: /);
  });
});

describe('a comparison', () => {
  const { strategies, scenarios } = comparison;
  const options = { strategies, scenarios, jobs: 3, secondsPerCell: 5, saveDir: '/tmp/x' };

  test('runs each cell once, no more at a time than it may, and keeps their order', async () => {
    let now = 0;
    let most = 0;
    const asked: Search[] = [];
    const run = async (s: Search) => {
      asked.push(s);
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, asked.length % 3));
      now--;
      return s.strategy === 'none' ? finding(s as object) : cell(s as object);
    };
    const progress: number[] = [];
    const c = await compare({ run }, options, { onProgress: (p) => progress.push(p.done) });
    expect(comparisonSchema.parse(JSON.parse(JSON.stringify(c)))).toBeTruthy();
    expect(c.cells.map((x) => `${x.strategy}.${x.scenario}`)).toEqual(
      strategies.flatMap((a) => scenarios.map((b) => `${a.name}.${b.name}`)),
    );
    expect(asked).toHaveLength(8);
    expect(asked[0]).toMatchObject({
      seconds: 5,
      save: '/tmp/x/none.lookup-invalidate.ndjson',
    });
    expect(most).toBe(3);
    expect(progress.at(-1)).toBe(8);
    expect(c.complete).toBe(true);
  });

  test('that is interrupted keeps what was done', async () => {
    const controller = new AbortController();
    let n = 0;
    const run = async (s: Search) => {
      if (++n > 3) controller.abort();
      if (controller.signal.aborted) throw new Error('interrupted');
      return cell(s as object);
    };
    const c = await compare({ run }, { ...options, jobs: 1 }, { signal: controller.signal });
    expect(c.cells).toHaveLength(3);
    expect(c.complete).toBe(false);
  });

  test('that cannot go on says why', async () => {
    const run = async () => {
      throw new OptionError('there is no such thing');
    };
    await expect(compare({ run }, options)).rejects.toThrow('there is no such thing');
  });
});

describe('options', () => {
  const all = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];

  test('names are in the order of the list, and known', () => {
    expect(chosen(all, undefined, 'x')).toEqual(all);
    expect(chosen(all, 'c,a,a', 'x')).toEqual([{ name: 'a' }, { name: 'c' }]);
    expect(() => chosen(all, 'a,d', 'strategy')).toThrow(
      'there is no strategy "d"; there are a, b, c',
    );
    expect(() => chosen(all, ',', 'strategy')).toThrow(OptionError);
    expect(one(all, 'b', 'x')).toBe(all[1]);
  });

  test.each(['0', '-1', 'x', '1e99', '1e3', '', 'Infinity'])('no seconds: %s', (text) => {
    expect(() => secondsOption(text)).toThrow(/expected/);
  });

  test('numbers', () => {
    expect(secondsOption('0.5')).toBe(0.5);
    expect(integerOption(0, 10)('10')).toBe(10);
    for (const text of ['11', '-1', '1.5', '', 'x'])
      expect(() => integerOption(0, 10)(text)).toThrow('expected 0 to 10');
  });
});
