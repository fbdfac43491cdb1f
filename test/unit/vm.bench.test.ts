// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { measureText } from '../../lib/cli/vm/bench.js';
import { bootMeasures, cpuTime, perBatch } from '../../lib/vm/bench.js';
import { scratch, writeTree } from './vm.fixtures.js';

const at = scratch();

const timeline = [
  { stage: 'init', ms: 4500, guestMs: 3300 },
  { stage: 'agent', ms: 4500, guestMs: 3500 },
  { stage: 'root', ms: 4800, guestMs: 3780 },
  { stage: 'gpu', ms: 6000, guestMs: 4990 },
];
const times = { begun: 0, building: 400, booting: 600, up: 6700, timeline };

describe('bootMeasures', () => {
  it('shares the time from the command to /dev/dri out between its steps', () => {
    const measures = bootMeasures(times, 2);
    const of = Object.fromEntries(measures.map(({ name, value }) => [name, value]));
    expect(of).toEqual({
      boot: 6700,
      'boot.command': 400,
      'boot.programs': 200,
      'boot.gpu': 100,
      'boot.qemu': 1000,
      'boot.kernel': 3300,
      'boot.agent': 200,
      'boot.root': 280,
      'boot.i915': 1490,
    });
  });

  it('holds the goal under 7 s, and not at 7', () => {
    expect(bootMeasures(times, 2)[0]?.goal?.holds).toBe(true);
    expect(bootMeasures({ ...times, up: 7000 }, 2)[0]?.goal?.holds).toBe(false);
  });

  it('refuses a boot that has not told its stages', () => {
    expect(() => bootMeasures({ ...times, timeline: timeline.slice(1) }, 2)).toThrow(/stages/);
    expect(() => bootMeasures({ ...times, timeline: [] }, 2)).toThrow(/stages/);
  });
});

describe('perBatch', () => {
  const spent = (n: number, us: number | undefined) => ({
    batches: 100 * n,
    us,
    gpu: {
      register_reads: 300 * n,
      register_writes: 800 * n,
      msi_sent: 200 * n,
      polled_ns: 5e5 * n,
    },
  });
  const values = (before: number | undefined, after: number | undefined) =>
    Object.fromEntries(
      perBatch('1cpu', 'sync', spent(1, before), spent(3, after)).map((m) => [m.name, m.value]),
    );

  it("tells the GPU process's work from its looking for messages", () => {
    expect(values(1000, 3000)).toEqual({
      'reads.sync.1cpu': 3,
      'writes.sync.1cpu': 8,
      'interrupts.sync.1cpu': 2,
      'gpu.cpu.sync.1cpu': 5,
      'gpu.poll.sync.1cpu': 5,
    });
  });

  it('leaves times out where the kernel does not tell them', () => {
    expect(Object.keys(values(undefined, 3000))).toEqual([
      'reads.sync.1cpu',
      'writes.sync.1cpu',
      'interrupts.sync.1cpu',
    ]);
  });

  it('has nothing to say of no batch', () => {
    expect(() => perBatch('1cpu', 'sync', spent(1, 0), spent(1, 10))).toThrow(/no batch/);
  });
});

describe('cpuTime', () => {
  it('adds up the threads, in µs', () => {
    writeTree(at.root, {
      '7/task/7/schedstat': '2000 5 1\n',
      '7/task/8/schedstat': '500000 0 1\n',
    });
    expect(cpuTime(7, at.root)).toBe(502);
  });

  it('is undefined where there is no such process, or no such file, or no number in it', () => {
    writeTree(at.root, { '7/task/7/schedstat': 'x 1 2\n', '9/task/9/stat': '' });
    for (const pid of [7, 8, 9]) expect(cpuTime(pid, at.root)).toBeUndefined();
  });
});

describe('measureText', () => {
  it('gives a number its unit, and a goal its verdict', () => {
    const of = (value: number, unit: 'ms' | 'µs' | 's' | '/s' | '') =>
      measureText({ name: '', what: 'it', value, unit }).replace(/ +/g, ' ');
    expect(of(1234.6, 'ms')).toBe('it 1235 ms');
    expect(of(28.34, 'µs')).toBe('it 28.3 µs');
    expect(of(1.234, 's')).toBe('it 1.23 s');
    expect(of(11600.4, '/s')).toBe('it 11,600/s');
    expect(of(2.5, '')).toBe('it 2.50');
    const goal = { text: 'more', holds: false };
    expect(measureText({ name: '', what: 'it', value: 1, unit: '', goal })).toMatch(
      /more +MISSED$/,
    );
    expect(
      measureText({ name: '', what: 'it', value: 1, unit: '', goal: { ...goal, holds: true } }),
    ).toMatch(/more$/);
  });
});
