// SPDX-License-Identifier: MIT
// What the addon offers for stress runs (native/addon/stress_calls.cpp), and what a run's board
// shows of it while it runs.
import { type Native, native } from '../native.js';

/** One operation of a thread of the run. */
export interface Op {
  thread: string;
  /** One of `ops`: exec, munmap, ... */
  op: string;
  /** The area of memory it was about. */
  cell: number | null;
  /** CLOCK_MONOTONIC; an end of 0 is of an operation that has not returned. */
  beginNs: bigint;
  endNs: bigint;
  /** >= 0, or -errno. */
  result: bigint;
  /** What was changed or submitted; the len of an exec is the number of the submission. */
  addr: bigint;
  len: bigint;
}

/** ns, of the operations whose latency counts: changes of mappings and execbufs. */
export interface Latency {
  p50: number;
  p90: number;
  p99: number;
  max: number;
  count: number;
}

export interface Thread {
  /** "submit/0", "munmap/1"; the first is "run", which conducts the others. */
  name: string;
  kind: string;
  tid: number;
  /** Submissions, or changes of a mapping. */
  ops: number;
  eagain: number;
  eintr: number;
  efault: number;
  /** Other errnos that the situation allowed. */
  refused: number;
  /** Changes during which an execbuf call was under way. */
  overlapLookup: number;
  /** Changes during which a batch was in flight. */
  overlapBusy: number;
  /** Values that an oracle judged. */
  checks: number;
  /** The operation it is in, or ''. */
  op: string;
  /** ns since that began. */
  opNs: number;
  latency: Latency;
  /** Its last operations, the oldest first. */
  trace: Op[];
}

export interface Violation {
  kind: string;
  cell: number | null;
  thread: string;
  ns: bigint;
  /** Of the wrong dword. */
  addr: bigint;
  /** The index of its page in the area. */
  page: number;
  expected: bigint;
  found: bigint;
  text: string;
  /** Kernel stacks, for liveness. */
  where: string;
  /** The operations around it, on the same area, the oldest first. */
  around: Op[];
}

/** When the notifier lets a change of a mapping go on: before 6.9 it waits for the GPU. */
export type EraName = 'unknown' | 'waits' | 'no-wait';

export interface Snapshot {
  state: 'empty' | 'setup' | 'running' | 'stopping' | 'done' | 'failed';
  /** Why it failed. */
  error: string;
  pid: number;
  startNs: bigint;
  endNs: bigint;
  /** The run's watchdog was alive then. */
  beatNs: bigint;
  nowNs: bigint;
  era: { expected: EraName; measured: EraName; munmapNs: bigint };
  /** Pages, over the run; known at its end. */
  pins: { acquired: bigint; released: bigint };
  skips: { what: string; why: string }[];
  /** All of them; the first 64 are kept. */
  violationsTotal: number;
  threads: Thread[];
  violations: Violation[];
}

export interface StressorInfo {
  name: string;
  /** What it does to a mapping. */
  changes: string;
  /** What the machine must have; '' for nothing. */
  needs: string;
  /** Which oracle sees what goes wrong. */
  verified: string;
}

export interface StressConfig {
  seconds: number;
  operations: number;
  violations: number;
  seed: bigint;
  submitters: number;
  threadsPerStressor: number;
  objects: number;
  sizes: number[];
  stressors: string[];
  opTimeoutMs: number;
  atOnce: number;
  pauseUs: number;
  dwellUs: number;
  era: 'auto' | 'waits' | 'no-wait';
}

interface StressCalls {
  stressors: readonly StressorInfo[];
  violationKinds: readonly string[];
  ops: readonly string[];
  /** A memfd, shown by boardSnapshot in whatever process has it. */
  boardCreate(): number;
  boardSnapshot(fd: number): Snapshot;
  /** Starts threads that do all of it; `node` is '' on soft. Returns the run's number. */
  stressStart(device: number, config: StressConfig, board: number, node: string): number;
  stressStop(run: number): void;
  /** Blocks until the run has ended. False: threads of it hang, and only exitNow() ends them. */
  stressJoin(run: number): boolean;
  /** SIGKILL when the parent ends, whatever the JavaScript here is stuck in. False: it has. */
  dieWithParent(): boolean;
  /** _exit(2). */
  exitNow(status: number): never;
}

export const stress = native as Native & StressCalls;

/** Of a run that has shown nothing yet. */
export const emptySnapshot = (): Snapshot => ({
  state: 'empty',
  error: '',
  pid: 0,
  startNs: 0n,
  endNs: 0n,
  beatNs: 0n,
  nowNs: 0n,
  era: { expected: 'unknown', measured: 'unknown', munmapNs: 0n },
  pins: { acquired: 0n, released: 0n },
  skips: [],
  violationsTotal: 0,
  threads: [],
  violations: [],
});
