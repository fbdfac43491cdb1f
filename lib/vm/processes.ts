// SPDX-License-Identifier: MIT
// The two processes that a machine is, as this one holds them.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VmError } from './error.js';
import { onLines } from './lines.js';
import type { VmOptions } from './options.js';
import { gpuArgs } from './qemu-args.js';

/** What the GPU counts: native/vgpu/trace/statistics.h. */
export type GpuStatistics = Readonly<Record<string, number>>;

/** ms; the rest of what a process has written, and of what its end brought about. */
export const REST_BOUND = 1000;
const SAID_LENGTH = 4000;

/** Dies with this process, also if that is killed; the shell sees to a parent that is gone already. */
export const leash = (program: string, args: readonly string[]): [string, string[]] => [
  'setpriv',
  [
    '--pdeathsig',
    'KILL',
    '--',
    '/bin/sh',
    '-c',
    `test "$PPID" = ${process.pid} && exec "$@"`,
    'sh',
    program,
    ...args,
  ],
];

interface ProcessEnd {
  status: number | null;
  signal: NodeJS.Signals | null;
}

/** A process with its end, and the last that it said on stderr. */
export class Part {
  readonly ended: Promise<ProcessEnd>;
  end: ProcessEnd | undefined;
  said = '';
  readonly child: ChildProcess;

  constructor(child: ChildProcess, name: string) {
    this.child = child;
    child.stderr?.on('data', (data: Buffer) => {
      this.said = (this.said + data.toString()).slice(-SAID_LENGTH);
    });
    this.ended = new Promise((resolve) => {
      const done = (end: ProcessEnd) => {
        this.end ??= end;
        resolve(this.end);
      };
      // What it wrote is read first; a process of its own may hold the other ends for ever.
      let rest: NodeJS.Timeout | undefined;
      child.on('exit', (status, signal) => {
        rest = setTimeout(() => done({ status, signal }), REST_BOUND);
      });
      child.on('close', (status, signal) => {
        clearTimeout(rest);
        done({ status, signal });
      });
      child.on('error', (e) => {
        if (child.pid !== undefined) return;
        this.said = `${name} could not be started: ${e.message}`;
        done({ status: null, signal: null });
      });
    });
  }

  kill = (): void => void this.child.kill('SIGKILL');

  async within(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([this.ended, bound]);
    clearTimeout(timer);
    return this.end !== undefined;
  }

  get lastWords(): string {
    const { status, signal } = this.end ?? { status: null, signal: null };
    const how = signal ? `killed by ${signal}` : `exit status ${status}`;
    return this.said.trim() ? `${how}: ${this.said.trim()}` : how;
  }
}

/** The process of the emulated GPU, which listens for QEMU. */
export class Gpu extends Part {
  readonly socket: string;
  statistics: GpuStatistics = {};
  #listens!: () => void;
  readonly #listening = new Promise<void>((resolve) => {
    this.#listens = resolve;
  });

  /** @throws {VmError} it could not be started. */
  static async start(program: string, options: VmOptions): Promise<Gpu> {
    const socket = join(
      tmpdir(),
      `i915-userptr-${process.pid}-${randomBytes(8).toString('hex')}.sock`,
    );
    const args = ['--socket', socket, '--with-parent', `${process.pid}`, '--stats', '-'];
    const gpu = new Gpu(
      spawn(program, [...args, ...gpuArgs(options)], {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      }),
      socket,
    );
    await Promise.race([gpu.#listening, gpu.ended]);
    if (!gpu.end) return gpu;
    gpu.done();
    throw new VmError(`the emulated GPU did not start (${gpu.lastWords})`);
  }

  private constructor(child: ChildProcess, socket: string) {
    super(child, 'the emulated GPU');
    this.socket = socket;
    // SIGTERM: it removes its socket.
    process.on('exit', this.terminate);
    if (child.stdout) onLines(child.stdout, (line) => this.#statistics(line));
  }

  terminate = (): void => void this.child.kill('SIGTERM');

  /** It has ended. */
  done(): void {
    process.off('exit', this.terminate);
    rmSync(this.socket, { force: true });
  }

  #statistics(line: string): void {
    try {
      const flat: Record<string, number> = {};
      for (const [name, value] of Object.entries(JSON.parse(line)))
        if (typeof value === 'number') flat[name] = value;
        else if (value && typeof value === 'object')
          for (const [kind, n] of Object.entries(value)) flat[`${name}.${kind}`] = Number(n);
      this.statistics = flat;
      this.#listens();
    } catch {
      // Cut short by a kill.
    }
  }
}
