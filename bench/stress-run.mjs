// SPDX-License-Identifier: MIT
// A run of the stress engine in this process, of which only the speed is wanted.
import { closeSync } from 'node:fs';
import { stress } from '../dist/stress/snapshot.js';

/** The board at its end; `config` says where it differs from a run without limits. */
export function stressRun(device, config) {
  const board = stress.boardCreate();
  const whole = {
    operations: 0,
    seed: 1n,
    threadsPerStressor: 1,
    opTimeoutMs: 0,
    atOnce: 0,
    pauseUs: 0,
    dwellUs: 0,
    violations: 0,
    era: 'auto',
    ...config,
  };
  const run = stress.stressStart(device.id, whole, board, device.isSoft ? '' : device.path);
  const what = config.stressors.join() || 'all stressors';
  if (!stress.stressJoin(run)) throw new Error(`${what}: the run hangs`);
  const end = stress.boardSnapshot(board);
  closeSync(board);
  if (end.error) throw new Error(end.error);
  if (end.violationsTotal) throw new Error(`${what}: ${end.violations[0].text}`);
  return end;
}
