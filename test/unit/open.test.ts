// SPDX-License-Identifier: MIT
// Which device `auto` takes, on machines made of files.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { objection } from '../../lib/device/open.js';
import { findNodes, openDevice } from '../../lib/index.js';
import type { NodeInfo } from '../../lib/native.js';

const node: NodeInfo = {
  path: '/dev/dri/renderD128',
  driver: 'i915',
  pci: '0000:00:02.0',
  card: '/dev/dri/card0',
  render: true,
  errno: 0,
  holder: 0,
  holderName: '',
  holdersKnown: true,
  displayOn: false,
};

describe('auto', () => {
  it('takes an i915 render node that nobody shows pictures with', () => {
    expect(objection(node)).toBeNull();
  });

  it.each<[string, Partial<NodeInfo>, string]>([
    ['another driver', { driver: 'amdgpu' }, 'driven by amdgpu, not by i915'],
    ['no permission', { errno: 13 }, 'sudo usermod -aG render $USER'],
    [
      'a display server',
      { holder: 812, holderName: 'Xorg' },
      'process 812 (Xorg) has /dev/dri/card0 open',
    ],
    ['a lit display', { displayOn: true }, 'a display is lit on /dev/dri/card0'],
    ['a card node', { render: false }, 'a card node'],
  ])('leaves alone a node with %s, and says so', (_, change, reason) => {
    expect(objection({ ...node, ...change })).toContain(reason);
  });

  it('has a reason to print for what it took', () => {
    const { device, why } = openDevice('auto');
    using opened = device;
    expect(why).toContain(opened.isSoft ? 'the software i915: ' : opened.path);
  });
});

describe('findNodes', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'nodes-'));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  it('is empty on a machine without /dev/dri', () => {
    expect(findNodes(root)).toEqual([]);
  });

  it('names the driver by sysfs, and says why a node cannot be used', () => {
    const sys = join(root, 'sys/class/drm/renderD128');
    mkdirSync(join(root, 'dev/dri'), { recursive: true });
    mkdirSync(join(root, 'sys/bus/pci/drivers/i915'), { recursive: true });
    mkdirSync(join(sys, 'device'), { recursive: true });
    symlinkSync(join(root, 'sys/bus/pci/drivers/i915'), join(sys, 'device/driver'));
    writeFileSync(join(root, 'dev/dri/renderD128'), '');
    const [found] = findNodes(root);
    expect(found).toMatchObject({ render: true, driver: 'i915' });
    expect(found?.errno).not.toBe(0); // a plain file
  });
});
