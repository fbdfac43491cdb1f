// SPDX-License-Identifier: MIT
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kselftestText } from '../../lib/cli/kselftest.js';
import { KtapReader, leaves } from '../../lib/kselftest/ktap.js';
import { type KselftestProgram, kselftestResultSchema } from '../../lib/kselftest/result.js';
import { judge } from '../../lib/kselftest/run.js';

function read(text: string) {
  const seen: string[] = [];
  const reader = new KtapReader({
    onTest: (test, path) => seen.push([...path, test.name, test.outcome].join('/')),
  });
  for (const line of text.split('\n')) reader.feed(line);
  return { ...reader.end(), seen };
}

const nested = `KTAP version 1
1..2
# seed 7
  KTAP version 1
  # Subtest: interface
  1..3
  ok 1 flags
  # data.c:12: expected 0, was -14
  # ioctl userptr: 3 calls
  not ok 2 sizes
  ok 3 huge # SKIP no huge pages: see Documentation # 5
not ok 1 interface
ok 2 - data # XFAIL: known
# Totals: pass:2 fail:1
`;

describe('KtapReader', () => {
  it('reads nested tests, each with what was said before it', () => {
    const { tests, problems, seen } = read(nested);
    expect(problems).toEqual([]);
    const [first, second] = tests;
    expect(first).toMatchObject({ name: 'interface', outcome: 'fail', diagnostics: ['seed 7'] });
    expect(first?.subtests).toEqual([
      { name: 'flags', outcome: 'pass', reason: '', diagnostics: [], subtests: [] },
      {
        name: 'sizes',
        outcome: 'fail',
        reason: '',
        diagnostics: ['data.c:12: expected 0, was -14', 'ioctl userptr: 3 calls'],
        subtests: [],
      },
      {
        name: 'huge',
        outcome: 'skip',
        reason: 'no huge pages: see Documentation # 5',
        diagnostics: [],
        subtests: [],
      },
    ]);
    expect(second).toMatchObject({ name: 'data', outcome: 'pass', reason: 'known' });
    expect(seen).toEqual([
      'interface/flags/pass',
      'interface/sizes/fail',
      'interface/huge/skip',
      'data/pass',
    ]);
  });

  it('takes a plan that skips all', () => {
    const { skipped, tests, problems } = read('KTAP version 1\n1..0 # SKIP no i915 here\n');
    expect({ skipped, tests, problems }).toEqual({
      skipped: 'no i915 here',
      tests: [],
      problems: [],
    });
  });

  it.each([
    ['', ['nothing was said in KTAP']],
    ['KTAP version 1\n1..2\nok 1 a\n', ['1 of 2 tests have reported']],
    ['KTAP version 1\nok 1 a\n', ['there is no plan']],
    ['KTAP version 1\n1..1\n1..1\nok 1 a\n', ['a second plan: 1..1']],
    ['KTAP version 1\n1..2\nok 1 a\nok 3 b\n', ['b: number 3, expected 2']],
    ['KTAP version 1\n1..1\nok 1 a\nBail out! no memory\n', ['Bail out! no memory']],
    [
      'KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..2\n  ok 1 b\n',
      ['a: 1 of 2 tests have reported', 'a has not ended'],
    ],
  ])('tells what is wrong with %j', (text, problems) => {
    expect(read(text).problems).toEqual(problems);
  });

  it('makes a test that has not ended a failure', () => {
    const { tests } = read('KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..1\n');
    expect(tests).toMatchObject([{ name: 'a', outcome: 'fail', reason: 'it has not ended' }]);
  });

  it('lets programs and the kernel talk in between', () => {
    const { tests, problems } = read(
      'hello\nKTAP version 1\n1..1\n[  1.0] i915: resetting\n      indented # text\nok 1 a\n',
    );
    expect(problems).toEqual([]);
    expect(tests).toMatchObject([{ name: 'a', outcome: 'pass' }]);
  });

  it('takes anything, and keeps no more than it must', () => {
    const word = fc.constantFrom(
      'ok',
      'not ok',
      ' 1',
      ' 99999999999999999999',
      '1..3',
      '#',
      ' # SKIP',
      'KTAP version 1',
      '  ',
      '\n',
      '\0',
      'Bail out!',
      '# Subtest: x',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 200 }), (words) => {
        const { tests, problems } = read(words.join(''));
        expect(problems.length).toBeLessThanOrEqual(64);
        for (const { path } of leaves(tests)) expect(path.length).toBeLessThanOrEqual(8);
      }),
    );
  });

  it('is bounded in tests, lines and depth', () => {
    const many = Array.from({ length: 20_010 }, (_, i) => `ok ${i + 1} t`).join('\n');
    const { tests, problems } = read(`KTAP version 1\n1..20010\n${many}\n`);
    expect(tests.length).toBe(20_000);
    expect(problems).toEqual(['more than 20000 tests', '20000 of 20010 tests have reported']);
    const lines = `${'# x\n'.repeat(500)}ok 1 ${'y'.repeat(5000)}\n`;
    const [test] = read(`KTAP version 1\n1..1\n${lines}`).tests;
    expect(test?.diagnostics.length).toBe(200);
    expect(test?.name.length).toBeLessThanOrEqual(1000);
  });
});

