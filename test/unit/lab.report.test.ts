// SPDX-License-Identifier: MIT
import { describe, expect, test } from 'vitest';
import { progressText } from '../../lib/cli/lab/compare.js';
import { explainText } from '../../lib/cli/lab/explain.js';
import { labListText } from '../../lib/cli/lab/list.js';
import { gdbCommand, replayText } from '../../lib/cli/lab/replay.js';
import { cellStatus, cellText } from '../../lib/cli/lab/run.js';
import { html } from '../../lib/lab/html.js';
import { lanesText, lanesView } from '../../lib/lab/lanes.js';
import type { Comparison, Lanes, Replay } from '../../lib/lab/schema.js';
import { findingsText, markdown, sentence, tableText } from '../../lib/lab/table.js';
import { cell, comparison, finding, HOSTILE, lanes } from './lab.fixtures.js';

describe('lanes', () => {
  test('as text', () => {
    expect(lanesText(lanes)).toBe(
      [
        '   step  main   submit              munmap             at           page table, where it changes',
        '      1  begin                                                      page 0: frame 0 rw',
        '      2           begin',
        '      3         ┏ lock object lock                     none.cpp:10',
        '      4         ┃                   ┏  lock mmap_lock  mm.cpp:145',
        '>     5         ┃                   ┃┌ page 0: change  mm.cpp:150   page 0: none [munmap]',
        '',
        'In the end:',
        '  main stands before wait the threads to end',
        '  submit stands before lock_read mmap_lock; holds object lock',
        '  munmap stands before lock object lock; holds mmap_lock, notifier_lock (read)',
        '',
      ].join('\n'),
    );
  });

  test('in brief, without what sets the scene', () => {
    const { threads, rows } = lanesView(lanes, true);
    expect(threads.map((t) => t.name)).toEqual(['submit', 'munmap']);
    expect(rows.map((r) => (typeof r === 'number' ? r : r.step))).toEqual([3, 4, 5]);
    const text = lanesText(lanes, { brief: true });
    expect(text).not.toContain('mm.cpp');
    expect(text).not.toContain('main');
  });

  test('in brief, without threads that only wait for work', () => {
    const step = { op: 'lock', object: 'wq', where: '', held: [], next: [], pages: '' };
    const busy: Lanes = {
      threads: [...lanes.threads, 'worker', 'stuck'],
      steps: [
        { ...step, thread: 3 },
        { ...step, thread: 4 },
        ...lanes.steps.slice(0, -1),
        { ...step, thread: 2, held: [[], [], [], [], ['wq']] },
      ],
    };
    expect(lanesView(busy, true).threads.map((t) => t.name)).toEqual(['munmap', 'stuck']);
    expect(lanesView(busy).threads).toHaveLength(5);
  });

  test('of a livelock leave its middle out', () => {
    const step = lanes.steps[3];
    if (!step) throw new Error('no step');
    const long: Lanes = { ...lanes, steps: Array.from({ length: 4000 }, () => step) };
    const { rows } = lanesView(long);
    expect(rows).toHaveLength(301);
    expect(rows[100]).toBe(3700);
    expect(rows.at(-1)).toMatchObject({ step: 4000, fatal: true });
    expect(lanesText(long)).toContain('... 3700 steps ...');
  });

  test('of nothing, and of threads without a name, are no crash', () => {
    expect(lanesText({ threads: [], steps: [] })).toContain('step');
    const odd: Lanes = {
      threads: [],
      steps: [{ thread: 9, op: 'x', object: '', where: '', held: [], next: [], pages: '' }],
    };
    expect(lanesText(odd)).toContain('thread 9');
  });
});

