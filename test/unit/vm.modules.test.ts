// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { which } from '../../lib/vm/command.js';
import { VmError } from '../../lib/vm/error.js';
import type { Kernel } from '../../lib/vm/kernel.js';
import { findModules } from '../../lib/vm/kernel.js';
import { loadOrder, moduleInfo, moduleName, replacements } from '../../lib/vm/modules.js';
import { elf, gzipped, ko, scratch, writeTree } from './vm.fixtures.js';

const at = scratch();
const RELEASE = '6.1.0-50-amd64';

async function kernelOf(
  modules: Record<string, string | Buffer>,
  builtin: string[] = [],
): Promise<Kernel> {
  const dir = join(at.root, 'modules');
  writeTree(dir, { 'modules.order': '', ...modules });
  return {
    name: RELEASE,
    release: RELEASE,
    image: 'vmlinux',
    format: 'vmlinux',
    modules: await findModules(dir),
    builtin: new Set(builtin),
  };
}

const i915 = () => ({
  'kernel/drivers/gpu/drm/i915/i915.ko': ko('i915', { depends: 'drm_kms_helper,drm,i2c-algo-bit' }),
  'kernel/drivers/gpu/drm/drm_kms_helper.ko': ko('drm_kms_helper', { depends: 'drm' }),
  'kernel/drivers/gpu/drm/drm.ko': ko('drm'),
  'kernel/drivers/i2c/algos/i2c-algo-bit.ko': ko('i2c_algo_bit'),
});

const names = ({ order }: { order: { name: string }[] }) => order.map((m) => m.name);

describe('moduleName', () => {
  it('is the file without folder, endings and dashes', () => {
    expect(moduleName('a/i2c-algo-bit.ko.xz')).toBe('i2c_algo_bit');
    expect(moduleName('i915.ko')).toBe('i915');
    for (const other of ['i915.o', 'i915.ko.bz2', '.ko', 'modules.dep', 'a b.ko'])
      expect(moduleName(other)).toBeUndefined();
  });
});

describe('moduleInfo', () => {
  it('is what .modinfo says: dependencies, soft ones before it, and the release', () => {
    const info = moduleInfo(
      ko('x', { depends: 'a-b,c', softdep: 'pre: d e-f post: g' }, '7.3.4+deb13-amd64'),
    );
    expect(info).toEqual({
      depends: ['a_b', 'c'],
      pre: ['d', 'e_f'],
      release: '7.3.4+deb13-amd64',
    });
  });

  it('refuses what is no module', () => {
    expect(() => moduleInfo(elf())).toThrow(/no \.modinfo/);
    expect(() => moduleInfo(Buffer.from('text'))).toThrow(VmError);
  });
});

describe('loadOrder', () => {
  it('has dependencies first, each once, and what is built in not at all', async () => {
    const kernel = await kernelOf(i915(), ['i2c_algo_bit']);
    const got = await loadOrder(kernel, ['i915', 'drm']);
    expect(names(got)).toEqual(['drm', 'drm_kms_helper', 'i915']);
    expect(got.missing).toEqual([]);
  });

  it('tells those wanted that the kernel has in no form', async () => {
    const kernel = await kernelOf(i915(), ['virtio_pci']);
    const got = await loadOrder(kernel, ['virtio-pci', 'i2c-algo-bit', 'nonesuch']);
    expect(names(got)).toEqual(['i2c_algo_bit']);
    expect(got.missing).toEqual(['nonesuch']);
  });

  it('fails where a dependency is missing, and says whose', async () => {
    const { 'kernel/drivers/gpu/drm/drm.ko': _, ...rest } = i915();
    const kernel = await kernelOf(rest);
    await expect(loadOrder(kernel, ['drm_kms_helper'])).rejects.toThrow(
      /drm_kms_helper needs drm,/,
    );
  });

  it('loads soft dependencies where they exist, and cuts their cycles', async () => {
    const kernel = await kernelOf({
      'a.ko': ko('a', { softdep: 'pre: b none' }),
      'b.ko': ko('b', { depends: 'a' }),
    });
    expect(names(await loadOrder(kernel, ['a'])).sort()).toEqual(['a', 'b']);
  });

  it('decompresses', async () => {
    const plain = ko('a');
    const files: Record<string, Buffer> = { 'a.ko.gz': gzipped(plain) };
    for (const [program, ending] of [
      ['xz', 'xz'],
      ['zstd', 'zst'],
    ] as const)
      if (which(program))
        files[`${program}.ko.${ending}`] = spawnSync(program, ['-c'], {
          input: ko(program),
        }).stdout;
    const wanted = Object.keys(files).map((f) => f.split('.')[0] as string);
    const got = await loadOrder(await kernelOf(files), wanted);
    expect(names(got)).toEqual(wanted);
    expect(got.order[0]?.data).toEqual(plain);
  });

  it('names the file that is damaged', async () => {
    const kernel = await kernelOf({
      'a.ko': 'not ELF',
      'b.ko.gz': gzipped(ko('b')).subarray(0, 60),
    });
    await expect(loadOrder(kernel, ['a'])).rejects.toThrow(/a\.ko: not an ELF file/);
    await expect(loadOrder(kernel, ['b'])).rejects.toThrow(/b\.ko\.gz: gzip: /);
  });
});

describe('--module', () => {
  it("takes the place of the kernel's own of that name", async () => {
    const kernel = await kernelOf(i915());
    const own = ko('i915', { depends: 'drm', description: 'mine' });
    const dir = writeTree(join(at.root, 'mine'), { 'i915.ko': own });
    const replace = replacements(kernel, [join(dir, 'i915.ko')]);
    const got = await loadOrder(kernel, ['i915'], replace);
    expect(names(got)).toEqual(['drm', 'i915']);
    expect(got.order[1]?.data).toEqual(own);
  });

  it('of another release is refused before a boot, with both releases', async () => {
    const kernel = await kernelOf(i915());
    const dir = writeTree(join(at.root, 'mine'), { 'i915.ko': ko('i915', {}, '6.12.1-x') });
    const replace = replacements(kernel, [join(dir, 'i915.ko')]);
    await expect(loadOrder(kernel, ['i915'], replace)).rejects.toThrow(
      /built for 6\.12\.1-x, the kernel is 6\.1\.0-50-amd64/,
    );
  });

  it('cannot replace what is built in, nor be absent, nor be named as no module is', async () => {
    const kernel = await kernelOf({}, ['i915']);
    const dir = writeTree(join(at.root, 'mine'), { 'i915.ko': ko('i915'), 'x.o': '' });
    expect(() => replacements(kernel, [join(dir, 'i915.ko')])).toThrow(/built into kernel/);
    expect(() => replacements(kernel, [join(dir, 'drm.ko')])).toThrow(/there is no/);
    expect(() => replacements(kernel, [join(dir, 'x.o')])).toThrow(/not called NAME\.ko/);
    const other = await kernelOf({ 'i915.ko': ko('i915') });
    const twice = [join(dir, 'i915.ko'), join(dir, 'i915.ko')];
    expect(() => replacements(other, twice)).toThrow(/two files for i915/);
  });
});
