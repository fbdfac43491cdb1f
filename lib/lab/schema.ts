// SPDX-License-Identifier: MIT
// What i915-lab (native/lab/main.cpp) prints, and what a comparison is as JSON.
import { z } from 'zod';

/** Names become names of files, and of places in a page. */
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/);
const text = z.string().max(1 << 20);
const word = z.string().max(1000);
const count = z.number().min(0);
const named = z.object({ name, what: text });

export const listsSchema = z.object({
  strategies: z
    .array(
      named.extend({
        waits: z.boolean().describe('is the GPU done with the pages when the notifier returns?'),
        kernels: text.default(''),
        does: text.default(''),
        against: text.default(''),
        sources: text.default(''),
      }),
    )
    .min(1)
    .max(64),
  scenarios: z.array(named).min(1).max(256),
  faults: z.array(named).max(64),
});
export type Lists = z.infer<typeof listsSchema>;
export type Strategy = Lists['strategies'][number];

export const verdicts = [
  'holds',
  'violated',
  'deadlocks',
  'livelocks',
  'lockdep',
  'error',
] as const;
export type Verdict = (typeof verdicts)[number];

const laneSchema = z.object({
  thread: z.int().min(0).max(63),
  op: word,
  object: word,
  where: word.describe('file:line'),
  held: z.array(z.array(word).max(64)).max(64).describe('after the step, by thread'),
  next: z.array(word).max(64).describe("what each thread stands before; '' where it has ended"),
  pages: z.string().max(10_000),
});

export const lanesSchema = z.object({
  threads: z.array(word).max(64),
  steps: z.array(laneSchema).max(1_000_000),
});
export type Lanes = z.infer<typeof lanesSchema>;

export const cellSchema = z.object({
  strategy: name,
  scenario: name,
  break: word.describe('faults, with commas between them'),
  verdict: z.enum(verdicts).describe('error: the search itself failed, and `what` says how'),
  exhaustive: z
    .boolean()
    .describe('every interleaving was followed, or one that differs by steps that commute'),
  within_bound: z.boolean().describe('all that the bound on preemptions allows were'),
  stopped: word.describe('the limit that ended the search'),
  executions: count,
  steps: count,
  pruned: count.describe('executions given up: all that was left led to what was seen'),
  longest: count.describe('steps of one execution'),
  seconds: count,
  what: text.describe('of a finding'),
  lockdep: text.default('').describe("the title of lockdep's report, whatever the verdict"),
  preemptions: count.optional().describe('of the counterexample'),
  minimal: z.boolean().optional().describe('none with fewer preemptions ends this way'),
  switches: count.optional(),
  file: z.string().max(5000).optional().describe('where the counterexample was saved'),
  lanes: lanesSchema.optional(),
});
export type Cell = z.infer<typeof cellSchema>;

export const progressSchema = z.object({
  executions: count,
  pruned: count,
  steps: count,
  seconds: count,
});
export type Progress = z.infer<typeof progressSchema>;

export const replaySchema = z.object({
  type: z.literal('replay'),
  strategy: name,
  scenario: name,
  break: word,
  found: z.enum(verdicts).describe('as the file says, with its text'),
  found_what: text,
  verdict: z.enum(verdicts).describe('as it came out now'),
  what: text,
  same: z.boolean(),
  mismatch: text.describe('where the file does not fit this build; the lanes end there'),
  lanes: lanesSchema,
});
export type Replay = z.infer<typeof replaySchema>;

export const lineSchema = z.discriminatedUnion('type', [
  progressSchema.extend({ type: z.literal('progress') }),
  cellSchema.extend({ type: z.literal('result') }),
]);

export const comparisonSchema = z.object({
  schema: z.literal('i915-userptr lab comparison'),
  version: z.literal(1),
  startedAt: z.iso.datetime(),
  seconds: count.describe('of all cells, by the clock'),
  jobs: z.int(),
  secondsPerCell: count,
  host: z.object({ tool: word, kernel: word, cpus: z.int(), cpu: word }),
  complete: z.boolean().describe('false: interrupted before all cells were explored'),
  strategies: listsSchema.shape.strategies,
  scenarios: listsSchema.shape.scenarios,
  cells: z.array(cellSchema),
});
export type Comparison = z.infer<typeof comparisonSchema>;

export const isFinding = ({ verdict }: Cell): boolean => verdict !== 'holds' && verdict !== 'error';

/** A finding ends its search; only what has not been found can be looked for further. */
export const isOpen = ({ verdict, exhaustive }: Cell): boolean =>
  (verdict === 'holds' || verdict === 'lockdep') && !exhaustive;
