// SPDX-License-Identifier: MIT
// What a difference between soft and the driver is pasted into: a sequence of calls in the player's
// words, played on the device under test, each by a player of its own.
import { onTestFinished } from 'vitest';
import { buildPlayer, ENDED, here, Player } from '../../lib/match/player.js';
import type { Scribe } from '../../lib/match/scribe.js';
import type { Place } from '../../lib/match/uapi.js';

const device = process.env.I915_USERPTR_DEVICE;

/** What each line is answered. `kernel`: whose i915 soft shall be, if not 6.1's. */
export async function played(lines: readonly string[], kernel = ''): Promise<string[]> {
  const args = device ? [device] : ['soft', ...(kernel ? ['--kernel', kernel] : [])];
  const player = await Player.start(here(await buildPlayer(), args));
  onTestFinished(() => player.end());
  const { answers, end } = await player.play(lines);
  if (end !== ENDED) throw new Error(`after ${answers.length} lines: ${end}`);
  return answers;
}

/** An answer of which some digits do not matter: they are question marks. */
export const answer = (text: string): RegExp => new RegExp(`^${text.replaceAll('?', '[0-9a-f]')}$`);

/** Where every player has its memory (native/match/player.h). */
export const place: Place = {
  arena: 0x3e00_1000_0000n,
  arenaSize: 256 << 20,
  args: 0x3e00_0000_0000n,
  argsSize: 256 << 10,
};

/** What the steps of a scribe at that place are answered. */
export const answersTo = (scribe: Scribe, kernel = ''): Promise<string[]> =>
  played(
    scribe.steps.map(({ line }) => line),
    kernel,
  );
