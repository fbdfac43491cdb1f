// SPDX-License-Identifier: MIT
// The C tests of kselftest/, one program after the other, on this machine's i915 or in a guest; and
// what their reports come to.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { commandText, thisHost } from '../stress/assemble.js';
import { OptionError } from '../stress/options.js';
import { exitStatus } from '../stress/result.js';
import { command } from '../vm/command.js';
import { VmError } from '../vm/error.js';
import { onLines } from '../vm/lines.js';
import { type Ending, kernelOf, Machine } from '../vm/machine.js';
import { type VmOptions, vmReplayArgs } from '../vm/options.js';
import { prepare } from '../vm/prepare.js';
import { leash } from '../vm/processes.js';
import { buildKselftest, KSELFTEST_PREFIX, kselftestPrograms } from '../vm/programs.js';
import { deviceOf, GUEST_NODE, guestEnv, vmOf } from '../vm/run.js';
import { KtapReader, leaves } from './ktap.js';
import { type KselftestProgram, type KselftestResult, SCHEMA } from './result.js';

export interface KselftestOptions {
  /** Their names, with or without i915_userptr_; none: all. */
  programs: readonly string[];
  /** Patterns of "fixture.variant.test", as fnmatch(3) has them: those that run, and those that do not. */
  test: readonly string[];
  drop: readonly string[];
  repeat: number;
  seed: bigint;
  /** s, of each test that loops; undefined: the programs' own. */
  seconds?: number | undefined;
  /** A node; '': the programs look for one. */
  device: string;
}

export interface KselftestHooks {
  signal?: AbortSignal | undefined;
  /** A step before the tests. */
  onProgress?: (what: string) => void;
  onTest?: (program: string, name: string, outcome: string) => void;
  /** What the programs print, as it comes. */
  onLine?: (line: string) => void;
}

const MAX_SAID = 4000;
/** ms; from an interrupt to the end of what does not end. */
const STOP_BOUND = 4000;

/** The programs of the Makefile, or those of them that are wanted. */
function programsOf(wanted: readonly string[]): string[] {
  const all = kselftestPrograms();
  if (!wanted.length) return all;
  return wanted.map((name) => {
    const full = name.startsWith(KSELFTEST_PREFIX) ? name : KSELFTEST_PREFIX + name;
    if (all.includes(full)) return full;
    const names = all.map((n) => n.slice(KSELFTEST_PREFIX.length)).join(', ');
    throw new OptionError(`kselftest has no ${name}; there are ${names}`);
  });
}

/** Each test's line, for people, of each program. */
export async function listKselftest(
  wanted: readonly string[],
  patterns: Pick<KselftestOptions, 'test' | 'drop'>,
  signal?: AbortSignal,
): Promise<string> {
  const names = programsOf(wanted);
  const dir = await buildKselftest(signal);
  const args = ['-l', '-v', ...patternArgs(patterns)];
  const parts: string[] = [];
  for (const name of names) {
    const text = (await command(join(dir, name), args, { signal })).toString();
    if (text.trim()) parts.push(`${name}\n${text.trimEnd()}\n`);
  }
  return parts.join('\n');
}

const patternArgs = ({ test, drop }: Pick<KselftestOptions, 'test' | 'drop'>) => [
  ...test.flatMap((p) => ['-t', p]),
  ...drop.flatMap((p) => ['-T', p]),
];

/** What the programs and our command take alike, but for the name of one. */
const choiceArgs = (options: KselftestOptions, seconds: '-S' | '--seconds') => [
  ...patternArgs(options),
  ...(options.repeat > 1 ? ['-r', `${options.repeat}`] : []),
  ...(options.seconds === undefined ? [] : [seconds, `${options.seconds}`]),
  '-s',
  `${options.seed}`,
];

interface Exit {
  status: number | null;
  signal: string;
  /** The machine is gone: what became of it. */
  lost?: string;
}

/** Where programs run: gives their output, and ends them when the signal comes. */
type Place = (
  argv: readonly [string, ...string[]],
  out: PassThrough,
  said: (data: Buffer) => void,
) => Promise<Exit>;

