// SPDX-License-Identifier: MIT
// From a board's last snapshot and the way a run ended to its result.
import { readFileSync } from 'node:fs';
import { cpus, machine, release } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../native.js';
import { type Options, replayArgs } from './options.js';
import {
  exitStatus,
  type Result,
  type ResultOp,
  type ResultThread,
  type ResultViolation,
  SCHEMA,
} from './result.js';
import type { Op, Snapshot, Thread, Violation } from './snapshot.js';

/** How the process of a run ended, as seen from outside. */
export interface End {
  how: Result['end'];
  /** What to say of a crash, a stall or a failure to start. */
  text: string;
  /** What it wrote to stderr, for a crash. */
  said: string;
}

export interface Outcome {
  options: Options;
  device: { name: string; why: string };
  startedAt: Date;
  /** CLOCK_MONOTONIC of the same. */
  begunNs: bigint;
  snapshot: Snapshot;
  end: End;
  notes: string[];
}

export const toolVersion: string = JSON.parse(
  readFileSync(join(packageRoot, 'package.json'), 'utf8'),
).version;

export const thisHost = (): Result['host'] => ({
  tool: toolVersion,
  kernel: release(),
  machine: machine(),
  cpus: cpus().length,
  node: process.versions.node,
});

export function assemble(outcome: Outcome): Result {
  const { options, device, startedAt, snapshot, end, notes } = outcome;
  const { startNs, endNs } = snapshot;
  // A run that died has no end of its own; what it did it had done by its last sign of life.
  const last = endNs || (snapshot.beatNs > startNs ? snapshot.beatNs : snapshot.nowNs);
  const seconds = startNs ? Number(last - startNs) / 1e9 : 0;
  // What goes wrong in the setup does so before the threads' start.
  const origin = startNs || outcome.begunNs;
  const since = (ns: bigint) => ns - origin;
  const cut = end.how === 'crash' || end.how === 'stall' || end.how === 'hang';

  const violations = snapshot.violations.map((v) => violationOf(v, since));
  const outside = outsideViolation(end, snapshot, since);
  if (outside) violations.push(outside);
  const violationsTotal = snapshot.violationsTotal + (outside ? 1 : 0);
  const threads = snapshot.threads
    .filter((t) => t.kind !== 'run' || cut)
    .map((t) => threadOf(t, seconds, cut, since));
  const verdict = judge(snapshot, end, violationsTotal, threads);
  const replayed = { ...options, device: device.name };
  return {
    schema: SCHEMA,
    version: 1,
    ...verdict,
    exitStatus: exitStatus[verdict.verdict],
    end: end.how,
    replay: commandText('run', replayArgs(replayed)),
    startedAt: startedAt.toISOString(),
    seconds,
    host: thisHost(),
    device,
    options,
    era: snapshot.era,
    pins: snapshot.state === 'done' && end.how !== 'hang' ? snapshot.pins : null,
    threads,
    skips: snapshot.skips,
    notes,
    violationsTotal,
    violations,
    vm: null,
  };
}

/** A command of ours, to be pasted into a shell. */
export const commandText = (name: string, args: readonly string[]): string =>
  ['npx i915-userptr', name, ...args.map(quoted)].join(' ');

