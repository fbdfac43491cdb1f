// SPDX-License-Identifier: MIT
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newestOf, offersFor, rowsText } from '../../lib/cli/vm/kernels.js';
import type { Apt, PackageRecord } from '../../lib/vm/apt.js';
import { chosenOffers, fetchOffer, type Offer, offersOf } from '../../lib/vm/debian.js';
import { VmError } from '../../lib/vm/error.js';
import { findModules, resolveKernel, summarize } from '../../lib/vm/kernel.js';
import { bzImage, gzipped, ko, note, scratch, vmlinux, writeTree } from './vm.fixtures.js';

const at = scratch();

function cached(release: string, files: Record<string, string | Buffer> = {}): string {
  return writeTree(join(at.cache, 'kernels', release), {
    vmlinux: vmlinux(release),
    config: 'CONFIG_DRM_I915=m\n',
    'modules/kernel/drivers/gpu/drm/i915/i915.ko': ko('i915', {}, release),
    'modules/modules.builtin': 'kernel/drivers/virtio/virtio-ring.ko\nkernel/x/y.ko\n',
    ...files,
  });
}

const message = (spec: string | undefined, options = {}) =>
  resolveKernel(spec, options).then(
    (k) => `resolved ${k.name}`,
    (e) => (e instanceof VmError ? e.message : `${e.stack}`),
  );

