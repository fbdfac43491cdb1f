// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cacheRoot, publish, sweep, withTemporary } from '../../lib/vm/cache.js';
import { VmError } from '../../lib/vm/error.js';
import { scratch, writeTree } from './vm.fixtures.js';

const at = scratch();
const put = (text: string) => async (tmp: string) => writeFileSync(join(tmp, 'file'), text);
const content = (dir: string) => readFileSync(join(dir, 'file'), 'utf8');

/** Of a process that is no more. */
function deadPid(): number {
  return spawnSync('true').pid;
}

describe('cacheRoot', () => {
  it('is our variable, then the XDG one, then ~/.cache', () => {
    expect(cacheRoot({ I915_USERPTR_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheRoot({ XDG_CACHE_HOME: '/b' })).toBe('/b/i915-userptr');
    expect(cacheRoot({})).toMatch(/^\/.*\/\.cache\/i915-userptr$/);
  });

  it('refuses a relative one of ours, and ignores a relative XDG one as its specification says', () => {
    expect(() => cacheRoot({ I915_USERPTR_CACHE: 'a' })).toThrow(VmError);
    expect(cacheRoot({ XDG_CACHE_HOME: 'b' })).toMatch(/\/\.cache\/i915-userptr$/);
  });
});

describe('publish', () => {
  it('makes a directory whole, and leaves nothing beside it', async () => {
    const dir = join(at.cache, 'kernels/6.1');
    await publish(dir, async (tmp) => {
      await put('x')(tmp);
      expect(existsSync(dir)).toBe(false);
    });
    expect(content(dir)).toBe('x');
    expect(readdirSync(join(at.cache, 'kernels'))).toEqual(['6.1']);
  });

  it('leaves nothing of a fill that failed', async () => {
    const dir = join(at.cache, 'kernels/6.1');
    const failing = publish(dir, async (tmp) => {
      await put('x')(tmp);
      throw new VmError('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(readdirSync(join(at.cache, 'kernels'))).toEqual([]);
  });

  it('keeps what another process has published meanwhile', async () => {
    const dir = join(at.cache, 'qemu');
    await publish(dir, async (tmp) => {
      await put('ours')(tmp);
      writeTree(dir, { file: 'theirs' });
    });
    expect(content(dir)).toBe('theirs');
    expect(readdirSync(at.cache)).toEqual(['qemu']);
  });

  it('puts a new one in place of an old one when asked', async () => {
    const dir = join(at.cache, 'builds/lockdep');
    await publish(dir, put('old'));
    await publish(dir, put('new'), { replace: true });
    expect(content(dir)).toBe('new');
    expect(readdirSync(join(at.cache, 'builds'))).toEqual(['lockdep']);
  });

  it('says which variable moves a cache that cannot be written to', async () => {
    writeTree(at.root, { cache: 'a file' });
    await expect(publish(join(at.cache, 'qemu'), put('x'))).rejects.toThrow(/I915_USERPTR_CACHE/);
  });
});

describe('temporary directories', () => {
  it('of dead processes are removed, of living ones and of ours are not', async () => {
    mkdirSync(at.cache);
    const dead = `.a.${deadPid()}.0.tmp`;
    const living = `.a.${process.ppid}.0.tmp`;
    for (const name of [dead, living, '.kept', `.a.${process.pid}.999.tmp`])
      mkdirSync(join(at.cache, name));
    await withTemporary(join(at.cache, 'b'), async (tmp) => {
      await sweep(at.cache);
      expect(existsSync(tmp)).toBe(true);
    });
    expect(readdirSync(at.cache).sort()).toEqual([living, '.kept'].sort());
  });

  it('do not meet when one process makes several at once', async () => {
    const dir = join(at.cache, 'x');
    const seen = await Promise.all([1, 2, 3].map(() => withTemporary(dir, async (tmp) => tmp)));
    expect(new Set(seen).size).toBe(3);
  });
});
