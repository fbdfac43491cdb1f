// SPDX-License-Identifier: MIT
// The other end of native/guest/agent.h: what the guest's init can be asked for, and what it tells.
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { native } from '../native.js';
import { VmError } from './error.js';
import { onLines } from './lines.js';

const int = z.int();
const short = z.string().max(200);
/** A guest is not trusted: what is not one of these is dropped, and counted. */
const messageSchema = z.union([
  z.object({ beat: int }),
  z.object({ kmsg: z.string() }),
  z.object({ lost: z.string() }),
  z.object({ out: int, fd: int, data: z.string() }),
  z.object({ exit: int, status: int, signal: int }),
  z.object({ fed: int, bytes: z.int().min(0) }),
  z.object({ reply: int, errno: int }),
  z.object({ stage: short, us: int, status: int, what: short.optional() }),
]);

/** A step of the boot: microseconds of the guest's clock, which starts with its kernel. */
export interface Stage {
  stage: string;
  us: number;
  /** An errno; 0: it went well. */
  status: number;
  /** The part of it that failed. */
  what?: string | undefined;
}

export interface GuestHooks {
  onStage: (stage: Stage) => void;
  /** A record of /dev/kmsg. */
  onKmsg: (record: string) => void;
  /** Records that were overwritten before the agent read them. */
  onLost: () => void;
}

export interface ExecOptions {
  cwd?: string;
  env?: Readonly<Record<string, string | undefined>>;
  /** On a terminal of its own, of this size; what it prints comes as stdout. */
  pty?: { rows: number; columns: number };
  onStdout?: (data: Buffer) => void;
  onStderr?: (data: Buffer) => void;
}

export interface Exited {
  status: number;
  /** A number; 0: none. */
  signal: number;
}

/** A process in the guest. */
export interface GuestProcess {
  exited: Promise<Exited>;
  /** Resolves when it has room for more, or will read no more. */
  write(data: Uint8Array): Promise<void>;
  /** Its input ends. */
  end(): void;
  /** To its process group. */
  kill(signal: number): void;
  resize(rows: number, columns: number): void;
}

/** The agent takes no request with more bytes (native/guest/agent.cpp). */
const MAX_BODY = 1 << 20;
const PIECE = 64 << 10;
/** Of input that the agent keeps for a process: a quarter of what it would. */
const WINDOW = 1 << 20;

/** A process's input: in order, and no more at once than the agent has room for. */
class Input {
  readonly #send: (piece: Uint8Array) => void;
  #last = Promise.resolve();
  #waiting = 0;
  #room: (() => void) | undefined;
  #over = false;

  constructor(send: (piece: Uint8Array) => void) {
    this.#send = send;
  }

  write(data: Uint8Array): Promise<void> {
    return this.#then(async () => {
      // No bytes would be the end.
      for (let at = 0; at < data.length && !this.#over; at += PIECE) {
        const piece = data.subarray(at, at + PIECE);
        this.#waiting += piece.length;
        this.#send(piece);
        while (this.#waiting >= WINDOW && !this.#over)
          await new Promise<void>((resolve) => {
            this.#room = resolve;
          });
      }
    });
  }

  end(): void {
    void this.#then(async () => {
      if (!this.#over) this.#send(new Uint8Array());
    });
  }

  #then(step: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(step);
    return this.#last;
  }

  fed(bytes: number): void {
    this.#waiting = Math.max(0, this.#waiting - bytes);
    this.#room?.();
  }

  /** Nobody reads any more. */
  over(): void {
    this.#over = true;
    this.#room?.();
  }
}

interface Running {
  onStdout: (data: Buffer) => void;
  onStderr: (data: Buffer) => void;
  input: Input;
  resolve: (exited: Exited) => void;
  reject: (e: Error) => void;
}

export class Guest {
  /** When it last said anything; performance.now(). */
  heard = performance.now();
  /** Lines that were no message. */
  rubbish = 0;
  readonly #port: Duplex;
  readonly #hooks: GuestHooks;
  readonly #processes = new Map<number, Running>();
  readonly #asked = new Map<
    number,
    { resolve: (errno: number) => void; reject: (e: Error) => void }
  >();
  #next = 1;
  #gone: Error | undefined;

