// SPDX-License-Identifier: MIT
// What a match came to, as JSON, version 1; also what a long one is resumed from. A field is never
// taken away or changed within one version.
import { z } from 'zod';

export const SCHEMA = 'i915-userptr/match';

const countsSchema = z.record(
  z.string(),
  z.record(z.string(), z.record(z.string(), z.int().positive())),
);

const differenceSchema = z.object({
  signature: z.string().describe('what findings of one cause have in common'),
  replay: z.string().describe('SEED:INDEX, for --replay'),
  times: z.int().describe('how often it was found'),
  stable: z.boolean().describe('false: the same sequence did not show it again'),
  at: z.int().describe('the line of the shortest sequence that is answered differently'),
  call: z.string(),
  kinds: z.array(z.string()).describe('what of its arguments is worth a name'),
  soft: z.string().describe('the line that soft was answered, without what is masked'),
  driver: z.string(),
  lines: z.array(z.string()).describe("the shortest sequence, in the player's words"),
  names: z.array(z.string()).describe('of each line, the call and what is special of it'),
});

const pairSchema = z.object({
  races: z.int().describe('that had both calls'),
  driver: z.int().describe('its outcomes in them'),
  soft: z.int().describe('its outcomes in them'),
});

const racesSchema = z.object({
  next: z.int().describe('the index of the next race'),
  races: z.int(),
  seconds: z.number(),
  runs: z.int().describe('on the driver'),
  calls: z.int().describe('answers of these runs'),
  schedules: z.int().describe("of soft's"),
  driver: z.int().describe('outcomes that the driver showed'),
  soft: z.int().describe('outcomes that soft can show, as far as was looked'),
  pairs: z.record(z.string(), pairSchema).describe('by two calls that were made at the same time'),
});
const noRaces = {
  next: 0,
  races: 0,
  seconds: 0,
  runs: 0,
  calls: 0,
  schedules: 0,
  driver: 0,
  soft: 0,
  pairs: {},
};

const kernelSchema = z.object({
  kernel: z.string().describe('as asked for'),
  release: z.string(),
  where: z.string().describe('the machine, or soft itself'),
  era: z.string().describe('the kernel that soft was told to be'),
  next: z.int().describe('the index of the next sequence: it is resumed there'),
  sequences: z.int(),
  calls: z.int().describe('answers that were compared'),
  seconds: z.number().describe('without the races'),
  restarts: z.int().describe('of the players'),
  coverage: countsSchema.describe("by call, class of arguments and result, the driver's"),
  deliberate: z.record(z.string(), z.int()).describe('differences on purpose, by name'),
  differences: z.array(differenceSchema),
  notes: z.array(z.string()),
  races: racesSchema.default(() => structuredClone(noRaces)).describe('sequences without an order'),
});

export const matchResultSchema = z
  .object({
    schema: z.literal(SCHEMA),
    version: z.literal(1),
    verdict: z.enum(['pass', 'fail', 'error']),
    why: z.string().describe('the verdict in one line'),
    exitStatus: z.int(),
    replay: z.string().describe('the command that asks for the same sequences'),
    startedAt: z.iso.datetime(),
    seed: z.string().describe('decimal'),
    shard: z.string().describe('I/N'),
    softBreaks: z.array(z.string()),
    kernels: z.array(kernelSchema),
  })
  .describe('What comparing soft with the driver came to.');

export type MatchResult = z.output<typeof matchResultSchema>;
export type KernelResult = z.output<typeof kernelSchema>;
export type FoundDifference = z.output<typeof differenceSchema>;
export type RacesResult = z.output<typeof racesSchema>;

export const emptyRaces = (): RacesResult => structuredClone(noRaces);
