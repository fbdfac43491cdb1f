// SPDX-License-Identifier: MIT
// Each kernel in the cache: its own i915 binds to the emulated GPU with nothing to complain of, the
// contract suite passes in the guest, and both sides count the same interrupts.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { boot, kernels, MINUTES, noVm } from './vm.js';

/** Of /proc/interrupts: all CPUs' counts of the lines that name i915. */
const interrupts = (text: string) =>
  text
    .split('\n')
    .filter((line) => /\bi915\b/.test(line))
    .flatMap((line) => line.trim().split(/\s+/).slice(1))
    .filter((word) => /^\d+$/.test(word))
    .reduce((sum, n) => sum + Number(n), 0);

interface Report {
  success: boolean;
  numPassedTests: number;
  numFailedTests: number;
  testResults: {
    name: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

const contract = join(packageRoot, 'test/contract');
const HANGS = 'hang.test.ts';
/** It is about the software device, wherever it runs. */
const SOFT_ONLY = 'fuzz.test.ts';

const suite = (files: string) =>
  `I915_USERPTR_DEVICE=/dev/dri/renderD128 npx vitest run ${files} --no-isolate --maxWorkers=1 ` +
  '--reporter=json --outputFile=/run/report.json --testTimeout=60000 >/run/out 2>&1; ' +
  'cat /run/report.json || cat /run/out';

const failed = (report: Report) =>
  report.testResults
    .flatMap((file) => file.assertionResults)
    .filter(({ status }) => status === 'failed')
    .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages[0]?.split('\n')[0]}`);

describe.skipIf(noVm)('kernels', () => {
  test.each(kernels)('%s', { timeout: 12 * MINUTES }, async (release) => {
    const { machine, splats, lines, sh } = await boot({ kernel: release });
    expect(splats, 'i915 binds in silence').toEqual([]);
    expect(lines.some((line) => /Initialized i915/.test(line))).toBe(true);
    expect((await sh('uname -r')).stdout.trim()).toBe(release);

    // Its hangs take minutes, as each waits for the driver's patience: on the newest kernel alone.
    // By name: vitest's --exclude does nothing where a project has an `exclude` of its own.
    const files = readdirSync(contract).filter(
      (name) =>
        name.endsWith('.test.ts') &&
        name !== SOFT_ONLY &&
        (release === kernels.at(-1) || name !== HANGS),
    );
    const { stdout } = await sh(suite(files.map((name) => `test/contract/${name}`).join(' ')));
    let report: Report;
    try {
      report = JSON.parse(stdout);
    } catch {
      throw new Error(`the contract suite gave no report:\n${stdout.slice(-3000)}`);
    }
    expect(failed(report)).toEqual([]);
    expect(report.numPassedTests).toBeGreaterThan(350);
    expect(report.testResults.map(({ name }) => basename(name)).sort()).toEqual(files.sort());

    // Garbage batches of the suite hang the GPU, and i915 says so; nothing else may be said.
    expect(splats.filter((s) => s.severity !== 'gpu-reset' && s.severity !== 'notice')).toEqual([]);

    // The GPU's counters come once a second.
    await new Promise((resolve) => setTimeout(resolve, 2200));
    const seen = interrupts((await sh('cat /proc/interrupts')).stdout);
    expect(seen).toBeGreaterThan(500);
    expect(machine.gpu.msi_sent).toBe(seen);
    expect(machine.gpu['mistakes.bad_message']).toBe(0);
  });
});
