// SPDX-License-Identifier: MIT
// The options of a virtual machine, each in one place: its check, its default, its flag and its help.
// The command line is read by this table, and the command that starts the same machine is written by
// it.
import { z } from 'zod';
import { OptionError } from '../stress/options.js';

const integer = (least: number, most: number, unit = '') => {
  const error = `${unit ? `${unit}, ` : ''}an integer from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
};

const engines = ['rcs0', 'bcs0', 'vcs0', 'vecs0'];
const hangError = `ENGINE or ENGINE:N, the engine one of ${engines.join(', ')}`;
/** The kernel's command line: 2048 bytes on x86, of which ours takes some. */
const MAX_APPEND = 1500;
const appendError = `at most ${MAX_APPEND} printable characters`;
const MAX_US = 60_000_000;

export const vmOptionsSchema = z.strictObject({
  kernel: z.string().default(''),
  modules: z.string().default(''),
  module: z.array(z.string()).default([]),
  append: z
    .string()
    .max(MAX_APPEND, { error: appendError })
    .regex(/^[\x20-\x7e]*$/, { error: appendError })
    .default(''),
  accel: z.enum(['auto', 'kvm', 'tcg'], { error: 'auto, kvm or tcg' }).default('auto'),
  cpus: integer(1, 64).default(2),
  memory: integer(256, 1 << 20, 'MiB').default(2048),
  numa: z.boolean().default(false),
  swap: integer(0, 1 << 20, 'MiB').default(256),
  thp: z
    .enum(['default', 'always', 'madvise', 'never'], { error: 'always, madvise or never' })
    .default('default'),
  hugepages: integer(0, 1 << 20).default(0),
  ksm: z.boolean().default(false),
  loglevel: integer(0, 8).default(4),
  bootTimeout: integer(0, 86_400, 's').default(0),
  answerTimeout: integer(0, 86_400, 's').default(0),
  gpuBatchDelayUs: integer(0, MAX_US, 'µs').default(0),
  gpuHang: z
    .string()
    .refine((v) => v === '' || engines.includes(v.split(':')[0] ?? ''), { error: hangError })
    .refine((v) => /^$|^\w+(:[1-9]\d{0,8})?$/.test(v), { error: hangError })
    .default(''),
  gpuStaleTlb: z.boolean().default(false),
  gpuIrqDelayUs: integer(0, MAX_US, 'µs').default(0),
  gpuIrqLose: integer(0, 2 ** 32 - 1).default(0),
  gpuResetFails: z.boolean().default(false),
  gpuTrace: z.string().default(''),
});

/** What a machine shall be like. */
export type VmOptions = z.output<typeof vmOptionsSchema>;
export type VmOptionName = keyof VmOptions;
export type VmOptionsInput = Partial<VmOptions>;

export interface VmFlag {
  name: VmOptionName;
  flag: string;
  /** '' for one that is on or off. */
  arg: string;
  group: 'Kernel' | 'Machine' | 'Emulated GPU';
  help: string;
}

/** In the order of --help. */
export const vmFlags: readonly VmFlag[] = [
  {
    name: 'kernel',
    flag: '--kernel',
    arg: 'kernel',
    group: 'Kernel',
    help: "a version (6.1, 6.12, newest: Debian's, fetched before by `vm kernels fetch`), the name of one that was built (lockdep), a bzImage or vmlinux, or a kernel build tree",
  },
  {
    name: 'modules',
    flag: '--modules',
    arg: 'dir',
    group: 'Kernel',
    help: 'where the modules of a bzImage or vmlinux are: a lib/modules/RELEASE',
  },
  {
    name: 'module',
    flag: '--module',
    arg: 'file.ko',
    group: 'Kernel',
    help: "a module in place of the kernel's own of that name; may be given again",
  },
  {
    name: 'append',
    flag: '--append',
    arg: 'words',
    group: 'Kernel',
    help: "more of the kernel's command line, like 'i915.enable_hangcheck=0 page_poison=1'",
  },
  {
    name: 'loglevel',
    flag: '--loglevel',
    arg: 'n',
    group: 'Kernel',
    help: 'what the kernel prints on its console, 0 to 8; all of its log is collected anyway',
  },
  {
    name: 'accel',
    flag: '--accel',
    arg: 'how',
    group: 'Machine',
    help: 'kvm, tcg (emulation), or auto: kvm where this kernel really comes up under it',
  },
  { name: 'cpus', flag: '--cpus', arg: 'n', group: 'Machine', help: 'virtual CPUs' },
  { name: 'memory', flag: '--memory', arg: 'MiB', group: 'Machine', help: 'memory' },
  {
    name: 'numa',
    flag: '--numa',
    arg: '',
    group: 'Machine',
    help: 'two NUMA nodes, so that pages can migrate',
  },
  {
    name: 'swap',
    flag: '--swap',
    arg: 'MiB',
    group: 'Machine',
    help: 'swap in compressed memory (zram), so that pages can be swapped out; 0: none',
  },
  {
    name: 'thp',
    flag: '--thp',
    arg: 'when',
    group: 'Machine',
    help: "transparent huge pages: always, madvise, never, or the kernel's default",
  },
  {
    name: 'hugepages',
    flag: '--hugepages',
    arg: 'n',
    group: 'Machine',
    help: 'huge pages of 2 MiB to set aside for hugetlb mappings',
  },
  {
    name: 'ksm',
    flag: '--ksm',
    arg: '',
    group: 'Machine',
    help: 'the kernel merges equal pages (ksmd runs)',
  },
  {
    name: 'bootTimeout',
    flag: '--boot-timeout',
    arg: 's',
    group: 'Machine',
    help: 'the boot fails after so long; 0: 90 s under TCG, 45 s under KVM',
  },
  {
    name: 'answerTimeout',
    flag: '--answer-timeout',
    arg: 's',
    group: 'Machine',
    help: 'a guest that says nothing for so long hangs; 0: 30 s under TCG, 15 s under KVM',
  },
  {
    name: 'gpuBatchDelayUs',
    flag: '--gpu-batch-delay-us',
    arg: 'µs',
    group: 'Emulated GPU',
    help: 'each batch of a user starts so late',
  },
  {
    name: 'gpuHang',
    flag: '--gpu-hang',
    arg: 'engine[:n]',
    group: 'Emulated GPU',
    help: "rcs0, bcs0, vcs0 or vecs0 hangs in each nth user's batch",
  },
  {
    name: 'gpuStaleTlb',
    flag: '--gpu-stale-tlb',
    arg: '',
    group: 'Emulated GPU',
    help: 'translations are kept until they are invalidated: a missing invalidate shows',
  },
  {
    name: 'gpuIrqDelayUs',
    flag: '--gpu-irq-delay-us',
    arg: 'µs',
    group: 'Emulated GPU',
    help: 'each interrupt comes so late',
  },
  {
    name: 'gpuIrqLose',
    flag: '--gpu-irq-lose',
    arg: 'n',
    group: 'Emulated GPU',
    help: 'each nth interrupt never comes',
  },
  {
    name: 'gpuResetFails',
    flag: '--gpu-reset-fails',
    arg: '',
    group: 'Emulated GPU',
    help: 'an engine that hangs cannot be reset',
  },
  {
    name: 'gpuTrace',
    flag: '--gpu-trace',
    arg: 'file',
    group: 'Emulated GPU',
    help: 'what happens in the GPU, as text, or as NDJSON where the name ends in .ndjson',
  },
];

const flagOf = (name: unknown) => vmFlags.find((f) => f.name === name)?.flag ?? String(name);

/** Checks options and fills in the defaults. */
export function makeVmOptions(input: VmOptionsInput): VmOptions {
  const parsed = vmOptionsSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys')
    throw new OptionError(`there is no option ${issue.keys.join(', ')}`);
  throw new OptionError(`${flagOf(issue?.path[0])}: expected ${issue?.message}`);
}

/** What the command line gave: texts, lists of them, or true. */
export type VmFlagsGiven = Partial<Record<VmOptionName, string | string[] | boolean>>;

export function parseVmFlags(given: VmFlagsGiven): VmOptions {
  const input: Record<string, unknown> = {};
  for (const { name } of vmFlags) {
    const value = given[name];
    if (value === undefined) continue;
    const numeric = vmOptionsSchema.shape[name].unwrap() instanceof z.ZodNumber;
    input[name] = numeric && /^\d+$/.test(String(value)) ? Number(value) : value;
  }
  return makeVmOptions(input as VmOptionsInput);
}

/** The arguments that ask for this machine. */
export function vmReplayArgs(options: VmOptions): string[] {
  return vmFlags.flatMap(({ name, flag, arg }) => {
    const value = options[name];
    if (JSON.stringify(value) === JSON.stringify(vmOptionsSchema.shape[name].def.defaultValue))
      return [];
    if (!arg) return [flag];
    return (Array.isArray(value) ? value : [value]).flatMap((one) => [flag, String(one)]);
  });
}

/** A default as the command line would say it; '' where there is none to tell. */
export function vmDefaultText(name: VmOptionName): string {
  const value = vmOptionsSchema.shape[name].def.defaultValue;
  return typeof value === 'number' || name === 'accel' ? String(value) : '';
}
