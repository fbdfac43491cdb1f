// SPDX-License-Identifier: MIT
// Runs on the software device, as processes: how they end, what they say, what they leave behind.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { replayArgs } from '../../lib/stress/options.js';
import { resultFromJson } from '../../lib/stress/result.js';
import { stress } from '../../lib/stress/snapshot.js';
import { cli, membersOf, runJson, runnerOf, running, start, until } from './cli.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'i915-userptr-test-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a run that comes to its end', () => {
  test('passes, and its JSON says what the command asked for', async () => {
    const { status, result, stderr } = await runJson(['--device', 'soft', '--seconds', '2']);
    expect(stderr).toMatch(/^PASS: no violation/);
    expect(status).toBe(0);
    expect(result).toMatchObject({ verdict: 'pass', end: 'itself', violationsTotal: 0 });
    expect(result.device).toEqual({ name: 'soft', why: 'the software i915, as asked for' });
    expect(result.seconds).toBeGreaterThan(1.9);
    const kinds = new Set(result.threads.map((t) => t.kind));
    for (const { name } of stress.stressors)
      expect(kinds.has(name) || result.skips.some((s) => s.what === name)).toBe(true);
    for (const t of result.threads) expect(t.checks).toBeGreaterThan(0);
    expect(result.pins?.acquired).toBe(result.pins?.released);
  });

  test('the command that it names replays it', async () => {
    const args = ['--device', 'soft', '--operations', '300', '--seed', '7', '--sizes', '4K,64K'];
    const first = (await runJson([...args, '--stressors', 'munmap,mprotect'])).result;
    const [npx, name, run, ...again] = first.replay.split(' ');
    expect([npx, name, run]).toEqual(['npx', 'i915-userptr', 'run']);
    expect(again).toEqual(replayArgs(first.options));
    const second = (await runJson(again)).result;
    expect(second.options).toEqual(first.options);
    const ops = second.threads.reduce((n, t) => n + t.ops, 0);
    expect(ops).toBeLessThanOrEqual(300);
    expect(ops).toBeGreaterThan(250);
    expect(second.threads.map((t) => t.kind)).toEqual(['submit', 'submit', 'munmap', 'mprotect']);
  });

  test('in words: device, era, table, verdict, replay; and one plain line a second', async () => {
    const { stdout, stderr, status } = await cli(['run', '--device', 'soft', '--seconds', '2.5']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^device {3}soft, strategy interval\n/);
    expect(stdout).toMatch(/^era {6}waits: /m);
    expect(stdout).toMatch(/^munmap\/0 +[\d,]+ /m);
    expect(stdout).toMatch(
      /^PASS: .*\nreplay: npx i915-userptr run --device soft .*--seed \d+\n$/m,
    );
    expect(stderr.match(/^ +\d s {2}submissions/gm)).toHaveLength(2);
  });

  test('--json FILE leaves that file and no other', async () => {
    const file = join(folder, 'result.json');
    const { stdout } = await cli(['run', '--seconds', '0.5', '--json', file, '--quiet']);
    expect(resultFromJson(JSON.parse(readFileSync(file, 'utf8'))).verdict).toBe('pass');
    expect(stdout).toMatch(/^PASS/);
    expect(readdirSync(folder)).toEqual(['result.json']);
  });

  test('--violations 1 ends at the first, with status 1', async () => {
    const fault = ['--fault', 'write-after-close', '--stressors', 'gem_close', '--violations', '1'];
    const { status, result } = await runJson(['--device', 'soft', '--seconds', '20', ...fault]);
    expect(status).toBe(1);
    expect(result).toMatchObject({ verdict: 'fail', end: 'itself' });
    expect(result.seconds).toBeLessThan(10);
    const [first] = result.violations;
    expect(first?.addr).not.toBeNull();
    expect(first?.found).not.toBe(first?.expected);
    expect(first?.around.length).toBeGreaterThan(0);
  });

  test('a stressor that no area fits is skipped, and with it the run', async () => {
    const args = [
      '--stressors',
      'truncate',
      '--objects',
      '1',
      '--seconds',
      '0.5',
      '--device',
      'soft',
    ];
    const { status, result } = await runJson(args);
    expect(result.skips).toContainEqual({
      what: 'truncate',
      why: 'no area of this run fits: try more objects or larger sizes',
    });
    expect(result.verdict).toBe('skip');
    expect(status).toBe(4);
  });
});

