// SPDX-License-Identifier: MIT
// Debian's kernels. Until 6.18 a kernel is the package linux-image-RELEASE; since then that one
// depends on linux-binary, linux-modules and linux-base of the same release, which have the files.
import { existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Apt,
  type AptOptions,
  type Package,
  type PackageRecord,
  packageList,
  totalBytes,
} from './apt.js';
import { publish } from './cache.js';
import { VmError } from './error.js';
import { kernelIn, kernelsDir, summarize } from './kernel.js';
import { loadOrder, readBounded } from './modules.js';
import { compareVersions, fits } from './version.js';
import { extractVmlinux, MAX_IMAGE } from './vmlinux.js';

/** A kernel that the mirror has. */
export interface Offer {
  release: string;
  /** apt's; linux-source and linux-headers have the same. */
  version: string;
  series: string;
  packages: Package[];
}

const imageName = /^linux-image-(\d+\.\d+\.\d[\w.+~-]*-amd64)$/;
const flavours = /-(cloud|rt|unsigned|dbg)-/;

const seriesOf = (release: string) => release.split('.').slice(0, 2).join('.');

/** The kernels among apt's records, newest first: one for each release. */
export function offersOf(records: readonly PackageRecord[]): Offer[] {
  const newest = new Map<string, PackageRecord>();
  for (const record of records) {
    const known = newest.get(record.name);
    if (!known || compareVersions(record.version, known.version) > 0)
      newest.set(record.name, record);
  }
  const offers: Offer[] = [];
  for (const image of newest.values()) {
    const release = imageName.exec(image.name)?.[1];
    if (release === undefined || flavours.test(image.name)) continue;
    const parts = image.depends
      .filter((d) => /^linux-(base|binary|modules)-\d/.test(d) && d.endsWith(`-${release}`))
      .map((d) => newest.get(d));
    // A mirror in the middle of its update: wait for the rest.
    if (parts.includes(undefined)) continue;
    offers.push({
      release,
      version: image.version,
      series: seriesOf(release),
      packages: [image, ...(parts as PackageRecord[])],
    });
  }
  return offers.sort((a, b) => compareVersions(b.release, a.release));
}

/** 6.1, 6.12 and the two newest series: the newest of each, oldest first. */
export function chosenOffers(offers: readonly Offer[]): Offer[] {
  const series = [...new Set(offers.map((o) => o.series))];
  const wanted = new Set(['6.1', '6.12', ...series.slice(0, 2)]);
  return [...wanted]
    .map((s) => offers.find((o) => o.series === s))
    .filter((o) => o !== undefined)
    .sort((a, b) => compareVersions(a.release, b.release));
}

export async function listOffers(apt: Apt, options: AptOptions = {}): Promise<Offer[]> {
  const records = await apt.list(
    { prefix: 'linux-', matching: /^linux-(image|base|binary|modules)-\d.*-amd64$/ },
    options,
  );
  return offersOf(records);
}

/**
 * Fetches the newest of Debian's kernels that `spec` fits, unless it is in the cache; returns its
 * release.
 * @throws {VmError} the mirror has none.
 */
export async function fetchKernel(spec: string, options: AptOptions = {}): Promise<string> {
  const apt = await Apt.open(options);
  const offers = await listOffers(apt, options);
  const offer = offers.find((o) => fits(o.release, spec));
  if (!offer) {
    const series = [...new Set(offers.map((o) => o.series))].reverse();
    throw new VmError(`Debian's mirror has no kernel ${spec}; it has ${series.join(', ')}`);
  }
  await fetchOffer(apt, offer, options);
  return offer.release;
}

export async function fetchOffer(apt: Apt, offer: Offer, options: AptOptions = {}): Promise<void> {
  const dir = join(kernelsDir(), offer.release);
  if (existsSync(dir)) return;
  await publish(dir, async (tmp) => {
    const root = join(tmp, 'root');
    await apt.unpack(offer.packages, root, options);
    options.progress?.({ what: `extracting vmlinux ${offer.release}`, bytes: 0, total: 0 });
    await arrange(root, tmp, offer, options);
    await rm(root, { recursive: true });
    await summarize(tmp);
  });
}

export const offerBytes = (offer: Offer): number => totalBytes(offer.packages);

/** What i915 in a VM never needs: half of the modules' size. */
const unneeded = [
  'sound',
  ...['net', 'infiniband', 'staging', 'scsi', 'iio', 'isdn', 'atm', 'ata', 'usb', 'md', 'edac'].map(
    (d) => `drivers/${d}`,
  ),
  ...['amd', 'nouveau', 'radeon', 'xe', 'vmwgfx'].map((d) => `drivers/gpu/drm/${d}`),
  ...['usb', 'pci', 'dvb-frontends', 'i2c', 'tuners', 'platform'].map((d) => `drivers/media/${d}`),
  ...['xfs', 'btrfs', 'ocfs2', 'gfs2', 'ceph', 'smb', 'cifs', 'nfs', 'nfsd', 'bcachefs'].map(
    (d) => `fs/${d}`,
  ),
];

/** What guests load; kept decompressed, so that no boot waits for xz. */
const common = [
  'i915',
  'virtio_pci',
  'virtio_console',
  '9p',
  '9pnet_virtio',
  'overlay',
  'fuse',
  'virtiofs',
  'zram',
  'zsmalloc',
  'lzo_rle',
];

async function arrange(
  root: string,
  dir: string,
  offer: Offer,
  { signal }: AptOptions,
): Promise<void> {
  const { release } = offer;
  const libs = [join(root, 'lib/modules', release), join(root, 'usr/lib/modules', release)];
  const places = (name: string) => [
    join(root, 'boot', `${name}-${release}`),
    ...libs.map((lib) => join(lib, name)),
  ];
  const image = places('vmlinuz').find(existsSync);
  const lib = libs.find((d) => existsSync(join(d, 'kernel')));
  if (!image || !lib)
    throw new VmError(`Debian's packages of ${release} have no ${image ? 'modules' : 'vmlinuz'}`);

  const bzImage = await readBounded(image, MAX_IMAGE);
  const vmlinux = await extractVmlinux(bzImage, signal);
  await writeFile(join(dir, vmlinux ? 'vmlinux' : 'bzImage'), vmlinux ?? bzImage);

  const config = places('config').find(existsSync);
  if (config) await rename(config, join(dir, 'config'));
  const builtin = libs.map((d) => join(d, 'modules.builtin')).find(existsSync);
  if (!builtin) throw new VmError(`Debian's packages of ${release} have no modules.builtin`);

  const modules = join(dir, 'modules');
  const contents = await readFile(builtin);
  await rename(lib, modules);
  await writeFile(join(modules, 'modules.builtin'), contents);
  for (const path of unneeded)
    await rm(join(modules, 'kernel', path), { recursive: true, force: true });
  await unpackCommon(dir, release, signal);
  await writeFile(join(dir, 'source'), packageList(offer.packages));
}

async function unpackCommon(
  dir: string,
  release: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const kernel = await kernelIn(dir, release);
  if (kernel.release !== release)
    throw new VmError(`Debian's ${release} says that it is ${kernel.release}`);
  const { order } = await loadOrder(kernel, common, undefined, signal);
  for (const { name, data } of order) {
    const path = kernel.modules.get(name);
    const plain = path?.replace(/\.ko\.\w+$/, '.ko');
    if (!path || !plain || plain === path) continue;
    await writeFile(plain, data);
    await rm(path);
  }
}