const here =
  (signal: AbortSignal | undefined): Place =>
  ([program, ...args], out, said) =>
    new Promise((resolve, reject) => {
      const [leashed, argv] = leash(program, args);
      const child = spawn(leashed, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
      let kill: NodeJS.Timeout | undefined;
      const stop = () => {
        child.kill('SIGINT');
        kill = setTimeout(() => child.kill('SIGKILL'), STOP_BOUND);
      };
      signal?.addEventListener('abort', stop, { once: true });
      if (signal?.aborted) stop();
      child.stdout.on('data', (data: Buffer) => out.write(data));
      child.stderr.on('data', said);
      child.on('error', (e: NodeJS.ErrnoException) =>
        reject(new VmError(`${leashed}: ${e.message}`)),
      );
      child.on('close', (status, by) => {
        clearTimeout(kill);
        signal?.removeEventListener('abort', stop);
        resolve({ status, signal: by ?? '' });
      });
    });

const signalName = (n: number) =>
  Object.entries(constants.signals).find(([, number]) => number === n)?.[0] ?? `${n}`;

const inGuest =
  (machine: Machine, signal: AbortSignal | undefined): Place =>
  async (argv, out, said) => {
    const process = await machine.guest.exec([...argv], {
      cwd: '/tmp',
      env: guestEnv(),
      onStdout: (data) => out.write(data),
      onStderr: said,
    });
    let kill: NodeJS.Timeout | undefined;
    const stop = () => {
      process.kill(constants.signals.SIGINT);
      kill = setTimeout(() => void machine.stop(), STOP_BOUND);
    };
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    process.end();
    try {
      const exited = await process.exited;
      return exited.signal
        ? { status: null, signal: signalName(exited.signal) }
        : { status: exited.status, signal: '' };
    } catch {
      const { text } = await machine.ended;
      return { status: null, signal: '', lost: text };
    } finally {
      clearTimeout(kill);
      signal?.removeEventListener('abort', stop);
    }
  };

/** Runs one program, to its end or the machine's. */
async function runProgram(
  place: Place,
  path: string,
  args: readonly string[],
  hooks: KselftestHooks,
): Promise<{ program: KselftestProgram; lost: string | undefined }> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const reader = new KtapReader({
    onTest: (test, above) => hooks.onTest?.(name, [...above, test.name].join(' '), test.outcome),
  });
  const out = new PassThrough();
  onLines(out, (latin1) => {
    const line = Buffer.from(latin1, 'latin1').toString('utf8');
    hooks.onLine?.(line);
    reader.feed(line);
  });
  let words = '';
  const begin = performance.now();
  const exit = await place([path, ...args], out, (data) => {
    words = (words + data.toString()).slice(-MAX_SAID);
  });
  const read = once(out, 'end');
  out.end();
  await read;
  const report = reader.end();
  const problems = hooks.signal?.aborted ? [] : [...report.problems];
  const failed = totalsOf([report]).fail > 0;
  if (!hooks.signal?.aborted) {
    if (exit.lost !== undefined) problems.push(`the machine: ${exit.lost}`);
    else if (exit.signal) problems.push(`killed by ${exit.signal}`);
    else if (![0, 1, 4].includes(exit.status ?? -1))
      problems.push(`exit status ${exit.status}, which is none of kselftest's`);
    else if ((exit.status === 1) !== (failed || report.problems.length > 0))
      problems.push(`exit status ${exit.status} is not what its report says`);
    if (problems.length && words.trim()) problems.push(...words.trim().split('\n').slice(-5));
  }
  const program: KselftestProgram = {
    name,
    status: exit.status,
    signal: exit.signal,
    seconds: (performance.now() - begin) / 1000,
    skipped: report.skipped,
    tests: report.tests,
    problems,
  };
  return { program, lost: exit.lost };
}

/**
 * Builds what is not built, and runs it: on this machine, or with `vm` in a guest.
 * @throws {VmError} no compiler, no machine. @throws {OptionError} no such program.
 */
