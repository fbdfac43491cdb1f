// SPDX-License-Identifier: MIT
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { diagnosisText } from '../../lib/cli/vm/doctor.js';
import { fetchView, progressText } from '../../lib/cli/vm/fetching.js';
import { plan } from '../../lib/cli/vm/setup.js';
import { command, which } from '../../lib/vm/command.js';
import { diagnose, diskUse } from '../../lib/vm/doctor.js';
import { findQemu, parseQemuVersion } from '../../lib/vm/qemu.js';
import { scratch, script, vmlinux, writeTree } from './vm.fixtures.js';

const at = scratch();

const qemu = (dir: string, version: string, device = 'vfio-user-pci') =>
  script(
    dir,
    'qemu-system-x86_64',
    `case "$1" in
--version) echo "QEMU emulator version ${version} (Some 1:2)";;
-device) echo 'name "${device}", bus PCI';;
esac`,
  );

function inCache(version = '11.1.3') {
  const dir = join(at.cache, 'qemu');
  writeTree(dir, { version: `${version}\n` });
  return dir;
}

const error = () => findQemu().then(String, (e: Error) => `${e.name}: ${e.message}`);

describe('findQemu', () => {
  it("takes the host's where it is of 10.1 or later and has vfio-user-pci", async () => {
    const program = qemu(at.bin, '10.1.0');
    inCache();
    expect(await findQemu()).toEqual({
      program,
      args: [],
      env: {},
      version: '10.1.0',
      origin: 'host',
    });
  });

  it("takes the cache's where the host's is older, run by its own ld.so", async () => {
    qemu(at.bin, '9.2.4');
    const dir = inCache();
    const found = await findQemu();
    expect(found).toMatchObject({ version: '11.1.3', origin: 'cache' });
    expect(found.program).toBe(`${dir}/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`);
    expect(found.args[2]).toBe(`${dir}/usr/bin/qemu-system-x86_64`);
    expect(found.env.QEMU_MODULE_DIR).toBe(`${dir}/usr/lib/x86_64-linux-gnu/qemu`);
  });

  it("says why the host's will not do, and what to do", async () => {
    qemu(at.bin, '7.2.22');
    expect(await error()).toMatch(
      /^VmError: .*is 7\.2\.22, older than 10\.1: `i915-userptr vm setup` fetches/,
    );
    qemu(at.bin, '11.0.0', 'vfio-pci');
    expect(await error()).toMatch(/built without vfio-user-pci/);
    script(at.bin, 'qemu-system-x86_64', 'echo hello');
    expect(await error()).toMatch(/does not tell its version/);
    vi.stubEnv('PATH', join(at.root, 'empty'));
    expect(await error()).toMatch(/there is no qemu-system-x86_64: /);
  });

  it('takes the one of I915_USERPTR_QEMU or none', async () => {
    qemu(at.bin, '11.0.0');
    inCache();
    vi.stubEnv('I915_USERPTR_QEMU', qemu(join(at.root, 'own'), '12.0.1'));
    expect(await findQemu()).toMatchObject({ version: '12.0.1', origin: 'env' });
    vi.stubEnv('I915_USERPTR_QEMU', qemu(join(at.root, 'old'), '10.0.8'));
    expect(await error()).toMatch(/I915_USERPTR_QEMU: .*older than 10\.1/);
    vi.stubEnv('I915_USERPTR_QEMU', join(at.root, 'none'));
    expect(await error()).toMatch(/I915_USERPTR_QEMU: none is not installed/);
  });

  it('reads the version of a line, not of anything', () => {
    expect(parseQemuVersion('QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)\n')).toBe(
      '11.1.3',
    );
    expect(parseQemuVersion('QEMU emulator version 10.1\n')).toBe('10.1');
    expect(parseQemuVersion('version 10.1.0')).toBeUndefined();
  });
});

describe('command', () => {
  it('says how a program ended: its last line, its status, or its signal', async () => {
    const fails = (body: string) => command('sh', ['-c', body]).catch((e: Error) => e.message);
    expect(await fails('echo a >&2; echo b >&2; exit 3')).toBe('sh: b');
    expect(await fails('exit 3')).toBe('sh: exit status 3');
    expect(await fails('kill -KILL $$')).toBe('sh: killed by SIGKILL');
  });

  it('gives input, and survives a program that does not read it', async () => {
    const input = Buffer.alloc(1 << 20, 'x');
    expect(input.equals(await command('cat', [], { input }))).toBe(true);
    expect((await command('true', [], { input })).length).toBe(0);
  });

  it('does not begin when it is already interrupted', async () => {
    const begun = command('touch', [join(at.root, 'x')], { signal: AbortSignal.abort() });
    await expect(begun).rejects.toThrow('interrupted');
    expect(which('x', at.root)).toBeUndefined();
  });

  it('finds programs, not directories nor files that cannot be executed', () => {
    const file = script(at.bin, 'p', '');
    writeTree(at.bin, { q: '' });
    mkdirSync(join(at.bin, 'r'));
    expect(which('p', `${at.root}:${at.bin}`)).toBe(file);
    expect(which('q', at.bin)).toBeUndefined();
    expect(which('r', at.bin)).toBeUndefined();
    expect(which('p', '.:')).toBeUndefined();
  });
});

