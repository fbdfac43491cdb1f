// SPDX-License-Identifier: MIT
// Each log of golden/kmsg begins with what must be found in it, and nothing else may be.
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConsoleReader, type KmsgRecord, parseKmsg } from '../../lib/kernel/kmsg.js';
import { MAX_SPLAT_LINES, type Splat, SplatDetector } from '../../lib/kernel/splat.js';

const folder = new URL('golden/kmsg/', import.meta.url);

interface Golden {
  expected: string[];
  kmsg: boolean;
  body: Buffer;
}

function load(name: string): Golden {
  const file = readFileSync(new URL(name, folder));
  const golden: Golden = { expected: [], kmsg: false, body: file };
  for (;;) {
    const end = golden.body.indexOf('\n');
    const [, key, value] =
      /^# (expect|expect nothing|format):? ?(.*)$/.exec(golden.body.toString('utf8', 0, end)) ?? [];
    if (key === undefined) return golden;
    if (key === 'format') golden.kmsg = value === 'kmsg';
    else if (value && value !== 'nothing') golden.expected.push(value);
    golden.body = golden.body.subarray(end + 1);
  }
}

/** Cut as an unlucky reader would get it. */
function* records({ kmsg, body }: Golden, chunk: number): Generator<KmsgRecord> {
  if (kmsg) {
    for (const raw of body.toString('utf8').split(/\n(?! )/)) {
      const record = parseKmsg(raw);
      if (record) yield record;
    }
    return;
  }
  const reader = new ConsoleReader();
  for (let at = 0; at < body.length; at += chunk) yield* reader.push(body.subarray(at, at + chunk));
  yield* reader.end();
}

function detect(golden: Golden, chunk = 4096): Splat[] {
  const detector = new SplatDetector();
  const found = [...records(golden, chunk)].flatMap((record) => detector.feed(record));
  return [...found, ...detector.end()];
}

const said = (splats: Splat[]) => splats.map((s) => `${s.severity} ${s.title}`).sort();

describe('golden logs', () => {
  for (const name of readdirSync(folder)) {
    const golden = load(name);
    it(name, () => {
      const splats = detect(golden);
      expect(said(splats)).toEqual([...golden.expected].sort());
      expect(said(detect(golden, 7))).toEqual(said(splats));
      for (const { lines } of splats) expect(lines.length).toBeGreaterThan(0);
    });
  }

  it('a splat has its lines from the first to the last', () => {
    const [splat] = detect(load('6.1-warn-crlf.txt'));
    expect(splat?.lines[0]).toMatch(/cut here/);
    expect(splat?.lines.at(-1)).toMatch(/end trace/);
    expect(splat?.function).toBe('i915_gem_userptr_release');
    expect(splat?.us).toBe(31_204_188);
  });

  it('what comes after a stall is not the stall’s', () => {
    const stall = detect(load('6.1-real-splats.txt')).find((s) => s.kind === 'stall');
    expect(stall?.lines.at(-1)).toMatch(/<\/TASK>/);
    expect(stall?.lines.join('\n')).not.toMatch(/blocked for more|kworker/);
  });

  it('two CPUs that tell who they are do not get each other’s lines', () => {
    const [first] = detect(load('interleaved-callers.txt')).filter((s) =>
      s.title.includes('submit_init'),
    );
    expect(first?.lines.join('\n')).not.toMatch(/__i915_vma_unbind|page fault/);
  });
});

const line = (text: string, us?: number): KmsgRecord => ({
  text,
  fields: {},
  ...(us === undefined ? {} : { us }),
});