export async function runKselftest(
  options: KselftestOptions,
  vm: VmOptions | undefined,
  hooks: KselftestHooks = {},
): Promise<KselftestResult> {
  const { signal } = hooks;
  const names = programsOf(options.programs);
  hooks.onProgress?.('building the kselftest');
  const dir = await buildKselftest(signal);
  const device = vm ? GUEST_NODE : options.device;
  const args = [...(device ? ['-d', device] : []), ...choiceArgs(options, '-S')];
  const startedAt = new Date();
  const machine =
    vm &&
    (await Machine.start(await kernelOf(vm, signal), vm, { signal, onProgress: hooks.onProgress }));
  const programs: KselftestProgram[] = [];
  let notes: string[] = [];
  let lost: string | undefined;
  try {
    if (machine) notes = await prepare(machine);
    const place = machine ? inGuest(machine, signal) : here(signal);
    for (const name of names) {
      if (signal?.aborted || lost !== undefined) break;
      hooks.onProgress?.(name);
      const ran = await runProgram(place, join(dir, name), args, hooks);
      programs.push(ran.program);
      if (!signal?.aborted) lost = ran.lost;
    }
  } finally {
    await machine?.stop();
  }
  const ending = await machine?.ended;
  return conclude(options, { vm, machine, ending, lost, programs, notes, startedAt, signal });
}

interface Ran {
  vm: VmOptions | undefined;
  machine: Machine | undefined;
  ending: Ending | undefined;
  lost: string | undefined;
  programs: KselftestProgram[];
  notes: string[];
  startedAt: Date;
  signal: AbortSignal | undefined;
}

export function totalsOf(programs: readonly Pick<KselftestProgram, 'tests'>[]) {
  const totals = { pass: 0, fail: 0, skip: 0, xfail: 0 };
  for (const { tests } of programs) for (const { test } of leaves(tests)) totals[test.outcome]++;
  return totals;
}

/** The verdict of what has run. */
export function judge(
  programs: readonly KselftestProgram[],
  interrupted: boolean,
): Pick<KselftestResult, 'verdict' | 'why' | 'totals' | 'exitStatus'> {
  const totals = totalsOf(programs);
  const broken = programs.filter(({ problems }) => problems.length > 0);
  const skipped = programs.find((p) => p.skipped)?.skipped;
  const verdict =
    totals.fail || broken.length
      ? 'fail'
      : totals.pass || totals.xfail
        ? 'pass'
        : interrupted
          ? 'error'
          : 'skip';
  const parts = [
    `${totals.pass} passed`,
    totals.fail && `${totals.fail} failed`,
    totals.xfail && `${totals.xfail} failed as expected`,
    totals.skip && `${totals.skip} skipped`,
    ...broken.map(({ name, problems }) => `${name}: ${problems[0]}`),
    interrupted && 'interrupted',
  ].filter(Boolean);
  const why = verdict === 'skip' && skipped ? skipped : parts.join(', ');
  return { verdict, why, totals, exitStatus: exitStatus[verdict] };
}

function conclude(options: KselftestOptions, ran: Ran): KselftestResult {
  const { machine, ending, lost, programs, notes, startedAt, signal } = ran;
  const interrupted = Boolean(signal?.aborted);
  const host = thisHost();
  return {
    schema: SCHEMA,
    version: 1,
    ...judge(programs, interrupted),
    end: interrupted ? 'interrupted' : lost !== undefined ? 'crash' : 'itself',
    replay: commandText('kselftest', replayArgs(options, ran.vm)),
    startedAt: startedAt.toISOString(),
    seconds: programs.reduce((sum, { seconds }) => sum + seconds, 0),
    host: machine
      ? { ...host, kernel: machine.parts.kernel.release, cpus: ran.vm?.cpus ?? 0 }
      : host,
    device: machine
      ? deviceOf(machine)
      : {
          name: options.device || 'auto',
          why: options.device ? 'as asked for' : 'the first i915 node',
        },
    seed: `${options.seed}`,
    programs,
    notes,
    vm: machine && ending ? vmOf(machine, ending, lost !== undefined) : null,
  };
}

function replayArgs(options: KselftestOptions, vm: VmOptions | undefined): string[] {
  return [
    ...options.programs,
    ...(vm ? ['--vm', ...vmReplayArgs(vm)] : options.device ? ['--device', options.device] : []),
    ...choiceArgs(options, '--seconds'),
  ];
}
