// SPDX-License-Identifier: MIT
// make in a kernel's source: what it compiles as it goes, and the compiler's own words when it fails.
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { interrupted } from './command.js';
import { said, VmError } from './error.js';

/** What a build does now. */
export interface Step {
  /** A line: `fetching linux-source-6.1`, `CC drivers/gpu/drm/i915/gem/i915_gem_userptr.c`. */
  what: string;
  /** Files made so far, and as many as the last whole build of this tree made; 0 if unknown. */
  done: number;
  total: number;
}

export interface BuildOptions {
  /** make -j; as many as there are processors. */
  jobs?: number | undefined;
  signal?: AbortSignal | undefined;
  progress?: ((step: Step) => void) | undefined;
}

/** make failed. */
export class BuildError extends VmError {
  /** What the compiler said, at most 40 lines. */
  readonly lines: readonly string[];

  constructor(message: string, lines: readonly string[]) {
    super(message);
    this.lines = lines;
  }
}

const MAX_LINES = 40;

/** `  CC      kernel/fork.o`, `  CC [M]  drivers/…`: what, and on which file. */
export function stepOf(line: string): { tool: string; file: string } | undefined {
  const [, tool, file] = /^ {2}([A-Z][A-Z0-9_-]*)(?: \[M\])? +(\S+)/.exec(line) ?? [];
  return tool && file ? { tool, file } : undefined;
}

/** Lines of make's output that say why it failed. Without them the last lines do. */
export function isComplaint(line: string): boolean {
  return /: (fatal )?error:|undefined reference|multiple definition|undefined!$|^(ERROR|error):? |: not found$|No rule to make target|Segmentation fault|Killed$|No space left/.test(
    line,
  );
}

const live = new Set<number>();
const killAll = () => {
  for (const pid of live) killGroup(pid, 'SIGKILL');
};

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended.
  }
}

export interface MakeOptions extends BuildOptions {
  /** A tree of the cache: the log and the count of steps stay here. */
  tree: string;
  cwd: string;
  /** A lock's descriptor, kept open by all that make starts. */
  lock: number;
  /** Counts this one as the whole build of the tree. */
  whole?: boolean;
}

/**
 * @throws {BuildError} make failed.
 */
export async function make(args: readonly string[], options: MakeOptions): Promise<void> {
  const { tree, cwd, lock, signal, progress, whole = false } = options;
  if (signal?.aborted) throw interrupted();
  const log = join(tree, 'build.log');
  const stepsFile = join(tree, 'build.steps');
  const total = whole ? readCount(stepsFile) : 0;
  const jobs = options.jobs ?? availableParallelism();
  const argv = [`-j${jobs}`, ...args];

  const out = createWriteStream(log);
  out.write(`make ${argv.join(' ')}\n`);
  const complaints: string[] = [];
  const last: string[] = [];
  let done = 0;
  const onLine = (line: string) => {
    out.write(`${line}\n`);
    line = line.replaceAll(`${tree}/`, '');
    const step = stepOf(line);
    if (step) {
      done++;
      progress?.({
        what: `${step.tool} ${step.file}`,
        done,
        total: Math.max(total, done) * +whole,
      });
      return;
    }
    if (isComplaint(line) && complaints.length < MAX_LINES) complaints.push(line);
    last.push(line);
    if (last.length > 10) last.shift();
  };

  // A process group of its own: make's compilers die with it, and a terminal's Ctrl-C comes to us
  // alone, once.
  const child = spawn('make', argv, {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', lock],
    env: buildEnv(),
  });
  if (live.size === 0) process.on('exit', killAll);
  if (child.pid) live.add(child.pid);
  const kill = () => {
    if (child.pid) killGroup(child.pid, 'SIGTERM');
  };
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const status = await new Promise<number | string | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, by) => resolve(code ?? by));
      for (const stream of [child.stdout, child.stderr])
        if (stream) createInterface({ input: stream }).on('line', onLine);
    }).catch((e) => {
      throw new VmError(`make cannot be started: ${said(e)}`);
    });
    if (signal?.aborted) throw interrupted();
    if (status !== 0) {
      const lines = complaints.length ? complaints : last;
      const words = lines[0] ? said(lines[0]) : `status ${status}`;
      throw new BuildError(`make failed: ${words}; all that it said is in ${log}`, lines);
    }
    // A build after a change of one line makes a few files; the whole count is the most ever seen.
    if (whole && done > total) writeFileSync(stepsFile, `${done}\n`);
  } finally {
    signal?.removeEventListener('abort', kill);
    if (child.pid) live.delete(child.pid);
    if (live.size === 0) process.off('exit', killAll);
    out.end();
    await finished(out).catch(() => {});
  }
}

function readCount(file: string): number {
  try {
    const n = Number(readFileSync(file, 'utf8'));
    return Number.isSafeInteger(n) && n > 0 ? n : 0;
  } catch {
    return 0;
  }
}

/** Without the variables by which a user's shell would change what is built. */
function buildEnv(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, LC_ALL: 'C' };
  for (const name of Object.keys(env))
    if (
      /^(MAKEFLAGS|MFLAGS|MAKELEVEL|KBUILD_|K[A-Z]*FLAGS$|ARCH$|CROSS_COMPILE$|LOCALVERSION$|O$|M$|V$)/.test(
        name,
      )
    )
      delete env[name];
  return env;
}