/** For a shell. */
const quoted = (arg: string) =>
  /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`;

function judge(
  snapshot: Snapshot,
  end: End,
  total: number,
  threads: readonly ResultThread[],
): { verdict: Result['verdict']; why: string } {
  if (total > 0) return { verdict: 'fail', why: countKinds(snapshot, end, total) };
  if (end.how === 'not-run') return { verdict: 'error', why: end.text };
  const submits = threads.filter((t) => t.kind === 'submit');
  const stressors = threads.filter((t) => t.kind !== 'submit' && t.kind !== 'run');
  const sum = (list: readonly ResultThread[]) => list.reduce((n, t) => n + t.ops, 0);
  const [submissions, changes] = [sum(submits), sum(stressors)];
  if (stressors.length === 0 && snapshot.skips.length > 0)
    return { verdict: 'skip', why: 'this machine can run none of the stressors' };
  if (submissions + changes === 0)
    return end.how === 'interrupted'
      ? { verdict: 'error', why: 'interrupted before anything had run' }
      : { verdict: 'error', why: 'nothing ran: no thread came to an operation' };
  const overlaps = threads.reduce((n, t) => n + t.overlapLookup, 0);
  const busy = threads.reduce((n, t) => n + t.overlapBusy, 0);
  const n = (v: number) => v.toLocaleString('en-US');
  return {
    verdict: 'pass',
    why: `no violation in ${n(submissions)} submissions against ${n(changes)} changes; ${n(overlaps)} met a lookup, ${n(busy)} a batch in flight`,
  };
}

/** "3 violations: stale write ×2, leak" */
function countKinds(snapshot: Snapshot, end: End, total: number): string {
  const kinds = new Map<string, number>();
  const list = snapshot.violations.map((v) => v.kind);
  const outside = outsideKind(end, snapshot);
  if (outside) list.push(outside);
  for (const kind of list) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const more = total - list.length;
  const parts = [...kinds].map(([kind, n]) => (n > 1 ? `${kind} ×${n}` : kind));
  if (more > 0) parts.push(`${more.toLocaleString('en-US')} more`);
  return `${total.toLocaleString('en-US')} ${total === 1 ? 'violation' : 'violations'}: ${parts.join(', ')}`;
}

/** What the watching process reports itself: a death, or a stall. A hang the run has reported. */
function outsideKind(end: End, snapshot: Snapshot): string | undefined {
  if (end.how === 'crash') return 'crash';
  const reported = snapshot.violations.some((v) => v.kind === 'liveness');
  return end.how === 'stall' || (end.how === 'hang' && !reported) ? 'liveness' : undefined;
}

function outsideViolation(
  end: End,
  snapshot: Snapshot,
  since: (ns: bigint) => bigint,
): ResultViolation | undefined {
  const kind = outsideKind(end, snapshot);
  if (!kind) return undefined;
  return {
    kind,
    text: end.text,
    thread: '',
    cell: null,
    ns: since(snapshot.nowNs),
    addr: null,
    page: null,
    expected: null,
    found: null,
    where: end.said,
    around: [],
  };
}

const opOf = (op: Op, since: (ns: bigint) => bigint): ResultOp => ({
  ...op,
  beginNs: since(op.beginNs),
  endNs: op.endNs ? since(op.endNs) : null,
});

function threadOf(
  t: Thread,
  seconds: number,
  cut: boolean,
  since: (ns: bigint) => bigint,
): ResultThread {
  const { name, kind, ops, eagain, eintr, efault, refused, overlapLookup, overlapBusy } = t;
  return {
    name,
    kind,
    ops,
    perSecond: seconds > 0 ? Math.round(ops / seconds) : 0,
    eagain,
    eintr,
    efault,
    refused,
    overlapLookup,
    overlapBusy,
    checks: t.checks,
    latencyNs: t.latency,
    lastOps: cut ? t.trace.map((op) => opOf(op, since)) : [],
  };
}

function violationOf(v: Violation, since: (ns: bigint) => bigint): ResultViolation {
  // Address 0 is no address: this kind of violation is not about a place in memory.
  const placed = v.addr !== 0n;
  const valued = placed && (v.expected !== 0n || v.found !== 0n);
  return {
    kind: v.kind,
    text: v.text,
    thread: v.thread,
    cell: v.cell,
    ns: since(v.ns),
    addr: placed ? v.addr : null,
    page: placed ? v.page : null,
    expected: valued ? v.expected : null,
    found: valued ? v.found : null,
    where: v.where,
    around: v.around.map((op) => opOf(op, since)),
  };
}
