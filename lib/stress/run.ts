// SPDX-License-Identifier: MIT
// A stress run as seen from outside: a child process that has the device and all threads, watched
// through its board. Whatever becomes of it is a result; nothing of it is left behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type KernelLog, watchKernelLog } from '../kernel/local.js';
import { assemble, type End } from './assemble.js';
import { withLocalLog } from './kernel-log.js';
import { makeOptions, type Options, type OptionsInput } from './options.js';
import { encodeRequest, type FromRunner, runnerStatus, type ToRunner } from './protocol.js';
import type { Result } from './result.js';
import { type Snapshot, stress } from './snapshot.js';

export interface Progress {
  options: Options;
  /** Not known before it is open. */
  device: { name: string; why: string } | undefined;
  /** CLOCK_MONOTONIC at its start. */
  begunNs: bigint;
  snapshot: Snapshot;
}

export interface RunHooks {
  /** Ten times a second. */
  onProgress?: (progress: Progress) => void;
  /** Ends the run within a second, with a verdict for what ran. */
  signal?: AbortSignal;
}

/** ms */
const TICK = 100;
const QUICK_TICK = 15;
/** After an abort the run gets so long to end by itself. */
const STOP_BOUND = 750;
/** From the end of a run to the end of its process. */
const FINISH_BOUND = 5000;
/** More than the bound of one operation, before a silent run is a dead one. */
const STALL_SLACK = 5000;
/** Until the run's process shows itself: node and the addon are slow to load in an emulated guest. */
const START_BOUND = 120_000;
/** After SIGKILL; what is still there then hangs in the kernel. */
const KILL_BOUND = 2000;
const SAID_LENGTH = 4000;

/** The bound of one operation, as in native/stress/run.cpp. */
const opTimeout = (options: Options, device: string | undefined) =>
  options.opTimeoutMs || (device === 'soft' ? 5000 : 30_000);

/** A sleep that can be cut short. */
class Alarm {
  #ring = () => {};

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#ring = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  readonly ring = (): void => this.#ring();
}

/** The runner, in a process group of its own: a Ctrl-C of the terminal is for the parent. */
class Child {
  device: { name: string; why: string } | undefined;
  failed = '';
  said = '';
  ended: { status: number | null; signal: NodeJS.Signals | null } | undefined;
  readonly #process: ChildProcess;
  readonly #alarm: Alarm;

  constructor(options: Options, board: number, alarm: Alarm) {
    this.#alarm = alarm;
    const runner = fileURLToPath(new URL('./runner.js', import.meta.url));
    this.#process = spawn(process.execPath, [runner, encodeRequest(options)], {
      // The fourth is BOARD_FD.
      stdio: ['ignore', 'ignore', 'pipe', board, 'ipc'],
      detached: true,
    });
    this.#process.stderr?.on('data', (data: Buffer) => {
      this.said = (this.said + data.toString()).slice(-SAID_LENGTH);
    });
    this.#process.on('message', (message) => {
      const m = message as FromRunner;
      if ('device' in m) this.device = m.device;
      else this.failed = m.failed;
    });
    const end = (status: number | null, signal: NodeJS.Signals | null) => {
      this.ended ??= { status, signal };
      alarm.ring();
    };
    this.#process.on('exit', end);
    this.#process.on('error', (e) => {
      if (this.pid !== undefined) return;
      this.failed = `the process of the run could not be started: ${e.message}`;
      end(null, null);
    });
    process.on('exit', this.kill);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  tell(message: ToRunner): void {
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  /** With the children that its stressors have forked. */
  kill = (): void => {
    if (this.pid === undefined) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // ESRCH: nobody is left in the group.
    }
  };

  /** False: it hangs in the kernel, out of reach of SIGKILL. */
  async bury(): Promise<boolean> {
    this.kill();
    process.off('exit', this.kill);
    if (!this.ended) await this.#alarm.sleep(KILL_BOUND);
    this.#process.stderr?.destroy();
    if (this.#process.connected) this.#process.disconnect();
    this.#process.unref();
    return this.ended !== undefined;
  }
}

/** What the watcher decides at a tick; undefined: to go on. */
class Watch {
  stopBy = Number.POSITIVE_INFINITY;
  finishBy = Number.POSITIVE_INFINITY;
  interrupted = false;
  cut = false;
  readonly #begun: bigint;
  readonly #child: Child;
  readonly #options: Options;

  constructor(child: Child, options: Options, begun: bigint) {
    this.#begun = begun;
    this.#child = child;
    this.#options = options;
  }

  get tick(): number {
    return this.interrupted || this.finishBy < Number.POSITIVE_INFINITY ? QUICK_TICK : TICK;
  }

