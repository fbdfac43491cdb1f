// SPDX-License-Identifier: MIT
// The player that calls nothing (fake-player.mjs), and where its memory is.
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { here, Player } from '../../lib/match/player.js';

const program = fileURLToPath(new URL('fake-player.mjs', import.meta.url));

export const place = {
  arena: 0x31_0000_0000_00n,
  arenaSize: 256 << 20,
  args: 0x30_fff0_0000_00n,
  argsSize: 256 << 10,
};

/** Who starts it ends it. */
export const startFake = (...args: string[]): Promise<Player> =>
  Player.start(here(process.execPath, [program, ...args]));

/** One that ends with the test. */
export const fakePlayer = async (...args: string[]): Promise<Player> => {
  const player = await startFake(...args);
  onTestFinished(() => player.end());
  return player;
};