describe('the table', () => {
  test('as text', () => {
    expect(tableText(comparison)).toBe(
      [
        '          lookup      exit      innocent',
        '          invalidate  busy      thp        reclaim',
        'none      deadlocks   violated  livelocks  error',
        'interval  holds       holds?    lockdep    -',
        '',
        'interrupted after 7 of 8 cells in 12.3 s, 2 at a time; 53,102 steps; 4 findings; not exhaustive (?): 1; 1 failed',
        '',
      ].join('\n'),
    );
  });

  test('is broken where it is too wide, with the strategies before each part', () => {
    const lines = tableText(comparison, { width: 34 }).split('\n');
    expect(lines.filter((line) => line.startsWith('interval  '))).toHaveLength(2);
    expect(Math.max(...lines.slice(0, 9).map((line) => line.length))).toBeLessThanOrEqual(34);
  });

  test('has colors only where they are wanted', () => {
    expect(tableText(comparison)).not.toContain('\x1b');
    expect(tableText(comparison, { color: true })).toContain('\x1b[31mviolated\x1b[39m');
  });

  test('and below it each finding with its sentence and its file', () => {
    const text = findingsText(comparison);
    expect(text).toContain(
      'none in lookup-invalidate: deadlocks\n  submit waits for mmap_lock, which munmap has\n  munmap waits for object lock, which submit has\n  /tmp/found/none.lookup-invalidate.ndjson\n',
    );
    expect(text).toContain('none in reclaim: error\n  died');
    expect(text).not.toContain('interval in lookup-invalidate');
    expect(findingsText({ ...comparison, cells: [cell()] })).toBe('');
  });

  test('as Markdown has a row for each scenario and a column for each strategy', () => {
    const lines = markdown(comparison).split('\n');
    expect(lines.slice(0, 6)).toEqual([
      '|  | none | interval |',
      '| --- | --- | --- |',
      '| lookup-invalidate | **deadlocks** | holds |',
      '| exit-busy | **violated** | holds? |',
      '| innocent-thp | **livelocks** | **lockdep** |',
      '| reclaim | **error** | **-** |',
    ]);
    expect(markdown(comparison)).not.toMatch(/<(?!\/?(details|summary)>)/);
    expect(markdown(comparison)).not.toMatch(/(?<!\\)\](?=\()/);
  });

  test('a sentence is one line', () => {
    expect(sentence(finding())).toBe(
      'submit waits for mmap_lock, which munmap has; munmap waits for object lock, which submit has',
    );
    const lockdep = 'possible recursive locking detected';
    const report = `=====\nWARNING: ${lockdep}\n...`;
    expect(sentence(cell({ verdict: 'lockdep', lockdep, what: report }))).toBe(lockdep);
    expect(sentence(cell({ stopped: 'seconds' }))).toBe('holds, stopped by the limit of seconds');
  });
});