  constructor(port: Duplex, hooks: GuestHooks) {
    this.#port = port;
    this.#hooks = hooks;
    onLines(port, (line) => this.#line(line));
  }

  #line(line: string): void {
    this.heard = performance.now();
    let message: z.output<typeof messageSchema>;
    try {
      message = messageSchema.parse(JSON.parse(line));
    } catch {
      this.rubbish++;
      return;
    }
    if ('kmsg' in message) this.#hooks.onKmsg(Buffer.from(message.kmsg, 'latin1').toString());
    else if ('lost' in message) this.#hooks.onLost();
    else if ('stage' in message) this.#hooks.onStage(message);
    else if ('out' in message) {
      const to = this.#processes.get(message.out);
      const data = Buffer.from(message.data, 'latin1');
      if (message.fd === 2) to?.onStderr(data);
      else to?.onStdout(data);
    } else if ('exit' in message) {
      const { exit, status, signal } = message;
      const its = this.#processes.get(exit);
      its?.input.over();
      its?.resolve({ status, signal });
      this.#processes.delete(exit);
    } else if ('fed' in message) {
      this.#processes.get(message.fed)?.input.fed(message.bytes);
    } else if ('reply' in message) {
      this.#asked.get(message.reply)?.resolve(message.errno);
      this.#asked.delete(message.reply);
    }
  }

  #send(head: string, body: Uint8Array = new Uint8Array()): void {
    this.#port.write(Buffer.concat([Buffer.from(`${head}\n`), body]));
  }

  #ask(id: number, words: string, body?: Uint8Array): Promise<number> {
    if (this.#gone) return Promise.reject(this.#gone);
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#send(`${id} ${words}`, body);
    });
  }

  /**
   * Starts a program.
   * @throws {VmError} it could not be started there, or the guest has ended.
   */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<GuestProcess> {
    if (this.#gone) throw this.#gone;
    const id = this.#next++;
    const env = Object.entries(options.env ?? {}).flatMap(([k, v]) =>
      v === undefined ? [] : [`${k}=${v}`],
    );
    const strings = [options.cwd ?? '/', ...argv, ...env];
    if (strings.some((text) => text.includes('\0')))
      throw new VmError('a program, its arguments and its environment hold no NUL');
    const body = Buffer.from(strings.map((text) => `${text}\0`).join(''));
    if (body.length > MAX_BODY)
      throw new VmError('a program, its arguments and its environment have at most 1 MiB together');
    const { rows = 0, columns = 0 } = options.pty ?? {};
    const input = new Input((piece) => this.#send(`${id} stdin ${piece.length}`, piece));
    const exited = new Promise<Exited>((resolve, reject) => {
      const { onStdout = () => {}, onStderr = () => {} } = options;
      this.#processes.set(id, { onStdout, onStderr, input, resolve, reject });
    });
    // Whoever waits for it hears of it.
    exited.catch(() => {});
    const errno = await this.#ask(
      id,
      `exec ${options.pty ? 1 : 0} ${rows} ${columns} ${argv.length} ${env.length} ${body.length}`,
      body,
    );
    if (errno) {
      this.#processes.delete(id);
      throw new VmError(`the guest could not start ${argv[0]}: ${native.errnoName(errno)}`);
    }
    return {
      exited,
      write: (data) => input.write(data),
      end: () => input.end(),
      kill: (signal) => void this.#ask(id, `kill ${signal}`).catch(() => {}),
      resize: (r, c) => void this.#ask(id, `size ${r} ${c}`).catch(() => {}),
    };
  }

  /** Writes a file of /proc/sys or /sys; the errno, 0 for none. */
  write(path: string, value: string): Promise<number> {
    const body = Buffer.from(`${path}\0${value}`);
    return this.#ask(this.#next++, `write ${body.length}`, body);
  }

  /** Swap on a compressed disk in memory; the errno, 0 for none. */
  zram(bytes: number): Promise<number> {
    const disk = Buffer.from('zram0');
    return this.#ask(this.#next++, `zram ${disk.length} ${bytes}`, disk);
  }

  /** The machine has ended: so does all that is waited for. */
  end(why: Error): void {
    this.#gone ??= why;
    for (const { input } of this.#processes.values()) input.over();
    for (const { reject } of [...this.#asked.values(), ...this.#processes.values()]) reject(why);
    this.#asked.clear();
    this.#processes.clear();
    this.#port.destroy();
  }
}
