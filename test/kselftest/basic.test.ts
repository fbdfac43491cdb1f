// SPDX-License-Identifier: MIT
// The kselftest stands alone: it builds with nothing but a C compiler, and where there is no i915 it
// says so in the kernel's way.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

const source = join(packageRoot, 'kselftest/drivers/gpu/i915_userptr');
let dir: string;
const program = () => join(dir, 'i915_userptr_basic');
const run = (...args: string[]) => spawnSync(program(), args, { encoding: 'utf8' });

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'i915-userptr-kselftest-'));
  cpSync(source, dir, { recursive: true });
  execFileSync('make', ['-s', 'clean'], { cwd: dir });
  execFileSync('make', ['-s', 'USERCFLAGS=-Werror'], { cwd: dir });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('i915_userptr_basic', () => {
  it('lists its tests without root and without a GPU', () => {
    const { status, stdout } = run('-l');
    expect(status).toBe(0);
    expect(stdout.trim().split('\n').length).toBeGreaterThan(5);
  });

  it('refuses a node that is no i915', () => {
    const { status, stdout } = run('-d', '/dev/null');
    expect(status).not.toBe(0);
    expect(stdout).toContain('KTAP version 1');
  });

  it('skips with exit status 4 without a GPU, and passes on one', () => {
    const nodes = existsSync('/dev/dri') && readdirSync('/dev/dri').some((n) => /^renderD/.test(n));
    const { status, stdout } = run();
    expect(stdout).toContain('KTAP version 1');
    if (nodes && status === 0) expect(stdout).not.toMatch(/^not ok/m);
    else {
      expect(status).toBe(4);
      expect(stdout).toMatch(/^1\.\.0 # SKIP no i915/m);
    }
  });
});
