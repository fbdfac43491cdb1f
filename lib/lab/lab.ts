// SPDX-License-Identifier: MIT
// The lab's executable, native/lab: one process for each search. Whatever becomes of that is a
// result of its cell.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { OptionError } from '../stress/options.js';
import { interrupted } from '../vm/command.js';
import { said } from '../vm/error.js';
import { onLines } from '../vm/lines.js';
import { leash } from '../vm/processes.js';
import { build, programPath } from '../vm/programs.js';
import { LabError } from './error.js';
import {
  type Cell,
  type Lists,
  lineSchema,
  listsSchema,
  type Progress,
  type Replay,
  replaySchema,
} from './schema.js';

/** A livelock's lanes are thousands of steps. */
const LONGEST_LINE = 64 << 20;
const SAID_LENGTH = 4000;
/** ms; a search tells where it is each second, but neither does minimizing, nor a machine at work. */
const SILENCE = 120_000;

export interface Search {
  strategy: string;
  scenario: string;
  /** Faults, with commas between them. */
  break?: string | undefined;
  preemptions?: number | undefined;
  reduction?: boolean | undefined;
  maxExecutions?: number | undefined;
  seconds?: number | undefined;
  /** The counterexample goes to this file. */
  save?: string | undefined;
}

interface Watch {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface Replayed {
  status: 0 | 1 | 3;
  errors: string;
  replay?: Replay | undefined;
}

interface Ended {
  status: number | null;
  by: NodeJS.Signals | null;
  /** The last of its stderr. */
  errors: string;
  silent: boolean;
}

/** Says what went wrong with the process, in one line but for what it said itself. */
function endText({ status, by, errors, silent }: Ended): string {
  const how = silent
    ? `it said nothing for ${SILENCE / 1000} s`
    : by
      ? `killed by ${by}`
      : `exit status ${status}`;
  const words = errors.trim();
  return words ? `${how}: ${words}` : how;
}

export function searchArgs(search: Search): string[] {
  const args = ['run', search.strategy, search.scenario];
  if (search.break) args.push('--break', search.break);
  if (search.preemptions !== undefined) args.push('--preemptions', `${search.preemptions}`);
  if (search.reduction === false) args.push('--no-reduction');
  if (search.maxExecutions !== undefined) args.push('--max-executions', `${search.maxExecutions}`);
  if (search.seconds !== undefined) args.push('--seconds', `${search.seconds}`);
  if (search.save !== undefined) args.push('--save', search.save);
  return args;
}

export class Lab {
  readonly program: string;
  readonly #silence: number;

  constructor(program: string, { silence = SILENCE } = {}) {
    this.program = program;
    this.#silence = silence;
  }

  /**
   * Builds the executable where it is not there, or older than its sources. $I915_USERPTR_LAB is
   * another one, as it is: of another tree, under a sanitizer.
   * @throws {VmError} there is no compiler, or it failed.
   */
  static async open({
    signal,
    say,
  }: {
    signal?: AbortSignal | undefined;
    say?: ((what: string) => void) | undefined;
  } = {}): Promise<Lab> {
    const own = process.env.I915_USERPTR_LAB;
    if (own) return new Lab(own);
    const program = programPath('i915-lab');
    if (!existsSync(program)) say?.('building the lab, once; it takes a minute or two');
    await build(['lab'], 'the lab', signal);
    return new Lab(program);
  }

