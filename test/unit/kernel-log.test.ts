// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import type { KernelVerdict } from '../../lib/kernel/local.js';
import type { Splat } from '../../lib/kernel/splat.js';
import { decodeTaint } from '../../lib/kernel/taint.js';
import { assemble } from '../../lib/stress/assemble.js';
import { withKernelLog, withLocalLog } from '../../lib/stress/kernel-log.js';
import { makeOptions } from '../../lib/stress/options.js';
import type { Result } from '../../lib/stress/result.js';
import { emptySnapshot } from '../../lib/stress/snapshot.js';

const result = (): Result => ({
  ...assemble({
    options: makeOptions({ seed: 7n }),
    device: { name: 'renderD128', why: '' },
    startedAt: new Date(0),
    begunNs: 0n,
    snapshot: emptySnapshot(),
    end: { how: 'itself', text: '', said: '' },
    notes: ['a note'],
  }),
  verdict: 'pass',
  why: 'no violation',
  exitStatus: 0,
});

const splat = (title: string, more: Partial<Splat> = {}): Splat => ({
  kind: 'warning',
  severity: 'bug',
  title,
  lines: [`${title}, the first line`, 'and a second'],
  ...more,
});

const quiet: KernelVerdict = {
  splats: [],
  moreSplats: 0,
  taintAdded: [],
  lockdepOff: false,
  records: 5,
  lost: 0,
};

describe("the kernel log's part in a verdict", () => {
  it('is none where the kernel said nothing, or nothing that counts', () => {
    expect(withKernelLog(result(), [], 0)).toEqual(result());
    const told = withKernelLog(result(), [splat('OOM', { severity: 'notice' })], 0);
    expect(told).toMatchObject({ verdict: 'pass', exitStatus: 0, violationsTotal: 0 });
    expect(told.notes).toEqual(['a note', "the kernel's log: OOM"]);
  });

  it('is a failure with the report and its time', () => {
    const told = withKernelLog(result(), [splat('WARNING in f', { us: 1500 })], 1000);
    expect(told).toMatchObject({ verdict: 'fail', exitStatus: 1, violationsTotal: 1 });
    expect(told.why).toBe('1 violation: kernel log: WARNING in f');
    expect(told.violations[0]).toMatchObject({
      kind: 'kernel log',
      text: 'WARNING in f',
      ns: 500_000n,
      where: 'WARNING in f, the first line\nand a second',
    });
  });

  it('stands behind what the run has found itself', () => {
    const failed: Result = { ...result(), verdict: 'fail', why: '1 violation: leak' };
    const told = withKernelLog({ ...failed, violationsTotal: 1 }, [splat('A'), splat('A')], 0);
    expect(told.why).toBe('1 violation: leak; kernel log: A');
    expect(told.violationsTotal).toBe(3);
  });

  it('a clock that cannot be is none', () => {
    const told = withKernelLog(result(), [splat('A', { us: Number.NaN })], 0);
    expect(told.violations[0]?.ns).toBe(0n);
  });
});

describe("this machine's log", () => {
  it('is silent of a machine that stayed as it was', () => {
    expect(withLocalLog(result(), quiet, 0n)).toEqual(result());
  });

  it('tells what the kernel has become without a word', () => {
    const told = withLocalLog(
      result(),
      { ...quiet, taintAdded: decodeTaint(1n << 9n), lockdepOff: true },
      0n,
    );
    expect(told.violations.map((v) => v.text)).toEqual([
      'the kernel is tainted since: W (WARN)',
      'lockdep has turned itself off',
    ]);
    expect(told.verdict).toBe('fail');
  });

  it('tells a bug once, not its marks as well', () => {
    const told = withLocalLog(
      result(),
      {
        ...quiet,
        splats: [{ ...splat('possible circular locking', { kind: 'lockdep' }), times: 2 }],
        taintAdded: decodeTaint(1n << 9n),
        lockdepOff: true,
      },
      0n,
    );
    expect(told.violations).toHaveLength(1);
  });

  it('says what it could not read', () => {
    const told = withLocalLog(result(), { ...quiet, lost: 3, moreSplats: 2 }, 0n);
    expect(told.verdict).toBe('pass');
    expect(told.notes.slice(1)).toEqual([
      "2 more complaints of the kernel's were not kept",
      "3 records of the kernel's log were overwritten before they were read",
    ]);
  });
});
