// SPDX-License-Identifier: MIT
// What the options ask of a guest that is up: swap, KSM, huge pages.
import { native } from '../native.js';
import type { Machine } from './machine.js';

const MIB = 1024 * 1024;

/** Returns a line for each thing that this kernel cannot do. */
export async function prepare({ guest, options }: Machine): Promise<string[]> {
  const problems: string[] = [];
  const step = async (what: string, errno: Promise<number>) => {
    const code = await errno;
    if (code) problems.push(`${what}: not in this guest (${native.errnoName(code)})`);
  };
  if (options.swap) await step('--swap', guest.zram(options.swap * MIB));
  if (options.thp !== 'default')
    await step('--thp', guest.write('/sys/kernel/mm/transparent_hugepage/enabled', options.thp));
  if (options.ksm) {
    await step('--ksm', guest.write('/sys/kernel/mm/ksm/run', '1'));
    // 100 pages each 20 ms find nothing in the time of a test.
    await step('--ksm', guest.write('/sys/kernel/mm/ksm/pages_to_scan', '2000'));
  }
  return problems;
}
