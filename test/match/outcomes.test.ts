// SPDX-License-Identifier: MIT
// What soft can come to in races whose outcomes on the driver told something.
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { buildPlayer, ENDED, here, Player } from '../../lib/match/player.js';
import { heatOf, inOrder, type Race, type RacerName, runOf } from '../../lib/match/race.js';

const BOUND = { timeout: 300_000 };
// The first builds it: minutes, where other work is going on.
beforeAll(async () => void (await buildPlayer()), 600_000);

/** The answers to the calls, of every outcome. */
async function outcomes(racers: readonly RacerName[], schedules: number): Promise<string[]> {
  const program = await buildPlayer();
  const player = await Player.start(here(program, ['soft', '--outcomes', `${schedules}`]));
  onTestFinished(() => player.end());
  const race: Race = {
    memory: 'private',
    touched: true,
    bound: false,
    racers: racers.map((what) => ({ what, page: 2, pages: 1, engine: 1, value: 7 })),
  };
  const heat = heatOf(player.place, race);
  const { lines } = runOf(player.place, heat, inOrder(heat), 0);
  const { answers, end } = await player.play(lines);
  expect(end).toBe(ENDED);
  const first = lines.indexOf('join 0');
  return answers.map((line) =>
    line
      .split('|')
      .slice(first, first + racers.length)
      .map((answer) => answer.split(' ')[0])
      .join(' '),
  );
}

// i915_gem_execbuffer.c, eb_requests_add(): -EAGAIN | -ENOENT.
test(
  'an execbuf is EPERM when its context is destroyed while it wants another try',
  BOUND,
  async () => {
    const racers: RacerName[] = ['exec, other context', 'context destroy', 'munmap'];
    const seen = new Set((await outcomes(racers, 2000)).map((answers) => answers.split(' ')[0]));
    expect(seen).toEqual(new Set(['0', '-14', '-2', '-1']));
  },
);

test('without a munmap it is ENOENT, or nothing is wrong', BOUND, async () => {
  const seen = await outcomes(['exec, other context', 'context destroy'], 500);
  expect(new Set(seen)).toEqual(new Set(['0 0', '-2 0']));
});
