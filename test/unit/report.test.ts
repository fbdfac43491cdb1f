// SPDX-License-Identifier: MIT
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { progressView } from '../../lib/report/progress.js';
import { reportText } from '../../lib/report/text.js';
import { answer, count, duration } from '../../lib/report/units.js';
import { assemble, type End } from '../../lib/stress/assemble.js';
import { makeOptions } from '../../lib/stress/options.js';
import {
  type Result,
  resultFromJson,
  resultJsonSchema,
  resultToJson,
} from '../../lib/stress/result.js';
import type { Op, Snapshot, Thread } from '../../lib/stress/snapshot.js';

const START = 5_000_000_000n;
const LATENCY = { p50: 4_095, p90: 9_215, p99: 61_439, max: 1_234_567, count: 1000 };

const op = (
  thread: string,
  name: string,
  begin: number,
  end: number,
  more: Partial<Op> = {},
): Op => ({
  thread,
  op: name,
  cell: 2,
  beginNs: START + BigInt(begin),
  endNs: end ? START + BigInt(end) : 0n,
  result: 0n,
  addr: 0x300030000000n,
  len: name === 'exec' ? 18n : 0x1000n,
  ...more,
});

const thread = (name: string, more: Partial<Thread> = {}): Thread => ({
  name,
  kind: name.split('/')[0] ?? '',
  tid: 100,
  ops: 12_345,
  eagain: 17,
  eintr: 0,
  efault: 3,
  refused: 0,
  overlapLookup: 0,
  overlapBusy: 0,
  checks: 99_000,
  op: '',
  opNs: 0,
  latency: LATENCY,
  trace: [],
  ...more,
});

const trace = [
  op('submit/0', 'exec', 1_000_000, 1_004_200),
  op('munmap/0', 'munmap', 1_001_000, 1_090_300),
  op('submit/0', 'exec', 1_100_000, 0, { result: 0n }),
];

const snapshot = (more: Partial<Snapshot> = {}): Snapshot => ({
  state: 'done',
  error: '',
  pid: 4711,
  startNs: START,
  endNs: START + 10_000_000_000n,
  beatNs: START + 10_000_000_000n,
  nowNs: START + 10_100_000_000n,
  era: { expected: 'waits', measured: 'waits', munmapNs: 60_100_000n },
  pins: { acquired: 123_456n, released: 123_456n },
  skips: [{ what: 'pageout', why: 'no swap is on' }],
  violationsTotal: 0,
  threads: [
    thread('run', { kind: 'run', ops: 0 }),
    thread('submit/0'),
    thread('munmap/0', { ops: 2_345, overlapLookup: 321, overlapBusy: 1_500, eagain: 0, trace }),
  ],
  violations: [],
  ...more,
});

const stale = {
  kind: 'stale write',
  cell: 2,
  thread: 'munmap/0',
  ns: START + 1_150_000n,
  addr: 0x300030000040n,
  page: 0,
  expected: 0n,
  found: 0x0600_0012n,
  text: 'page 0 of cell 2 holds submission 18 of lane 0 of cell 2 after munmap and mmap',
  where: '',
  around: [...trace.slice(0, 2), op('submit/0', 'exec', 1_100_000, 1_104_000, { result: -14n })],
};

const itself: End = { how: 'itself', text: '', said: '' };

/** What depends on this machine is set to what does not. */
function result(s: Snapshot, end = itself, notes: string[] = []): Result {
  const options = makeOptions({ device: 'auto', seed: 42n, faults: ['no-wait'], sizes: [4096] });
  const device = { name: 'soft', why: 'the software i915: this machine has no DRM render node' };
  const startedAt = new Date(0);
  const host = { tool: '0.1.0', kernel: '6.1.0', machine: 'x86_64', cpus: 2, node: '20.20.2' };
  return {
    ...assemble({
      options,
      device,
      startedAt,
      begunNs: START - 200_000_000n,
      snapshot: s,
      end,
      notes,
    }),
    host,
  };
}

describe('verdict', () => {
  const verdict = (s: Partial<Snapshot>, end = itself) => {
    const { verdict, why, exitStatus } = result(snapshot(s), end);
    return [verdict, exitStatus, why];
  };

  test('no violation: pass', () => {
    expect(verdict({})).toEqual([
      'pass',
      0,
      'no violation in 12,345 submissions against 2,345 changes; 321 met a lookup, 1,500 a batch in flight',
    ]);
  });
  test('violations: fail, by kind', () => {
    expect(
      verdict({ violationsTotal: 70, violations: [stale, stale, { ...stale, kind: 'leak' }] }),
    ).toEqual(['fail', 1, '70 violations: stale write ×2, leak, 67 more']);
  });
  test('a process that died: fail, whatever the oracles say', () => {
    const end: End = { how: 'crash', text: 'killed by SIGSEGV', said: '' };
    expect(verdict({ state: 'running' }, end)).toEqual(['fail', 1, '1 violation: crash']);
  });
  test('a stall: fail', () => {
    const end: End = { how: 'stall', text: 'no sign of life', said: '' };
    expect(verdict({ state: 'running' }, end)).toEqual(['fail', 1, '1 violation: liveness']);
  });
  test('threads that hang and were reported are reported once', () => {
    const end: End = { how: 'hang', text: 'threads of the run did not end', said: '' };
    const violations = [{ ...stale, kind: 'liveness' }];
    expect(verdict({ violationsTotal: 1, violations }, end)[2]).toBe('1 violation: liveness');
    expect(verdict({}, end)[2]).toBe('1 violation: liveness');
  });
  test('a device that would not open: error', () => {
    const end: End = { how: 'not-run', text: 'open /dev/dri/x: ENOENT', said: '' };
    expect(verdict({ state: 'empty', startNs: 0n, threads: [] }, end)).toEqual([
      'error',
      3,
      'open /dev/dri/x: ENOENT',
    ]);
  });
  test('no stressor can run here: skip', () => {
    expect(verdict({ threads: [thread('submit/0')] }).slice(0, 2)).toEqual(['skip', 4]);
  });
  test('interrupted before anything ran: error', () => {
    const end: End = { how: 'interrupted', text: '', said: '' };
    expect(verdict({ startNs: 0n, threads: [], skips: [] }, end).slice(0, 2)).toEqual(['error', 3]);
  });
});

