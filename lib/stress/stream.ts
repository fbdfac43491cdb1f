// SPDX-License-Identifier: MIT
// A run as lines of JSON, for whoever watches it from another machine: `run --ndjson`, read back by
// lib/vm. The reader trusts nothing: a guest whose kernel is broken may send anything.
import { z } from 'zod';
import { optionsSchema } from './options.js';
import { decimal, era, hex, type Result, resultSchema } from './result.js';
import type { Progress } from './run.js';
import type { Snapshot } from './snapshot.js';

/** Of each thread; enough to see what it was in when its kernel died. */
const LAST_OPS = 4;
/** Until the result has all that were kept. */
const MAX_VIOLATIONS = 8;

const op = z.object({
  thread: z.string(),
  op: z.string(),
  cell: z.int().nullable(),
  beginNs: decimal,
  endNs: decimal,
  result: decimal,
  addr: hex,
  len: hex,
});

const count = z.number();

const thread = z.object({
  name: z.string(),
  kind: z.string(),
  tid: z.int(),
  ops: count,
  eagain: count,
  eintr: count,
  efault: count,
  refused: count,
  overlapLookup: count,
  overlapBusy: count,
  checks: count,
  op: z.string(),
  opNs: count,
  latency: z.object({ p50: count, p90: count, p99: count, max: count, count }),
  trace: z.array(op),
});

const violation = z.object({
  kind: z.string(),
  cell: z.int().nullable(),
  thread: z.string(),
  ns: decimal,
  addr: hex,
  page: z.int(),
  expected: hex,
  found: hex,
  text: z.string(),
  where: z.string(),
  around: z.array(op),
});

const snapshot = z.object({
  state: z.enum(['empty', 'setup', 'running', 'stopping', 'done', 'failed']),
  error: z.string(),
  pid: z.int(),
  startNs: decimal,
  endNs: decimal,
  beatNs: decimal,
  nowNs: decimal,
  era: z.object({ expected: era, measured: era, munmapNs: decimal }),
  pins: z.object({ acquired: decimal, released: decimal }),
  skips: z.array(z.object({ what: z.string(), why: z.string() })),
  violationsTotal: count,
  threads: z.array(thread),
  violations: z.array(violation),
}) satisfies z.ZodType<Snapshot>;

const progress = z.object({
  options: optionsSchema.extend({ seed: decimal }),
  device: z.object({ name: z.string(), why: z.string() }).optional(),
  begunNs: decimal,
  snapshot,
});

const message = z.union([z.object({ progress }), z.object({ result: resultSchema })]);

export type StreamMessage = z.output<typeof message>;

const thin = (s: Snapshot): Snapshot => ({
  ...s,
  threads: s.threads.map((t) => ({ ...t, trace: t.trace.slice(-LAST_OPS) })),
  violations: s.violations.slice(0, MAX_VIOLATIONS),
});

export const progressLine = ({ options, device, begunNs, snapshot }: Progress): string =>
  `${JSON.stringify(z.encode(message, { progress: { options, device, begunNs, snapshot: thin(snapshot) } }))}\n`;

export const resultLine = (result: Result): string =>
  `${JSON.stringify(z.encode(message, { result }))}\n`;

/** Undefined for a line that is none of these. */
export function parseStreamLine(line: string): StreamMessage | undefined {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = message.safeParse(json);
  return parsed.success ? parsed.data : undefined;
}
