// SPDX-License-Identifier: MIT
// A match from its options: the players, the machines, kernel after kernel.
import { parseKmsg } from '../kernel/kmsg.js';
import { SplatDetector } from '../kernel/splat.js';
import { count } from '../report/units.js';
import { commandText } from '../stress/assemble.js';
import { exitStatus } from '../stress/result.js';
import { VmError } from '../vm/error.js';
import { kernelOf, Machine } from '../vm/machine.js';
import { type VmOptions, vmOptionsSchema } from '../vm/options.js';
import { emptyKernelResult, Matcher, type MatchHooks } from './match.js';
import { DEFAULT_RUNS, eraOf, firstEra, type MatchOptions, SOFT } from './options.js';
import { buildPlayer, here, inGuest, Player } from './player.js';
import { type KernelResult, type MatchResult, SCHEMA } from './result.js';

export interface SessionHooks extends MatchHooks {
  /** A step before the sequences. */
  onStep?: (what: string) => void;
  /** Now and then, so that a long match can be resumed from it. */
  onSaved?: (result: MatchResult) => void;
}

/** How often a machine that ends is booted again. */
const MAX_BOOTS = 4;
const SAVE_EVERY = 30_000;
const MAX_NOTES = 50;

interface Side {
  player: Player;
  release: string;
  where: string;
  stop: () => Promise<void>;
}

const softArgs = (era: string) => ['soft', ...(era === firstEra ? [] : ['--kernel', era])];

/** Soft as the driver's side: unbroken, of the era that `name` has after its colon. */
async function softSide(program: string, name: string): Promise<Side> {
  const era = name.slice(SOFT.length + 1) || firstEra;
  const player = await Player.start(here(program, softArgs(era)));
  return { player, release: era, where: 'soft itself', stop: () => player.end() };
}

async function guestSide(
  program: string,
  vm: VmOptions,
  notes: string[],
  hooks: SessionHooks,
): Promise<Side> {
  const { signal } = hooks;
  const detector = new SplatDetector();
  const machine = await Machine.start(await kernelOf(vm, signal), vm, {
    signal,
    onProgress: hooks.onStep,
    onKmsg: (raw) => {
      const record = parseKmsg(raw);
      for (const splat of record ? detector.feed(record) : []) {
        const note = `the guest's kernel: ${splat.title}`;
        if (notes.length < MAX_NOTES && !notes.includes(note)) notes.push(note);
      }
    },
  });
  try {
    const player = await Player.start(inGuest(machine, program));
    const { kernel, qemu } = machine.parts;
    return {
      player,
      release: kernel.release,
      where: `VM, ${machine.accel.toUpperCase()}, QEMU ${qemu.version}, the emulated Skylake GT2`,
      stop: async () => {
        await player.end();
        await machine.stop();
      },
    };
  } catch (e) {
    await machine.stop();
    throw e;
  }
}

/** Matches soft with one kernel, and goes on from what `before` has of it. */
async function matchKernel(
  name: string,
  program: string,
  options: MatchOptions,
  before: KernelResult | undefined,
  hooks: SessionHooks,
  started: (result: KernelResult) => void,
): Promise<void> {
  const soft = name === SOFT || name.startsWith(`${SOFT}:`);
  const vm = vmOptionsSchema.parse({ kernel: name });
  const notes: string[] = before?.notes ?? [];
  const begun = performance.now();
  let result = before;
  for (let boot = 1; ; boot++) {
    hooks.onStep?.(soft ? 'starting the players' : `booting ${name}`);
    const driver = soft
      ? await softSide(program, name)
      : await guestSide(program, vm, notes, hooks);
    let ours: Player | undefined;
    try {
      const era = eraOf(driver.release);
      const args = [...softArgs(era), ...options.softBreaks.flatMap((b) => ['--break', b])];
      ours = await Player.start(here(program, args));
      if (
        ours.place.arena !== driver.player.place.arena ||
        ours.place.args !== driver.player.place.args
      )
        throw new VmError('the players have their memory at different addresses');
      result ??= emptyKernelResult(name, driver.release, driver.where, era);
      result.notes = notes;
      started(result);
      const outcomes = (schedules: number) =>
        Player.start(here(program, [...args, '--outcomes', `${schedules}`]));
      const pair = { soft: ours, driver: driver.player, kernel: driver.release, outcomes };
      const seconds =
        options.seconds === undefined
          ? undefined
          : Math.max(0, options.seconds - (boot > 1 ? (performance.now() - begun) / 1000 : 0));
      await new Matcher(pair, { ...options, seconds }, result, hooks).run();
      return;
    } catch (e) {
      // Stopped: what was compared until then counts.
      if (result && hooks.signal?.aborted) return;
      // The machine is gone, and the sequence that it went with is among the differences.
      if (!result || boot === MAX_BOOTS || hooks.signal?.aborted) throw e;
      notes.push(e instanceof Error ? e.message : String(e));
    } finally {
      await ours?.end();
      await driver.stop();
    }
  }
}

