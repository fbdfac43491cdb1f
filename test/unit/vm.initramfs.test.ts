// SPDX-License-Identifier: MIT
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initramfs } from '../../lib/vm/initramfs.js';
import { scratch } from './vm.fixtures.js';

const at = scratch();

interface Entry {
  path: string;
  mode: number;
  data: Buffer;
  device: [number, number];
}

/** Reads an archive as the kernel does. */
function entries(archive: Buffer): Entry[] {
  const found: Entry[] = [];
  for (let i = 0; ; ) {
    expect(i % 4).toBe(0);
    expect(archive.toString('latin1', i, i + 6)).toBe('070701');
    const field = (n: number) =>
      Number.parseInt(archive.toString('latin1', i + 6 + 8 * n, i + 14 + 8 * n), 16);
    const [mode, size, names] = [field(1), field(6), field(11)];
    const name = archive.subarray(i + 110, i + 110 + names);
    expect(name.at(-1)).toBe(0);
    const path = name.subarray(0, -1).toString();
    const from = (i + 110 + names + 3) & ~3;
    if (path === 'TRAILER!!!') {
      expect(from).toBe(archive.length);
      return found;
    }
    found.push({
      path,
      mode,
      data: archive.subarray(from, from + size),
      device: [field(9), field(10)],
    });
    i = (from + size + 3) & ~3;
  }
}

const name = fc.stringMatching(/^[a-z0-9_ü-]{1,12}$/).filter((s) => s !== 'dev');
const files = fc.uniqueArray(
  fc.record({
    path: fc.tuple(fc.constantFrom('', 'a/', 'a/b/', 'c/'), name).map((p) => p.join('')),
    mode: fc.constantFrom(0o644, 0o755, 0o600),
    data: fc.uint8Array({ maxLength: 50 }),
  }),
  { selector: (f) => f.path, maxLength: 10 },
);
const noClash = (list: { path: string }[]) =>
  !list.some(
    (f) => list.some((g) => g.path.startsWith(`${f.path}/`)) || /^(a|a\/b|c)$/.test(f.path),
  );

describe('initramfs', () => {
  it('any files come back, each after its directories', () => {
    fc.assert(
      fc.property(files.filter(noClash), (list) => {
        const found = entries(initramfs(list));
        const regular = found.filter((e) => (e.mode & 0o170000) === 0o100000);
        expect(
          regular.map((e) => ({ path: e.path, mode: e.mode & 0o7777, data: [...e.data] })),
        ).toEqual(list.map((f) => ({ ...f, data: [...f.data] })));
        const seen = new Set(['']);
        for (const e of found) {
          expect(seen).toContain(e.path.split('/').slice(0, -1).join('/'));
          expect(seen).not.toContain(e.path);
          if ((e.mode & 0o170000) === 0o040000) seen.add(e.path);
        }
      }),
    );
  });

  it('has a console for the first words of init', () => {
    expect(entries(initramfs([]))).toMatchObject([
      { path: 'dev', mode: 0o040755 },
      { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    ]);
  });

  it('the same files make the same archive', () => {
    const list = [{ path: 'init', mode: 0o755, data: Buffer.from('x') }];
    expect(initramfs(list).equals(initramfs(list))).toBe(true);
  });

  it('cpio unpacks it', (ctx) => {
    if (spawnSync('cpio', ['--version']).error) ctx.skip('there is no cpio');
    const data = Buffer.alloc(12345, 'module');
    const archive = initramfs([
      { path: 'init', mode: 0o755, data: Buffer.from('#!') },
      { path: 'modules/base/00-a.ko', mode: 0o644, data },
    ]);
    // Without what only root may make.
    const { status, stderr } = spawnSync('cpio', ['-idm', '--quiet', 'init', 'modules*'], {
      cwd: at.root,
      input: archive,
    });
    expect([status, stderr.toString()]).toEqual([0, '']);
    expect(readdirSync(join(at.root, 'modules/base'))).toEqual(['00-a.ko']);
    expect(readFileSync(join(at.root, 'modules/base/00-a.ko')).equals(data)).toBe(true);
    expect(statSync(join(at.root, 'init')).mode & 0o777).toBe(0o755);
  });
});
