// SPDX-License-Identifier: MIT
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { keepFinding, knownFinding } from '../../lib/vm/accel.js';
import { scratch } from './vm.fixtures.js';

const at = scratch();
const file = () => join(at.cache, 'kvm.json');

describe('what was found of KVM', () => {
  it('is kept for this host and this QEMU, and nothing beside it', async () => {
    expect(knownFinding('11.1.3')).toBeUndefined();
    await keepFinding('11.1.3', false, 'it hangs');
    const finding = { host: release(), qemu: '11.1.3', works: false, why: 'it hangs' };
    expect(knownFinding('11.1.3')).toEqual(finding);
    expect(knownFinding('11.1.4')).toBeUndefined();
    expect(readdirSync(at.cache)).toEqual(['kvm.json']);
    await keepFinding('11.1.3', true, '');
    expect(knownFinding('11.1.3')?.works).toBe(true);
  });

  it('is not used after another kernel was booted', async () => {
    await keepFinding('11.1.3', true, '');
    const finding = JSON.parse(readFileSync(file(), 'utf8'));
    writeFileSync(file(), JSON.stringify({ ...finding, host: '0.0.1-other' }));
    expect(knownFinding('11.1.3')).toBeUndefined();
  });

  it.each(['', '{', 'null', '[]', '{"host":1}', '{"qemu":"11.1.3","works":"yes"}'])(
    'a broken file is none: %j',
    (text) => {
      mkdirSync(at.cache);
      writeFileSync(file(), text);
      expect(knownFinding('11.1.3')).toBeUndefined();
    },
  );

  it('is lost without a word where the cache cannot be written to', async () => {
    mkdirSync(join(file(), 'in the way'), { recursive: true });
    await keepFinding('11.1.3', true, '');
    expect(knownFinding('11.1.3')).toBeUndefined();
    expect(readdirSync(at.cache)).toEqual(['kvm.json']);
  });
});
