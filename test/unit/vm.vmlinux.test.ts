// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { which } from '../../lib/vm/command.js';
import { hasPvhNote, readBuffer, section } from '../../lib/vm/elf.js';
import { VmError } from '../../lib/vm/error.js';
import { compressionOf, decompress } from '../../lib/vm/tools.js';
import { bzImageRelease, extractVmlinux, payloadOf } from '../../lib/vm/vmlinux.js';
import { bzImage, elf, gzipped, note, pvhNotes, vmlinux } from './vm.fixtures.js';

const kernel = vmlinux('6.1.0-50-amd64');
/** What the kernel's build adds to all but gzip: the length of what is compressed. */
const sized = (data: Buffer) => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(kernel.length);
  return Buffer.concat([data, size]);
};

describe('extractVmlinux', () => {
  it('takes the kernel out of a gzip payload', async () => {
    expect(await extractVmlinux(bzImage(gzipped(kernel)))).toEqual(kernel);
  });

  // lz4 -l is the format of the kernel's build.
  const programs = { xz: ['--check=crc32'], zstd: [], lz4: ['-l'] } as const;
  for (const [name, args] of Object.entries(programs))
    it.skipIf(!which(name))(`takes it out of ${name}, and leaves the length behind`, async () => {
      const { stdout } = spawnSync(name, ['-c', ...args], { input: kernel });
      expect(compressionOf(stdout)).toBe(name);
      expect(await extractVmlinux(bzImage(sized(stdout)))).toEqual(kernel);
    });

  it('has none where QEMU could not start it: without the PVH note', async () => {
    const without = vmlinux('6.1.0', note('GNU', 18));
    expect(await extractVmlinux(bzImage(gzipped(without)))).toBeUndefined();
  });

  it('refuses what is no bzImage, is cut off, or is compressed by something else', async () => {
    const good = bzImage(gzipped(kernel));
    const error = async (image: Buffer) =>
      await extractVmlinux(image).then(
        () => 'none',
        (e: Error) => (e instanceof VmError ? e.message : e),
      );
    expect(await error(Buffer.from('hello'))).toMatch(/no HdrS/);
    expect(await error(good.subarray(0, 3 * 512 + 64 + 20))).toMatch(/cut off/);
    expect(await error(bzImage(gzipped(kernel), 'r', 0xffff_ffff))).toMatch(/cut off/);
    expect(await error(bzImage(gzipped(kernel), 'r', 0))).toMatch(/cut off/);
    expect(await error(bzImage(Buffer.from('BZh91AY&SY...')))).toMatch(/none of gzip/);
    expect(await error(bzImage(gzipped(Buffer.from('no ELF'))))).toMatch(/no ELF/);
    expect(await error(bzImage(gzipped(kernel).subarray(0, 40)))).toMatch(/^gzip: /);
    const old = Buffer.from(good);
    old.writeUInt16LE(0x207, 0x206);
    expect(await error(old)).toMatch(/2\.08/);
  });

  it('survives any bytes: an answer or a VmError', async () => {
    const image = bzImage(gzipped(kernel));
    const changes = fc.array(fc.tuple(fc.nat(image.length - 1), fc.nat(255)), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(image.length), async (list, length) => {
        const hostile = Buffer.from(image);
        for (const [at, byte] of list) hostile[at] = byte;
        await extractVmlinux(hostile.subarray(0, length)).catch((e) => {
          if (!(e instanceof VmError)) throw e;
        });
      }),
    );
  });
});

describe('decompress', () => {
  it('stops at its bound', async () => {
    const bomb = gzipped(Buffer.alloc(1 << 20));
    await expect(decompress(bomb, 'gzip', 1 << 16)).rejects.toThrow(VmError);
    expect(await decompress(bomb, 'gzip', 1 << 20)).toHaveLength(1 << 20);
  });

  it.skipIf(!which('xz'))('stops a program at its bound', async () => {
    const { stdout } = spawnSync('xz', ['-c'], { input: Buffer.alloc(1 << 20) });
    await expect(decompress(stdout, 'xz', 1 << 16)).rejects.toThrow(/xz: more than 65536 bytes/);
  });
});

describe('bzImageRelease', () => {
  it('is the first word of the version that the header points to', () => {
    expect(bzImageRelease(bzImage(gzipped(kernel), '7.3.4+deb13-amd64'))).toBe('7.3.4+deb13-amd64');
  });

  it('is none where the pointer is beyond the end', () => {
    const image = bzImage(gzipped(kernel));
    image.writeUInt16LE(0xfff0, 0x20e);
    expect(bzImageRelease(image)).toBeUndefined();
    expect(bzImageRelease(Buffer.alloc(0x250))).toBeUndefined();
  });

  it('finds the payload by the number of setup sectors; 0 is 4', () => {
    const image = bzImage(gzipped(kernel));
    image[0x1f1] = 0;
    expect(() => payloadOf(image)).toThrow(VmError);
  });
});

describe('ELF', () => {
  it('has the note of the PVH entry by name and type', () => {
    expect(hasPvhNote(readBuffer(elf([], pvhNotes)))).toBe(true);
    expect(hasPvhNote(readBuffer(elf([], note('Xen', 17))))).toBe(false);
    expect(hasPvhNote(readBuffer(elf([], note('Xem', 18))))).toBe(false);
    expect(hasPvhNote(readBuffer(elf()))).toBe(false);
  });

  it('gives a section by its whole name', () => {
    const file = elf([
      { name: '.modinfo2', data: Buffer.from('b') },
      { name: '.modinfo', data: Buffer.from('a') },
    ]);
    expect(section(readBuffer(file), '.modinfo')?.toString()).toBe('a');
    expect(section(readBuffer(file), '.mod')).toBeUndefined();
  });

  it('refuses another machine, and tables beyond its end', () => {
    const arm = elf();
    arm.writeUInt16LE(183, 18);
    expect(() => section(readBuffer(arm), '.x')).toThrow(/another machine/);
    const far = elf();
    far.writeBigUInt64LE(1n << 40n, 40);
    expect(() => section(readBuffer(far), '.x')).toThrow(VmError);
    far.writeBigUInt64LE(1n << 63n, 40);
    expect(() => section(readBuffer(far), '.x')).toThrow(/out of range/);
  });

  it('survives any bytes', () => {
    const file = elf([{ name: '.modinfo', data: Buffer.from('name=x\0') }], pvhNotes);
    const changes = fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { maxLength: 12 });
    fc.assert(
      fc.property(changes, fc.nat(file.length), (list, length) => {
        const hostile = Buffer.from(file);
        for (const [at, byte] of list) hostile[at] = byte;
        for (const look of [hasPvhNote, (r: typeof read) => section(r, '.modinfo')]) {
          try {
            look(readBuffer(hostile.subarray(0, length)));
          } catch (e) {
            if (!(e instanceof VmError)) throw e;
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

const read = readBuffer(Buffer.alloc(0));
