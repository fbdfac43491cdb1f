// SPDX-License-Identifier: MIT
// The ELF kernel inside a bzImage. QEMU starts it by its PVH entry, without the decompression in
// the guest: 3.5 s less of a TCG boot. Offsets: the kernel's Documentation/arch/x86/boot.rst.
import { hasPvhNote, isElf, readBuffer } from './elf.js';
import { VmError } from './error.js';
import { type Compression, compressionOf, decompress } from './tools.js';

export const MAX_IMAGE = 512 * 1024 ** 2;
const MAX_VMLINUX = 1024 ** 3;

const SETUP_SECTS = 0x1f1;
const HEADER_MAGIC = 0x202;
const VERSION = 0x206;
const KERNEL_VERSION = 0x20e;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HEADER_END = 0x250;
/** The boot protocol's 2.08 brought the payload's fields. */
const LEAST_VERSION = 0x208;

export function isBzImage(head: Buffer): boolean {
  return head.length >= HEADER_END && head.toString('latin1', HEADER_MAGIC, 0x206) === 'HdrS';
}

/** `6.1.0-50-amd64`, the first word of the version that a bzImage carries. */
export function bzImageRelease(image: Buffer): string | undefined {
  if (!isBzImage(image)) return undefined;
  const at = image.readUInt16LE(KERNEL_VERSION) + 0x200;
  return /^[!-~]{1,64}(?=[ \0])/.exec(image.toString('latin1', at, at + 65))?.[0];
}

export interface Payload {
  by: Compression;
  data: Buffer;
}

/** @throws {VmError} it is no bzImage, is cut off, or is compressed by something else. */
export function payloadOf(image: Buffer): Payload {
  if (!isBzImage(image)) throw new VmError('not a bzImage: no HdrS at 0x202');
  if (image.readUInt16LE(VERSION) < LEAST_VERSION)
    throw new VmError('a bzImage of a boot protocol before 2.08');
  const setupSectors = image[SETUP_SECTS] || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET);
  const length = image.readUInt32LE(PAYLOAD_LENGTH);
  if (length < 8 || start + length > image.length)
    throw new VmError('a bzImage that is cut off: its payload is beyond its end');
  const data = image.subarray(start, start + length);
  const by = compressionOf(data);
  if (!by) throw new VmError('a bzImage compressed by none of gzip, xz, zstd, lz4');
  // gzip ends in the length of what is in it; to the others the kernel's build adds it.
  return { by, data: by === 'gzip' ? data : data.subarray(0, -4) };
}

/**
 * The vmlinux of a bzImage, or undefined where QEMU could not start it by PVH
 * (CONFIG_PVH is not set).
 */
export async function extractVmlinux(
  image: Buffer,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  const { by, data } = payloadOf(image);
  const vmlinux = await decompress(data, by, MAX_VMLINUX, { signal });
  if (vmlinux.length < 64 || !isElf(vmlinux))
    throw new VmError('the payload of the bzImage is no ELF file');
  return hasPvhNote(readBuffer(vmlinux)) ? vmlinux : undefined;
}
