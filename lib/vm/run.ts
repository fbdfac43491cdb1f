// SPDX-License-Identifier: MIT
// A stress run in a virtual machine: the same command on the guest's kernel, with its log read along.
// Whatever becomes of the guest is a result of the run.
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseKmsg } from '../kernel/kmsg.js';
import { type Splat, SplatDetector } from '../kernel/splat.js';
import { assemble, commandText, type End } from '../stress/assemble.js';
import { withKernelLog } from '../stress/kernel-log.js';
import { makeOptions, type Options, type OptionsInput, replayArgs } from '../stress/options.js';
import type { Result } from '../stress/result.js';
import type { Progress } from '../stress/run.js';
import { emptySnapshot } from '../stress/snapshot.js';
import { parseStreamLine } from '../stress/stream.js';
import type { Exited, GuestProcess } from './guest.js';
import { onLines } from './lines.js';
import { type Ending, kernelOf, Machine, type MachineHooks } from './machine.js';
import { type VmOptions, vmReplayArgs } from './options.js';
import { prepare } from './prepare.js';

export interface VmRunHooks extends MachineHooks {
  /** Twice a second. */
  onRun?: (progress: Progress) => void;
}

/** ms */
const TICK = 100;
/** From an interrupt to the end of the run in the guest. */
const STOP_BOUND = 4000;
/** The rest of a report that the kernel is printing, after it said the worst. */
const SPLAT_GRACE = 2000;
/** More than the run's own watchdogs need (lib/stress/run.ts). */
const STALL_BOUND = 60_000;
/** A guest may complain without end. */
const MAX_SPLATS = 64;
const SIGINT = 2;
const SAID_LENGTH = 4000;

const main = fileURLToPath(new URL('../cli/main.js', import.meta.url));
export const GUEST_NODE = '/dev/dri/renderD128';

/** The guest's log, and what is wrong in it from the run's begin to its end. */
class Log {
  readonly splats: Splat[] = [];
  fatal: Splat | undefined;
  fatalAt = 0;
  readonly #detector = new SplatDetector();

  take(raw: string): void {
    const record = parseKmsg(raw);
    if (record) this.#keep(this.#detector.feed(record));
  }

  end(): void {
    this.#keep(this.#detector.end());
  }

  #keep(found: readonly Splat[]): void {
    for (const splat of found) {
      if (this.splats.length < MAX_SPLATS) this.splats.push(splat);
      if (splat.severity !== 'fatal' || this.fatal) continue;
      this.fatal = splat;
      this.fatalAt = performance.now();
    }
  }
}

/** What the command in the guest has said so far. */
class Told {
  progress: Progress | undefined;
  result: Result | undefined;
  said = '';
  at = performance.now();

  line(line: string, onRun: VmRunHooks['onRun']): void {
    const message = parseStreamLine(line);
    if (!message) return;
    this.at = performance.now();
    if ('result' in message) this.result = message.result;
    else {
      const { device, ...rest } = message.progress;
      this.progress = { ...rest, device };
      onRun?.(this.progress);
    }
  }
}

/**
 * Boots a machine, runs `i915-userptr run` in it, and says what became of both.
 * @throws {VmError} the machine could not be had, or did not come up.
 */
