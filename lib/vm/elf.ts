// SPDX-License-Identifier: MIT
// As much of ELF as kernels and modules need: 64-bit, little-endian. Every offset is checked.
import { VmError } from './error.js';

/** Bytes by offset: a buffer, or a file too large to be one. Answers less at the end. */
export type Read = (offset: number, length: number) => Buffer;

export const readBuffer =
  (buffer: Buffer): Read =>
  (offset, length) =>
    buffer.subarray(offset, offset + length);

const PT_NOTE = 4;
const SHT_NOBITS = 8;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const MAX_HEADERS = 65_535;
const MAX_NOTES = 1024 ** 2;
const MAX_SECTION = 64 * 1024 ** 2;

export const isElf = (head: Buffer): boolean => head.toString('latin1', 0, 4) === '\x7fELF';

const damaged = (what: string) => new VmError(`not an ELF file of x86-64: ${what}`);

/** Where a size or an offset is beyond what JavaScript counts exactly, the file is damaged. */
function number64(buffer: Buffer, at: number): number {
  const value = buffer.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged('an offset out of range');
  return Number(value);
}

function exactly(read: Read, offset: number, length: number, what: string): Buffer {
  const bytes = read(offset, length);
  if (bytes.length !== length) throw damaged(`${what} beyond its end`);
  return bytes;
}

function header(read: Read): Buffer {
  const head = exactly(read, 0, 64, 'its header');
  if (!isElf(head)) throw damaged('no ELF magic');
  if (head[4] !== 2 || head[5] !== 1 || head.readUInt16LE(18) !== 62)
    throw damaged('another machine');
  return head;
}

interface Table {
  entries: Buffer;
  count: number;
  size: number;
}

function table(read: Read, offset: number, size: number, count: number, least: number): Table {
  if (count === 0) return { entries: Buffer.alloc(0), count, size };
  if (size < least || size > 1024 || count > MAX_HEADERS) throw damaged('its tables');
  return { entries: exactly(read, offset, size * count, 'a table'), count, size };
}

/** Has it the note by which QEMU starts a vmlinux: XEN_ELFNOTE_PHYS32_ENTRY of "Xen"? */
export function hasPvhNote(read: Read): boolean {
  const head = header(read);
  const { entries, count, size } = table(
    read,
    number64(head, 32),
    head.readUInt16LE(54),
    head.readUInt16LE(56),
    56,
  );
  for (let i = 0; i < count; i++) {
    const entry = entries.subarray(i * size);
    if (entry.readUInt32LE(0) !== PT_NOTE) continue;
    const length = Math.min(number64(entry, 32), MAX_NOTES);
    if (noteOf(read(number64(entry, 8), length))) return true;
  }
  return false;
}

function noteOf(notes: Buffer): boolean {
  const aligned = (n: number) => Math.ceil(n / 4) * 4;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = notes.readUInt32LE(at);
    const descSize = notes.readUInt32LE(at + 4);
    const type = notes.readUInt32LE(at + 8);
    const name = notes.toString('latin1', at + 12, at + 12 + Math.min(nameSize, 16));
    if (name === 'Xen\0' && type === XEN_ELFNOTE_PHYS32_ENTRY) return true;
    at += 12 + aligned(nameSize) + aligned(descSize);
  }
  return false;
}

/** A section's bytes, or undefined where there is none of that name. */
export function section(read: Read, name: string): Buffer | undefined {
  const head = header(read);
  const { entries, count, size } = table(
    read,
    number64(head, 40),
    head.readUInt16LE(58),
    head.readUInt16LE(60),
    64,
  );
  const bytesOf = (index: number): Buffer => {
    const entry = entries.subarray(index * size);
    const length = number64(entry, 32);
    if (length > MAX_SECTION) throw damaged('a section too long');
    if (entry.readUInt32LE(4) === SHT_NOBITS) return Buffer.alloc(0);
    return exactly(read, number64(entry, 24), length, 'a section');
  };
  const namesAt = head.readUInt16LE(62);
  if (namesAt >= count) return undefined;
  const names = bytesOf(namesAt);
  for (let i = 0; i < count; i++) {
    const at = entries.readUInt32LE(i * size);
    if (names.toString('latin1', at, at + name.length + 1) === `${name}\0`) return bytesOf(i);
  }
  return undefined;
}
