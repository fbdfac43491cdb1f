// SPDX-License-Identifier: MIT
// Small kernels and modules, made of nothing but what is looked at.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, vi } from 'vitest';

interface Section {
  name: string;
  data: Buffer;
}

const PT_NOTE = 4;

/** ELF64 of x86-64: one PT_NOTE segment with `notes`, and sections. */
export function elf(sections: Section[] = [], notes: Buffer = Buffer.alloc(0)): Buffer {
  const all = [{ name: '', data: Buffer.alloc(0) }, ...sections];
  const names = Buffer.from(`${[...all.map((s) => s.name), '.shstrtab'].join('\0')}\0`);
  all.push({ name: '.shstrtab', data: names });
  const head = Buffer.alloc(64);
  head.write('\x7fELF\x02\x01\x01', 'latin1');
  head.writeUInt16LE(1, 16);
  head.writeUInt16LE(62, 18);
  const program = Buffer.alloc(56);
  const parts: Buffer[] = [];
  let at = 64 + 56;
  const place = (data: Buffer) => {
    const offset = at;
    parts.push(data);
    at += data.length;
    return offset;
  };
  program.writeUInt32LE(PT_NOTE, 0);
  program.writeBigUInt64LE(BigInt(place(notes)), 8);
  program.writeBigUInt64LE(BigInt(notes.length), 32);
  let name = 0;
  const headers = all.map((s) => {
    const entry = Buffer.alloc(64);
    entry.writeUInt32LE(name, 0);
    entry.writeUInt32LE(1, 4);
    entry.writeBigUInt64LE(BigInt(place(s.data)), 24);
    entry.writeBigUInt64LE(BigInt(s.data.length), 32);
    name += s.name.length + 1;
    return entry;
  });
  head.writeBigUInt64LE(64n, 32);
  head.writeBigUInt64LE(BigInt(at), 40);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(1, 56);
  head.writeUInt16LE(64, 58);
  head.writeUInt16LE(headers.length, 60);
  head.writeUInt16LE(headers.length - 1, 62);
  return Buffer.concat([head, program, ...parts, ...headers]);
}

export function note(name: string, type: number, desc: Buffer = Buffer.alloc(8)): Buffer {
  const pad = (b: Buffer) => Buffer.concat([b, Buffer.alloc((4 - (b.length % 4)) % 4)]);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(name.length + 1, 0);
  head.writeUInt32LE(desc.length, 4);
  head.writeUInt32LE(type, 8);
  return Buffer.concat([head, pad(Buffer.from(`${name}\0`)), pad(desc)]);
}

export const pvhNotes = Buffer.concat([note('GNU', 3, Buffer.alloc(5)), note('Xen', 18)]);

export const vmlinux = (release: string, notes: Buffer = pvhNotes): Buffer =>
  elf(
    [
      {
        name: '.rodata',
        data: Buffer.from(`\0Linux version ${release} (someone@host) #1 SMP\n\0`),
      },
    ],
    notes,
  );

/** A bzImage around a compressed payload, which begins at 3 * 512 + 64. */
export function bzImage(
  payload: Buffer,
  release = '6.1.0-50-amd64',
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(3 * 512 + 64);
  head[0x1f1] = 2;
  head.write('HdrS', 0x202, 'latin1');
  head.writeUInt16LE(0x20f, 0x206);
  head.writeUInt16LE(0x300, 0x20e);
  head.write(`${release} (someone@host) #1 SMP\0`, 0x500, 'latin1');
  head.writeUInt32LE(64, 0x248);
  head.writeUInt32LE(length, 0x24c);
  return Buffer.concat([head, payload, Buffer.alloc(128)]);
}

export const gzipped = (data: Buffer): Buffer => gzipSync(data);

export function ko(name: string, info: Record<string, string> = {}, release = '6.1.0-50-amd64') {
  const entries = Object.entries({
    license: 'GPL',
    depends: '',
    name,
    vermagic: `${release} SMP preempt mod_unload modversions `,
    ...info,
  });
  return elf([
    { name: '.text', data: Buffer.alloc(16) },
    { name: '.modinfo', data: Buffer.from(entries.map(([k, v]) => `${k}=${v}\0`).join('')) },
  ]);
}

/** Writes files, by their paths in `dir`. */
export function writeTree(dir: string, files: Record<string, string | Buffer>): string {
  for (const [path, data] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), data);
  }
  return dir;
}

/** A program that is a shell script. */
export function script(dir: string, name: string, body: string): string {
  writeTree(dir, { [name]: `#!/bin/sh\n${body}\n` });
  const path = join(dir, name);
  chmodSync(path, 0o755);
  return path;
}

/** A directory of each test's own; `cache` is the cache, and `bin` is first on $PATH. */
export function scratch() {
  const at = { root: '', cache: '', bin: '' };
  beforeEach(() => {
    at.root = mkdtempSync(join(tmpdir(), 'i915-userptr-test-'));
    at.cache = join(at.root, 'cache');
    at.bin = join(at.root, 'bin');
    mkdirSync(at.bin);
    vi.stubEnv('I915_USERPTR_CACHE', at.cache);
    vi.stubEnv('I915_USERPTR_QEMU', undefined);
    vi.stubEnv('PATH', `${at.bin}${delimiter}${process.env.PATH}`);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(at.root, { recursive: true, force: true });
  });
  return at;
}