export async function runInVm(
  input: OptionsInput,
  vm: VmOptions,
  hooks: VmRunHooks = {},
): Promise<Result> {
  const options = makeOptions({ ...input, device: GUEST_NODE });
  const log = new Log();
  const onKmsg = (record: string) => {
    log.take(record);
    hooks.onKmsg?.(record);
  };
  const kernel = await kernelOf(vm, hooks.signal);
  // The run is ended in the guest first, then the machine.
  const { signal, ...rest } = hooks;
  const booting = new AbortController();
  const abort = () => booting.abort();
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  let machine: Machine;
  const startedAt = new Date();
  try {
    machine = await Machine.start(kernel, vm, { ...rest, onKmsg, signal: booting.signal });
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  try {
    const problems: string[] = [];
    const told = new Told();
    const end = await watch(machine, options, log, told, problems, { ...hooks, signal });
    const ending = await machine.stop();
    log.end();
    return conclude(machine, { options, vm, log, told, end, ending, startedAt, problems });
  } finally {
    await machine.stop();
  }
}

/** Runs the command. Undefined: it came to its own end. `problems`: what the guest cannot do. */
async function watch(
  machine: Machine,
  options: Options,
  log: Log,
  told: Told,
  problems: string[],
  hooks: VmRunHooks,
): Promise<End | undefined> {
  let process: GuestProcess;
  try {
    problems.push(...(await prepare(machine)));
    process = await startRun(machine, options, told, hooks);
  } catch (e) {
    const ended = sleep(TICK).then(() => undefined);
    const ending = await Promise.race([machine.ended, ended]);
    // Else the guest is well, and cannot run it: no word about its kernel.
    if (!ending) throw e;
    return endOfMachine(ending, log);
  }
  let exited: Exited | undefined;
  let ending: Ending | undefined;
  void process.exited.then(
    (e) => {
      exited = e;
    },
    () => {},
  );
  void machine.ended.then((e) => {
    ending = e;
  });
  let stopBy = Number.POSITIVE_INFINITY;
  for (;;) {
    if (ending) return endOfMachine(ending, log);
    if (exited)
      return told.result ? undefined : { how: 'crash', text: exitText(exited), said: told.said };
    const now = performance.now();
    if (hooks.signal?.aborted && stopBy === Number.POSITIVE_INFINITY) {
      process.kill(SIGINT);
      stopBy = now + STOP_BOUND;
    }
    if (now > stopBy) return { how: 'interrupted', text: '', said: '' };
    if (log.fatal && now > log.fatalAt + SPLAT_GRACE)
      return { how: 'crash', text: `the guest's kernel is broken: ${log.fatal.title}`, said: '' };
    const bound = (options.opTimeoutMs || 30_000) + STALL_BOUND;
    if (now - told.at > bound) {
      const text = `the run in the guest has shown no sign of life for ${Math.round(bound / 1000)} s`;
      return { how: 'stall', text, said: told.said };
    }
    await sleep(TICK);
  }
}

async function startRun(
  machine: Machine,
  options: Options,
  told: Told,
  hooks: VmRunHooks,
): Promise<GuestProcess> {
  const stdout = new PassThrough();
  onLines(stdout, (line) => told.line(line, hooks.onRun));
  hooks.onProgress?.('starting the run in the guest');
  const argv = [process.execPath, main, 'run', '--ndjson', ...replayArgs(options)];
  return machine.guest.exec(argv, {
    cwd: '/tmp',
    env: guestEnv(),
    onStdout: (data) => stdout.write(data),
    onStderr: (data) => {
      told.said = (told.said + data.toString()).slice(-SAID_LENGTH);
    },
  });
}

/** What of this process's environment makes sense in the guest. */
export function guestEnv(): Record<string, string | undefined> {
  const { PATH, HOME, LANG, TERM } = process.env;
  return {
    PATH: PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME,
    LANG,
    TERM,
    I915_USERPTR_IN_VM: '1',
    // Bytecode made for the host's CPU is of no use to the emulated one, and written in vain.
    NODE_DISABLE_COMPILE_CACHE: '1',
  };
}

const exitText = ({ status, signal }: Exited) =>
  signal
    ? `the run in the guest was killed by signal ${signal}`
    : `the run in the guest exited with status ${status} and no result`;

const endOfMachine = (ending: Ending, log: Log): End => ({
  how: ending.how === 'hang' ? 'stall' : 'crash',
  text: log.fatal ? `${ending.text} (${log.fatal.title})` : ending.text,
  said: ending.console.join('\n'),
});

interface Concluded {
  options: Options;
  vm: VmOptions;
  log: Log;
  told: Told;
  end: End | undefined;
  ending: Ending;
  startedAt: Date;
  problems: string[];
}

function conclude(machine: Machine, of: Concluded): Result {
  const { options, vm, log, told, end, ending, startedAt, problems } = of;
  const { kernel } = machine.parts;
  const device = deviceOf(machine);
  const base =
    told.result && !end
      ? told.result
      : assemble({
          options,
          device,
          startedAt,
          begunNs: told.progress?.begunNs ?? 0n,
          snapshot: told.progress?.snapshot ?? emptySnapshot(),
          end: end ?? { how: 'crash', text: 'the run in the guest gave no result', said: '' },
          notes: [],
        });
  const startUs = Number(told.progress?.snapshot.startNs ?? 0n) / 1000;
  const judged = withKernelLog(base, log.splats, startUs);
  const notes = [...problems, ...judged.notes];
  if (machine.lostKmsg)
    notes.push("parts of the guest's log were overwritten before they were read");
  return {
    ...judged,
    device,
    notes,
    host: { ...base.host, kernel: kernel.release, cpus: vm.cpus },
    replay: commandText('vm run', [
      ...vmReplayArgs(vm),
      ...replayArgs(options).slice(2), // without --device
    ]),
    vm: vmOf(machine, ending, Boolean(end)),
  };
}

/** What a result says of its machine; the console, where that did not end well. */
export function vmOf(machine: Machine, ending: Ending, badly: boolean): NonNullable<Result['vm']> {
  const { kernel, qemu } = machine.parts;
  return {
    kernel: kernel.name,
    image: kernel.image,
    accel: machine.accel,
    qemu: qemu.version,
    ended: ending.how,
    bootMs: Math.round(machine.timeline.at(-1)?.ms ?? 0),
    timeline: machine.timeline,
    gpu: { ...machine.gpu },
    console: badly ? ending.console : [],
  };
}

/** Why a run's device is what it is. */
export const deviceOf = ({ parts: { kernel, qemu }, accel }: Machine): Result['device'] => ({
  name: 'vm',
  why: `i915 of ${kernel.release} in a VM, ${accel.toUpperCase()}, QEMU ${qemu.version}, on the emulated Skylake GT2`,
});
