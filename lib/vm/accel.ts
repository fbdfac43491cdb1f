// SPDX-License-Identifier: MIT
// KVM where it works: a /dev/kvm that opens can still be one that runs no ordinary guest (nested, or
// in a container), so the kernel itself is booted under it once, and the finding kept.
import { accessSync, constants, readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { cacheRoot } from './cache.js';

const findingSchema = z.object({
  host: z.string(),
  qemu: z.string(),
  works: z.boolean(),
  why: z.string(),
});
export type Finding = z.output<typeof findingSchema>;

const file = () => join(cacheRoot(), 'kvm.json');

/** Why KVM cannot even be tried, or undefined. */
export function kvmObjection(): string | undefined {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    return code === 'ENOENT'
      ? 'there is no /dev/kvm'
      : 'no permission for /dev/kvm (your user must be in the group kvm)';
  }
}

/** What was found on this host with this QEMU. */
export function knownFinding(qemu: string): Finding | undefined {
  try {
    const finding = findingSchema.parse(JSON.parse(readFileSync(file(), 'utf8')));
    return finding.host === release() && finding.qemu === qemu ? finding : undefined;
  } catch {
    return undefined;
  }
}

/** Where the cache cannot be written to, it is found again the next time. */
export async function keepFinding(qemu: string, works: boolean, why: string): Promise<void> {
  const next = `${file()}.${process.pid}`;
  try {
    await mkdir(dirname(file()), { recursive: true });
    await writeFile(next, JSON.stringify({ host: release(), qemu, works, why }));
    await rename(next, file());
  } catch {
    await rm(next, { force: true }).catch(() => {});
  }
}
