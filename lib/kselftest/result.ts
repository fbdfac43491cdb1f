// SPDX-License-Identifier: MIT
// What the C tests came to, as JSON, version 1. A field is never taken away or changed within one.
import { z } from 'zod';
import { hostSchema, vmSchema } from '../stress/result.js';
import type { KtapTest } from './ktap.js';

export const SCHEMA = 'i915-userptr/kselftest';

const testSchema: z.ZodType<KtapTest> = z.object({
  name: z.string(),
  outcome: z.enum(['pass', 'fail', 'skip', 'xfail']),
  reason: z.string().describe('why it was skipped, or may fail'),
  diagnostics: z.array(z.string()).describe('what it said, at most 200 lines'),
  get subtests() {
    return z.array(testSchema);
  },
});

const programSchema = z.object({
  name: z.string(),
  status: z
    .int()
    .nullable()
    .describe('its exit status: 0, 1, or 4 where all was skipped; null: none'),
  signal: z.string().describe('what killed it, or empty'),
  seconds: z.number(),
  skipped: z.string().nullable().describe('why all of it was skipped'),
  tests: z.array(testSchema),
  problems: z.array(z.string()).describe('what is wrong with its report, or how it ended'),
});

const counts = { pass: z.int(), fail: z.int(), skip: z.int(), xfail: z.int() };

export const kselftestResultSchema = z
  .object({
    schema: z.literal(SCHEMA),
    version: z.literal(1),
    verdict: z.enum(['pass', 'fail', 'skip', 'error']),
    why: z.string().describe('the verdict in one line'),
    exitStatus: z.int(),
    end: z
      .enum(['itself', 'interrupted', 'crash'])
      .describe('what ended it; crash: the machine, or a program that gave no report'),
    replay: z.string().describe('the command that asks for the same tests with the same seed'),
    startedAt: z.iso.datetime(),
    seconds: z.number(),
    host: hostSchema,
    device: z.object({ name: z.string(), why: z.string() }),
    seed: z.string().describe('decimal'),
    totals: z.object(counts).describe('of the tests without subtests'),
    programs: z.array(programSchema),
    notes: z.array(z.string()),
    vm: vmSchema.nullable(),
  })
  .describe('What the C tests of i915-userptr came to.');

export type KselftestResult = z.output<typeof kselftestResultSchema>;
export type KselftestProgram = z.output<typeof programSchema>;
