// SPDX-License-Identifier: MIT
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConsoleReader, MAX_LINE, parseConsoleLine, parseKmsg } from '../../lib/kernel/kmsg.js';

describe('parseKmsg', () => {
  it('reads a record, its caller and its fields', () => {
    const raw =
      '28,339,5140900,c,caller=T1,more=2;NET: registered \\x5c and \\xc3\\xa9\\x0atwo lines\n' +
      ' SUBSYSTEM=pci\n DEVICE=+pci:0000:00:02.0\n';
    expect(parseKmsg(raw)).toEqual({
      level: 4,
      facility: 3,
      seq: 339,
      us: 5_140_900,
      caller: 'T1',
      text: 'NET: registered \\ and é\ntwo lines',
      fields: { SUBSYSTEM: 'pci', DEVICE: '+pci:0000:00:02.0' },
    });
  });

  it('keeps a text with semicolons whole', () => {
    expect(parseKmsg('6,1,2,-;a;b=1;c\n')?.text).toBe('a;b=1;c');
  });

  it('tells what is no record', () => {
    for (const raw of ['', 'text', '6,1,2', '6,1,2,-', '-1,1,2,-;text', '6,x,2,-;text'])
      expect(parseKmsg(raw)).toBeNull();
  });

  it('makes a field of any name', () => {
    const fields = parseKmsg('6,1,2,-;t\n __proto__=x\n')?.fields ?? {};
    expect(Object.entries(fields)).toEqual([['__proto__', 'x']]);
  });

  it('is bounded', () => {
    const text = 'x'.repeat(1e6);
    const record = parseKmsg(`6,1,2,-;${text}\n${' K=v\n'.repeat(1e5)}`);
    expect(record?.text).toHaveLength(MAX_LINE);
    const many = Array.from({ length: 1000 }, (_, i) => ` K${i}=v`).join('\n');
    expect(Object.keys(parseKmsg(`6,1,2,-;t\n${many}`)?.fields ?? {}).length).toBeLessThan(100);
  });

  it('takes anything', () => {
    const raw = fc.string({ unit: 'binary' });
    fc.assert(fc.property(raw, (text) => void parseKmsg(`6,1,2,-;${text}`)));
    fc.assert(fc.property(raw, (text) => parseKmsg(`6,1,2${text}`) !== undefined));
  });
});

describe('parseConsoleLine', () => {
  const fields = {};
  it.each([
    ['[   12.345678] text', { us: 12_345_678, text: 'text' }],
    ['[   12.345678][  T123] text', { us: 12_345_678, caller: 'T123', text: 'text' }],
    [
      '<4>[    0.000001][    C1]  text\r',
      { us: 1, caller: 'C1', level: 4, facility: 0, text: ' text' },
    ],
    ['<30>[    0.000001] text', { us: 1, level: 6, facility: 3, text: 'text' }],
    ['\x1b[1;31m[ 1.000000] \x1b[0mred\x07', { us: 1_000_000, text: 'red' }],
    ['[12.3] text', { text: '[12.3] text' }],
    ['text', { text: 'text' }],
  ])('%j', (line, record) => {
    expect(parseConsoleLine(line)).toEqual([{ ...record, fields }]);
  });

  it('begins anew at each time stamp', () => {
    expect(parseConsoleLine('ok 12 - mu[   88.120001] Kernel[   88.120002][T1] x')).toEqual([
      { text: 'ok 12 - mu', fields },
      { us: 88_120_001, text: 'Kernel', fields },
      { us: 88_120_002, caller: 'T1', text: 'x', fields },
    ]);
  });

  it('says nothing of an empty line', () => {
    expect(parseConsoleLine(' \r')).toEqual([]);
  });
});

describe('ConsoleReader', () => {
  it('gives the same however the stream is cut', () => {
    const body = Buffer.from('[    1.000000] é\r\n\n[    2.000000] ü\x1b[0m\nno end');
    const whole = new ConsoleReader();
    const expected = [...whole.push(body), ...whole.end()];
    expect(expected.map((r) => r.text)).toEqual(['é', 'ü', 'no end']);
    fc.assert(
      fc.property(fc.array(fc.nat(body.length)), (cuts) => {
        const reader = new ConsoleReader();
        const at = [0, ...cuts.sort((a, b) => a - b), body.length];
        const records = at.flatMap((from, i) =>
          reader.push(body.subarray(from, at[i + 1] ?? from)),
        );
        expect([...records, ...reader.end()]).toEqual(expected);
      }),
    );
  });

  it('counts what it cuts off, and goes on with the next line', () => {
    const reader = new ConsoleReader();
    const [long, next] = reader.push(
      Buffer.from(`${'x'.repeat(MAX_LINE + 10)}\n[    1.000000] y\n`),
    );
    expect(long?.text).toHaveLength(MAX_LINE);
    expect(next?.text).toBe('y');
    expect(reader.cut).toBe(10);
  });
});