  /** @throws {LabError} */
  async lists(signal?: AbortSignal): Promise<Lists> {
    let text = '';
    const end = await this.#spawn(['list', '--json'], {
      signal,
      onLine: (line) => {
        text += line;
      },
    });
    if (end.status !== 0) throw new LabError(`i915-lab list: ${endText(end)}`);
    try {
      return listsSchema.parse(JSON.parse(text));
    } catch (e) {
      throw new LabError(`i915-lab list: ${whyNot(e)}`);
    }
  }

  /**
   * Explores one cell.
   * @throws {OptionError} there is no such strategy, scenario or fault.
   * @throws {VmError} interrupted.
   */
  async run(search: Search, { signal, onProgress }: Watch = {}): Promise<Cell> {
    let result: Cell | undefined;
    let bad = '';
    const end = await this.#spawn(searchArgs(search), {
      signal,
      onLine: (line) => {
        try {
          const said = lineSchema.parse(JSON.parse(line));
          if (said.type === 'progress') onProgress?.(said);
          else {
            const { type: _, ...cell } = said;
            result = cell;
          }
        } catch (e) {
          bad ||= `${whyNot(e)}: ${line.slice(0, 200)}`;
        }
      },
    });
    if (end.status === 2) throw new OptionError(usageWords(end.errors));
    if (bad) return errorCell(search, `i915-lab said what it should not: ${bad}`);
    if (!result || end.status !== (result.verdict === 'holds' ? 0 : 1))
      return errorCell(search, endText(end));
    if (result.strategy !== search.strategy || result.scenario !== search.scenario)
      return errorCell(search, `i915-lab answered for ${result.strategy} in ${result.scenario}`);
    return result;
  }

  /**
   * What a schedule's file comes to. Status 0: the finding is not there any more; 1: it is; 3: the
   * file does not fit, `errors` says how, and where it does up to a step there are lanes.
   */
  async replay(file: string, { signal }: { signal?: AbortSignal } = {}): Promise<Replayed> {
    let replay: Replay | undefined;
    let bad = '';
    const end = await this.#spawn(['replay', '--json', file], {
      signal,
      onLine: (line) => {
        try {
          replay = replaySchema.parse(JSON.parse(line));
        } catch (e) {
          bad ||= `i915-lab said what it should not: ${whyNot(e)}: ${line.slice(0, 200)}`;
        }
      },
    });
    if (bad) return { status: 3, errors: bad };
    if (end.status === 3) return { status: 3, errors: end.errors, replay };
    if (!replay || (end.status !== 0 && end.status !== 1))
      return { status: 3, errors: endText(end) };
    return { status: end.status, errors: '', replay };
  }

  #spawn(
    args: string[],
    { signal, onLine }: { signal?: AbortSignal | undefined; onLine: (line: string) => void },
  ): Promise<Ended> {
    if (signal?.aborted) return Promise.reject(interrupted());
    const [program, argv] = leash(this.program, args);
    // Not of the terminal's group: Ctrl-C comes to us alone, and ends it by the signal.
    const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const kill = () => void child.kill('SIGKILL');
    signal?.addEventListener('abort', kill, { once: true });
    let errors = '';
    let silent = false;
    const timer = setTimeout(() => {
      silent = true;
      kill();
    }, this.#silence);
    onLines(
      child.stdout,
      (line) => {
        timer.refresh();
        onLine(Buffer.from(line, 'latin1').toString('utf8'));
      },
      LONGEST_LINE,
    );
    child.stderr.on('data', (data: Buffer) => {
      timer.refresh();
      errors = (errors + data.toString()).slice(-SAID_LENGTH);
    });
    return new Promise<Ended>((resolve, reject) => {
      child.on('error', (e: NodeJS.ErrnoException) => {
        if (child.pid === undefined)
          reject(new LabError(`${this.program} cannot be started: ${said(e)}`));
      });
      child.on('close', (status, by) => {
        if (signal?.aborted) reject(interrupted());
        else resolve({ status, by, errors, silent });
      });
    }).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
    });
  }
}

function whyNot(e: unknown): string {
  if (e instanceof z.ZodError)
    return e.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  return said(e);
}

/** `i915-lab: there is no strategy 'x'`, before the usage. */
function usageWords(errors: string): string {
  const line = errors.split('\n').find((l) => l.startsWith('i915-lab: ')) ?? errors.trim();
  return line.replace(/^i915-lab: /, '');
}

/** A search that failed. */
export function errorCell(search: Search, what: string): Cell {
  return {
    strategy: search.strategy,
    scenario: search.scenario,
    break: search.break ?? '',
    verdict: 'error',
    exhaustive: false,
    within_bound: false,
    stopped: '',
    executions: 0,
    steps: 0,
    pruned: 0,
    longest: 0,
    seconds: 0,
    what,
    lockdep: '',
  };
}
