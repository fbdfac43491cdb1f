// SPDX-License-Identifier: MIT
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assemble } from '../../lib/stress/assemble.js';
import { makeOptions } from '../../lib/stress/options.js';
import type { Result } from '../../lib/stress/result.js';
import type { Progress } from '../../lib/stress/run.js';
import { emptySnapshot, type Op, type Snapshot } from '../../lib/stress/snapshot.js';
import { parseStreamLine, progressLine, resultLine } from '../../lib/stress/stream.js';

const U64 = 2n ** 64n - 1n;
const I64 = -(2n ** 63n);

const op = (thread: string, more: Partial<Op> = {}): Op => ({
  thread,
  op: 'exec',
  cell: null,
  beginNs: I64,
  endNs: U64,
  result: -14n,
  addr: U64,
  len: 0n,
  ...more,
});

const snapshot = (): Snapshot => ({
  ...emptySnapshot(),
  state: 'running',
  pid: 7,
  startNs: U64,
  endNs: I64,
  pins: { acquired: U64, released: 0n },
  skips: [{ what: 'ksm', why: 'not in this kernel' }],
  violationsTotal: 1,
  threads: [
    {
      name: 'submit/0',
      kind: 'submit',
      tid: 8,
      ops: 2 ** 53 - 1,
      eagain: 0,
      eintr: 0,
      efault: 0,
      refused: 0,
      overlapLookup: 0,
      overlapBusy: 0,
      checks: 0,
      op: '',
      opNs: 0,
      latency: { p50: 0, p90: 0, p99: 0, max: 0, count: 0 },
      trace: [op('submit/0'), op('submit/0', { cell: 3 })],
    },
  ],
  violations: [
    {
      kind: 'stale write',
      cell: 1,
      thread: 'submit/0',
      ns: I64,
      addr: U64,
      page: 2,
      expected: 0n,
      found: U64,
      text: 'a "quoted" line\nand another µ',
      where: '',
      around: [op('munmap/0')],
    },
  ],
});

const options = makeOptions({ device: '/dev/dri/renderD128', seed: U64, stressors: ['munmap'] });
const progress = (more: Partial<Snapshot> = {}): Progress => ({
  options,
  device: { name: 'soft', why: 'asked for' },
  begunNs: U64,
  snapshot: { ...snapshot(), ...more },
});
const result = (): Result =>
  assemble({
    options,
    device: { name: 'soft', why: 'asked for' },
    startedAt: new Date(0),
    begunNs: 0n,
    snapshot: { ...snapshot(), state: 'done', startNs: 1n, endNs: 2n },
    end: { how: 'crash', text: 'it was killed', said: 'its words' },
    notes: ['a note'],
  });

const read = (line: string) => {
  expect(line.endsWith('\n')).toBe(true);
  expect(line.indexOf('\n')).toBe(line.length - 1);
  return parseStreamLine(line);
};

describe('a line comes back as it was', () => {
  it('of progress, with the extremes of 64 bits', () => {
    expect(read(progressLine(progress()))).toEqual({ progress: progress() });
  });

  it('of progress before a device is open', () => {
    const early = { ...progress(), device: undefined, snapshot: emptySnapshot() };
    expect(read(progressLine(early))).toEqual({ progress: early });
  });

  it('of a result', () => {
    expect(read(resultLine(result()))).toEqual({ result: result() });
  });

  it('of progress, with any numbers', () => {
    const any = fc.bigInt({ min: I64, max: U64 });
    fc.assert(
      fc.property(any, fc.bigInt({ min: 0n, max: U64 }), fc.string(), (ns, addr, text) => {
        const [first] = snapshot().violations;
        if (!first) throw new Error('there is one');
        const given = progress({ nowNs: ns, violations: [{ ...first, ns, addr, text }] });
        expect(read(progressLine(given))).toEqual({ progress: given });
      }),
    );
  });
});

it('progress has the last operations of a thread and the first violations', () => {
  const [thread] = snapshot().threads;
  const [violation] = snapshot().violations;
  if (!thread || !violation) throw new Error('there is one of each');
  const trace = Array.from({ length: 100 }, (_, i) => op('submit/0', { len: BigInt(i) }));
  const violations = Array.from({ length: 64 }, (_, page) => ({ ...violation, page }));
  const message = read(progressLine(progress({ threads: [{ ...thread, trace }], violations })));
  if (!message || !('progress' in message)) throw new Error('it was progress');
  const { snapshot: s } = message.progress;
  expect(s.threads[0]?.trace.map((o) => o.len)).toEqual([96n, 97n, 98n, 99n]);
  expect(s.violations.map((v) => v.page)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

describe('a line that is none of these is undefined', () => {
  const broken = (line: string, change: (json: Record<string, never>) => void) => {
    const json = JSON.parse(line);
    change(json);
    return JSON.stringify(json);
  };
  type Any = Record<string, Record<string, unknown>>;
  it.each<[string, (json: Any) => void]>([
    ['another version', (j) => Object.assign(j.result ?? {}, { version: 2 })],
    ['another schema', (j) => Object.assign(j.result ?? {}, { schema: 'other/run' })],
    ['a verdict that there is not', (j) => Object.assign(j.result ?? {}, { verdict: 'fine' })],
    ['an option that there is not', (j) => Object.assign(j.result?.options ?? {}, { sneaky: 1 })],
    ['violations that are none', (j) => Object.assign(j.result ?? {}, { violations: [{}] })],
    ['a time that is none', (j) => Object.assign(j.result ?? {}, { startedAt: 'now' })],
  ])('a result with %s', (_, change) => {
    expect(parseStreamLine(broken(resultLine(result()), change as never))).toBeUndefined();
  });

  it.each<[string, (json: Any) => void]>([
    ['a number where text is', (j) => Object.assign(j.progress ?? {}, { begunNs: 5 })],
    ['text that is no number', (j) => Object.assign(j.progress ?? {}, { begunNs: '1e9' })],
    ['a state that there is not', (j) => Object.assign(j.progress?.snapshot ?? {}, { state: 'x' })],
    ['no snapshot', (j) => delete j.progress?.snapshot],
  ])('progress with %s', (_, change) => {
    expect(parseStreamLine(broken(progressLine(progress()), change as never))).toBeUndefined();
  });

  it.each([
    '',
    'null',
    '{}',
    '[]',
    '{"progress":null}',
    '{"result":{}}',
    '{"__proto__":{"result":1}}',
    '['.repeat(100_000),
  ])('%.30s', (line) => expect(parseStreamLine(line)).toBeUndefined());

  it('a line that is cut anywhere', () => {
    const line = progressLine(progress());
    fc.assert(
      fc.property(fc.integer({ min: 0, max: line.length - 2 }), (end) => {
        expect(parseStreamLine(line.slice(0, end))).toBeUndefined();
      }),
    );
  });

  it('whatever is sent, and nothing is thrown', () => {
    fc.assert(fc.property(fc.json(), (line) => parseStreamLine(line) === undefined));
    fc.assert(fc.property(fc.string(), (line) => parseStreamLine(line) === undefined));
    const inside = fc.record({ progress: fc.jsonValue(), result: fc.jsonValue() });
    fc.assert(fc.property(inside, (j) => parseStreamLine(JSON.stringify(j)) === undefined));
  });
});