/** Tags with their attributes, and the text between them; whatever is no well-formed tag throws. */
function parse(page: string): { tags: [string, Record<string, string>][]; text: string } {
  const tags: [string, Record<string, string>][] = [];
  const open: string[] = [];
  const voids = new Set(['meta', '!doctype']);
  let text = '';
  let at = 0;
  const body = page.replace(/<style>[\s\S]*?<\/style>/, '');
  const tag = /<(\/?)([a-z0-9!]+)((?: [a-z-]+(?:="[^"<>]*")?)*)>/gy;
  while (at < body.length) {
    if (body[at] !== '<') {
      const end = body.indexOf('<', at);
      const part = body.slice(at, end < 0 ? undefined : end);
      if (/>|&(?!(amp|lt|gt|quot|#39);)/.test(part)) throw new Error(`not escaped: ${part}`);
      text += part;
      at += part.length;
      continue;
    }
    tag.lastIndex = at;
    const found = tag.exec(body);
    if (!found) throw new Error(`no tag: ${body.slice(at, at + 80)}`);
    const [all, slash, name = '', rest = ''] = found;
    at += all.length;
    if (slash) {
      const inner = open.pop();
      if (inner !== name) throw new Error(`</${name}> ends <${inner}>`);
      continue;
    }
    if (!voids.has(name)) open.push(name);
    const attributes = [...rest.matchAll(/ ([a-z-]+)(?:="([^"]*)")?/g)];
    tags.push([name, Object.fromEntries(attributes.map(([, key, value]) => [key, value ?? '']))]);
  }
  if (open.length) throw new Error(`never ended: ${open}`);
  return { tags, text };
}

describe('the page', () => {
  const page = html(comparison);
  const { tags, text } = parse(
    page.replace('<!doctype html>', '<!doctype>').replaceAll('<br>', ''),
  );

  test('is well formed, and all that came from elsewhere is text', () => {
    const names = new Set(tags.map(([name]) => name));
    for (const name of ['script', 'img', 'link', 'iframe', 'object', 'form', 'style', 'base'])
      expect(names).not.toContain(name);
    expect(page).not.toContain(HOSTILE);
    expect(text).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;');
    for (const [, attributes] of tags)
      for (const name of Object.keys(attributes)) expect(name).not.toMatch(/^on|^style$|^src$/);
  });

  test('asks the network for nothing', () => {
    for (const [, { href = '#' }] of tags) expect(href).toMatch(/^#/);
    expect(page).not.toMatch(/url\(|@import/);
    expect(page).toContain("default-src 'none'");
  });

  test('has a cell for each strategy and scenario, and findings lead to their lanes', () => {
    const cells = page.match(/<tbody>[\s\S]*?<\/tbody>/)?.[0].match(/<td /g);
    expect(cells).toHaveLength(comparison.strategies.length * comparison.scenarios.length);
    const ids = tags.filter(([name]) => name === 'section').map(([, { id }]) => id);
    expect(ids).toEqual([
      'none.lookup-invalidate',
      'none.exit-busy',
      'none.innocent-thp',
      'interval.innocent-thp',
      'none.reclaim',
    ]);
    const links = tags.filter(([name]) => name === 'a').map(([, { href }]) => href?.slice(1));
    expect(new Set(links)).toEqual(new Set(ids));
    for (const id of ids.slice(0, 3)) {
      const section = page.slice(page.indexOf(`<section id="${id}"`));
      const own = section.slice(0, section.indexOf('</section>'));
      expect(own).toContain('<table class="lanes">');
      expect(own.match(/<tr class="fatal">/g)).toHaveLength(1);
    }
  });

  test('draws a lock as long as it is held', () => {
    const section = page.slice(page.indexOf('<section id="none.lookup-invalidate"'));
    const own = section.slice(0, section.indexOf('</section>'));
    const bars = [...own.matchAll(/<i class="(k\d)([^"]*)" title="holds ([^"]*)">/g)];
    expect(bars.map(([, color, kind, lock]) => `${lock} ${color}${kind}`)).toEqual([
      'object lock k0 taken',
      'object lock k0',
      'mmap_lock k1 taken',
      'object lock k0',
      'mmap_lock k1',
      'notifier_lock (read) k2 taken read',
    ]);
  });

  test('of nothing found has only the table', () => {
    const calm: Comparison = { ...comparison, cells: [cell()] };
    expect(html(calm)).not.toContain('<section');
  });
});

describe('one cell', () => {
  test('says what was found and how to have it again', () => {
    const text = cellText(finding(), '/x/i915-lab', { color: false });
    expect(text).toMatch(/^none in lookup-invalidate: deadlocks\nsubmit waits/);
    expect(text).toContain('┏ lock object lock');
    expect(text).toContain(
      'counterexample: 2 context switches, 1 of them by preemption, none with',
    );
    expect(text).toContain(
      'replay: i915-userptr lab replay /tmp/found/none.lookup-invalidate.ndjson',
    );
    expect(text).toContain(
      "gdb -ex 'break mm.cpp:150' -ex run --args /x/i915-lab replay /tmp/found/none.lookup",
    );
    const { file: _, ...unsaved } = finding();
    expect(cellText(unsaved, '', { color: false })).toContain('--save FILE');
  });

  test.each([
    [cell(), 'exhaustive: no interleaving is left', 0],
    [cell({ exhaustive: false, stopped: 'seconds' }), 'the limit of seconds', 0],
    [cell({ exhaustive: false }), 'all that the bound on preemptions allows', 0],
    [cell({ exhaustive: false, within_bound: false }), 'some executions were too long', 0],
    [finding(), 'ended by the finding', 1],
    [cell({ verdict: 'lockdep' }), 'exhaustive', 1],
    [cell({ verdict: 'error', what: 'killed by SIGSEGV' }), 'killed by SIGSEGV', 3],
  ])('%#: how far it went, and the exit status', (c, words, status) => {
    expect(cellText(c, '', { color: false })).toContain(words);
    expect(cellStatus(c)).toBe(status);
  });

  test("a file's name is a word of the shell", () => {
    expect(gdbCommand('/x', "/tmp/a b'c", 'mm.cpp:1')).toBe(
      `gdb -ex 'break mm.cpp:1' -ex run --args /x replay '/tmp/a b'\\''c'`,
    );
  });
});

describe('a replay', () => {
  const replay: Replay = {
    type: 'replay',
    strategy: 'none',
    scenario: 'exit-busy',
    break: 'no-seq',
    found: 'violated',
    found_what: 'stale pages',
    verdict: 'violated',
    what: 'stale pages',
    same: true,
    mismatch: '',
    lanes,
  };

  test('has the lanes of a run, and what came of it', () => {
    expect(replayText(replay)).toBe(
      `none in exit-busy, broken by no-seq: violated\nstale pages\n\n${lanesText(lanes)}\nagain violated: stale pages\n`,
    );
    expect(replayText(replay, { brief: true })).toContain(lanesText(lanes, { brief: true }));
    expect(replayText({ ...replay, verdict: 'holds', what: '', same: false })).toMatch(
      /\nnow holds\n$/,
    );
  });

  test('that does not fit ends with the lanes', () => {
    const text = replayText({ ...replay, same: false, mismatch: 'step 6 is ...' });
    expect(text.endsWith(`\n\n${lanesText(lanes)}`)).toBe(true);
  });
});

test('the list', () => {
  const text = labListText({ ...comparison, faults: [{ name: 'no-seq', what: 'x' }] });
  expect(text).toContain('\n  exit-busy          what exit-busy is');
  expect(text).toContain('faults (lab run --break)\n  no-seq  x\n');
});

test('explain breaks lines, and leaves out what is not told', () => {
  const strategy = {
    name: 'ban',
    what: 'word '.repeat(40).trim(),
    waits: true,
    kernels: '',
    does: '',
    against: 'a\nb',
    sources: '',
  };
  const lines = explainText(strategy).split('\n');
  expect(lines[0]).toBe('ban');
  expect(lines[1]).toMatch(/^ {2}what {5}word/);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(95);
  expect(lines).toContain('  against  a');
  expect(lines).toContain('           b');
  expect(lines.join()).not.toContain('kernels');
});

test('progress is one line', () => {
  const now = ['none in exit-busy'];
  expect(progressText({ done: 4, total: 8, findings: 1, steps: 12_345, now }, 3.4)).toBe(
    '3 s  4 of 8  1 finding  12,345 steps  none in exit-busy',
  );
});
