// SPDX-License-Identifier: MIT
// What the options of a machine are in the guest, and what the guest has of this machine.
import { describe, expect, test } from 'vitest';
import { cli } from '../stress/cli.js';
import { boot, MINUTES, noVm } from './vm.js';

describe.skipIf(noVm)('a guest', () => {
  test('is as its options say', { timeout: 4 * MINUTES }, async () => {
    const { sh } = await boot({
      cpus: 3,
      memory: 1536,
      numa: true,
      swap: 100,
      thp: 'always',
      hugepages: 16,
      ksm: true,
      append: 'i915.enable_hangcheck=0 quiet',
      loglevel: 6,
    });
    const out = async (script: string) => (await sh(script)).stdout.trim();
    expect(await out('nproc')).toBe('3');
    expect(await out('ls -d /sys/devices/system/node/node? | wc -l')).toBe('2');
    expect(Number(await out("awk '/MemTotal/{print $2}' /proc/meminfo"))).toBeGreaterThan(1.3e6);
    expect(await out('cat /proc/swaps')).toMatch(/zram0\s+partition\s+102396/);
    expect(await out('cat /sys/kernel/mm/transparent_hugepage/enabled')).toContain('[always]');
    expect(await out('cat /proc/sys/vm/nr_hugepages')).toBe('16');
    expect(await out('cat /sys/kernel/mm/ksm/run')).toBe('1');
    expect(await out('cat /sys/module/i915/parameters/enable_hangcheck')).toBe('N');
    expect(await out('cat /proc/cmdline')).toContain('loglevel=6');
    // This machine's files, and a layer over them that is the guest's own.
    expect(await out(`ls ${process.cwd()}/package.json`)).toBe(`${process.cwd()}/package.json`);
    const { status } = await sh(`touch ${process.cwd()}/not-on-the-host && echo x > /tmp/y`);
    expect(status).toBe(0);
    expect(await out('node -e "console.log(process.version)"')).toBe(process.version);
  });

  test('runs programs: their output, input and status', { timeout: 4 * MINUTES }, async () => {
    const ended = await cli([
      'vm',
      'exec',
      '--quiet',
      '--',
      'sh',
      '-c',
      'echo out; echo err >&2; exit 7',
    ]);
    expect(ended).toMatchObject({ status: 7, stdout: 'out\n' });
    expect(ended.stderr).toBe('err\n');
    const missing = await cli(['vm', 'exec', '--quiet', '--', '/no/such/program']);
    expect(missing.status).toBe(3);
    expect(missing.stderr).toMatch(/could not start \/no\/such\/program: ENOENT/);
  });
});
