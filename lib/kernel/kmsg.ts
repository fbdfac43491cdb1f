// SPDX-License-Identifier: MIT
// Kernel messages, from /dev/kmsg (Documentation/ABI/testing/dev-kmsg), from dmesg and from a serial
// console. All of it is untrusted: a guest that is broken on purpose writes the console.
import { StringDecoder } from 'node:string_decoder';

/** A message of the kernel, or a line of a console. What the source does not tell is undefined. */
export interface KmsgRecord {
  /** 0 emergency to 7 debug. */
  level?: number;
  /** 0 is the kernel; anything else was written by user space. */
  facility?: number;
  seq?: number;
  /** Since boot, by the kernel's local clock. */
  us?: number;
  /** The task or CPU that printed it, `T123` or `C1`, where CONFIG_PRINTK_CALLER tells. */
  caller?: string;
  /** May hold newlines. */
  text: string;
  /** The device it is about, by the names of the uevent: SUBSYSTEM, DEVICE. */
  fields: Readonly<Record<string, string>>;
}

/** Longer lines are cut. The kernel's own longest message is 2048 bytes (PRINTK_MESSAGE_MAX). */
export const MAX_LINE = 4096;
const MAX_FIELDS = 16;

const header = /^(\d{1,10}),(\d{1,16}),(\d{1,16}),([^;,]*)((?:,[^;]*)?);/;

/** One read of /dev/kmsg; null when it is none. */
export function parseKmsg(raw: string): KmsgRecord | null {
  const [head, prefix, seq, us, , extra] = header.exec(raw.slice(0, MAX_LINE)) ?? [];
  if (head === undefined) return null;
  const [text = '', ...rest] = raw.slice(head.length, head.length + 4 * MAX_LINE).split('\n');
  // No prototype: a field may be called __proto__.
  const fields: Record<string, string> = Object.create(null);
  for (const line of rest.slice(0, MAX_FIELDS)) {
    const [, key, value] = /^ ([^=]{1,64})=(.*)$/.exec(line) ?? [];
    if (key !== undefined) fields[key] = unescaped((value ?? '').slice(0, MAX_LINE));
  }
  const record: KmsgRecord = {
    level: Number(prefix) & 7,
    facility: Number(prefix) >>> 3,
    seq: Number(seq),
    us: Number(us),
    text: unescaped(text).slice(0, MAX_LINE),
    fields,
  };
  const caller = /,caller=([TC]\d{1,10})(?:,|$)/.exec(extra ?? '')?.[1];
  if (caller) record.caller = caller;
  return record;
}

/** \xNN stands for a byte that is not printable, part of a UTF-8 sequence or not, and for "\". */
function unescaped(text: string): string {
  if (!text.includes('\\x')) return text;
  return text.replace(/(?:\\x[0-9a-f]{2})+/gi, (run) =>
    Buffer.from(run.replaceAll('\\x', ''), 'hex').toString('utf8'),
  );
}

// Colours, cursor movements, titles of windows: what a firmware or a shell leaves on a console.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it takes out
const escapes = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const controls = /[\x00-\x08\x0b-\x1f\x7f]/g;
const stamp = /(?:<(\d{1,3})>)?\[ {0,12}(\d{1,12})\.(\d{6})\](?:\[ {0,12}([TC]\d{1,10})\])? ?/g;

/**
 * A line of dmesg or of a serial console. User space writes to the same console, and it need not end
 * its line before the kernel writes: each time stamp begins a record of its own.
 */
export function parseConsoleLine(line: string): KmsgRecord[] {
  const clean = line.slice(0, MAX_LINE).replace(escapes, '').replace(controls, '');
  const records: KmsgRecord[] = [];
  let open: KmsgRecord = { text: '', fields: {} };
  let from = 0;
  const close = (to: number) => {
    open.text = clean.slice(from, to);
    if (open.us !== undefined || open.text.trim() !== '') records.push(open);
  };
  for (const match of clean.matchAll(stamp)) {
    const [all, prefix, seconds, micros, caller] = match;
    close(match.index);
    open = { us: Number(seconds) * 1e6 + Number(micros), text: '', fields: {} };
    if (prefix !== undefined) {
      open.level = Number(prefix) & 7;
      open.facility = Number(prefix) >>> 3;
    }
    if (caller !== undefined) open.caller = caller;
    from = match.index + all.length;
  }
  close(clean.length);
  return records;
}

/** Cuts a stream of bytes into lines. Keeps no more than MAX_LINE of one; the rest is counted. */
export class ConsoleReader {
  /** Characters of lines that were too long. */
  cut = 0;
  readonly #decoder = new StringDecoder('utf8');
  #line = '';

  push(chunk: Uint8Array): KmsgRecord[] {
    return this.#take(this.#decoder.write(Buffer.from(chunk)));
  }

  /** What is left when the stream ends in the middle of a line. */
  end(): KmsgRecord[] {
    return this.#take(`${this.#decoder.end()}\n`);
  }

  #take(text: string): KmsgRecord[] {
    const records: KmsgRecord[] = [];
    let from = 0;
    for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
      this.#append(text, from, to);
      if (this.#line !== '') records.push(...parseConsoleLine(this.#line));
      this.#line = '';
      from = to + 1;
    }
    this.#append(text, from, text.length);
    return records;
  }

  #append(text: string, from: number, to: number): void {
    const room = MAX_LINE - this.#line.length;
    this.#line += text.slice(from, Math.min(to, from + room));
    this.cut += Math.max(0, to - from - room);
  }
}
