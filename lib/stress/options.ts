// SPDX-License-Identifier: MIT
// The options of a run, each in one place: its check, its default, its flag and its help. The
// command line is read by this table, and the command that replays a run is written by it.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { stress } from './snapshot.js';

const KIB = 1024;
const PAGE = 4096;
const MAX_AREA = 64 * KIB * KIB;

/** An option that cannot be what it was set to; the message says which, and what was expected. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

const integer = (least: number, most: number, unit = '') => {
  const error = `${unit ? `${unit}, ` : ''}an integer from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
};

const names = (known: () => readonly string[], what: string, dash: boolean) =>
  z.array(z.string()).superRefine((list, ctx) => {
    for (const entry of list) {
      const name = dash ? entry.replace(/^-/, '') : entry;
      if (!known().includes(name)) {
        const message = `${what}, not ${JSON.stringify(name)}: ${known().join(', ')}`;
        ctx.addIssue({ code: 'custom', message });
      }
    }
  });

const seedError = 'an integer from 0 to 2^64 - 1';
const sizesError = 'sizes from 4K to 64M in whole pages, like 4K,64K,2M';
const deviceError = 'auto, soft, vm, or the path of a DRM node, like /dev/dri/renderD128';

export const optionsSchema = z.strictObject({
  device: z
    .string({ error: deviceError })
    .refine((v) => v === 'auto' || v === 'soft' || /^\/[^\0]+$/.test(v), deviceError)
    .default('auto'),
  seconds: z
    .number({ error: 'seconds, 0 to 1e9' })
    .min(0, { error: 'seconds, 0 to 1e9' })
    .max(1e9, { error: 'seconds, 0 to 1e9' })
    .default(10),
  operations: integer(0, Number.MAX_SAFE_INTEGER).default(0),
  violations: integer(0, 2 ** 32).default(0),
  seed: z
    .bigint({ error: seedError })
    .min(0n, { error: seedError })
    .max(2n ** 64n - 1n, { error: seedError }),
  submitters: integer(0, 32).default(2),
  threads: integer(0, 4).default(1),
  objects: integer(1, 60).default(16),
  sizes: z
    .array(
      z
        .number({ error: sizesError })
        .min(PAGE, { error: sizesError })
        .max(MAX_AREA, { error: sizesError })
        .multipleOf(PAGE, { error: sizesError }),
      { error: sizesError },
    )
    .min(1, { error: sizesError })
    .max(60, { error: 'at most 60 sizes' })
    .default([PAGE, 64 * KIB, 2048 * KIB, 16 * KIB, 256 * KIB]),
  stressors: names(() => stress.stressors.map((s) => s.name), 'stressors', true)
    .refine((list) => list.length === 0 || chosenStressors(list).length > 0, 'one or more to stay')
    .default([]),
  strategy: z
    .string()
    .refine((v) => stress.softStrategies.some((s) => s.name === v), {
      error: () => `one of ${stress.softStrategies.map((s) => s.name).join(', ')}`,
    })
    .default('interval'),
  faults: names(() => stress.softFaults.map((f) => f.name), 'faults', false).default([]),
  faultOneIn: integer(1, 2 ** 32 - 1).default(1),
  hangMs: integer(1, 3_600_000, 'ms').default(1000),
  batchDelayUs: integer(0, 10_000_000, 'µs').default(0),
  atOnce: integer(0, 128).default(0),
  pauseUs: integer(0, 2 ** 30, 'µs').default(50),
  dwellUs: integer(0, 1_000_000, 'µs').default(100),
  opTimeoutMs: integer(0, 2 ** 30, 'ms').default(0),
  era: z.enum(['auto', 'waits', 'no-wait'], { error: 'auto, waits or no-wait' }).default('auto'),
});

/** What a run was asked to do. */
export type Options = z.output<typeof optionsSchema>;
export type OptionName = keyof Options;
/** The same, with what may be left out left out. */
export type OptionsInput = Partial<Options>;

export interface Flag<K extends OptionName = OptionName> {
  name: K;
  flag: string;
  arg: string;
  help: string;
  group: 'Device' | 'Load' | 'Software device' | 'Judgement';
  parse(text: string): unknown;
  format(value: Options[K]): string;
}

