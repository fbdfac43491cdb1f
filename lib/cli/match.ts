// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import pico from 'picocolors';
import {
  DEFAULT_RUNS,
  type MatchOptions,
  parseReplay,
  parseShard,
  type Replay,
} from '../match/options.js';
import { type MatchResult, matchResultSchema } from '../match/result.js';
import { runMatch } from '../match/session.js';
import { matchText, progressText } from '../match/text.js';
import { OptionError } from '../stress/options.js';
import { matchDescription } from './descriptions.js';
import { interruptible } from './interrupt.js';
import { checkWritable, written } from './output.js';
import { integerOption, secondsOption, seedOption, several } from './values.js';
import { lineView } from './vm/line-view.js';

const after = `
Two players are told the same calls, line by line: one over the software i915, one in a VM over the
driver. Every answer is compared: what a call returned, its errno, the fields and the memory that it
wrote, what a batch wrote, what is left over when all is closed. Sequences are drawn from a seed and
are deterministic: what is submitted is waited for before its result is looked at.

Between them are races: calls that threads make at the same time. The driver plays each of them --runs
times; soft plays it under many schedules of a deterministic scheduler, and must be able to come to all
that the driver came to.

A difference is made as short as it can be and printed as a test for test/contract/. Where the driver
and soft differ, soft is wrong; what stays different on purpose is in lib/match/differences.ts, and is
counted. A kernel is compared with soft of the same era: 6.1, 6.12, 7.2 or 7.3.

--kernel soft compares soft with itself, which needs no VM: with --soft-break it shows what the check
finds, and how soon.

Exit status: 0 pass, 1 a difference, 2 usage, 3 could not run.
Ctrl-C ends it, with a verdict for what was compared; --resume goes on from there.

Examples:
  i915-userptr match                                    a minute on Debian's 6.1
  i915-userptr match --kernel 6.1 --kernel 6.12 --seconds 600 --json match.json
  i915-userptr match --resume long.json --seconds 3600  an hour more, from where it was
  i915-userptr match --shard 1/4 --sequences 100000     a quarter of these sequences
  i915-userptr match --kernel soft --soft-break wrong-errno
  i915-userptr match --replay 7:1234                    one sequence again
  i915-userptr match --replay race:7:12 --runs 1000     one race, more often
`;

const DEFAULT_SECONDS = 60;

interface Flags {
  kernel?: string[];
  seconds?: number;
  sequences?: number;
  seed?: bigint;
  shard?: { n: number; of: number };
  resume?: string;
  replay?: Replay;
  runs?: number;
  softBreak?: string[];
  json?: string;
  quiet?: true;
}

/** Where there is no terminal, a line so often. */
const PLAIN_EVERY_S = 10;

const runsOption = integerOption(0, 1e6);

export function matchCommand(ends: (status: number) => void): Command {
  return new Command('match')
    .description(matchDescription)
    .option('--kernel <kernel>', 'as `vm` takes it, or soft; may be given again (6.1)', several)
    .option('--seconds <s>', `of sequences, for each kernel (${DEFAULT_SECONDS})`, secondsOption)
    .option('--sequences <n>', 'so many for each kernel', integerOption(1, 1e12))
    .option('--seed <n>', 'of all sequences (a new one)', seedOption)
    .option('--shard <i/n>', 'one of n parts of the sequences', parseShard)
    .option('--resume <file>', 'go on from what is in the file, if it is there, and keep it there')
    .option('--runs <n>', `of each race on the driver (${DEFAULT_RUNS}); 0: no races`, runsOption)
    .option('--replay <seed:index>', 'one sequence or race, as a difference names it', parseReplay)
    .option('--soft-break <name>', 'break soft, to see that it is found', several)
    .option('--json <file>', 'write the result as JSON; - is stdout, and the words go to stderr')
    .option('--quiet', 'no progress: the differences and the verdict')
    .addHelpText('after', after)
    .action(async (flags: Flags) => ends(await match(flags)));
}

function resumed(file: string | undefined): MatchResult | undefined {
  if (file === undefined || !existsSync(file)) return undefined;
  try {
    return matchResultSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    throw new OptionError(`--resume ${file}: it is not what --resume or --json has written`);
  }
}

async function match(flags: Flags): Promise<number> {
  const { json, resume, replay } = flags;
  if (flags.seconds !== undefined && flags.sequences !== undefined)
    throw new OptionError('--seconds or --sequences, not both');
  for (const [name, file] of Object.entries({ json, resume }))
    if (file !== undefined && file !== '-') checkWritable(`--${name}`, file);
  const before = resumed(resume);
  const seed =
    flags.seed ?? (before ? BigInt(before.seed) : randomBytes(8).readBigUInt64LE() >> 1n);
  const shard = flags.shard ?? (before ? parseShard(before.shard) : { n: 1, of: 1 });
  if (before && (`${seed}` !== before.seed || `${shard.n}/${shard.of}` !== before.shard))
    throw new OptionError(`--resume ${resume}: it has seed ${before.seed}, shard ${before.shard}`);
  const asked = flags.seconds ?? (flags.sequences || replay ? undefined : DEFAULT_SECONDS);
  const options: MatchOptions = {
    kernels: flags.kernel ?? before?.kernels.map(({ kernel }) => kernel) ?? ['6.1'],
    seed,
    seconds: asked,
    sequences: flags.sequences,
    shard,
    replay,
    runs: flags.runs ?? DEFAULT_RUNS,
    softBreaks: flags.softBreak ?? before?.softBreaks ?? [],
  };
  const save = (result: MatchResult) => {
    if (resume === undefined) return;
    // Whole, whenever it ends: hours may be in it.
    writeFileSync(`${resume}.new`, `${JSON.stringify(result, null, 2)}\n`);
    renameSync(`${resume}.new`, resume);
  };
  const view = flags.quiet
    ? undefined
    : lineView(process.stderr, PLAIN_EVERY_S, () => performance.now());
  const words = json === '-' ? process.stderr : process.stdout;
  const result = await interruptible((signal) =>
    runMatch(options, before, {
      signal,
      onStep: (what) => view?.show(what, true),
      onProgress: (kernel, what) => view?.show(progressText(kernel, what)),
      onDifference: ({ signature }) => view?.show(`difference: ${signature}`, true),
      onSaved: save,
    }),
  ).finally(() => view?.end());
  save(result);
  const color = pico.isColorSupported && Boolean(words.isTTY);
  await written(words, matchText(result, { color, brief: Boolean(flags.quiet) }));
  const text = `${JSON.stringify(matchResultSchema.parse(result), null, 2)}\n`;
  if (json === '-') await written(process.stdout, text);
  else if (json !== undefined) writeFileSync(json, text);
  return result.exitStatus;
}