  step(snapshot: Snapshot, aborted: boolean): End | undefined {
    const now = performance.now();
    const over = snapshot.state === 'done' || snapshot.state === 'failed';
    if (over && this.finishBy === Number.POSITIVE_INFINITY) {
      this.#child.tell('finish');
      this.finishBy = now + FINISH_BOUND;
    }
    if (aborted && !this.interrupted && !over) {
      this.interrupted = true;
      this.#child.tell('stop');
      this.stopBy = now + STOP_BOUND;
    }
    if (now > this.finishBy)
      return {
        how: 'hang',
        text: `the run was over, but ${FINISH_BOUND / 1000} s later its process still had not closed the device and gone`,
        said: this.#child.said,
      };
    if (over) return undefined;
    if (now > this.stopBy) {
      this.cut = true;
      return { how: 'interrupted', text: '', said: '' };
    }
    return this.#stalled(snapshot);
  }

  #stalled(snapshot: Snapshot): End | undefined {
    const bound = this.#child.device
      ? opTimeout(this.#options, this.#child.device.name) + STALL_SLACK
      : START_BOUND;
    // Both are CLOCK_MONOTONIC.
    const alive = snapshot.beatNs > this.#begun ? snapshot.beatNs : this.#begun;
    const silent = Number(snapshot.nowNs - alive) / 1e6;
    if (silent < bound) return undefined;
    const stage = snapshot.state === 'empty' ? 'while it opened the device' : '';
    return {
      how: 'stall',
      text: `the run has shown no sign of life for ${Math.round(silent / 1000)} s ${stage}`.trim(),
      said: this.#child.said,
    };
  }
}

/** What the end of the process itself says. */
function endOf(child: Child, snapshot: Snapshot, interrupted: boolean): End {
  const { status, signal } = child.ended ?? { status: null, signal: null };
  const said = child.said.trim();
  if (child.failed) return { how: 'not-run', text: child.failed, said };
  if (status === 0 && snapshot.state === 'failed')
    return { how: 'not-run', text: snapshot.error, said };
  if (status === 0 && snapshot.state === 'done')
    return { how: interrupted ? 'interrupted' : 'itself', text: '', said };
  if (status === runnerStatus.hung)
    return { how: 'hang', text: 'threads of the run did not end', said };
  if (signal) {
    const hint = signal === 'SIGKILL' ? ' (by the OOM killer or by somebody: see dmesg)' : '';
    return { how: 'crash', text: `the process of the run was killed by ${signal}${hint}`, said };
  }
  const text = `the process of the run exited with status ${status}`;
  if (snapshot.state === 'empty')
    return { how: 'not-run', text: said ? `${text}: ${said}` : text, said };
  return { how: 'crash', text, said };
}

/** Runs the stress engine in a child process and says what became of it. */
export async function runStress(input: OptionsInput, hooks: RunHooks = {}): Promise<Result> {
  const options = makeOptions(input);
  const startedAt = new Date();
  const begunNs = process.hrtime.bigint();
  const board = stress.boardCreate();
  const alarm = new Alarm();
  let log: KernelLog | string | undefined;
  hooks.signal?.addEventListener('abort', alarm.ring);
  try {
    const child = new Child(options, board, alarm);
    const watch = new Watch(child, options, begunNs);
    let snapshot = stress.boardSnapshot(board);
    let end: End | undefined;
    while (!end && !child.ended) {
      await alarm.sleep(watch.tick);
      snapshot = stress.boardSnapshot(board);
      // A model has no kernel that could complain, and in a guest the host reads along.
      if (child.device && child.device.name !== 'soft' && !process.env.I915_USERPTR_IN_VM)
        log ??= watchKernelLog(options.seed);
      if (typeof log === 'object') log.poll();
      if (child.ended) break;
      hooks.onProgress?.({ options, device: child.device, begunNs, snapshot });
      end = watch.step(snapshot, hooks.signal?.aborted ?? false);
    }
    const buried = await child.bury();
    snapshot = stress.boardSnapshot(board);
    end ??= endOf(child, snapshot, watch.interrupted);
    const notes: string[] = [];
    if (watch.cut)
      notes.push(
        `the run did not end within ${STOP_BOUND} ms of the interrupt and was killed: the checks at its end (content, pins, leaks) were not made`,
      );
    if (!buried) notes.push(`process ${child.pid} hangs in the kernel: SIGKILL does not end it`);
    if (typeof log === 'string') notes.push(log);
    const device = child.device ?? { name: options.device, why: '' };
    const result = assemble({ options, device, startedAt, begunNs, snapshot, end, notes });
    if (typeof log !== 'object') return result;
    return withLocalLog(result, log.end(), snapshot.startNs || begunNs);
  } finally {
    if (typeof log === 'object') log.end();
    hooks.signal?.removeEventListener('abort', alarm.ring);
    closeSync(board);
  }
}
