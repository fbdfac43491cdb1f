// SPDX-License-Identifier: MIT
// The end of a run, in words.
import pico from 'picocolors';
import type { Result, ResultOp, ResultThread, ResultViolation } from '../stress/result.js';
import { answer, columns, count, duration, hex, micros } from './units.js';

export interface TextOptions {
  color: boolean;
  /** No table: the verdict, and what led to it. */
  brief?: boolean;
}

/** Violations that are shown whole; the others stand in the JSON. */
const SHOWN = 5;
/** Of each thread, when a run did not come to its end. */
const LAST_OPS = 4;
/** Of the longest name, move_pages. */
const OP_WIDTH = 10;

const ended: Record<Result['end'], string> = {
  itself: '',
  interrupted: ', interrupted',
  crash: ', ended by a crash',
  stall: ', ended by a stall',
  hang: ', its threads hang',
  'not-run': '',
};

type Paint = ReturnType<typeof pico.createColors>;

export function reportText(result: Result, { color, brief = false }: TextOptions): string {
  const paint = pico.createColors(color);
  const parts: string[][] = [];
  if (!brief && result.end !== 'not-run') {
    parts.push(headText(result));
    const table = result.threads.filter((t) => t.kind !== 'run');
    if (table.length > 0) parts.push(threadTable(table, paint));
  }
  const shown = firstOfEach(result.violations).slice(0, SHOWN);
  for (const [i, v] of shown)
    parts.push(violationText(v, `violation ${i + 1} of ${count(result.violationsTotal)}`, paint));
  if (result.violationsTotal > shown.length)
    parts.push([
      `${count(result.violationsTotal - shown.length)} more; --json keeps the first 64 with all their operations`,
    ]);
  const last = lastOperations(result.threads);
  if (last.length > 0) parts.push(last);
  parts.push(verdictText(result, paint));
  return `${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** The first of each kind, then the second of each, ...; each with its number in the list. */
function firstOfEach(list: readonly ResultViolation[]): [number, ResultViolation][] {
  const seen = new Map<string, number>();
  return list
    .map((v, i) => {
      const rank = seen.get(v.kind) ?? 0;
      seen.set(v.kind, rank + 1);
      return { i, v, rank };
    })
    .sort((a, b) => a.rank - b.rank)
    .map(({ i, v }) => [i, v]);
}

function headText(r: Result): string[] {
  const { host, device, era, pins, options } = r;
  const strategy = device.name === 'soft' ? `, strategy ${options.strategy}` : '';
  const faults = options.faults.length ? `, faults ${options.faults.join(',')}` : '';
  const rows = [
    ['device', `${device.name}${strategy}${faults}`],
    ['', device.why],
    ['kernel', `${host.kernel} ${host.machine}, ${host.cpus} CPUs`],
    ['seed', `${options.seed}`],
    ['time', `${r.seconds.toFixed(1)} s${ended[r.end]}`],
    ['era', eraText(era)],
    ['pins', pins ? pinsText(pins) : ''],
    ...r.skips.map(({ what, why }) => ['skipped', `${what}: ${why}`]),
    ...r.notes.map((note) => ['note', note]),
  ];
  return rows.filter(([, text]) => text).map(([name, text]) => `${name?.padEnd(8)} ${text}`);
}

function eraText({ expected, measured, munmapNs }: Result['era']): string {
  if (expected === 'unknown' && measured === 'unknown') return '';
  const words = {
    waits: 'waits: the notifier waits for the GPU (before 6.9)',
    'no-wait': 'no-wait: the notifier does not wait for the GPU (6.9 and later)',
    unknown: 'unknown',
  };
  const seen =
    measured === 'unknown'
      ? 'not measured'
      : `${measured === expected ? 'measured' : `measured ${measured}`}: munmap under a batch that runs took ${duration(Number(munmapNs))}`;
  return `${words[expected]}; ${seen}`;
}

function pinsText({ acquired, released }: NonNullable<Result['pins']>): string {
  if (acquired === 0n && released === 0n) return '';
  const rest = acquired - released;
  return `${count(acquired)} pages pinned, ${rest > 0n ? `${count(rest)} not given back` : 'all given back'}`;
}

function threadTable(threads: readonly ResultThread[], paint: Paint): string[] {
  const head = [
    'thread',
    'ops',
    'ops/s',
    'p50',
    'p90',
    'p99',
    'max',
    'in lookup',
    'in flight',
    'EAGAIN',
    'EFAULT',
    'refused',
    'checks',
  ];
  const zero = (n: number) => (n === 0 ? '.' : count(n));
  const rows = threads.map((t) => {
    const { p50, p90, p99, max, count: timed } = t.latencyNs;
    const submits = t.kind === 'submit';
    return [
      t.name,
      count(t.ops),
      count(t.perSecond),
      ...[p50, p90, p99, max].map((ns) => (timed > 0 ? duration(ns) : '.')),
      submits ? '' : zero(t.overlapLookup),
      submits ? '' : zero(t.overlapBusy),
      zero(t.eagain),
      zero(t.efault),
      zero(t.refused),
      zero(t.checks),
    ];
  });
  const [first = '', ...rest] = columns([head, ...rows]);
  return [paint.bold(first), ...rest];
}

function violationText(v: ResultViolation, which: string, paint: Paint): string[] {
  const seconds = (Number(v.ns) / 1e9).toFixed(6);
  const seen = v.thread ? `seen by ${v.thread} ` : '';
  const lines = [paint.bold(paint.red(`${which}: ${v.kind}`)), `  ${v.text}`];
  lines.push(`  ${seen}${seconds} s after the start`);
  if (v.addr !== null) {
    const page = v.page !== null && v.cell !== null ? `, page ${v.page} of cell ${v.cell}` : '';
    lines.push(`  address ${hex(v.addr)}${page}`);
  }
  if (v.expected !== null && v.found !== null)
    lines.push(`  expected ${hex(v.expected, 8)}, found ${hex(v.found, 8)}`);
  if (v.where.trim())
    lines.push(
      ...v.where
        .split('\n')
        .filter((line) => line.trim())
        .map((line) => `  | ${line}`),
    );
  if (v.around.length > 0) {
    const where = v.cell === null ? '' : ` on cell ${v.cell}`;
    lines.push(
      `  operations around it${where} (µs before it; the last column is what they returned)`,
    );
    lines.push(...opsTable(v.around, v.ns).map((line) => `    ${line}`));
  }
  return lines;
}

/** Begin and end relative to `at`. */
function opsTable(ops: readonly ResultOp[], at: bigint): string[] {
  return columns(
    ops.map((op) => [
      op.thread,
      micros(op.beginNs - at),
      '..',
      op.endNs === null ? 'running' : micros(op.endNs - at),
      op.op.padEnd(OP_WIDTH),
      op.addr ? hex(op.addr) : '',
      op.len ? (op.op === 'exec' ? `seq ${op.len}` : `+${hex(op.len)}`) : '',
      op.endNs === null ? '' : answer(op.result),
    ]),
  );
}

/** Times are relative to the last operation of all. */
function lastOperations(threads: readonly ResultThread[]): string[] {
  const traced = threads.filter((t) => t.lastOps.length > 0);
  if (traced.length === 0) return [];
  const all = traced.flatMap((t) => t.lastOps.slice(-LAST_OPS));
  const latest = all.reduce((ns, op) => {
    const seen = op.endNs ?? op.beginNs;
    return seen > ns ? seen : ns;
  }, all[0]?.beginNs ?? 0n);
  return [
    'the last operations of each thread (µs before the last of all)',
    ...opsTable(all, latest).map((line) => `  ${line}`),
  ];
}

function verdictText(r: Result, paint: Paint): string[] {
  const color = { pass: paint.green, fail: paint.red, skip: paint.yellow, error: paint.red };
  const lines = [`${paint.bold(color[r.verdict](r.verdict.toUpperCase()))}: ${r.why}`];
  if (r.verdict !== 'skip' && r.end !== 'not-run') lines.push(`replay: ${r.replay}`);
  return lines;
}
