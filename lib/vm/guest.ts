// SPDX-License-Identifier: MIT
// The other end of native/guest/agent.h: what the guest's init can be asked for, and what it tells.
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { native } from '../native.js';
import { VmError } from './error.js';
import { onLines } from './lines.js';

const int = z.int();
/** A guest is not trusted: what is not one of these is dropped, and counted. */
const messageSchema = z.union([
  z.object({ beat: int }),
  z.object({ kmsg: z.string() }),
  z.object({ lost: z.string() }),
  z.object({ out: int, fd: int, data: z.string() }),
  z.object({ exit: int, status: int, signal: int }),
  z.object({ reply: int, errno: int }),
  z.object({ stage: z.string(), us: int, status: int, what: z.string().optional() }),
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
  write(data: Uint8Array): void;
  /** Its input ends. */
  end(): void;
  /** To its process group. */
  kill(signal: number): void;
  resize(rows: number, columns: number): void;
}

interface Running {
  onStdout: (data: Buffer) => void;
  onStderr: (data: Buffer) => void;
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
      this.#processes.get(exit)?.resolve({ status, signal });
      this.#processes.delete(exit);
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
    const id = this.#next++;
    const env = Object.entries(options.env ?? {}).flatMap(([k, v]) =>
      v === undefined ? [] : [`${k}=${v}`],
    );
    const strings = [options.cwd ?? '/', ...argv, ...env];
    if (strings.some((text) => text.includes('\0')))
      throw new VmError('a program, its arguments and its environment hold no NUL');
    const body = Buffer.from(strings.map((text) => `${text}\0`).join(''));
    const { rows = 0, columns = 0 } = options.pty ?? {};
    const exited = new Promise<Exited>((resolve, reject) => {
      const { onStdout = () => {}, onStderr = () => {} } = options;
      this.#processes.set(id, { onStdout, onStderr, resolve, reject });
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
      write: (data) => this.#send(`${id} stdin ${data.length}`, data),
      end: () => this.#send(`${id} stdin 0`),
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
    for (const { reject } of [...this.#asked.values(), ...this.#processes.values()]) reject(why);
    this.#asked.clear();
    this.#processes.clear();
    this.#port.destroy();
  }
}
