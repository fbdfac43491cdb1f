// SPDX-License-Identifier: MIT
// A counterexample for the eye: one column a thread, one row a step.
import pico from 'picocolors';
import type { Lanes } from './schema.js';

export interface Row {
  /** Counted from 1, as in the schedule's file. */
  step: number;
  thread: number;
  op: string;
  where: string;
  /** After the step, by thread. */
  held: readonly (readonly string[])[];
  /** The page table, where it has changed. */
  pages: string;
  /** The last one, after which it was found. */
  fatal: boolean;
}

export interface LanesView {
  /** Those that made a step, by their numbers. */
  threads: { number: number; name: string }[];
  /** A number: so many steps are left out. */
  rows: (Row | number)[];
  /** Where each thread stands in the end. */
  end: string[];
}

/** A livelock goes on for thousands of steps, which are all the same. */
const FIRST_ROWS = 100;
const LAST_ROWS = 200;

const isOfPage = (object: string) => /^page \d+: /.test(object);

/** `store page 0: look up`: what the step is in the kernel's words is told by its name alone. */
const opText = (op: string, object: string): string =>
  isOfPage(object) ? object : object && object !== op ? `${op} ${object}` : op;

/** Threads that did no more than begin to wait for work. */
function idle({ threads, steps }: Lanes): Set<number> {
  const last = steps.at(-1);
  const made = threads.map(
    (_, t) => steps.filter((s) => s.thread === t && s.op !== 'begin').length,
  );
  return new Set(
    [...made.keys()].filter(
      (t) => (made[t] ?? 0) <= 1 && t !== last?.thread && !last?.held[t]?.length,
    ),
  );
}

/**
 * With `brief`, not what sets the scene: begins of threads, thread 0 before pages are in play, and
 * threads that only wait for work.
 */
export function lanesView({ threads, steps }: Lanes, brief = false): LanesView {
  const idlers = brief ? idle({ threads, steps }) : new Set<number>();
  const scene = steps.findIndex(
    (s) => isOfPage(s.object) || (s.thread !== 0 && s.op !== 'begin' && !idlers.has(s.thread)),
  );
  let pages = '';
  const all: Row[] = [];
  for (const [i, s] of steps.entries()) {
    const drop = i < scene || s.op === 'begin' || idlers.has(s.thread);
    if (brief && drop && i < steps.length - 1) continue;
    all.push({
      step: i + 1,
      thread: s.thread,
      op: opText(s.op, s.object),
      where: s.where,
      held: s.held,
      pages: s.pages === pages ? '' : s.pages,
      fatal: i === steps.length - 1,
    });
    pages = s.pages;
  }
  const left = all.length - FIRST_ROWS - LAST_ROWS;
  const rows =
    left > 1 ? [...all.slice(0, FIRST_ROWS), left, ...all.slice(FIRST_ROWS + left)] : all;
  const used = new Set(all.map((row) => row.thread));
  return {
    threads: [...used]
      .sort((a, b) => a - b)
      .map((number) => ({ number, name: threads[number] ?? `thread ${number}` })),
    rows,
    end: endOf({ threads, steps }, (t) => !brief || used.has(t)),
  };
}

function endOf({ threads, steps }: Lanes, shown: (thread: number) => boolean): string[] {
  const last = steps.at(-1);
  if (!last) return [];
  return threads.flatMap((name, t) => {
    const next = last.next[t] ?? '';
    const held = last.held[t] ?? [];
    if (!shown(t) || (!next && held.length === 0)) return [];
    const stands = next ? `stands before ${next}` : t === last.thread ? 'was here' : 'ended';
    return [`${name} ${stands}${held.length ? `; holds ${held.join(', ')}` : ''}`];
  });
}

const isRead = (lock: string) => lock.endsWith(' (read)');

/** One mark for each lock: thick where it is held alone, and with a corner where it was taken. */
function bars(held: readonly string[], before: readonly string[]): string {
  return held
    .map((lock, i) => {
      const taken = i >= before.length || before[i] !== lock;
      return isRead(lock) ? (taken ? '┌' : '│') : taken ? '┏' : '┃';
    })
    .join('');
}

export interface LanesTextOptions {
  color?: boolean;
  /** Without what sets the scene, and without places in the source. */
  brief?: boolean;
}

export function lanesText(lanes: Lanes, { color = false, brief = false }: LanesTextOptions = {}) {
  const paint = pico.createColors(color);
  const { threads, rows, end } = lanesView(lanes, brief);
  const steps = rows.filter((row) => typeof row !== 'number');
  const barsOf = (number: number) => Math.max(0, ...steps.map((r) => r.held[number]?.length ?? 0));
  const columns = threads.map(({ number, name }) => {
    const room = barsOf(number);
    const ops = steps.filter((r) => r.thread === number).map((r) => r.op.length);
    return {
      number,
      name,
      room,
      width: Math.max(name.length, room + (room ? 1 : 0) + Math.max(...ops)),
    };
  });
  const whereWidth = Math.max(2, ...steps.map((r) => r.where.length));
  const lines = [
    paint.bold(
      [
        '   step',
        ...columns.map((c) => c.name.padEnd(c.width)),
        ...(brief ? [] : ['at'.padEnd(whereWidth)]),
        'page table, where it changes',
      ].join('  '),
    ),
  ];
  let before: readonly (readonly string[])[] = [];
  for (const row of rows) {
    if (typeof row === 'number') {
      lines.push(`        ... ${row} steps ...`);
      continue;
    }
    const cells = columns.map(({ number, room, width }) => {
      const marks = bars(row.held[number] ?? [], before[number] ?? []).padEnd(room);
      const op = row.thread === number ? row.op : '';
      return `${marks}${room ? ' ' : ''}${op}`.padEnd(width);
    });
    const line = [
      `${row.fatal ? '>' : ' '}${`${row.step}`.padStart(6)}`,
      ...cells,
      ...(brief ? [] : [row.where.padEnd(whereWidth)]),
      row.pages,
    ]
      .join('  ')
      .trimEnd();
    lines.push(row.fatal ? paint.red(line) : line);
    before = row.held;
  }
  if (end.length > 0) lines.push('', 'In the end:', ...end.map((line) => `  ${line}`));
  return `${lines.join('\n')}\n`;
}
