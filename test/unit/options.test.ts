// SPDX-License-Identifier: MIT
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  chosenStressors,
  flags,
  makeOptions,
  OptionError,
  type OptionName,
  type Options,
  parseFlags,
  replayArgs,
} from '../../lib/stress/options.js';
import { decodeRequest, encodeRequest } from '../../lib/stress/protocol.js';
import { stress } from '../../lib/stress/snapshot.js';

/** As the command line would: pairs of a flag and its text. */
function parseArgs(args: string[]): Options {
  const given: Partial<Record<OptionName, string>> = {};
  for (let i = 0; i < args.length; i += 2) {
    const flag = flags.find((f) => f.flag === args[i]);
    if (!flag) throw new Error(`no flag ${args[i]}`);
    given[flag.name] = args[i + 1];
  }
  return parseFlags(given);
}

const stressorNames = stress.stressors.map((s) => s.name);
const common = {
  seconds: fc.double({ min: 0, max: 1e9, noNaN: true }).map((v) => v + 0),
  operations: fc.nat(),
  violations: fc.nat(),
  seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  submitters: fc.integer({ min: 0, max: 32 }),
  threads: fc.integer({ min: 0, max: 4 }),
  objects: fc.integer({ min: 1, max: 60 }),
  sizes: fc.array(
    fc.integer({ min: 1, max: 16384 }).map((pages) => pages * 4096),
    { minLength: 1, maxLength: 60 },
  ),
  stressors: fc.oneof(
    fc.subarray(stressorNames),
    fc
      .subarray(stressorNames, { maxLength: stressorNames.length - 1 })
      .map((l) => l.map((n) => `-${n}`)),
  ),
  pauseUs: fc.integer({ min: 0, max: 2 ** 30 }),
  dwellUs: fc.integer({ min: 0, max: 1_000_000 }),
  opTimeoutMs: fc.integer({ min: 0, max: 2 ** 30 }),
  era: fc.constantFrom('auto' as const, 'waits' as const, 'no-wait' as const),
};
const soft = {
  strategy: fc.constantFrom(...stress.softStrategies.map((s) => s.name)),
  faults: fc.subarray(stress.softFaults.map((f) => f.name)),
  faultOneIn: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  hangMs: fc.integer({ min: 1, max: 3_600_000 }),
  batchDelayUs: fc.integer({ min: 0, max: 10_000_000 }),
};
const anyOptions = fc
  .oneof(
    fc.record(
      { device: fc.constantFrom('auto', 'soft'), ...common, ...soft },
      { requiredKeys: [] },
    ),
    fc.record(
      { device: fc.constant('/dev/dri/renderD128'), ...common },
      { requiredKeys: ['device'] },
    ),
  )
  .map(makeOptions);

describe('the command that replays a run', () => {
  test('asks for the same options', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        expect(parseArgs(replayArgs(options))).toEqual(options);
      }),
    );
  });

  test('says the device and the seed, and of the rest what is not the default', () => {
    expect(replayArgs(makeOptions({ seed: 7n }))).toEqual(['--device', 'auto', '--seed', '7']);
    expect(
      replayArgs(makeOptions({ seed: 7n, device: 'soft', sizes: [4096, 2 ** 21], operations: 5 })),
    ).toEqual(['--device', 'soft', '--operations', '5', '--seed', '7', '--sizes', '4K,2M']);
  });
});

test('options reach the child as they are', () => {
  fc.assert(
    fc.property(anyOptions, (options) => {
      expect(decodeRequest(encodeRequest(options))).toEqual(options);
    }),
  );
});

describe('defaults', () => {
  test('a random seed, ten seconds', () => {
    const [a, b] = [makeOptions({}), makeOptions({})];
    expect(a.seed).not.toBe(b.seed);
    expect(a.seconds).toBe(10);
  });

  test('operations have no end in time unless one is asked for', () => {
    expect(makeOptions({ operations: 100 }).seconds).toBe(0);
    expect(makeOptions({ operations: 100, seconds: 3 }).seconds).toBe(3);
  });
});

describe('what is refused, and what is said', () => {
  const cases: [OptionName, string, string][] = [
    ['seconds', 'soon', '--seconds: expected seconds, 0 to 1e9'],
    ['seconds', '-1', '--seconds: expected seconds, 0 to 1e9'],
    ['seed', '0x10000000000000000', '--seed: expected an integer from 0 to 2^64 - 1'],
    ['submitters', '33', '--submitters: expected an integer from 0 to 32'],
    ['submitters', '1.5', '--submitters: expected an integer from 0 to 32'],
    ['threads', '', '--threads: expected an integer from 0 to 4'],
    ['sizes', '4095', '--sizes: expected sizes from 4K to 64M in whole pages'],
    ['sizes', '4K,65M', '--sizes: expected sizes from 4K to 64M in whole pages'],
    ['sizes', ',', '--sizes: expected sizes from 4K to 64M in whole pages'],
    ['stressors', 'munmap,nunmap', '--stressors: expected stressors, not "nunmap": munmap, mmap'],
    ['stressors', stressorNames.map((n) => `-${n}`).join(','), '--stressors: expected one or more'],
    ['faults', 'gremlins', '--fault: expected faults, not "gremlins": skip-retry'],
    ['strategy', 'hope', '--strategy: expected one of interval'],
    ['device', 'renderD128', '--device: expected auto, soft, vm, or the path of a DRM node'],
    ['era', 'stone', '--era: expected auto, waits or no-wait'],
  ];
  test.each(cases)('%s %j', (name, text, message) => {
    expect(() => parseFlags({ [name]: text })).toThrow(OptionError);
    expect(() => parseFlags({ [name]: text })).toThrow(message);
  });

  test('what only the software device has, on a node', () => {
    expect(() => parseFlags({ device: '/dev/dri/renderD128', faults: 'no-wait' })).toThrow(
      '--fault is of the software device: use --device soft with it',
    );
  });

  test('whatever the text is, an OptionError or options', () => {
    fc.assert(
      fc.property(fc.constantFrom(...flags.map((f) => f.name)), fc.string(), (name, text) => {
        try {
          parseFlags({ [name]: text });
        } catch (e) {
          expect(e).toBeInstanceOf(OptionError);
        }
      }),
    );
  });
});

test('a list of stressors: all, these, or all but those', () => {
  expect(chosenStressors([])).toEqual(stressorNames);
  expect(chosenStressors(['mmap', 'munmap'])).toEqual(['munmap', 'mmap']);
  expect(chosenStressors(['-fork'])).toEqual(stressorNames.filter((n) => n !== 'fork'));
});
