// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { columns } from '../../report/units.js';
import { exitStatus } from '../../stress/result.js';
import { Apt, type AptOptions } from '../../vm/apt.js';
import { withTemporary } from '../../vm/cache.js';
import { chosenOffers, fetchOffer, listOffers, type Offer, offerBytes } from '../../vm/debian.js';
import { diskUse } from '../../vm/doctor.js';
import { said, VmError } from '../../vm/error.js';
import { buildsDir, builtKernels, cachedKernels, kernelsDir } from '../../vm/kernel.js';
import { fits } from '../../vm/version.js';
import { buildCommand } from './build.js';
import { fetching, megabytes } from './fetching.js';

const after = `
Examples:
  i915-userptr vm kernels fetch 6.12              the newest 6.12 that Debian has
  i915-userptr vm kernels fetch all               6.1, 6.12 and the two newest series
  i915-userptr vm run --kernel 6.12
  i915-userptr vm kernels build debian:6.1 --lockdep
`;

/** `ends` is told the exit status. */
export function kernelsCommand(ends: (status: number) => void): Command {
  const fetch = new Command('fetch')
    .description("fetch Debian's kernels into the cache")
    .argument('<version...>', 'like 6.12, 6.1.0-56-amd64 or newest: the newest that fits; or all')
    .action(async (specs: string[]) => {
      await fetching((options) => fetchAll(specs, options));
      ends(exitStatus.pass);
    });
  const remove = new Command('remove')
    .description('remove kernels from the cache')
    .argument('<version...>', 'releases, series like 6.12, or names of built ones')
    .action(async (specs: string[]) => {
      await removeAll(specs);
      ends(exitStatus.pass);
    });
  return new Command('kernels')
    .description("list the kernels: in the cache, and Debian's newest of each series")
    .option('--cached', "only those in the cache, without a look at Debian's mirror")
    .addHelpText('after', after)
    .addCommand(fetch)
    .addCommand(remove)
    .addCommand(buildCommand(ends))
    .action(async ({ cached }: { cached?: true }) => {
      await list(Boolean(cached));
      ends(exitStatus.pass);
    });
}

export interface Row {
  name: string;
  where: string;
  size: string;
}

export function rowsText(rows: readonly Row[]): string {
  const width = Math.max(...rows.map((row) => row.where.length));
  return columns(rows.map(({ name, where, size }) => [name, where.padEnd(width), size])).join('\n');
}

async function list(cachedOnly: boolean): Promise<void> {
  const rows: Row[] = [];
  const add = async (name: string, where: string, dir: string) => {
    rows.push({ name, where, size: megabytes((await diskUse(join(dir, name))) ?? 0) });
  };
  const cached = await cachedKernels();
  for (const name of await builtKernels()) await add(name, 'built', buildsDir());
  for (const name of cached) await add(name, 'in the cache', kernelsDir());
  let note = '';
  if (!cachedOnly) {
    try {
      const offers = await fetching(async (options) =>
        listOffers(await Apt.open(options), options),
      );
      for (const { release, series, ...offer } of newestOf(offers))
        if (!cached.includes(release))
          rows.push({
            name: release,
            where: `vm kernels fetch ${series}`,
            size: `${megabytes(offerBytes({ release, series, ...offer }))} to fetch`,
          });
    } catch (e) {
      note = `Debian's kernels could not be listed: ${said(e)}\n`;
    }
  }
  if (rows.length) process.stdout.write(`${rowsText(rows)}\n`);
  else process.stdout.write('no kernel in the cache: `i915-userptr vm setup` fetches one\n');
  process.stderr.write(note);
}

/** The newest of each series. */
export function newestOf(offers: readonly Offer[]): Offer[] {
  return offers.filter((o, i) => offers.findIndex((other) => other.series === o.series) === i);
}

/**
 * What of Debian's kernels has to be fetched for some versions, and what is in the cache. Without
 * anything to fetch the mirror is not asked; `all` and `newest` ask it always.
 */
export async function offersFor(
  specs: readonly string[],
  options: AptOptions,
): Promise<{ apt?: Apt; offers: Offer[]; cached: string[] }> {
  const there = await cachedKernels();
  const has = (spec: string) =>
    spec === 'newest' ? undefined : there.find((release) => fits(release, spec));
  const cached = new Set(specs.map(has).filter((release) => release !== undefined));
  const wanted = specs.filter((spec) => spec === 'all' || !has(spec));
  if (wanted.length === 0) return { offers: [], cached: [...cached] };

  const apt = await Apt.open(options);
  const all = await listOffers(apt, options);
  const offers = new Map<string, Offer>();
  for (const spec of wanted) {
    const found =
      spec === 'all' ? chosenOffers(all) : all.filter((o) => fits(o.release, spec)).slice(0, 1);
    if (found.length === 0)
      throw new VmError(
        `Debian's mirror has no kernel ${spec}: \`i915-userptr vm kernels\` lists what it has`,
      );
    for (const offer of found)
      if (there.includes(offer.release)) cached.add(offer.release);
      else offers.set(offer.release, offer);
  }
  return { apt, offers: [...offers.values()], cached: [...cached] };
}

async function fetchAll(specs: readonly string[], options: AptOptions): Promise<void> {
  const { apt, offers, cached } = await offersFor(specs, options);
  for (const release of cached) process.stdout.write(`${release} is in the cache\n`);
  for (const offer of offers) {
    process.stdout.write(`${offer.release}: ${megabytes(offerBytes(offer))} to fetch\n`);
    if (apt) await fetchOffer(apt, offer, options);
    process.stdout.write(`${offer.release} is in the cache\n`);
  }
}

async function removeAll(specs: readonly string[]): Promise<void> {
  const [cached, built] = [await cachedKernels(), await builtKernels()];
  const dirs = new Set<string>();
  for (const spec of specs) {
    const found = [
      ...built.filter((name) => name === spec).map((name) => join(buildsDir(), name)),
      ...cached.filter((release) => fits(release, spec)).map((r) => join(kernelsDir(), r)),
    ];
    if (found.length === 0)
      throw new VmError(
        `there is no kernel ${spec} in the cache: \`i915-userptr vm kernels --cached\` lists those there are`,
      );
    for (const dir of found) dirs.add(dir);
  }
  for (const dir of dirs) {
    // Gone at once for everybody, though it takes a while.
    await withTemporary(dir, async (tmp) => {
      if (existsSync(dir)) await rename(dir, tmp);
    });
    process.stdout.write(`removed ${dir}\n`);
  }
}
