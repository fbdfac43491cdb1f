// SPDX-License-Identifier: MIT
// `vm run` as a user gives it: what it says, how it ends, and what is left of it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Result, resultFromJson } from '../../lib/stress/result.js';
import { cli, type Ended, main, start, until } from '../stress/cli.js';
import { kernel, kernels, MINUTES, noVm } from './vm.js';

const old = kernel('6.1');

async function vmRun(args: string[]): Promise<Ended & { result: Result }> {
  const ended = await cli(['vm', 'run', '--quiet', '--json', '-', ...args]);
  if (!ended.stdout) throw new Error(`vm run said nothing but: ${ended.stderr}`);
  return { ...ended, result: resultFromJson(JSON.parse(ended.stdout)) };
}

const stressed = (result: Result, kind: string) =>
  result.threads.filter((t) => t.kind === kind).reduce((n, t) => n + t.overlapBusy, 0);

/** The processes of QEMU and of our GPU that a process has started, by its number in their arguments. */
function partsOf(pid: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(`i915-userptr-${pid}-`);
      } catch {
        return false;
      }
    });
}
const sockets = (pid: number) =>
  readdirSync(tmpdir()).filter((n) => n.startsWith(`i915-userptr-${pid}-`));

describe.skipIf(noVm)('vm run', () => {
  test.each(kernels)(
    'on %s: passes, and every stressor meets submissions',
    {
      timeout: 4 * MINUTES,
    },
    async (release) => {
      const { result, status, stderr } = await vmRun([
        '--kernel',
        release,
        '--numa',
        '--seconds',
        '20',
      ]);
      expect(result.violations, stderr).toEqual([]);
      expect(status).toBe(0);
      expect(result.verdict).toBe('pass');
      expect(result.host.kernel).toBe(release);
      expect(result.skips).toEqual([]);
      const waits = /^[0-5]\.|^6\.[0-7]\./.test(release);
      expect(result.era).toMatchObject({
        expected: waits ? 'waits' : 'no-wait',
        measured: waits ? 'waits' : 'no-wait',
      });
      const kinds = [...new Set(result.threads.map((t) => t.kind))].filter((k) => k !== 'submit');
      expect(kinds.length).toBeGreaterThanOrEqual(16);
      // The exit stressor counts none: its processes are others.
      for (const kind of kinds.filter((k) => k !== 'exit'))
        expect(stressed(result, kind), `${kind} met a batch in flight`).toBeGreaterThan(0);
      expect(result.vm).toMatchObject({
        ended: 'stopped',
        accel: expect.stringMatching(/^(kvm|tcg)$/),
      });
      expect(result.replay).toMatch(/^npx i915-userptr vm run .*--seed \d+/);
    },
  );

  test('run --device vm:KERNEL is the same', { timeout: 3 * MINUTES }, async () => {
    const release = kernels[0] ?? '';
    const args = ['--stressors', 'munmap', '--seconds', '2', '--quiet', '--json', '-'];
    const { stdout, status } = await cli(['run', '--device', `vm:${release}`, ...args]);
    expect(status).toBe(0);
    expect(resultFromJson(JSON.parse(stdout)).vm?.kernel).toBe(release);
  });

  test('a hanging batch is reset, which the kernel log tells', {
    timeout: 4 * MINUTES,
  }, async () => {
    const { result, status } = await vmRun([
      ...(old ? ['--kernel', old] : []),
      ...['--gpu-hang', 'bcs0:40', '--seconds', '25', '--stressors', 'munmap,mmap'],
    ]);
    expect(status).toBe(1);
    const log = result.violations.filter((v) => v.kind === 'kernel log').map((v) => v.text);
    expect(log.join('\n')).toMatch(/GPU HANG|[Rr]eset/);
    expect(result.vm?.gpu.hangs_made).toBeGreaterThan(0);
    expect(result.vm?.gpu.resets).toBeGreaterThan(6); // those at boot
    // Submissions went on after it.
    const submissions = result.threads.filter((t) => t.kind === 'submit');
    expect(submissions.reduce((n, t) => n + t.ops, 0)).toBeGreaterThan(60);
  });

  test('a run on a node reads the log of its own kernel, as on hardware', {
    timeout: 4 * MINUTES,
  }, async () => {
    const { stdout, stderr, status } = await start([
      ...['vm', 'exec', ...(old ? ['--kernel', old] : []), '--gpu-hang', 'bcs0:40', '--'],
      ...['env', '-u', 'I915_USERPTR_IN_VM', process.execPath, main],
      ...['run', '--device', '/dev/dri/renderD128', '--seconds', '25'],
      ...['--stressors', 'munmap,mmap', '--json', '-'],
    ]).ended;
    expect(status, stderr).toBe(1);
    const result = resultFromJson(JSON.parse(stdout));
    expect(result.vm).toBeNull();
    const log = result.violations.filter((v) => v.kind === 'kernel log');
    expect(log.map((v) => v.text).join('\n')).toMatch(/GPU HANG|[Rr]eset/);
    // It came while the run went on.
    expect(Number(log[0]?.ns)).toBeGreaterThan(0);
    expect(Number(log[0]?.ns)).toBeLessThan(60e9);
  });

  test('Ctrl-C ends it with a verdict for what ran', { timeout: 3 * MINUTES }, async () => {
    const started = start([
      'vm',
      'run',
      '--seconds',
      '600',
      '--stressors',
      'munmap',
      '--json',
      '-',
    ]);
    onTestFinished(() => void started.process.kill('SIGKILL'));
    let said = '';
    started.process.stderr?.on('data', (data) => {
      said += data;
    });
    await until('it runs', () => /submissions/.test(said), 2 * MINUTES);
    started.process.kill('SIGINT');
    const { status, stdout, stderr } = await started.ended;
    expect(status, stderr).toBe(0);
    expect(resultFromJson(JSON.parse(stdout)).end).toBe('interrupted');
    expect(partsOf(started.pid)).toEqual([]);
    expect(sockets(started.pid)).toEqual([]);
  });

  test.each(['SIGKILL', 'SIGTERM'] as const)(
    '%s leaves nothing behind',
    {
      timeout: 3 * MINUTES,
    },
    async (signal) => {
      const started = start(['vm', 'exec', '--', 'sh', '-c', 'echo up; sleep 1000']);
      onTestFinished(() => void started.process.kill('SIGKILL'));
      let said = '';
      started.process.stdout?.on('data', (data) => {
        said += data;
      });
      // Once while it boots, once while it runs.
      if (signal === 'SIGKILL') await until('it runs', () => /up/.test(said), 2 * MINUTES);
      else await until('it boots', () => partsOf(started.pid).length === 2, MINUTES);
      started.process.kill(signal);
      await started.ended;
      await until('all is gone', () => partsOf(started.pid).length === 0, 10_000);
      await until('the socket too', () => sockets(started.pid).length === 0, 10_000);
    },
  );

  test('a trace of the GPU', { timeout: 3 * MINUTES }, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'i915-userptr-trace-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const trace = join(dir, 'gpu.ndjson');
    await cli(['vm', 'run', '--seconds', '1', '--stressors', 'munmap', '--gpu-trace', trace]);
    const lines = readFileSync(trace, 'utf8').trim().split('\n');
    expect(lines.length).toBeGreaterThan(1000);
    for (const line of lines.slice(0, 1000)) JSON.parse(line);
    expect(lines.some((line) => /MI_STORE_DATA_IMM|MI_STORE_DWORD/.test(line))).toBe(true);
  });

  test('a module that is not for this kernel is refused before the boot', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'i915-userptr-module-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, 'i915.ko');
    writeFileSync(file, 'not a module');
    const { status, stderr } = await cli(['vm', 'run', '--module', file, '--quiet']);
    expect(status).toBe(3);
    expect(stderr).toContain(file);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  test('tells its options without a VM', () => {
    const main = join(import.meta.dirname, '../../dist/cli/main.js');
    const help = spawnSync(process.execPath, [main, 'vm', 'run', '--help'], { encoding: 'utf8' });
    expect(help.status).toBe(0);
    expect(help.stdout).toMatch(/--kernel/);
    expect(help.stdout).not.toMatch(/--strategy/);
  });
});
