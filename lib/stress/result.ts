// SPDX-License-Identifier: MIT
// What a run came to. One schema for both of its forms: in memory (numbers of 64 bits are bigints)
// and as JSON, version 1, where they are strings: counts and times decimal, addresses and the
// contents of memory hexadecimal with 0x. A field is never taken away or changed within a version.
import { z } from 'zod';
import { optionsSchema } from './options.js';

export const decimal = z.codec(z.string().regex(/^-?\d{1,20}$/), z.bigint(), {
  decode: (text) => BigInt(text),
  encode: String,
});
export const hex = z.codec(z.string().regex(/^0x[0-9a-f]{1,16}$/), z.bigint(), {
  decode: (text) => BigInt(text),
  encode: (value) => `0x${value.toString(16)}`,
});

export const SCHEMA = 'i915-userptr/run';

export const exitStatus = { pass: 0, fail: 1, usage: 2, error: 3, skip: 4 } as const;

const ns = decimal.describe(
  'ns since the threads started, negative before; or since the process did, if they never did',
);

const opSchema = z.object({
  thread: z.string(),
  op: z.string().describe('exec, munmap, ...'),
  cell: z.int().nullable().describe('the area of memory, by number'),
  beginNs: ns,
  endNs: ns.nullable().describe('null: it had not returned'),
  result: decimal.describe('>= 0, or -errno'),
  addr: hex,
  len: hex.describe('bytes; for exec the number of the submission, which is in what it writes'),
});

const threadSchema = z.object({
  name: z.string().describe('"submit/0", "munmap/1"'),
  kind: z.string().describe('"submit", the name of a stressor, or "run": what conducts them'),
  ops: z.number().describe('submissions, or changes of a mapping'),
  perSecond: z.number(),
  eagain: z.number(),
  eintr: z.number(),
  efault: z.number(),
  refused: z.number().describe('other errnos that the situation allowed'),
  overlapLookup: z.number().describe('changes during which an execbuf call was under way'),
  overlapBusy: z.number().describe('changes during which a batch was in flight'),
  checks: z.number().describe('values that an oracle judged'),
  latencyNs: z.object({
    p50: z.number(),
    p90: z.number(),
    p99: z.number(),
    max: z.number(),
    count: z.number(),
  }),
  lastOps: z
    .array(opSchema)
    .describe('its last operations; empty where the run came to an end of its own'),
});

const violationSchema = z.object({
  kind: z.string().describe('what an oracle reports, or "crash": the process of the run died'),
  text: z.string(),
  thread: z.string().describe('which saw it; empty: the watching process'),
  cell: z.int().nullable(),
  ns,
  addr: hex.nullable().describe('of the wrong dword'),
  page: z.int().nullable().describe('the index of its page in the area'),
  expected: hex.nullable(),
  found: hex.nullable(),
  where: z.string().describe('kernel stacks of a thread that hangs; what a process that died said'),
  around: z.array(opSchema),
});

export const era = z.enum(['unknown', 'waits', 'no-wait']);

export const hostSchema = z.object({
  tool: z.string(),
  kernel: z.string(),
  machine: z.string(),
  cpus: z.int(),
  node: z.string(),
});

export const vmSchema = z.object({
  kernel: z.string(),
  image: z.string(),
  accel: z.enum(['kvm', 'tcg']),
  qemu: z.string(),
  ended: z
    .enum(['stopped', 'panic', 'reboot', 'poweroff', 'hang', 'gpu', 'qemu', 'boot'])
    .describe('how the machine did; stopped: by us'),
  bootMs: z.number().describe('from the start of QEMU until i915 had bound'),
  timeline: z
    .array(z.object({ stage: z.string(), ms: z.number(), guestMs: z.number() }))
    .describe('of the boot; guestMs by the clock of the guest, which starts with its kernel'),
  gpu: z.record(z.string(), z.number()).describe('what the emulated GPU has counted'),
  console: z.array(z.string()).describe('its last lines, where the machine did not end well'),
});

export const resultSchema = z
  .object({
    schema: z.literal(SCHEMA),
    version: z.literal(1),
    verdict: z.enum(['pass', 'fail', 'skip', 'error']),
    why: z.string().describe('the verdict in one line'),
    exitStatus: z.int(),
    end: z
      .enum(['itself', 'interrupted', 'crash', 'stall', 'hang', 'not-run'])
      .describe('what ended it; hang: threads of it had to be left behind'),
    replay: z.string().describe('the command that asks for the same run'),
    startedAt: z.iso.datetime(),
    seconds: z.number().describe('from the start of the threads to their stop'),
    host: hostSchema,
    device: z.object({
      name: z.string().describe('soft, or the path of the DRM node; auto: none was opened'),
      why: z.string().describe('why it was chosen'),
    }),
    options: optionsSchema.extend({ seed: decimal }),
    era: z.object({
      expected: era.describe("by the kernel's version or the strategy"),
      measured: era,
      munmapNs: decimal.describe('that munmap took under a batch that ran'),
    }),
    pins: z.object({ acquired: decimal, released: decimal }).nullable().describe('pages'),
    threads: z.array(threadSchema),
    skips: z.array(z.object({ what: z.string(), why: z.string() })),
    notes: z.array(z.string()).describe('what this run could not do or say'),
    violationsTotal: z.int().describe('of which the first 64 are kept'),
    violations: z.array(violationSchema),
    vm: vmSchema.nullable().default(null).describe('null: it ran on this machine itself'),
  })
  .describe('What a run of i915-userptr came to.');

export type Result = z.output<typeof resultSchema>;
export type ResultJson = z.input<typeof resultSchema>;
export type ResultThread = Result['threads'][number];
export type ResultViolation = Result['violations'][number];
export type ResultOp = z.output<typeof opSchema>;

export const resultToJson = (result: Result): ResultJson => z.encode(resultSchema, result);
export const resultFromJson = (json: unknown): Result => resultSchema.parse(json);
/** Of the JSON form, as JSON Schema. */
export const resultJsonSchema = () => z.toJSONSchema(resultSchema, { io: 'input' });