const program = (text: string, more: Partial<KselftestProgram> = {}): KselftestProgram => {
  const { tests, skipped } = read(text);
  return {
    name: 'i915_userptr_data',
    status: 0,
    signal: '',
    seconds: 1,
    skipped,
    tests,
    problems: [],
    ...more,
  };
};
const passing = program('KTAP version 1\n1..2\nok 1 a\nok 2 b # SKIP why\n');
const skipping = program('KTAP version 1\n1..0 # SKIP no i915\n', { status: 4 });
const failing = program(nested, { status: 1 });

describe('the verdict', () => {
  it.each<[string, number, KselftestProgram[], string]>([
    ['pass', 0, [passing, skipping], '1 passed, 1 skipped'],
    ['fail', 1, [passing, failing], '3 passed, 1 failed, 2 skipped'],
    ['skip', 4, [skipping], 'no i915'],
    [
      'fail',
      1,
      [{ ...passing, problems: ['killed by SIGSEGV'] }],
      '1 passed, 1 skipped, i915_userptr_data: killed by SIGSEGV',
    ],
  ])('%s', (verdict, exitStatus, programs, why) => {
    expect(judge(programs, false)).toMatchObject({ verdict, exitStatus, why });
  });

  it('of what was interrupted is of what has run', () => {
    expect(judge([passing], true)).toMatchObject({ verdict: 'pass' });
    expect(judge([], true)).toMatchObject({ verdict: 'error', exitStatus: 3 });
  });
});

describe('the text and the JSON', () => {
  const result = kselftestResultSchema.parse({
    schema: 'i915-userptr/kselftest',
    version: 1,
    ...judge([passing, failing], false),
    end: 'itself',
    replay: 'npx i915-userptr kselftest --vm -s 7',
    startedAt: new Date(0).toISOString(),
    seconds: 2,
    host: { tool: '1', kernel: '6.1', machine: 'x86_64', cpus: 2, node: '20' },
    device: { name: 'vm', why: 'because' },
    seed: '7',
    programs: [passing, failing],
    notes: [],
    vm: null,
  });

  it('tells failures with what they said, skips with their reasons, and the replay', () => {
    const text = kselftestText(result, { color: false, brief: false });
    expect(text).toContain('failed  i915_userptr_data: interface sizes');
    expect(text).toContain('  # data.c:12: expected 0, was -14');
    expect(text).toContain('skipped 1: why');
    expect(text).toMatch(/FAIL: 3 passed, 1 failed.*\nagain: {2}npx i915-userptr kselftest/);
    const brief = kselftestText(result, { color: false, brief: true });
    expect(brief).toContain('failed  i915_userptr_data');
    expect(brief).not.toContain('kernel');
  });
});
