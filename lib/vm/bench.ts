// SPDX-License-Identifier: MIT
// How fast the VM is: its boot and where the time goes, register accesses as the guest sees them,
// execbufs, what the emulated GPU's own process spends on them, and how soon a program of the host's
// submits its first batch. Measured in guests booted for it; the numbers say nothing of real GPUs.
import { readdirSync, readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { VmError } from './error.js';
import type { GuestProcess } from './guest.js';
import { onLines } from './lines.js';
import { type GpuStatistics, kernelOf, Machine, type MachineHooks } from './machine.js';
import type { VmOptions } from './options.js';
import { GUEST_NODE, guestEnv } from './run.js';

/** One number. Times are in the unit that it names, rates a second. */
export interface Measure {
  /** For programs; stays the same: 'boot', 'boot.kernel', 'exec.sync.1cpu'. */
  name: string;
  /** For people. */
  what: string;
  value: number;
  unit: 'ms' | 'µs' | 's' | '/s' | '';
  goal?: { text: string; holds: boolean };
}

export interface BenchHooks extends Pick<MachineHooks, 'signal' | 'onProgress'> {
  /** As they come. */
  onMeasure: (measure: Measure) => void;
  /** What it is that is measured, once that is known: a line. */
  onSubject?: (text: string) => void;
}

/** performance.now() when the command began: its process's start, where it is a process's only one. */
export interface BenchOptions {
  begun: number;
  /** A boot for each. */
  cpus: readonly number[];
}

/** ms; issue 3: 6.1, vmlinux, on a quiet machine. */
const BOOT_GOAL = 7000;
/** Of the prototype on one CPU; issue 3: be faster. */
const SYNC_GOAL = 1900;
const ASYNC_GOAL = 11_600;

const TURNS = 3;
/** ns that a turn shall take. */
const TURN = 700e6;
/** ms: the GPU says once a second what it has counted. */
const COUNTED = 1200;
/** ms for an answer of the program in the guest. */
const ANSWER_BOUND = 120_000;
const SAID_LENGTH = 4000;

const program = fileURLToPath(new URL('./bench-guest.js', import.meta.url));
const answerSchema = z.union([
  z.object({ at: z.enum(['start', 'submitted']) }),
  z.object({ ns: z.number().positive() }),
]);
type Answer = z.output<typeof answerSchema>;

/** bench-guest.ts, running in a guest. */
class Bencher {
  /** performance.now(): it was asked for, was running, and its first batch was done. */
  readonly asked = performance.now();
  startedAt = 0;
  submittedAt = 0;
  #process!: GuestProcess;
  readonly #answers: { answer: Answer; at: number }[] = [];
  #wake = () => {};
  #gone: Error | undefined;
  #said = '';

  static async start(machine: Machine): Promise<Bencher> {
    const it = new Bencher();
    const stdout = new PassThrough();
    onLines(stdout, (line) => it.#line(line));
    const argv = [process.execPath, program, GUEST_NODE];
    it.#process = await machine.guest.exec(argv, {
      env: guestEnv(),
      onStdout: (data) => stdout.write(data),
      onStderr: (data) => {
        it.#said = (it.#said + data.toString()).slice(-SAID_LENGTH);
      },
    });
    void it.#process.exited.then(
      ({ status }) =>
        it.#end(new VmError(`the bench in the guest ended with ${status}: ${it.#said.trim()}`)),
      (e: Error) => it.#end(e),
    );
    it.startedAt = (await it.#next()).at;
    it.submittedAt = (await it.#next()).at;
    return it;
  }

  #line(line: string): void {
    const at = performance.now();
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch {
      json = undefined;
    }
    const parsed = answerSchema.safeParse(json);
    if (parsed.success) this.#answers.push({ answer: parsed.data, at });
    else this.#gone = new VmError(`the bench in the guest said ${line.slice(0, 200)}`);
    this.#wake();
  }

  #end(why: Error): void {
    this.#gone ??= why;
    this.#wake();
  }

  async #next(): Promise<{ answer: Answer; at: number }> {
    const timer = setTimeout(
      () => this.#end(new VmError('the bench in the guest does not answer')),
      ANSWER_BOUND,
    );
    try {
      for (;;) {
        const next = this.#answers.shift();
        if (next) return next;
        if (this.#gone) throw this.#gone;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** ns of so many rounds. */
  async measure(what: string, rounds: number): Promise<number> {
    this.#process.write(Buffer.from(`${what} ${rounds}\n`));
    const { answer } = await this.#next();
    if (!('ns' in answer)) throw new VmError('the bench in the guest lost its place');
    return answer.ns;
  }

  /** So many rounds that they take about as long as a turn shall. */
  async rounds(what: string, first: number): Promise<number> {
    const ns = await this.measure(what, first);
    return Math.min(1_000_000, Math.max(first, Math.round((first * TURN) / ns)));
  }

  /** ns a round of each, the best of some turns: what the machine's other work adds is not theirs. */
  async best(rounds: Readonly<Record<string, number>>): Promise<Record<string, number>> {
    const best: Record<string, number> = {};
    for (let turn = 0; turn < TURNS; turn++)
      for (const [what, n] of Object.entries(rounds))
        best[what] = Math.min(
          best[what] ?? Number.POSITIVE_INFINITY,
          (await this.measure(what, n)) / n,
        );
    return best;
  }

  async end(): Promise<void> {
    this.#process.end();
    await this.#process.exited;
  }
}

/** µs of CPU time that a process's threads have had; undefined where the kernel does not tell. */
export function cpuTime(pid: number, proc = '/proc'): number | undefined {
  try {
    let ns = 0;
    for (const task of readdirSync(`${proc}/${pid}/task`)) {
      const [ran] = readFileSync(`${proc}/${pid}/task/${task}/schedstat`, 'latin1').split(' ');
      if (!ran || !/^\d+$/.test(ran)) return undefined;
      ns += Number(ran);
    }
    return ns / 1000;
  } catch {
    return undefined;
  }
}

/** When what had happened, performance.now(). */
export interface BootTimes {
  begun: number;
  building: number;
  booting: number;
  up: number;
  /** Machine.timeline */
  timeline: readonly { stage: string; ms: number; guestMs: number }[];
}

/** Where the time from the command to /dev/dri went. */
export function bootMeasures(times: BootTimes, cpus: number): Measure[] {
  const { begun, building, booting, up, timeline } = times;
  const stage = (name: string) => timeline.find((t) => t.stage === name);
  const last = timeline.at(-1);
  const [init, agent, root, gpu] = ['init', 'agent', 'root', 'gpu'].map(stage);
  if (!last || !init || !agent || !root || !gpu)
    throw new VmError('the boot has not told its stages');
  const qemu = up - last.ms;
  // The guest's clock starts with its kernel; agent is heard of as soon as it speaks.
  const kernel = qemu + agent.ms - agent.guestMs;
  const inGuest = (name: string, what: string, from: number, to: number): Measure => ({
    name: `boot.${name}`,
    what: `  ${what}`,
    value: to - from,
    unit: 'ms',
  });
  const total = up - begun;
  return [
    {
      name: 'boot',
      what: `command to /dev/dri, ${cpus} CPUs`,
      value: total,
      unit: 'ms',
      goal: { text: 'under 7 s, 6.1 on a quiet machine', holds: total < BOOT_GOAL },
    },
    inGuest('command', 'the command starts, finds QEMU and the kernel', begun, building),
    inGuest('programs', 'GPU and init are up to date, initramfs is there', building, booting),
    inGuest('gpu', "the GPU's process listens", booting, qemu),
    inGuest('qemu', 'QEMU starts, and its firmware', qemu, kernel),
    inGuest('kernel', 'kernel to init', kernel, kernel + init.guestMs),
    inGuest('agent', 'init to agent (modules of virtio and 9p)', init.guestMs, agent.guestMs),
    inGuest('root', "agent to the host's files (9p, overlay)", agent.guestMs, root.guestMs),
    inGuest('i915', 'agent to i915 bound (its modules, its probe)', agent.guestMs, gpu.guestMs),
  ];
}

interface Spent {
  batches: number;
  gpu: GpuStatistics;
  us: number | undefined;
}

/** What the GPU has counted and its process has used, once both stand still. */
async function spent(machine: Machine): Promise<Spent> {
  await sleep(COUNTED);
  const { gpu } = machine.pids;
  return {
    batches: machine.gpu.batches ?? 0,
    gpu: machine.gpu,
    us: gpu === undefined ? undefined : cpuTime(gpu),
  };
}

/** Per batch, of what came between the two. */
export function perBatch(cpus: string, how: string, before: Spent, after: Spent): Measure[] {
  const batches = after.batches - before.batches;
  if (batches <= 0) throw new VmError('the emulated GPU has counted no batch');
  const each = (counter: string) =>
    ((after.gpu[counter] ?? 0) - (before.gpu[counter] ?? 0)) / batches;
  const measure = (name: string, what: string, value: number, unit: Measure['unit']): Measure => ({
    name: `${name}.${how}.${cpus}`,
    what: `  ${what}`,
    value,
    unit,
  });
  const measures = [
    measure('reads', 'register reads an exec', each('register_reads'), ''),
    measure('writes', 'register writes an exec', each('register_writes'), ''),
    measure('interrupts', 'interrupts an exec', each('msi_sent'), ''),
  ];
  if (before.us === undefined || after.us === undefined) return measures;
  // It looks for the next message for a moment before it sleeps; what it does for a batch is the rest.
  const own = (after.us - before.us) / batches - each('polled_ns') / 1000;
  return [
    ...measures,
    measure('gpu.cpu', "the GPU process's own work a batch", Math.max(0, own), 'µs'),
    measure('gpu.poll', 'and what it looks for the next message', each('polled_ns') / 1000, 'µs'),
  ];
}

async function nodeStart(machine: Machine, hooks: BenchHooks): Promise<Bencher> {
  let bencher: Bencher | undefined;
  for (const time of ['cold', 'second']) {
    await bencher?.end();
    bencher = await Bencher.start(machine);
    const { asked, startedAt, submittedAt } = bencher;
    const which = time === 'cold' ? 'the first time' : 'the second time';
    hooks.onMeasure({
      name: `node.${time}`,
      what: `the host's node starts in the guest, ${which}`,
      value: (startedAt - asked) / 1000,
      unit: 's',
    });
    hooks.onMeasure({
      name: `submission.${time}`,
      what: '  and from there to the first batch done',
      value: (submittedAt - startedAt) / 1000,
      unit: 's',
    });
  }
  if (!bencher) throw new Error('no turn');
  return bencher;
}

async function registers(bencher: Bencher, hooks: BenchHooks): Promise<void> {
  const n = {
    loads: await bencher.rounds('loads', 1000),
    reads: await bencher.rounds('reads', 200),
    stores: await bencher.rounds('stores', 1000),
    writes: await bencher.rounds('writes', 1000),
  };
  // In turns, with the same loops on memory: what the loop itself takes is none of the device's.
  const ns = await bencher.best(n);
  const less = (what: string, loop: string) => ((ns[what] ?? 0) - (ns[loop] ?? 0)) / 1000;
  hooks.onMeasure({
    name: 'register.read',
    what: 'register read, there and back',
    value: less('reads', 'loads'),
    unit: 'µs',
  });
  hooks.onMeasure({
    name: 'register.write',
    what: 'register write, posted, many in a row',
    value: less('writes', 'stores'),
    unit: 'µs',
  });
}

async function execs(
  machine: Machine,
  bencher: Bencher,
  cpus: number,
  hooks: BenchHooks,
): Promise<void> {
  const of = `${cpus}cpu`;
  for (const [what, how, text, goal] of [
    ['exec-wait', 'sync', 'execbuf of a store batch + GEM_WAIT', SYNC_GOAL],
    ['exec', 'async', 'execbuf of a store batch, no wait', ASYNC_GOAL],
  ] as const) {
    const rounds = await bencher.rounds(what, 500);
    const before = await spent(machine);
    const ns = (await bencher.best({ [what]: rounds }))[what] ?? Number.NaN;
    const after = await spent(machine);
    const value = 1e9 / ns;
    hooks.onMeasure({
      name: `exec.${how}.${of}`,
      what: `${text}, ${cpus} ${cpus === 1 ? 'CPU' : 'CPUs'}`,
      value,
      unit: '/s',
      ...(cpus === 1 && {
        goal: { text: `more than ${goal.toLocaleString('en-US')} a second`, holds: value > goal },
      }),
    });
    for (const measure of perBatch(of, how, before, after)) hooks.onMeasure(measure);
  }
}

/**
 * Boots a guest for each number of CPUs and measures in it; what does not depend on their number, in
 * the first.
 * @throws {VmError} a machine could not be had, or ended.
 */
export async function benchVm(vm: VmOptions, bench: BenchOptions, hooks: BenchHooks) {
  const { signal } = hooks;
  const kernel = await kernelOf(vm, signal);
  for (const [i, cpus] of bench.cpus.entries()) {
    const began: number[] = [];
    const machine = await Machine.start(
      kernel,
      { ...vm, cpus },
      {
        signal,
        onProgress: (what) => {
          began.push(performance.now());
          hooks.onProgress?.(what);
        },
      },
    );
    const up = performance.now();
    try {
      if (i === 0) {
        hooks.onSubject?.(
          `${kernel.release} (${kernel.format}), ${machine.accel.toUpperCase()}, QEMU ${machine.parts.qemu.version}`,
        );
        const [building = up, booting = up] = [began[0], began.at(-1)];
        const { begun } = bench;
        const { timeline } = machine;
        for (const measure of bootMeasures({ begun, building, booting, up, timeline }, cpus))
          hooks.onMeasure(measure);
      }
      const bencher = i === 0 ? await nodeStart(machine, hooks) : await Bencher.start(machine);
      if (i === 0) await registers(bencher, hooks);
      await execs(machine, bencher, cpus, hooks);
      await bencher.end();
    } finally {
      await machine.stop();
    }
  }
}
