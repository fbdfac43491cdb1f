// SPDX-License-Identifier: MIT
// The lab's part of npm run bench: how fast one search is on one core, and how long all cells take on
// two. BENCH_LAB_SECONDS: of the one search; BENCH_LAB_CELL_SECONDS: after which a cell gives up.
import { compare } from '../dist/lab/compare.js';
import { Lab } from '../dist/lab/lab.js';
import { isFinding, isOpen } from '../dist/lab/schema.js';

const STEPS_GOAL = 500_000;
const CELLS_GOAL = 60;

export async function lab(say) {
  const executable = await Lab.open();
  const seconds = Number(process.env.BENCH_LAB_SECONDS ?? 10);
  // Long enough without reduction: every interleaving of three threads.
  const long = { strategy: 'interval', scenario: 'two-invalidates', reduction: false, seconds };
  const rates = [];
  for (let turn = 0; turn < 3; turn++) {
    const cell = await executable.run(long);
    if (cell.verdict === 'error') throw new Error(cell.what);
    rates.push(cell.steps / cell.seconds);
  }
  const best = Math.max(...rates);
  const rate = (n) => `${Math.round(n).toLocaleString('en')}/s`;
  say(
    `steps of one search of ${seconds} s, one core, no reduction`,
    rate(best),
    `at least ${STEPS_GOAL.toLocaleString('en')}/s`,
    best >= STEPS_GOAL,
  );
  const reduced = await executable.run({ ...long, reduction: true });
  say('  with reduction', rate(reduced.steps / reduced.seconds), '', true);

  const { strategies, scenarios } = await executable.lists();
  const secondsPerCell = Number(process.env.BENCH_LAB_CELL_SECONDS ?? 120);
  const all = await compare(executable, { strategies, scenarios, jobs: 2, secondsPerCell });
  say(
    `${strategies.length} strategies in ${scenarios.length} scenarios, two at a time`,
    `${all.seconds.toFixed(1)} s`,
    `under ${CELLS_GOAL} s`,
    all.seconds < CELLS_GOAL,
  );
  const open = all.cells.filter(isOpen);
  const failed = all.cells.filter((cell) => cell.verdict === 'error');
  const found = all.cells.filter(isFinding).length;
  const exhaustive = all.cells.filter((cell) => cell.exhaustive).length;
  say('  ended by a finding', `${found}`, '', true);
  say('  exhaustive', `${exhaustive}`, '', true);
  say('  given up', `${open.length}`, 'none', open.length === 0);
  say('  failed', `${failed.length}`, 'none', failed.length === 0);
  const slowest = all.cells.toSorted((a, b) => b.seconds - a.seconds).slice(0, 3);
  for (const { strategy, scenario, steps, seconds } of slowest)
    say(
      `  longest: ${strategy} in ${scenario}`,
      `${seconds.toFixed(1)} s`,
      `${steps.toLocaleString('en')} steps`,
      true,
    );
}