describe('the report', () => {
  const golden = (name: string, text: string) =>
    expect(text).toMatchFileSnapshot(`golden/report-${name}.txt`);

  test('of a run that passed', () =>
    golden('pass', reportText(result(snapshot()), { color: false })));
  test('of a violation', () => {
    const s = snapshot({ violationsTotal: 1, violations: [stale] });
    return golden('fail', reportText(result(s), { color: false }));
  });
  test('of a run that was killed', () => {
    const end: End = {
      how: 'crash',
      text: 'the process of the run was killed by SIGKILL',
      said: 'its last words\nin two lines',
    };
    const s = snapshot({ state: 'running', endNs: 0n });
    return golden('crash', reportText(result(s, end), { color: false }));
  });
  test('in brief', () => {
    const s = snapshot({ violationsTotal: 1, violations: [stale] });
    return golden('brief', reportText(result(s), { color: false, brief: true }));
  });
});

describe('JSON', () => {
  const full = result(snapshot({ violationsTotal: 1, violations: [stale] }), {
    how: 'crash',
    text: 'killed',
    said: '',
  });

  test('keeps all of it', () => {
    const text = JSON.stringify(resultToJson(full));
    expect(resultFromJson(JSON.parse(text))).toEqual(full);
  });
  test('addresses and contents are hexadecimal, times and counts decimal', () => {
    const json = resultToJson(full);
    expect(json.violations[0]).toMatchObject({
      addr: '0x300030000040',
      expected: '0x0',
      found: '0x6000012',
      ns: '1150000',
    });
    expect(json.violations[0]?.around[2]).toMatchObject({ result: '-14', beginNs: '1100000' });
    expect(json.options.seed).toBe('42');
  });
  test('has a JSON Schema', () => {
    expect(resultJsonSchema()).toMatchObject({ type: 'object' });
  });
});

describe('progress', () => {
  const shown = (tty: { columns: number; rows: number } | undefined, snapshots: Snapshot[]) => {
    const out = Object.assign(new PassThrough(), tty ? { isTTY: true, ...tty } : {});
    const view = progressView(out);
    const options = makeOptions({ seed: 42n, device: 'soft' });
    for (const s of snapshots)
      view.show({
        options,
        device: { name: 'soft', why: 'as asked for' },
        begunNs: 0n,
        snapshot: s,
      });
    view.end();
    return `${out.read() ?? ''}`;
  };
  const at = (seconds: number) =>
    snapshot({ state: 'running', endNs: 0n, nowNs: START + BigInt(seconds * 1e9) });

  test('one plain line a second, elsewhere than on a terminal', () => {
    const lines = shown(undefined, [at(0.5), at(1.02), at(1.5), at(2.04)])
      .trimEnd()
      .split('\n');
    expect(lines).toEqual([
      'soft: as asked for; seed 42',
      '   1 s  submissions 12,345 (12,103/s)  changes 2,345 (2,299/s)  in lookup 321  EAGAIN 17  EFAULT 3  violations 0',
      '   2 s  submissions 12,345 (0/s)  changes 2,345 (0/s)  in lookup 321  EAGAIN 17  EFAULT 3  violations 0',
    ]);
  });

  test('fits the terminal, and goes up by what it drew', () => {
    const text = shown({ columns: 40, rows: 4 }, [at(1), at(2)]);
    const frames = text.split('\x1b[?2026h').slice(1);
    expect(frames).toHaveLength(2);
    expect(frames[1]).toContain('\x1b[3A');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken away
    for (const line of text.replace(/\x1b\[[?\d]*[a-zA-Z]/g, '').split(/[\r\n]+/))
      expect(line.length).toBeLessThan(40);
    expect(text.endsWith('\x1b[?25h')).toBe(true);
  });
});

test('units', () => {
  expect([0, 999, 1000, 12_345, 999_600, 4_560_000, 61e9].map(duration)).toEqual([
    '0 ns',
    '999 ns',
    '1.00 µs',
    '12.3 µs',
    '1.00 ms',
    '4.56 ms',
    '61.00 s',
  ]);
  expect(count(1234567)).toBe('1,234,567');
  expect([0n, -14n, -11n, 0x300000000000n, -9999n].map(answer)).toEqual([
    '0',
    'EFAULT',
    'EAGAIN',
    '0x300000000000',
    '-9999',
  ]);
});