describe('a run that is ended', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s: a verdict for what ran, within a second',
    async (signal) => {
      const run = start(['run', '--device', 'soft', '--seconds', '60', '--json', '-']);
      const runner = await runnerOf(run.pid);
      await running(run);
      const begin = performance.now();
      run.process.kill(signal);
      const { status, stdout } = await run.ended;
      expect(performance.now() - begin).toBeLessThan(1000);
      expect(resultFromJson(JSON.parse(stdout))).toMatchObject({
        verdict: 'pass',
        end: 'interrupted',
      });
      expect(status).toBe(0);
      expect(membersOf(runner)).toEqual([]);
    },
  );

  test('a second Ctrl-C kills', async () => {
    const run = start(['run', '--device', 'soft', '--seconds', '60']);
    const runner = await runnerOf(run.pid);
    await running(run);
    process.kill(runner, 'SIGSTOP');
    run.process.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 200));
    run.process.kill('SIGINT');
    expect((await run.ended).status).toBe(130);
    await until('the run is gone', () => membersOf(runner).length === 0, 2000);
  });

  test('Ctrl-C with a run that does not answer: killed, and said', async () => {
    const run = start(['run', '--device', 'soft', '--seconds', '60', '--json', '-']);
    const runner = await runnerOf(run.pid);
    await running(run);
    process.kill(runner, 'SIGSTOP');
    const begin = performance.now();
    run.process.kill('SIGINT');
    const result = resultFromJson(JSON.parse((await run.ended).stdout));
    expect(performance.now() - begin).toBeLessThan(1500);
    expect(result.end).toBe('interrupted');
    expect(result.notes[0]).toMatch(/checks at its end .* were not made/);
    expect(membersOf(runner)).toEqual([]);
  });

  test.each(['SIGKILL', 'SIGSEGV'] as const)(
    'the process of the run dies by %s: a violation, with the last operations of each thread',
    async (signal) => {
      const run = start([
        'run',
        '--device',
        'soft',
        '--seconds',
        '60',
        '--at-once',
        '128',
        '--json',
        '-',
      ]);
      const runner = await runnerOf(run.pid);
      await running(run);
      process.kill(runner, signal);
      const { status, stdout, stderr } = await run.ended;
      const result = resultFromJson(JSON.parse(stdout));
      expect(status).toBe(1);
      expect(result).toMatchObject({ verdict: 'fail', end: 'crash', violationsTotal: 1 });
      expect(result.violations[0]?.kind).toBe('crash');
      expect(result.violations[0]?.text).toContain(`was killed by ${signal}`);
      for (const t of result.threads) expect(t.lastOps.length).toBeGreaterThan(0);
      expect(stderr).toContain('the last operations of each thread');
      expect(membersOf(runner)).toEqual([]);
    },
  );

  test('the run stalls: a violation', async () => {
    const args = ['--device', 'soft', '--seconds', '60', '--op-timeout', '2000', '--json', '-'];
    const run = start(['run', ...args]);
    const runner = await runnerOf(run.pid);
    await running(run);
    process.kill(runner, 'SIGSTOP');
    const { status, stdout } = await run.ended;
    const result = resultFromJson(JSON.parse(stdout));
    expect(status).toBe(1);
    expect(result.end).toBe('stall');
    expect(result.violations.at(-1)?.text).toMatch(/no sign of life for 7 s/);
    expect(membersOf(runner)).toEqual([]);
  });

  test('the command is killed: so is the run, with all its children', async () => {
    const run = start(['run', '--device', 'soft', '--seconds', '60', '--threads', '2']);
    const runner = await runnerOf(run.pid);
    await running(run);
    run.process.kill('SIGKILL');
    await until('the run is gone', () => membersOf(runner).length === 0, 2000);
  });

  test.each(['stdout', 'stderr'] as const)('whoever reads its %s goes away', async (stream) => {
    const run = start(['run', '--device', 'soft', '--seconds', '60', '--json', '-']);
    const runner = await runnerOf(run.pid);
    await running(run);
    run.process[stream]?.destroy();
    if (stream === 'stdout') run.process.kill('SIGINT');
    expect((await run.ended).status).toBe(3);
    await until('the run is gone', () => membersOf(runner).length === 0, 2000);
  });
});

describe('a run that cannot be', () => {
  test.each([
    [['run', '--bogus'], "unknown option '--bogus'"],
    [['run', '--seconds', 'soon'], '--seconds: expected'],
    [['run', '--seconds'], "option '--seconds <s>' argument missing"],
    [['run', '--stressors', 'nunmap'], 'not "nunmap"'],
    [['run', '--device', '/dev/dri/renderD128', '--fault', 'no-wait'], 'use --device soft'],
    [['run', '--json', '/nonexistent/result.json'], '--json: /nonexistent is not a directory'],
    [['run', 'twice'], 'too many arguments'],
    [['dance'], "unknown command 'dance'"],
    [[], 'Usage: i915-userptr'],
  ])('%j is refused with status 2', async (args, message) => {
    const { status, stderr, stdout } = await cli(args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stdout).toBe('');
  });

  test.each([
    ['/dev/dri/renderD199', 'no such node'],
    ['/dev/null', 'not a DRM node'],
  ])('%s: status 3, and what to do', async (device, message) => {
    const { status, result, stderr } = await runJson(['--device', device]);
    expect(status).toBe(3);
    expect(result).toMatchObject({ verdict: 'error', end: 'not-run' });
    expect(result.why).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

describe('what runs nothing', () => {
  test('--help teaches', async () => {
    const { status, stdout } = await cli(['run', '--help']);
    expect(status).toBe(0);
    for (const kind of [...stress.violationKinds, 'crash', 'Exit status: 0 pass', 'Examples:'])
      expect(stdout).toContain(kind);
  });
  test('--list names every stressor, strategy and fault', async () => {
    const { status, stdout } = await cli(['run', '--list']);
    expect(status).toBe(0);
    for (const { name } of [...stress.stressors, ...stress.softStrategies, ...stress.softFaults])
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });
  test('devices says what auto takes', async () => {
    const { status, stdout } = await cli(['devices']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^auto takes (soft|\/dev\/dri\/renderD\d+), /m);
  });
  test('--version', async () => {
    expect(await cli(['--version'])).toMatchObject({ status: 0, stdout: '0.1.0\n' });
  });
});
