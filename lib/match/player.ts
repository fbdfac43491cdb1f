// SPDX-License-Identifier: MIT
// The other end of native/match: a process that plays sequences, here over the software device or in
// a guest over the driver. It may die or hang by what it is asked to play; that is an answer too.
import { spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { z } from 'zod';
import { VmError } from '../vm/error.js';
import { onLines } from '../vm/lines.js';
import type { Machine } from '../vm/machine.js';
import { leash } from '../vm/processes.js';
import { build, programPath } from '../vm/programs.js';
import { GUEST_NODE, guestEnv } from '../vm/run.js';
import type { Place } from './uapi.js';

const hex = z.string().regex(/^0x[0-9a-f]{1,16}$/);
const readySchema = z.object({
  ready: z.literal(1),
  arena: hex,
  arenaSize: z.int().positive(),
  args: hex,
  argsSize: z.int().positive(),
  device: z.string(),
  kernel: z.string(),
});

/** What the player was answered, line by line, and how the sequence ended. */
export interface Played {
  answers: string[];
  /** 'end': it came to its end. Else what became of the player, in words. */
  end: string;
}
export const ENDED = 'end';

/** A process as the player needs it. */
export interface Transport {
  write(data: Uint8Array): void | Promise<void>;
  kill(): void;
  /** Resolves, with words, when it is over and all that it said was given to onLine. */
  exited: Promise<string>;
}
export type Start = (onLine: (line: string) => void) => Promise<Transport>;

/** ms without a line, while there is something to play. The player itself gives an op 10 s. */
const STALL_BOUND = 45_000;
const READY_BOUND = 60_000;
const SAID_LENGTH = 2000;

export async function buildPlayer(signal?: AbortSignal): Promise<string> {
  await build(['player'], 'the player', signal);
  return programPath('i915-player');
}

/** On this machine: over soft with these arguments. */
export const here =
  (program: string, args: readonly string[]): Start =>
  async (onLine) => {
    const [leashed, argv] = leash(program, args);
    const child = spawn(leashed, argv, { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    onLines(child.stdout, onLine);
    child.stderr.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-SAID_LENGTH);
    });
    // It may end before it has read all.
    child.stdin.on('error', () => {});
    const exited = new Promise<string>((resolve) => {
      child.on('error', (e) => resolve(e.message));
      child.on('close', (status, by) =>
        resolve(
          [by ? `killed by ${by}` : `exit status ${status}`, said.trim()]
            .filter(Boolean)
            .join(': '),
        ),
      );
    });
    return {
      write: (data) => void child.stdin.write(data),
      kill: () => void child.kill('SIGKILL'),
      exited,
    };
  };

const SIGKILL = 9;

export const inGuest =
  (machine: Machine, program: string): Start =>
  async (onLine) => {
    const stdout = new PassThrough();
    onLines(stdout, onLine);
    let said = '';
    const slow = machine.accel === 'tcg' ? ['--slow'] : [];
    const process = await machine.guest.exec([program, GUEST_NODE, ...slow], {
      cwd: '/tmp',
      env: guestEnv(),
      onStdout: (data) => stdout.write(data),
      onStderr: (data) => {
        said = (said + data.toString()).slice(-SAID_LENGTH);
      },
    });
    const exited = process.exited.then(
      ({ status, signal }) =>
        [signal ? `killed by signal ${signal}` : `exit status ${status}`, said.trim()]
          .filter(Boolean)
          .join(': '),
      (e: Error) => e.message,
    );
    return { write: (data) => process.write(data), kill: () => process.kill(SIGKILL), exited };
  };

const LEAKS = Buffer.from('leaks\n');

interface Pending {
  text: Buffer;
  id: string;
  played: Played;
  resolve: (played: Played) => void;
  reject: (e: Error) => void;
}

/** Plays sequences one after the other; many may be under way. */
export class Player {
  readonly place: Place;
  readonly device: string;
  readonly kernel: string;
  /** How often it had to be started again. */
  restarts = 0;
  readonly #start: Start;
  #transport: Transport;
  #pending: Pending[] = [];
  #asked: { resolve: (line: string) => void; reject: (e: Error) => void } | undefined;
  #next = 0;
  #heard = performance.now();
  #why = '';
  #ended = false;
  readonly #settled: Promise<void>;
  readonly #timer: NodeJS.Timeout;

  /** @throws {VmError} it does not start. */
  static async start(start: Start): Promise<Player> {
    const lines = new Lines();
    const transport = await start((line) => lines.take(line));
    const ready = await readyOf(transport, lines);
    return new Player(start, transport, lines, ready);
  }

