// SPDX-License-Identifier: MIT
// How fast soft is compared with the driver, and how soon what is broken in soft is found.
import { runMatch } from '../dist/match/session.js';
import { cachedKernels } from '../dist/vm/kernel.js';

const SEED = 1n;
const SECONDS = 60;
const GOAL = 2000;
/** s, from the first sequence on. */
const FOUND_WITHIN = 60;
/** As in test/vm/match.test.ts. */
const breaks = ['wrong-errno', 'lost-write', 'skip-retry', 'check-order', 'leak-pin'];

export async function match(say) {
  const all = { seed: SEED, shard: { n: 1, of: 1 }, runs: 0, softBreaks: [] };
  for (const release of await cachedKernels()) {
    const kernels = [release];
    const { kernels: results } = await runMatch({ ...all, kernels, seconds: SECONDS }, undefined);
    const [result] = results;
    const rate = result.calls / result.seconds;
    say(`calls compared with ${release}`, `${rate.toFixed(0)}/s`, `${GOAL} a second`, rate >= GOAL);
    say('  differences', `${result.differences.length}`, 'none', !result.differences.length);
  }
  for (const name of breaks) {
    const controller = new AbortController();
    let at;
    let begun;
    await runMatch(
      { ...all, kernels: ['6.1'], seconds: FOUND_WITHIN, softBreaks: [name], shrinkMs: 1 },
      undefined,
      {
        signal: controller.signal,
        onProgress: () => {
          begun ??= performance.now();
        },
        onDifference: () => {
          at ??= performance.now();
          controller.abort();
        },
      },
    );
    const seconds = at === undefined ? Infinity : (at - begun) / 1000;
    say(
      `soft with ${name}, found against 6.1 after`,
      `${seconds.toFixed(0)} s`,
      'within 60 s',
      seconds <= FOUND_WITHIN,
    );
  }
}
