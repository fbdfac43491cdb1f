// SPDX-License-Identifier: MIT
// All strategies by all scenarios, some at a time.
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { toolVersion } from '../stress/assemble.js';
import type { Lab } from './lab.js';
import { type Cell, type Comparison, isFinding, type Lists } from './schema.js';

export interface CompareOptions {
  strategies: Lists['strategies'];
  scenarios: Lists['scenarios'];
  /** Searches at a time. */
  jobs: number;
  secondsPerCell: number;
  /** Counterexamples go there: STRATEGY.SCENARIO.ndjson. */
  saveDir?: string | undefined;
}

/** How far it is. */
export interface CompareProgress {
  done: number;
  total: number;
  findings: number;
  /** Of all cells, also those under way. */
  steps: number;
  /** `interval in lookup-invalidate`, ...: under way. */
  now: string[];
}

export interface CompareHooks {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: CompareProgress) => void) | undefined;
}

/** An interrupt leaves out the cells that have not been explored to their end. */
export async function compare(
  lab: Pick<Lab, 'run'>,
  { strategies, scenarios, jobs, secondsPerCell, saveDir }: CompareOptions,
  { signal, onProgress }: CompareHooks = {},
): Promise<Comparison> {
  const startedAt = new Date();
  const begin = performance.now();
  const pairs = strategies.flatMap((strategy) =>
    scenarios.map((scenario) => ({ strategy: strategy.name, scenario: scenario.name })),
  );
  const cells: (Cell | undefined)[] = pairs.map(() => undefined);
  const running = new Map<number, number>();
  let ended = 0;
  const tell = () => {
    const done = cells.filter((cell) => cell !== undefined);
    onProgress?.({
      done: done.length,
      total: pairs.length,
      findings: done.filter(isFinding).length,
      steps: ended + [...running.values()].reduce((a, b) => a + b, 0),
      now: [...running.keys()].map((i) => `${pairs[i]?.strategy} in ${pairs[i]?.scenario}`),
    });
  };
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < pairs.length && !signal?.aborted; i = next++) {
      const pair = pairs[i];
      if (!pair) return;
      running.set(i, 0);
      tell();
      const save = saveDir && join(saveDir, `${pair.strategy}.${pair.scenario}.ndjson`);
      const cell = await lab.run(
        { ...pair, seconds: secondsPerCell, save },
        {
          signal,
          onProgress: ({ steps }) => {
            running.set(i, steps);
            tell();
          },
        },
      );
      running.delete(i);
      ended += cell.steps;
      cells[i] = cell;
      tell();
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: jobs }, worker));
  const failed = workers.find((w) => w.status === 'rejected');
  if (failed && !signal?.aborted) throw failed.reason;
  const all = cells.filter((cell) => cell !== undefined);
  return {
    schema: 'i915-userptr lab comparison',
    version: 1,
    startedAt: startedAt.toISOString(),
    seconds: (performance.now() - begin) / 1000,
    jobs,
    secondsPerCell,
    host: {
      tool: toolVersion,
      kernel: release(),
      cpus: cpus().length,
      cpu: cpus()[0]?.model.trim() ?? '',
    },
    complete: all.length === pairs.length,
    strategies,
    scenarios,
    cells: all,
  };
}