  private constructor(
    start: Start,
    transport: Transport,
    lines: Lines,
    ready: z.output<typeof readySchema>,
  ) {
    this.#start = start;
    this.#transport = transport;
    this.place = {
      arena: BigInt(ready.arena),
      arenaSize: ready.arenaSize,
      args: BigInt(ready.args),
      argsSize: ready.argsSize,
    };
    this.device = ready.device;
    this.kernel = ready.kernel;
    lines.onLine = (line) => this.#line(line);
    this.#settled = this.#watch(transport);
    this.#timer = setInterval(() => this.#look(), 1000);
  }

  /** What is played is answered even when the player dies of it. */
  play(lines: readonly string[]): Promise<Played> {
    if (this.#ended) return Promise.reject(new VmError('the player has ended'));
    const id = `${this.#next++}`;
    const text = Buffer.from(`${[`begin ${id}`, ...lines, 'end'].join('\n')}\n`);
    return new Promise((resolve, reject) => {
      if (!this.#pending.length) this.#heard = performance.now();
      this.#pending.push({ text, id, played: { answers: [], end: '' }, resolve, reject });
      void this.#transport.write(text);
    });
  }

  /** What is left over, when all that was asked for has been played: a line. */
  leaks(): Promise<string> {
    if (this.#ended) return Promise.reject(new VmError('the player has ended'));
    return new Promise((resolve, reject) => {
      this.#heard = performance.now();
      this.#asked = { resolve, reject };
      void this.#transport.write(LEAKS);
    });
  }

  async end(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#transport.kill();
    await this.#settled;
  }

  #line(line: string): void {
    this.#heard = performance.now();
    if (line.startsWith('leaks ')) {
      this.#asked?.resolve(line);
      this.#asked = undefined;
      return;
    }
    // That it goes on.
    if (line.startsWith('schedules ')) return;
    const [first] = this.#pending;
    // A player that has found a hang says so and ends.
    if (line.startsWith('hang ') || line.startsWith('error ')) this.#why = line;
    else if (first && line === `end ${first.id}`) {
      first.played.end = ENDED;
      this.#pending.shift();
      first.resolve(first.played);
    } else first?.played.answers.push(line);
  }

  #look(): void {
    if (!this.#pending.length && !this.#asked) return;
    if (performance.now() - this.#heard < STALL_BOUND) return;
    this.#why = `no answer in ${STALL_BOUND / 1000} s`;
    this.#transport.kill();
  }

  async #watch(transport: Transport): Promise<void> {
    const how = await transport.exited;
    const [first] = this.#pending.splice(0, 1);
    if (first) {
      first.played.end = [this.#why, how].filter(Boolean).join(', ');
      this.#why = '';
      first.resolve(first.played);
    }
    if (this.#ended) return this.#fail(new VmError(`the player has ended: ${how}`));
    try {
      const lines = new Lines();
      const next = await this.#start((line) => lines.take(line));
      await readyOf(next, lines);
      lines.onLine = (line) => this.#line(line);
      this.restarts++;
      this.#transport = next;
      this.#heard = performance.now();
      for (const { text } of this.#pending) void next.write(text);
      if (this.#asked) void next.write(LEAKS);
      if (this.#ended) next.kill();
      return await this.#watch(next);
    } catch (e) {
      this.#ended = true;
      clearInterval(this.#timer);
      this.#fail(e instanceof Error ? e : new VmError(String(e)));
    }
  }

  #fail(e: Error): void {
    this.#asked?.reject(e);
    this.#asked = undefined;
    for (const { reject } of this.#pending.splice(0)) reject(e);
  }
}

/** Lines that come before anybody reads them. */
class Lines {
  #early: string[] = [];
  #onLine: ((line: string) => void) | undefined;

  take(line: string): void {
    if (this.#onLine) this.#onLine(line);
    else this.#early.push(line);
  }

  set onLine(to: (line: string) => void) {
    this.#onLine = to;
    for (const line of this.#early.splice(0)) to(line);
  }

  first(): Promise<string> {
    return new Promise((resolve) => {
      this.onLine = (line) => {
        this.#onLine = undefined;
        resolve(line);
      };
    });
  }
}

async function readyOf(transport: Transport, lines: Lines): Promise<z.output<typeof readySchema>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('it says nothing'), READY_BOUND);
  });
  const line = await Promise.race([lines.first(), transport.exited, late]);
  clearTimeout(timer);
  try {
    return readySchema.parse(JSON.parse(line));
  } catch {
    transport.kill();
    throw new VmError(`the player did not start: ${line.slice(0, 300)}`);
  }
}
