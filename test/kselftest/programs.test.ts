// SPDX-License-Identifier: MIT
// The kselftests stand alone: they build with nothing but a C compiler, and where there is no i915
// they say so in the kernel's way.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Built, build, programs, renderNodes, source } from './build.js';

let built: Built;
beforeAll(async () => {
  built = await build('all');
}, 120_000);
afterAll(() => built?.remove());

describe.each(programs)('%s', (program) => {
  it('lists its tests without root and without a GPU', () => {
    const { status, stdout } = built.run(program, '-l');
    expect(status).toBe(0);
    const names = stdout.trim().split('\n');
    expect(names.length).toBeGreaterThan(4);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^\w+(\.\w+){1,2}$/);
  });

  it('says of each in one sentence what it proves', () => {
    const { stdout } = built.run(program, '-l', '-v');
    const names = built.run(program, '-l').stdout.trim().split('\n');
    const proofs = stdout.split('\n').filter((line) => /^\t(?!guards against)/.test(line));
    expect(proofs.length).toBe(names.length);
    for (const proof of proofs) expect(proof.length).toBeGreaterThan(20);
  });

  it('teaches by -h', () => {
    const { status, stdout } = built.run(program, '-h');
    expect(status).toBe(0);
    for (const option of ['-l', '-t', '-T', '-d', '-r', '-s', '-S', '-n', '-w', '-v'])
      expect(stdout).toContain(`\n  ${option} `);
  });

  it('refuses a node that is no i915', () => {
    const { status, stdout } = built.run(program, '-d', '/dev/null');
    expect(status).toBe(4);
    expect(stdout).toMatch(/^KTAP version 1\n# seed 0x/);
    expect(stdout).toContain('1..0 # SKIP no i915: /dev/null');
  });

  it('skips with exit status 4 without a GPU', (context) => {
    if (renderNodes()) context.skip('there are render nodes here');
    const { status, stdout } = built.run(program);
    expect(status).toBe(4);
    expect(stdout).toMatch(/^1\.\.0 # SKIP no i915/m);
  });
});

describe('the Makefile', () => {
  const make = (...args: string[]) =>
    execFileSync(
      'make',
      ['-s', '-C', source, `OUTPUT=${built.dir}`, 'USERCFLAGS=-Werror', ...args],
      {
        encoding: 'utf8',
      },
    );

  it('installs what runs by itself', () => {
    const to = join(built.dir, 'installed');
    make('install', `INSTALL_PATH=${to}`);
    const out = execFileSync('sh', ['-c', `${to}/run.sh -l; echo $?`], { encoding: 'utf8' });
    for (const program of programs) expect(out).toContain(`# ${program}\n`);
    expect(out).toMatch(/^# programs: pass:\d+ fail:0 skip:0\n0$/m);
  });

  it('packs a tarball for a machine under test', { timeout: 120_000 }, () => {
    make('dist');
    const tarball = join(built.dir, 'i915_userptr.tar.gz');
    const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).split('\n');
    for (const file of [...programs, 'run.sh', 'README', 'Makefile', 'harness.h'])
      expect(files).toContain(`i915_userptr/${file}`);
    // It builds where it is unpacked.
    execFileSync('tar', ['-C', built.dir, '-xzf', tarball]);
    const dir = join(built.dir, 'i915_userptr');
    execFileSync('make', ['-s', '-C', dir, `OUTPUT=${join(dir, 'again')}`]);
  });
});