describe('a version', () => {
  it('is the newest in the cache that fits', async () => {
    for (const release of ['6.1.0-9-amd64', '6.1.0-50-amd64', '6.12.118+deb13-amd64'])
      cached(release);
    const release = async (spec: string) => (await resolveKernel(spec)).release;
    expect(await release('6.1')).toBe('6.1.0-50-amd64');
    expect(await release('6.1.0-9-amd64')).toBe('6.1.0-9-amd64');
    expect(await release('6')).toBe('6.12.118+deb13-amd64');
    expect(await release('newest')).toBe('6.12.118+deb13-amd64');
  });

  it('that the cache does not have names the command that fetches it', async () => {
    cached('6.12.118+deb13-amd64');
    expect(await message('6.1')).toMatch(/`i915-userptr vm kernels fetch 6\.1`/);
  });

  it('left out is 6.1, else the newest that is there', async () => {
    expect(await message(undefined)).toMatch(/vm kernels fetch 6\.1`/);
    cached('6.12.118+deb13-amd64');
    cached('7.3.4+deb13-amd64');
    expect(await message(undefined)).toBe('resolved 7.3.4+deb13-amd64');
    cached('6.1.0-50-amd64');
    expect(await message(undefined)).toBe('resolved 6.1.0-50-amd64');
  });

  it('does not see what is still being filled', async () => {
    cached('.6.1.0-50-amd64.1.0.tmp');
    expect(await message('6.1')).toMatch(/not in the cache/);
  });
});

describe('a kernel of the cache', () => {
  it('has its image, config, modules and what is built in', async () => {
    const dir = cached('6.1.0-50-amd64');
    const kernel = await resolveKernel('6.1');
    expect(kernel).toMatchObject({
      name: '6.1.0-50-amd64',
      release: '6.1.0-50-amd64',
      image: join(dir, 'vmlinux'),
      format: 'vmlinux',
      config: join(dir, 'config'),
    });
    expect([...kernel.modules]).toEqual([
      ['i915', join(dir, 'modules/kernel/drivers/gpu/drm/i915/i915.ko')],
    ]);
    expect([...kernel.builtin]).toEqual(['virtio_ring', 'y']);
  });

  it('is the same by its summary', async () => {
    const dir = cached('6.1.0-50-amd64');
    const before = await resolveKernel('6.1');
    await summarize(dir);
    expect(await resolveKernel('6.1')).toEqual(before);
    expect(readFileSync(join(dir, 'summary'), 'utf8')).toBe(
      '6.1.0-50-amd64\nmodules/kernel/drivers/gpu/drm/i915/i915.ko\n',
    );
  });

  it('may be one of your own, by its name, with all built in', async () => {
    const dir = writeTree(join(at.cache, 'builds/lockdep'), {
      vmlinux: vmlinux('6.1.176'),
      '.config': '',
      'modules.builtin': 'kernel/drivers/gpu/drm/i915/i915.ko\n',
    });
    const kernel = await resolveKernel('lockdep');
    expect(kernel).toMatchObject({ name: 'lockdep', release: '6.1.176', config: `${dir}/.config` });
    expect(kernel.builtin).toEqual(new Set(['i915']));
    expect(kernel.modules.size).toBe(0);
    expect(await message('kasan')).toMatch(/no kernel kasan.*lockdep/);
  });

  it('that is damaged says what to do', async () => {
    writeTree(join(at.cache, 'kernels/6.1.0-50-amd64'), { config: '' });
    expect(await message('6.1')).toMatch(/neither vmlinux nor bzImage: remove it and fetch/);
  });
});

describe('a path', () => {
  it('may be a bzImage or a vmlinux, with the directory of its modules', async () => {
    const dir = writeTree(at.root, {
      bzImage: bzImage(gzipped(vmlinux('6.5.0')), '6.5.0'),
      vmlinux: vmlinux('6.5.0'),
      'm/kernel/a-b.ko.xz': '',
      'm/modules.builtin': 'kernel/c.ko\n',
    });
    for (const format of ['bzImage', 'vmlinux'] as const) {
      const image = join(dir, format);
      const kernel = await resolveKernel(image, { modules: join(dir, 'm') });
      expect(kernel).toMatchObject({ image, format, release: '6.5.0' });
      expect([...kernel.modules.keys()]).toEqual(['a_b']);
      expect([...kernel.builtin]).toEqual(['c']);
    }
    expect(await message(join(dir, 'vmlinux'), { modules: '/nonexistent' })).toMatch(/--modules/);
  });

  it('that is no kernel is refused, and why is said', async () => {
    const dir = writeTree(at.root, {
      text: 'hello',
      none: '',
      nopvh: vmlinux('6.5.0', note('GNU', 1)),
      'tree/Makefile': '',
    });
    expect(await message(join(dir, 'text'))).toMatch(/neither a bzImage nor an ELF vmlinux/);
    expect(await message(join(dir, 'none'))).toMatch(/neither a bzImage nor an ELF vmlinux/);
    expect(await message(join(dir, 'nopvh'))).toMatch(/CONFIG_PVH/);
    expect(await message(join(dir, 'tree'))).toMatch(/make vmlinux modules/);
    expect(await message(join(dir, 'absent'))).toMatch(/ENOENT/);
    expect(await message('')).toMatch(/--kernel: a version, a name or a path/);
  });

  it('may be a build tree: of modules.order those that are built, by .o as since 6.2', async () => {
    const dir = writeTree(join(at.root, 'tree'), {
      vmlinux: vmlinux('6.9.0-rc1'),
      'arch/x86/boot/bzImage': bzImage(gzipped(vmlinux('6.9.0-rc1')), '6.9.0-rc1'),
      '.config': '',
      'include/config/kernel.release': '6.9.0-rc1-mine\n',
      'modules.builtin': 'kernel/drivers/gpu/drm/drm.ko\n',
      'modules.order': 'drivers/a/i915.o\ndrivers/b/old.ko\ndrivers/c/unbuilt.o\n../../etc/x.o\n',
      'drivers/a/i915.ko': ko('i915'),
      'drivers/b/old.ko': ko('old'),
      'drivers/d/unlisted.ko': ko('unlisted'),
    });
    const kernel = await resolveKernel(dir);
    expect(kernel).toMatchObject({
      image: join(dir, 'vmlinux'),
      format: 'vmlinux',
      release: '6.9.0-rc1-mine',
      config: join(dir, '.config'),
    });
    expect([...kernel.modules]).toEqual([
      ['i915', join(dir, 'drivers/a/i915.ko')],
      ['old', join(dir, 'drivers/b/old.ko')],
    ]);
  });

  it('of a build tree without PVH is its bzImage', async () => {
    const dir = writeTree(join(at.root, 'tree'), {
      vmlinux: vmlinux('6.9.0', note('GNU', 1)),
      'arch/x86/boot/bzImage': bzImage(gzipped(vmlinux('6.9.0')), '6.9.0'),
    });
    expect(await resolveKernel(dir)).toMatchObject({ format: 'bzImage', release: '6.9.0' });
    rmSync(join(dir, 'arch'), { recursive: true });
    expect(await message(dir)).toMatch(/without CONFIG_PVH: `make bzImage`/);
  });
});

describe('findModules', () => {
  it('prefers what was installed into updates/, and does not follow links', async () => {
    const dir = writeTree(join(at.root, 'm'), {
      'updates/i915.ko': '',
      'kernel/i915.ko': '',
      'zupdates/x': '',
    });
    symlinkSync(at.root, join(dir, 'build'));
    expect([...(await findModules(dir)).values()]).toEqual([join(dir, 'updates/i915.ko')]);
  });
});

const record = (
  name: string,
  version: string,
  depends: string[] = [],
  size = 1000,
): PackageRecord => ({ name, version, depends, size, architecture: 'amd64', source: 'linux' });

/** As 7.x is packaged: the image depends on what has the files. */
function split(release: string, version: string): PackageRecord[] {
  const parts = ['base', 'binary', 'modules'].map((part) => `linux-${part}-${release}`);
  return [
    record(`linux-image-${release}`, version, ['dracut', ...parts]),
    ...parts.map((name) => record(name, version)),
  ];
}

const mirror = [
  record('linux-image-6.1.0-50-amd64', '6.1.176-1', ['kmod', 'linux-base']),
  record('linux-image-6.1.0-56-amd64', '6.1.192-1', ['kmod', 'linux-base']),
  record('linux-image-6.1.0-56-amd64', '6.1.192-2', ['kmod', 'linux-base']),
  record('linux-image-6.1.0-56-amd64-unsigned', '6.1.192-2'),
  record('linux-image-6.1.0-60-cloud-amd64', '6.1.200-1'),
  record('linux-image-6.1.0-60-rt-amd64', '6.1.200-1'),
  record('linux-image-6.12-amd64', '6.12.117-1', ['linux-image-6.12.117+deb12-amd64']),
  record('linux-image-6.12.118+deb13-amd64', '6.12.118-1'),
  record('linux-image-6.16.3+deb13-amd64', '6.16.3-1'),
  ...split('7.2.13+deb14-amd64', '7.2.13-1'),
  ...split('7.3.4+deb13-amd64', '7.3.4-1~bpo13+1'),
  // Its other packages have left the mirror.
  record('linux-image-7.1.13+deb13-amd64', '7.1.13-1', ['linux-modules-7.1.13+deb13-amd64']),
];

describe("Debian's kernels", () => {
  it('are the ordinary ones whose files are all there, newest first', () => {
    const offers = offersOf(mirror);
    expect(offers.map((o) => `${o.release} ${o.version}`)).toEqual([
      '7.3.4+deb13-amd64 7.3.4-1~bpo13+1',
      '7.2.13+deb14-amd64 7.2.13-1',
      '6.16.3+deb13-amd64 6.16.3-1',
      '6.12.118+deb13-amd64 6.12.118-1',
      '6.1.0-56-amd64 6.1.192-2',
      '6.1.0-50-amd64 6.1.176-1',
    ]);
    expect(offers[0]?.packages.map((p) => p.name)).toEqual([
      'linux-image-7.3.4+deb13-amd64',
      'linux-base-7.3.4+deb13-amd64',
      'linux-binary-7.3.4+deb13-amd64',
      'linux-modules-7.3.4+deb13-amd64',
    ]);
    expect(newestOf(offers).map((o) => o.series)).toEqual(['7.3', '7.2', '6.16', '6.12', '6.1']);
  });

  it('are by default 6.1, 6.12 and the two newest series', () => {
    const releases = (records: PackageRecord[]) =>
      chosenOffers(offersOf(records)).map((o) => o.series);
    expect(releases(mirror)).toEqual(['6.1', '6.12', '7.2', '7.3']);
    expect(releases(mirror.slice(0, 8))).toEqual(['6.1', '6.12']);
    expect(releases([])).toEqual([]);
  });

  it('that the cache has need no mirror', async () => {
    cached('6.1.0-50-amd64');
    expect(await offersFor(['6.1'], {})).toEqual({ offers: [], cached: ['6.1.0-50-amd64'] });
  });

  it('are listed in columns', () => {
    const text = rowsText([
      { name: '6.1', where: 'in the cache', size: '9 MB' },
      { name: '6.12.118', where: 'built', size: '104 MB' },
    ]);
    expect(text).toBe('6.1       in the cache    9 MB\n6.12.118  built         104 MB');
  });
});

describe('fetchOffer', () => {
  const release = '7.3.4+deb13-amd64';
  /** Unpacks these files for whatever is asked of it. */
  const apt = (files: Record<string, string | Buffer>) =>
    ({
      unpack: async (_: unknown, into: string) => void writeTree(into, files),
    }) as unknown as Apt;
  const offer = offersOf(split(release, '7.3.4-1'))[0] as Offer;
  const lib = `usr/lib/modules/${release}`;
  const files = () => ({
    [`${lib}/vmlinuz`]: bzImage(gzipped(vmlinux(release)), release),
    [`${lib}/config`]: 'CONFIG_PVH=y\n',
    [`${lib}/modules.builtin`]: 'kernel/drivers/virtio/virtio_pci.ko\n',
    [`${lib}/kernel/drivers/gpu/drm/i915/i915.ko.gz`]: gzipped(
      ko('i915', { depends: 'drm' }, release),
    ),
    [`${lib}/kernel/drivers/gpu/drm/drm.ko.gz`]: gzipped(ko('drm', {}, release)),
    [`${lib}/kernel/drivers/x/rare.ko.gz`]: gzipped(ko('rare', {}, release)),
    [`${lib}/kernel/sound/soundcore.ko.gz`]: gzipped(ko('soundcore', {}, release)),
    'usr/share/doc/linux-image/copyright': '',
  });

  it('keeps vmlinux, the config and the modules, and which packages they came from', async () => {
    await fetchOffer(apt(files()), offer);
    const dir = join(at.cache, 'kernels', release);
    expect(readdirSync(dir).sort()).toEqual(['config', 'modules', 'source', 'summary', 'vmlinux']);
    expect(readFileSync(join(dir, 'vmlinux'))).toEqual(vmlinux(release));
    expect(readFileSync(join(dir, 'source'), 'utf8')).toMatch(
      /^linux-image-7\.3\.4\+deb13-amd64 7\.3\.4-1\n/,
    );
    const kernel = await resolveKernel('7.3');
    expect([...kernel.builtin]).toEqual(['virtio_pci']);
    // i915 and what it needs are plain, others stay as they were, sound is not kept.
    expect([...kernel.modules.values()].map((p) => p.slice(dir.length + 16)).sort()).toEqual([
      'drivers/gpu/drm/drm.ko',
      'drivers/gpu/drm/i915/i915.ko',
      'drivers/x/rare.ko.gz',
    ]);
    expect(readdirSync(join(at.cache, 'kernels'))).toEqual([release]);
  });

  it('keeps the bzImage of a kernel without PVH', async () => {
    const image = bzImage(gzipped(vmlinux(release, note('GNU', 1))), release);
    await fetchOffer(apt({ ...files(), [`${lib}/vmlinuz`]: image }), offer);
    expect(await resolveKernel('7.3')).toMatchObject({ format: 'bzImage', release });
  });

  it('keeps nothing where a part is missing', async () => {
    const { [`${lib}/modules.builtin`]: _, ...rest } = files();
    await expect(fetchOffer(apt(rest), offer)).rejects.toThrow(/no modules\.builtin/);
    await expect(fetchOffer(apt({}), offer)).rejects.toThrow(/no vmlinuz/);
    const wrong = bzImage(gzipped(vmlinux('7.3.5')), release);
    await expect(fetchOffer(apt({ ...files(), [`${lib}/vmlinuz`]: wrong }), offer)).rejects.toThrow(
      /says that it is 7\.3\.5/,
    );
    expect(existsSync(join(at.cache, 'kernels', release))).toBe(false);
    expect(readdirSync(join(at.cache, 'kernels'))).toEqual([]);
  });

  it('fetches nothing that is there', async () => {
    cached(release);
    await fetchOffer({} as Apt, offer);
    expect(await message('7.3')).toBe(`resolved ${release}`);
  });
});
