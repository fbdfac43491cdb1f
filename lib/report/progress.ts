// SPDX-License-Identifier: MIT
// What a run shows while it runs: a table that is drawn over itself on a terminal, plain lines
// elsewhere.
import type { Writable } from 'node:stream';
import type { Progress } from '../stress/run.js';
import type { Snapshot, Thread } from '../stress/snapshot.js';
import { columns, count, duration } from './units.js';

export interface ProgressView {
  show(progress: Progress): void;
  /** Gives the terminal back. */
  end(): void;
}

interface Terminal extends Writable {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

export const progressView = (out: Terminal): ProgressView =>
  out.isTTY ? new LiveTable(out) : new PlainLines(out);

/** Operations a second, by thread, over the second before. */
class Rates {
  #at = 0n;
  readonly #ops = new Map<string, number>();
  readonly #rate = new Map<string, number>();

  update({ startNs, nowNs, threads }: Snapshot): void {
    if (!startNs) return;
    this.#at ||= startNs;
    const ns = Number(nowNs - this.#at);
    if (ns < 1e9) return;
    for (const t of threads) {
      const before = this.#ops.get(t.name) ?? 0;
      this.#rate.set(t.name, Math.round(((t.ops - before) * 1e9) / ns));
      this.#ops.set(t.name, t.ops);
    }
    this.#at = nowNs;
  }

  of(threads: readonly Thread[]): number {
    return threads.reduce((sum, t) => sum + (this.#rate.get(t.name) ?? 0), 0);
  }
}

const sum = (threads: readonly Thread[], field: 'ops' | 'eagain' | 'efault' | 'overlapLookup') =>
  threads.reduce((n, t) => n + t[field], 0);

const elapsed = (s: Snapshot) => (s.startNs ? Number((s.endNs || s.nowNs) - s.startNs) / 1e9 : 0);

function stateText({ device, snapshot }: Progress): string {
  if (!device) return 'opening the device';
  return snapshot.state === 'setup' || snapshot.state === 'empty' ? 'setting up' : snapshot.state;
}

class PlainLines implements ProgressView {
  readonly #out: Terminal;
  readonly #rates = new Rates();
  #device = false;
  #second = 0;

  constructor(out: Terminal) {
    this.#out = out;
  }

  show({ device, options, snapshot }: Progress): void {
    if (device && !this.#device) {
      this.#device = true;
      this.#out.write(`${device.name}: ${device.why}; seed ${options.seed}\n`);
    }
    this.#rates.update(snapshot);
    const seconds = elapsed(snapshot);
    if (snapshot.state !== 'running' || Math.floor(seconds) <= this.#second) return;
    this.#second = Math.floor(seconds);
    const submits = snapshot.threads.filter((t) => t.kind === 'submit');
    const changes = snapshot.threads.filter((t) => t.kind !== 'submit');
    const part = (name: string, list: Thread[]) =>
      `${name} ${count(sum(list, 'ops'))} (${count(this.#rates.of(list))}/s)`;
    this.#out.write(
      `${seconds.toFixed(0).padStart(4)} s  ${[
        part('submissions', submits),
        part('changes', changes),
        `in lookup ${count(sum(changes, 'overlapLookup'))}`,
        `EAGAIN ${count(sum(submits, 'eagain'))}`,
        `EFAULT ${count(sum(submits, 'efault'))}`,
        `violations ${count(snapshot.violationsTotal)}`,
      ].join('  ')}\n`,
    );
  }

  end(): void {}
}

const ESC = '\x1b[';
/** The terminal shows nothing between these two: no flicker. Unknown elsewhere, and ignored. */
const BEGIN_UPDATE = `${ESC}?2026h`;
const END_UPDATE = `${ESC}?2026l`;
const HIDE_CURSOR = `${ESC}?25l`;
const SHOW_CURSOR = `${ESC}?25h`;
const CLEAR_LINE_REST = `${ESC}K`;
const CLEAR_REST = `${ESC}J`;

class LiveTable implements ProgressView {
  readonly #out: Terminal;
  readonly #rates = new Rates();
  #drawn: number[] = [];

  constructor(out: Terminal) {
    this.#out = out;
    process.on('exit', this.#restore);
  }

  show(progress: Progress): void {
    this.#rates.update(progress.snapshot);
    const width = this.#out.columns ?? 80;
    const height = Math.max(1, (this.#out.rows ?? 24) - 1);
    const lines = this.#lines(progress)
      .slice(0, height)
      .map((line) => line.slice(0, width - 1));
    const body = lines.map((line) => `${line}${CLEAR_LINE_REST}\n`).join('');
    this.#out.write(
      `${BEGIN_UPDATE}${HIDE_CURSOR}${this.#up(width)}${body}${CLEAR_REST}${END_UPDATE}`,
    );
    this.#drawn = lines.map((line) => line.length);
  }

  /** Over what was drawn: a terminal that has become narrower has broken its lines. */
  #up(width: number): string {
    const rows = this.#drawn.reduce((n, length) => n + Math.max(1, Math.ceil(length / width)), 0);
    return rows > 0 ? `\r${ESC}${rows}A` : '\r';
  }

  #lines(progress: Progress): string[] {
    const { device, options, snapshot } = progress;
    const of = options.seconds ? ` of ${options.seconds}` : '';
    const head = `${device?.name ?? options.device}  ${stateText(progress)}  ${elapsed(snapshot).toFixed(1)}${of} s  seed ${options.seed}  violations ${snapshot.violationsTotal}`;
    const threads = snapshot.threads.filter((t) => t.kind !== 'run');
    if (threads.length === 0) return [head];
    const titles = ['', 'ops', 'ops/s', 'p50', 'p99', 'in lookup', 'EAGAIN', 'EFAULT', 'now'];
    const kinds = [...new Set(threads.map((t) => t.kind))];
    const rows = kinds.map((kind) => {
      const list = threads.filter((t) => t.kind === kind);
      const most = (key: 'p50' | 'p99') => Math.max(...list.map((t) => t.latency[key]));
      const slowest = list.reduce((a, b) => (b.opNs > a.opNs ? b : a));
      return [
        list.length > 1 ? `${kind} ×${list.length}` : kind,
        count(sum(list, 'ops')),
        count(this.#rates.of(list)),
        duration(most('p50')),
        duration(most('p99')),
        kind === 'submit' ? '' : count(sum(list, 'overlapLookup')),
        count(sum(list, 'eagain')),
        count(sum(list, 'efault')),
        slowest.opNs > 1e9 ? `${slowest.op} ${duration(slowest.opNs)}` : '',
      ];
    });
    return [head, ...columns([titles, ...rows])];
  }

  #restore = (): void => {
    this.#out.write(SHOW_CURSOR);
  };

  end(): void {
    const width = this.#out.columns ?? 80;
    this.#out.write(`${this.#up(width)}${CLEAR_REST}`);
    this.#drawn = [];
    this.#restore();
    process.off('exit', this.#restore);
  }
}
