// SPDX-License-Identifier: MIT
import * as check from '../check.js';
import { I915Error } from '../error.js';
import { type NodeInfo, native } from '../native.js';
import { Device, type SoftOptions } from './device.js';

/** A device, and why it is this one: a line to print. */
export interface Opened {
  device: Device;
  why: string;
}

/** The DRM nodes of this machine, render nodes first. `root` is put before /dev, /sys and /proc. */
export function findNodes(root = ''): NodeInfo[] {
  return native.findNodes(check.string(root, 'root'));
}

/** What speaks against stressing a node, or null. */
export function objection(node: NodeInfo): string | null {
  if (!node.render) return 'a card node: its render node is the one to use';
  if (node.driver && node.driver !== 'i915') return `driven by ${node.driver}, not by i915`;
  if (node.errno) return nodeError(node.path, node.errno, node.driver).message;
  if (node.holder)
    return `process ${node.holder} (${node.holderName}) has ${node.card} open: a display server`;
  if (node.displayOn) return `a display is lit on ${node.card}`;
  return null;
}

/**
 * Opens a device: a DRM node by its path, `soft` (the software i915), or `auto`: an i915 render node
 * that no display server holds, else soft.
 * @throws {I915Error} the node is missing, not driven by i915, or not permitted; its message is one
 *   line that says so and what to do.
 */
export function openDevice(choice = 'auto', options: SoftOptions = {}): Opened {
  check.string(choice, 'device');
  if (choice === 'soft')
    return { device: openSoft(options), why: 'the software i915, as asked for' };
  if (choice !== 'auto') return { device: openNode(choice), why: `${choice}, as asked for` };

  const nodes = findNodes().filter((node) => node.render);
  const reasons: string[] = [];
  for (const node of nodes) {
    const against = objection(node);
    if (against === null) {
      const held = node.holdersKnown ? '' : ' that could be seen (not all processes could)';
      return {
        device: openNode(node.path),
        why: `${node.path}: an i915 render node that no display server holds${held}`,
      };
    }
    reasons.push(`${node.path}: ${against}`);
  }
  const why = reasons.length ? reasons.join('; ') : 'this machine has no DRM render node';
  return { device: openSoft(options), why: `the software i915: ${why}` };
}

function openSoft(options: SoftOptions): Device {
  return Device.soft(options);
}

function openNode(path: string): Device {
  const { device, errno, driver } = native.openNode(path);
  if (errno) throw nodeError(path, errno, driver);
  return Device.node(device, path);
}

const advice: Readonly<Record<string, string>> = {
  ENOENT: 'no such node; `i915-userptr devices` lists those there are, `soft` needs none',
  EACCES:
    'not permitted: join the group that owns it, sudo usermod -aG render $USER, and log in again',
  EPERM: 'not permitted here: a container must be given the node (--device /dev/dri)',
};

/** @internal */
export function nodeError(path: string, errno: number, driver: string): I915Error {
  const code = native.errnoName(errno);
  const text =
    code === 'ENODEV'
      ? driver
        ? `driven by ${driver}, not by i915; \`soft\` runs without a GPU`
        : 'not a DRM node; `i915-userptr devices` lists those there are'
      : (advice[code] ?? 'could not be opened');
  return new I915Error(`open ${path}`, errno, code, text);
}
