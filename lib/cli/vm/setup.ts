// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { exitStatus } from '../../stress/result.js';
import { Apt, type AptOptions, type Package, totalBytes } from '../../vm/apt.js';
import { cacheRoot } from '../../vm/cache.js';
import { fetchOffer, type Offer, offerBytes } from '../../vm/debian.js';
import { DEFAULT_KERNEL } from '../../vm/kernel.js';
import { findQemu, qemuPackages, setupQemu } from '../../vm/qemu.js';
import { fetching, megabytes } from './fetching.js';
import { offersFor } from './kernels.js';

const after = `
Nothing is installed and no root is needed: Debian's packages come from the mirror that this
system's apt uses, apt checks their signatures, and they are unpacked into the cache
(I915_USERPTR_CACHE, or i915-userptr in the user's cache directory). What is there already is not
fetched again; a QEMU of 10.1 or later on the host is taken as it is.

Examples:
  i915-userptr vm setup                     QEMU and the kernel that \`vm run\` boots
  i915-userptr vm setup --kernels all       6.1, 6.12 and the two newest that Debian has
  i915-userptr vm setup --kernels 6.1,6.12
`;

/** `ends` is told the exit status. */
export function setupCommand(ends: (status: number) => void): Command {
  return new Command('setup')
    .description('fetch what a VM needs into the cache: QEMU, and a kernel')
    .option('--kernels <list>', 'versions, or all', DEFAULT_KERNEL)
    .addHelpText('after', after)
    .action(async ({ kernels }: { kernels: string }) => {
      await fetching((options) => setup(kernels.split(',').filter(Boolean), options));
      ends(exitStatus.pass);
    });
}

async function setup(specs: readonly string[], options: AptOptions): Promise<void> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  // One on the host that is too old is no error here: the cache's is what it is for.
  const there = process.env.I915_USERPTR_QEMU
    ? await findQemu(options.signal)
    : await findQemu(options.signal).catch(() => undefined);
  const { apt, offers, cached } = await offersFor(specs, options);
  for (const release of cached) say(`kernel ${release} is in the cache`);
  if (there) say(`QEMU ${there.version} is there (${there.program})`);

  let qemu: Package[] = [];
  if (!there) qemu = await qemuPackages(apt ?? (await Apt.open(options)), options);
  if (!there || offers.length) say(plan(qemu, offers));
  if (!there) {
    const { version } = await setupQemu(options, qemu);
    say(`QEMU ${version} is in the cache`);
  }
  for (const offer of offers) {
    await fetchOffer(apt ?? (await Apt.open(options)), offer, options);
    say(`kernel ${offer.release} is in the cache`);
  }
  say('`i915-userptr vm run` boots it');
}

/** What will be fetched, before it is. */
export function plan(qemu: readonly Package[], offers: readonly Offer[]): string {
  const lines: string[] = [];
  if (qemu.length) {
    const version = qemu.find((p) => p.name === 'qemu-system-x86')?.version;
    lines.push(
      `QEMU ${version} and its libraries: ${qemu.length} packages, ${megabytes(totalBytes(qemu))}`,
    );
  }
  for (const offer of offers)
    lines.push(`kernel ${offer.release}: ${megabytes(offerBytes(offer))}`);
  const bytes = totalBytes(qemu) + offers.reduce((n, offer) => n + offerBytes(offer), 0);
  return `to fetch into ${cacheRoot()}, ${megabytes(bytes)} in all:\n${lines
    .map((line) => `  ${line}`)
    .join('\n')}`;
}