const asNumber = (text: string) => (/^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : text);
const asSeed = (text: string) => (/^(\d+|0x[0-9a-f]+)$/i.test(text) ? BigInt(text) : text);
const asList = (text: string) => text.split(',').filter((part) => part !== '');

const units: Record<string, number> = { '': 1, K: KIB, M: KIB ** 2, G: KIB ** 3 };
const asSize = (text: string) => {
  const [, digits, unit] = /^(\d+)([KMG]?)(?:iB|B)?$/i.exec(text) ?? [];
  return digits === undefined ? text : Number(digits) * (units[(unit ?? '').toUpperCase()] ?? 1);
};
/** 65536: "64K". */
export const sizeText = (bytes: number): string => {
  if (bytes % KIB ** 2 === 0) return `${bytes / KIB ** 2}M`;
  return bytes % KIB === 0 ? `${bytes / KIB}K` : `${bytes}`;
};

const numeric = { parse: asNumber, format: String };
const word = { parse: (text: string) => text, format: String };
const list = { parse: asList, format: (value: string[]) => value.join(',') };
const define = <K extends OptionName>(flag: Flag<K>) => flag as unknown as Flag;

/** In the order of --help. */
export const flags: readonly Flag[] = [
  define({
    name: 'device',
    flag: '--device',
    arg: 'device',
    group: 'Device',
    help: 'auto, soft, a node like /dev/dri/renderD128, or vm[:kernel], which is `vm run`. auto: an i915 render node that no display server holds, else soft',
    ...word,
  }),
  define({
    name: 'seconds',
    flag: '--seconds',
    arg: 's',
    group: 'Load',
    help: 'how long; 0: until --operations are done, or Ctrl-C',
    ...numeric,
  }),
  define({
    name: 'operations',
    flag: '--operations',
    arg: 'n',
    group: 'Load',
    help: 'end after so many submissions and changes; 0: by time alone',
    ...numeric,
  }),
  define({
    name: 'violations',
    flag: '--violations',
    arg: 'n',
    group: 'Load',
    help: 'end after so many violations; 0: they end nothing',
    ...numeric,
  }),
  define({
    name: 'seed',
    flag: '--seed',
    arg: 'n',
    group: 'Load',
    help: 'of every choice by chance; random where it is not given, and printed',
    parse: asSeed,
    format: String,
  }),
  define({
    name: 'submitters',
    flag: '--submitters',
    arg: 'n',
    group: 'Load',
    help: 'threads that submit execbufs',
    ...numeric,
  }),
  define({
    name: 'threads',
    flag: '--threads',
    arg: 'n',
    group: 'Load',
    help: 'threads of each stressor',
    ...numeric,
  }),
  define({
    name: 'objects',
    flag: '--objects',
    arg: 'n',
    group: 'Load',
    help: 'areas of memory, each under one or two userptr objects',
    ...numeric,
  }),
  define({
    name: 'sizes',
    flag: '--sizes',
    arg: 'list',
    group: 'Load',
    help: 'of the areas, dealt in turn',
    parse: (text) => asList(text).map(asSize),
    format: (sizes) => sizes.map(sizeText).join(','),
  }),
  define({
    name: 'stressors',
    flag: '--stressors',
    arg: 'list',
    group: 'Load',
    help: 'only these; with a dash, all but these: -fork,-exit. --list tells them',
    ...list,
  }),
  define({
    name: 'atOnce',
    flag: '--at-once',
    arg: 'n',
    group: 'Load',
    help: 'threads of stressors that work at a time, in shifts of 0.1 s; 0: twice the CPUs, at least 4',
    ...numeric,
  }),
  define({
    name: 'pauseUs',
    flag: '--pause-us',
    arg: 'µs',
    group: 'Load',
    help: 'a stressor rests for up to so long between two changes',
    ...numeric,
  }),
  define({
    name: 'dwellUs',
    flag: '--dwell-us',
    arg: 'µs',
    group: 'Load',
    help: 'and leaves a mapping changed for up to so long',
    ...numeric,
  }),
  define({
    name: 'opTimeoutMs',
    flag: '--op-timeout',
    arg: 'ms',
    group: 'Judgement',
    help: 'an operation that takes longer hangs; 0: 5 s on soft, 30 s on a node',
    ...numeric,
  }),
  define({
    name: 'era',
    flag: '--era',
    arg: 'era',
    group: 'Judgement',
    help: "waits (the notifier waits for the GPU: before 6.9), no-wait (later), or auto: by the kernel's version",
    ...word,
  }),
  define({
    name: 'strategy',
    flag: '--strategy',
    arg: 'name',
    group: 'Software device',
    help: 'how lookups are kept apart from invalidates; --list tells them',
    ...word,
  }),
  define({
    name: 'faults',
    flag: '--fault',
    arg: 'list',
    group: 'Software device',
    help: 'bugs that it shall have; --list tells them',
    ...list,
  }),
  define({
    name: 'faultOneIn',
    flag: '--fault-one-in',
    arg: 'n',
    group: 'Software device',
    help: 'a bug strikes in one of so many cases',
    ...numeric,
  }),
  define({
    name: 'hangMs',
    flag: '--hang-ms',
    arg: 'ms',
    group: 'Software device',
    help: 'a batch that makes no end for so long is reset',
    ...numeric,
  }),
  define({
    name: 'batchDelayUs',
    flag: '--batch-delay-us',
    arg: 'µs',
    group: 'Software device',
    help: 'each batch takes at least so long',
    ...numeric,
  }),
];