export function matchArgs(options: MatchOptions): string[] {
  const { kernels, seed, seconds, sequences, shard, softBreaks, runs } = options;
  return [
    ...kernels.flatMap((kernel) => ['--kernel', kernel]),
    ...(seconds === undefined ? [] : ['--seconds', `${seconds}`]),
    ...(sequences === undefined ? [] : ['--sequences', `${sequences}`]),
    '--seed',
    `${seed}`,
    ...(shard.of > 1 ? ['--shard', `${shard.n}/${shard.of}`] : []),
    ...(runs === DEFAULT_RUNS ? [] : ['--runs', `${runs}`]),
    ...softBreaks.flatMap((name) => ['--soft-break', name]),
  ];
}

/** `before`: what is gone on with. @throws {VmError} no machine, or no player. */
export async function runMatch(
  options: MatchOptions,
  before: MatchResult | undefined,
  hooks: SessionHooks = {},
): Promise<MatchResult> {
  hooks.onStep?.('building the player');
  const program = await buildPlayer(hooks.signal);
  const startedAt = before?.startedAt ?? new Date().toISOString();
  const kernels: KernelResult[] = before?.kernels ?? [];
  const conclude = () => assemble(options, kernels, startedAt, Boolean(hooks.signal?.aborted));
  let saved = performance.now();
  const onProgress = (result: KernelResult, what: string) => {
    hooks.onProgress?.(result, what);
    if (performance.now() - saved < SAVE_EVERY) return;
    saved = performance.now();
    hooks.onSaved?.(conclude());
  };
  for (const name of options.kernels) {
    if (hooks.signal?.aborted) break;
    const known = kernels.find(({ kernel }) => kernel === name);
    await matchKernel(name, program, options, known, { ...hooks, onProgress }, (result) => {
      if (!kernels.includes(result)) kernels.push(result);
    });
  }
  return conclude();
}

function assemble(
  options: MatchOptions,
  kernels: KernelResult[],
  startedAt: string,
  interrupted: boolean,
): MatchResult {
  const differences = kernels.reduce((sum, k) => sum + k.differences.length, 0);
  const calls = kernels.reduce((sum, k) => sum + k.calls, 0);
  const races = kernels.reduce((sum, k) => sum + k.races.races, 0);
  const verdict = differences ? 'fail' : calls || races ? 'pass' : 'error';
  const parts = [
    `${count(calls)} calls compared`,
    races && `${count(races)} races`,
    differences ? `${differences} differences` : 'no difference',
    interrupted && 'interrupted',
  ].filter(Boolean);
  return {
    schema: SCHEMA,
    version: 1,
    verdict,
    why: parts.join(', '),
    exitStatus: exitStatus[verdict],
    replay: commandText('match', matchArgs(options)),
    startedAt,
    seed: `${options.seed}`,
    shard: `${options.shard.n}/${options.shard.of}`,
    softBreaks: [...options.softBreaks],
    kernels,
  };
}
