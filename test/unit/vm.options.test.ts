// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addVmOptions, splitFlags } from '../../lib/cli/vm/flags.js';
import { OptionError } from '../../lib/stress/options.js';
import {
  makeVmOptions,
  parseVmFlags,
  type VmFlagsGiven,
  type VmOptions,
  vmFlags,
  vmReplayArgs,
} from '../../lib/vm/options.js';

function command(): Command {
  const c = new Command('x').exitOverride().option('--other <x>');
  addVmOptions(c);
  return c;
}

const read = (args: readonly string[]): VmOptions =>
  parseVmFlags(splitFlags(command().parse(args, { from: 'user' }).opts<VmFlagsGiven>()).vm);

const refusal = (...args: string[]): string => {
  try {
    read(args);
  } catch (e) {
    expect(e).toBeInstanceOf(OptionError);
    return (e as Error).message;
  }
  return '';
};

describe('the checks', () => {
  it.each([
    [['--cpus', '0'], '--cpus: expected an integer from 1 to 64'],
    [['--cpus', '65'], '--cpus: expected an integer from 1 to 64'],
    [['--cpus', '2.5'], '--cpus: expected an integer from 1 to 64'],
    [['--cpus', '-1'], '--cpus: expected an integer from 1 to 64'],
    [['--cpus', ''], '--cpus: expected an integer from 1 to 64'],
    [['--cpus', '9'.repeat(400)], '--cpus: expected an integer from 1 to 64'],
    [['--memory', '255'], '--memory: expected MiB, an integer from 256 to 1048576'],
    [['--memory', '2G'], '--memory: expected MiB, an integer from 256 to 1048576'],
    [['--swap', '1048577'], '--swap: expected MiB, an integer from 0 to 1048576'],
    [['--hugepages', '-1'], '--hugepages: expected an integer from 0 to 1048576'],
    [['--loglevel', '9'], '--loglevel: expected an integer from 0 to 8'],
    [['--boot-timeout', '86401'], '--boot-timeout: expected s, an integer from 0 to 86400'],
    [['--answer-timeout', '1m'], '--answer-timeout: expected s, an integer from 0 to 86400'],
    [['--accel', 'xen'], '--accel: expected auto, kvm or tcg'],
    [['--thp', 'yes'], '--thp: expected always, madvise or never'],
    [['--append', 'a\nb'], '--append: expected at most 1500 printable characters'],
    [['--append', 'x'.repeat(1501)], '--append: expected at most 1500 printable characters'],
    [
      ['--gpu-batch-delay-us', '60000001'],
      '--gpu-batch-delay-us: expected µs, an integer from 0 to 60000000',
    ],
    [['--gpu-irq-delay-us', 'x'], '--gpu-irq-delay-us: expected µs, an integer from 0 to 60000000'],
    [['--gpu-irq-lose', '4294967296'], '--gpu-irq-lose: expected an integer from 0 to 4294967295'],
  ])('%j', (args, message) => expect(refusal(...args)).toBe(message));

  it.each(['xcs0', 'rcs0:', 'rcs0:0', 'rcs0:1:2', 'rcs0:x', ':1', 'rcs0 ', 'RCS0'])(
    '--gpu-hang %j',
    (value) =>
      expect(refusal('--gpu-hang', value)).toBe(
        '--gpu-hang: expected ENGINE or ENGINE:N, the engine one of rcs0, bcs0, vcs0, vecs0',
      ),
  );

  it('there is no other option', () => {
    expect(() => makeVmOptions({ cpu: 1 } as never)).toThrow('there is no option cpu');
  });
});

describe('the command line', () => {
  it('gives the defaults where it says nothing', () => {
    expect(read([])).toEqual(makeVmOptions({}));
    expect(vmReplayArgs(makeVmOptions({}))).toEqual([]);
  });

  it('tells the defaults in --help', () => {
    const help = command().helpInformation().replace(/\s+/g, ' ');
    for (const text of ['virtual CPUs (2)', 'memory (2048)', '0: none (256)'])
      expect(help).toContain(text);
    expect(help).toContain('comes up under it (auto)');
    expect(help).toContain('anyway (4)');
    for (const { flag } of vmFlags) expect(help).toContain(`${flag} `);
    for (const group of ['Kernel:', 'Machine:', 'Emulated GPU:']) expect(help).toContain(group);
  });

  it('keeps what is not of the machine apart', () => {
    const given = command().parse(['--other', 'y', '--cpus', '3'], { from: 'user' }).opts();
    expect(splitFlags(given)).toEqual({ vm: { cpus: '3' }, rest: { other: 'y' } });
  });

  it('every flag is an option, and every option has a flag', () => {
    expect(vmFlags.map((f) => f.name).sort()).toEqual(Object.keys(makeVmOptions({})).sort());
  });
});

const word = fc.string({ minLength: 1, maxLength: 20 }).filter((s) => !s.includes('\0'));
const printable = fc.stringMatching(/^[\x20-\x7e]{0,40}$/);
const options: fc.Arbitrary<VmOptions> = fc.record({
  kernel: fc.oneof(fc.constant(''), word),
  modules: fc.oneof(fc.constant(''), word),
  module: fc.array(word, { maxLength: 3 }),
  append: printable,
  accel: fc.constantFrom('auto', 'kvm', 'tcg'),
  cpus: fc.integer({ min: 1, max: 64 }),
  memory: fc.integer({ min: 256, max: 1 << 20 }),
  numa: fc.boolean(),
  swap: fc.integer({ min: 0, max: 1 << 20 }),
  thp: fc.constantFrom('default', 'always', 'madvise', 'never'),
  hugepages: fc.integer({ min: 0, max: 1 << 20 }),
  ksm: fc.boolean(),
  loglevel: fc.integer({ min: 0, max: 8 }),
  bootTimeout: fc.integer({ min: 0, max: 86_400 }),
  answerTimeout: fc.integer({ min: 0, max: 86_400 }),
  gpuBatchDelayUs: fc.integer({ min: 0, max: 60_000_000 }),
  gpuHang: fc.constantFrom('', 'rcs0', 'bcs0:1', 'vecs0:999999999'),
  gpuStaleTlb: fc.boolean(),
  gpuIrqDelayUs: fc.integer({ min: 0, max: 60_000_000 }),
  gpuIrqLose: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  gpuResetFails: fc.boolean(),
  gpuTrace: fc.oneof(fc.constant(''), word),
});

describe('vmReplayArgs', () => {
  it('asks for the same machine, by the command line itself', () => {
    fc.assert(
      fc.property(options, (wanted) => {
        expect(read(vmReplayArgs(wanted))).toEqual(wanted);
      }),
    );
  });
});