const flagOf = (name: unknown) => flags.find((f) => f.name === name)?.flag ?? String(name);

/** Checks options and fills in what was left out: the defaults, and a random seed. */
export function makeOptions(input: OptionsInput): Options {
  const seed = input.seed ?? randomBytes(8).readBigUInt64LE();
  const seconds = input.seconds ?? (input.operations ? 0 : undefined);
  const parsed = optionsSchema.safeParse({ ...input, seed, seconds });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    if (issue?.code === 'unrecognized_keys')
      throw new OptionError(`there is no option ${issue.keys.join(', ')}`);
    throw new OptionError(`${flagOf(issue?.path[0])}: expected ${issue?.message}`);
  }
  const options = parsed.data;
  const soft = softOnly(options);
  if (soft && options.device.startsWith('/'))
    throw new OptionError(`${soft} is of the software device: use --device soft with it`);
  return options;
}

/** The first option that has been set and that only the software device has. */
export function softOnly(options: Options): string | undefined {
  return flags.find((f) => f.group === 'Software device' && !isDefault(options, f.name))?.flag;
}

/** Reads what the command line gave for some flags. */
export function parseFlags(given: Partial<Record<OptionName, string>>): Options {
  const input: Record<string, unknown> = {};
  for (const { name, parse } of flags) {
    const text = given[name];
    if (text !== undefined) input[name] = parse(text);
  }
  return makeOptions(input as OptionsInput);
}

function defaultOf(name: OptionName, options: Options): unknown {
  if (name === 'seconds' && options.operations) return 0;
  const schema = optionsSchema.shape[name];
  return schema instanceof z.ZodDefault ? schema.def.defaultValue : undefined;
}

/** A default as the command line would say it; '' where there is none. */
export function defaultText(name: OptionName): string {
  const flag = flags.find((f) => f.name === name);
  const value = defaultOf(name, { operations: 0 } as Options);
  return flag && value !== undefined ? flag.format(value as never) : '';
}

function isDefault(options: Options, name: OptionName): boolean {
  return JSON.stringify(defaultOf(name, options)) === JSON.stringify(plain(options[name]));
}

const plain = (value: unknown) => (typeof value === 'bigint' ? `${value}` : value);

/** The arguments of `i915-userptr run` that ask for these options. */
export function replayArgs(options: Options): string[] {
  const always: OptionName[] = ['device', 'seed'];
  return flags
    .filter(({ name }) => always.includes(name) || !isDefault(options, name))
    .flatMap(({ name, flag, format }) => [flag, format(options[name] as never)]);
}

/** The names that a list stands for: all, these, or all but those with a dash. */
export function chosenStressors(list: readonly string[]): string[] {
  const all = stress.stressors.map((s) => s.name);
  const wanted = list.filter((name) => !name.startsWith('-'));
  const out = list.filter((name) => name.startsWith('-')).map((name) => name.slice(1));
  return (wanted.length ? all.filter((name) => wanted.includes(name)) : all).filter(
    (name) => !out.includes(name),
  );
}