describe('SplatDetector', () => {
  it('gives a splat when its last line has come, not before', () => {
    const detector = new SplatDetector();
    expect(detector.feed(line('WARNING: CPU: 0 PID: 1 at a/b.c:1 f+0x1/0x2', 1))).toEqual([]);
    const [splat] = detector.feed(line('---[ end trace 0000000000000000 ]---', 2));
    expect(splat?.title).toBe('WARNING in f');
    expect(detector.end()).toEqual([]);
  });

  it('ends a splat after a silence', () => {
    const detector = new SplatDetector();
    detector.feed(line('BUG: Bad rss-counter state mm:1 type:MM_ANONPAGES val:1', 1_000_000));
    expect(detector.feed(line('much later', 9_000_000)).map((s) => s.lines.length)).toEqual([1]);
  });

  it('ends a splat that goes on and on', () => {
    const detector = new SplatDetector();
    detector.feed(line('BUG: KASAN: wild-memory-access in f+0x1/0x2', 1));
    let found: Splat[] = [];
    for (let i = 0; found.length === 0 && i < 10_000; i++)
      found = detector.feed(line(`line ${i}`, 1));
    expect(found[0]?.lines).toHaveLength(MAX_SPLAT_LINES);
  });

  it('leaves out what is allowed, all of the report', () => {
    const allow = [{ line: /at a\/b\.c:1 f\+/, reason: 'a test' }];
    const detector = new SplatDetector(allow);
    const log = [
      '------------[ cut here ]------------',
      'WARNING: CPU: 0 PID: 1 at a/b.c:1 f+0x1/0x2',
      '---[ end trace 0000000000000000 ]---',
    ];
    expect(log.flatMap((text) => detector.feed(line(text, 1)))).toEqual([]);
    expect(detector.end()).toEqual([]);
  });

  it('does not take user space’s word', () => {
    const detector = new SplatDetector();
    detector.feed({ ...line('Kernel panic - not syncing: no', 1), facility: 1 });
    expect(detector.end()).toEqual([]);
  });
});

const words = fc.constantFrom(
  '[    1.000000] ',
  '[    9.000000][   T12] ',
  '[    9.000001][    C0] ',
  '------------[ cut here ]------------',
  'WARNING: CPU: 0 PID: 1 at a/b.c:1 f+0x1/0x2',
  'WARNING: possible circular locking dependency detected',
  '}, at: g+0x1/0x2',
  'BUG: KASAN: slab-use-after-free in h+0x1/0x2',
  'BUG: unable to handle page fault for address: 0',
  'Oops: Oops: 0000 [#1] SMP',
  'kernel BUG at a/b.c:7!',
  'refcount_t: underflow; use-after-free.',
  'Call Trace:',
  ' k+0x1/0x2',
  'RIP: 0010:r+0x1/0x2',
  '</TASK>',
  '---[ end trace 0000000000000000 ]---',
  '====================',
  'i915 [drm] GPU HANG: ecode 9:1:1',
  '\x1b]',
  '\x1b[',
  '{{{',
  '\r',
  '\n',
  '\n',
);

describe('no input', () => {
  it('crashes it, or takes memory without bound', () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.string({ unit: 'binary' }).map((s) => Buffer.from(s)),
      fc.array(words, { maxLength: 30 }).map((list) => Buffer.from(list.join(''))),
    );
    const headlines = /cut here|WARNING|BUG|Oops|panic|GPU HANG|refcount_t/g;
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 30 }), (chunks) => {
        const body = Buffer.concat(chunks);
        const splats = detect({ expected: [], kmsg: false, body }, 33);
        const most = body.toString('latin1').match(headlines)?.length ?? 0;
        expect(splats.length).toBeLessThanOrEqual(most);
        for (const { title, lines } of splats) {
          expect(title.length).toBeLessThanOrEqual(250);
          expect(title).not.toMatch(/[\n\r]/);
          expect(lines.length).toBeLessThanOrEqual(MAX_SPLAT_LINES);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('of a million characters without a newline is kept', () => {
    const reader = new ConsoleReader();
    const part = Buffer.from('[    1.000000] BUG: {[<('.repeat(4000));
    for (let i = 0; i < 20; i++) expect(reader.push(part)).toEqual([]);
    const kept = reader.end().reduce((sum, { text }) => sum + text.length, 0);
    expect(kept).toBeLessThanOrEqual(4096);
    expect(reader.cut).toBe(20 * part.length - 4096);
  });

  it('of headlines alone keeps more than a few reports open', () => {
    const detector = new SplatDetector();
    let found = 0;
    for (let i = 0; i < 1000; i++)
      found += detector.feed({ ...line('BUG: Bad page state', 1), caller: `T${i}` }).length;
    expect(found).toBeGreaterThan(900);
    expect(found + detector.end().length).toBe(1000);
  });
});
