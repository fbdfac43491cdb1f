// SPDX-License-Identifier: MIT
// The process of a run. Its threads are native ones; here is only what the parent says to it. It
// opens the device itself, so that a device that hangs or kills takes this process and no other.
import { type Opened, openDevice } from '../device/open.js';
import { chosenStressors, makeOptions, type Options, softOnly } from './options.js';
import {
  BOARD_FD,
  decodeRequest,
  type FromRunner,
  runnerStatus,
  type ToRunner,
} from './protocol.js';
import { stress } from './snapshot.js';

/** The parent is gone: so are, at once, this process and the children that stressors have forked. */
function die(): never {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // Not a group of its own: somebody has started it by hand.
  }
  return stress.exitNow(runnerStatus.orphan);
}

function open(options: Options): Opened {
  const flag = options.device === 'auto' ? softOnly(options) : undefined;
  if (!flag) return openDevice(options.device, options);
  return { ...openDevice('soft', options), why: `the software i915, which alone has ${flag}` };
}

const tell = (message: FromRunner) =>
  new Promise<void>((resolve) => process.send?.(message, () => resolve()));

async function main(): Promise<void> {
  process.on('disconnect', die);
  // The channel ends with the parent, but is only heard between two calls of ours.
  if (!stress.dieWithParent() || !process.connected) die();
  const options = makeOptions(decodeRequest(process.argv[2] ?? ''));
  let opened: Opened;
  try {
    opened = open(options);
  } catch (e) {
    await tell({ failed: e instanceof Error ? e.message : String(e) });
    process.exit(runnerStatus.notOpened);
  }
  const { device, why } = opened;
  await tell({ device: { name: device.path, why } });
  const { seconds, threads, stressors, ...rest } = options;
  const config = {
    ...rest,
    seconds: seconds || 1e9,
    threadsPerStressor: threads,
    stressors: chosenStressors(stressors),
  };
  const node = device.isSoft ? '' : device.path;
  const run = stress.stressStart(device.id, config, BOARD_FD, node);
  process.on('message', (message: ToRunner) => {
    if (message === 'stop') return stress.stressStop(run);
    if (!stress.stressJoin(run)) stress.exitNow(runnerStatus.hung);
    device.close();
    process.off('disconnect', die);
    process.exit(0);
  });
}

await main();