describe('vm doctor', () => {
  const of = async (name: string) => (await diagnose()).findings.find((f) => f.name === name);

  it('is not ready without QEMU or a kernel, and says what to do about each', async () => {
    script(at.bin, 'qemu-system-x86_64', 'echo "QEMU emulator version 7.2.0"');
    const { ready } = await diagnose();
    expect(ready).toBe(false);
    expect(await of('QEMU')).toMatchObject({
      state: 'missing',
      text: expect.stringMatching(/older than 10\.1$/),
      advice: expect.stringMatching(/^`i915-userptr vm setup`/),
    });
    expect(await of('kernel')).toMatchObject({
      state: 'missing',
      advice: expect.stringMatching(/vm setup/),
    });
  });

  it('lists what is there', async () => {
    inCache();
    vi.stubEnv('I915_USERPTR_QEMU', qemu(join(at.root, 'own'), '12.0.1'));
    writeTree(join(at.cache, 'kernels/6.1.0-50-amd64'), { vmlinux: vmlinux('6.1.0-50-amd64') });
    writeTree(join(at.cache, 'builds/lockdep'), { vmlinux: vmlinux('6.1.176') });
    expect(await of('QEMU')).toMatchObject({ state: 'ok', text: '12.0.1, from I915_USERPTR_QEMU' });
    expect(await of('kernel')).toMatchObject({
      state: 'ok',
      text: expect.stringMatching(/^6\.1\.0-50-amd64 /),
    });
    expect((await of('kernels'))?.text).toBe("Debian's 6.1.0-50-amd64; built lockdep");
  });

  it('is a line each, and the verdict', () => {
    const text = diagnosisText({
      ready: false,
      findings: [
        { name: 'QEMU', state: 'missing', text: 'none', advice: 'get one' },
        { name: 'GPU', state: 'ok', text: 'built' },
      ],
    });
    expect(text).toBe(
      'missing  QEMU  none: get one\nok       GPU   built\n\n`i915-userptr vm run` cannot start\n',
    );
  });

  it('counts what the cache takes of the disk', async () => {
    writeTree(at.cache, { 'a/b': Buffer.alloc(1 << 20, 1) });
    expect(await diskUse(at.cache)).toBeGreaterThanOrEqual(1 << 20);
    expect(await diskUse(join(at.root, 'none'))).toBeUndefined();
  });
});

describe('vm setup', () => {
  const piece = (name: string, size: number) => ({ name, version: '1', architecture: 'all', size });

  it('says what it will fetch and how much that is', () => {
    const text = plan(
      [piece('qemu-system-x86', 30e6), piece('seabios', 5.2e6)],
      [{ release: '6.1.0-50-amd64', version: '1', series: '6.1', packages: [piece('l', 70e6)] }],
    );
    expect(text.split('\n')).toEqual([
      `to fetch into ${at.cache}, 106 MB in all:`,
      '  QEMU 1 and its libraries: 2 packages, 36 MB',
      '  kernel 6.1.0-50-amd64: 70 MB',
    ]);
  });

  it('shows progress over itself on a terminal, elsewhere a line for each download', () => {
    const lines = (isTTY: boolean) => {
      let out = '';
      const view = fetchView({ isTTY, columns: 20, write: (t) => (out += t) }, () => 0);
      view.show({ what: 'fetching a', bytes: 0, total: 5e6 });
      view.show({ what: 'fetching a', bytes: 2e6, total: 5e6 });
      view.show({ what: 'unpacking a', bytes: 0, total: 0 });
      view.show({ what: 'fetching b', bytes: 0, total: 7e6 });
      view.end();
      return out;
    };
    expect(lines(false)).toBe('fetching a  0 of 5 MB\nfetching b  0 of 7 MB\n');
    expect(lines(true).split('\r')).toHaveLength(6);
    expect(lines(true)).not.toContain('\n');
    expect(progressText({ what: 'x', bytes: 1.9e6, total: 2e6 })).toBe('x  1 of 2 MB');
  });
});
