// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  KernelLog,
  type KernelPaths,
  type KmsgSource,
  MAX_SPLATS,
  watchKernelLog,
} from '../../lib/kernel/local.js';

let folder: string;
let paths: KernelPaths;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kernel-log-'));
  paths = {
    kmsg: join(folder, 'kmsg'),
    tainted: join(folder, 'tainted'),
    lockdepStats: join(folder, 'lockdep_stats'),
  };
  writeFileSync(paths.tainted, '4096\n');
  writeFileSync(
    paths.lockdepStats,
    ' lock-classes: 1\n debug_locks:                             1\n',
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

class FakeKmsg implements KmsgSource {
  readonly queue: (string | 'overwritten')[] = [];
  readonly written: string[] = [];
  closed = 0;
  #seq = 100;
  say(text: string, { facility = 0, skip = 0 } = {}): void {
    this.#seq += skip;
    this.queue.push(`${facility * 8 + 4},${this.#seq},${this.#seq * 1000},-;${text}\n`);
    this.#seq++;
  }
  read() {
    return this.queue.shift() ?? null;
  }
  write(text: string) {
    this.written.push(text);
    this.say(text, { facility: 1 });
  }
  close() {
    this.closed++;
  }
}

describe('KernelLog', () => {
  it('tells what came between its markers', () => {
    const kmsg = new FakeKmsg();
    kmsg.say('kernel BUG at before/the.run:1!');
    const log = new KernelLog(kmsg, 7n, paths);
    expect(log.poll()).toEqual([]);
    kmsg.say('i915 0000:00:02.0: [drm] GPU HANG: ecode 9:1:85dffffb, in node [1]');
    expect(log.poll().map((s) => s.title)).toEqual(['GPU HANG: ecode 9:1:85dffffb']);
    kmsg.say('BUG: Bad rss-counter state mm:1 type:MM_ANONPAGES val:1');
    const verdict = log.end();
    expect(verdict.splats.map((s) => s.title)).toEqual([
      'GPU HANG: ecode 9:1:85dffffb',
      'BUG: Bad rss-counter state',
    ]);
    expect(verdict).toMatchObject({ records: 4, lost: 0, taintAdded: [], lockdepOff: false });
    expect(kmsg.written).toEqual(['i915-userptr: run 7 begins', 'i915-userptr: run 7 ends']);
    expect(kmsg.closed).toBe(1);
    expect(log.end()).toBe(verdict);
    expect(kmsg.closed).toBe(1);
  });

  it('counts what was overwritten', () => {
    const kmsg = new FakeKmsg();
    kmsg.say('before');
    const log = new KernelLog(kmsg, 7n, paths);
    kmsg.queue.push('overwritten');
    kmsg.say('after', { skip: 40 });
    log.poll();
    expect(log.end()).toMatchObject({ lost: 40, records: 3 });
  });

  it('tells a taint and lockdep turned off', () => {
    const log = new KernelLog(new FakeKmsg(), 7n, paths);
    writeFileSync(paths.tainted, '4608\n');
    writeFileSync(paths.lockdepStats, ' debug_locks:                             0\n');
    const verdict = log.end();
    expect(verdict.taintAdded.map((t) => t.letter)).toEqual(['W']);
    expect(verdict.lockdepOff).toBe(true);
  });

  it('says nothing of a lockdep that was off before, or is not there', () => {
    rmSync(paths.lockdepStats);
    expect(new KernelLog(new FakeKmsg(), 7n, paths).end().lockdepOff).toBe(false);
    writeFileSync(paths.lockdepStats, ' debug_locks:                             0\n');
    expect(new KernelLog(new FakeKmsg(), 7n, paths).end().lockdepOff).toBe(false);
  });

  it('keeps the first of each title, counts the others, and is bounded', () => {
    const kmsg = new FakeKmsg();
    const log = new KernelLog(kmsg, 7n, paths);
    const error = (i: number) => kmsg.say(`i915 x: [drm] *ERROR* number ${i}`);
    for (let i = 0; i < MAX_SPLATS + 5; i++) error(i);
    expect(log.poll()).toHaveLength(MAX_SPLATS);
    error(3);
    expect(log.poll()).toEqual([]);
    const { splats, moreSplats } = log.end();
    expect(moreSplats).toBe(5);
    expect(splats.map((s) => s.times).filter((n) => n !== 1)).toEqual([2]);
    expect(splats[3]).toMatchObject({ title: '*ERROR* number 3', times: 2 });
  });

  it('comes back from a log that is written faster than it is read', () => {
    const kmsg = new FakeKmsg();
    const log = new KernelLog(kmsg, 7n, paths);
    kmsg.read = () => '6,1,1,-;again\n';
    log.poll();
    expect(log.end().records).toBeGreaterThan(1);
  });
});

describe('watchKernelLog', () => {
  it('says why there is no log, and what to do', () => {
    expect(watchKernelLog(7n, paths)).toMatch(/kmsg: missing; a container must be given it/);
  });

  it('reads a source that cannot be written', () => {
    writeFileSync(paths.kmsg, '');
    const log = watchKernelLog(7n, paths);
    if (typeof log === 'string') throw new Error(log);
    expect(log.end()).toMatchObject({ records: 0, splats: [] });
  });

  it('watches the log of this machine', ({ skip }) => {
    const log = watchKernelLog(7n);
    if (typeof log === 'string') return skip(log);
    const verdict = log.end();
    expect(verdict.lost).toBe(0);
    expect(verdict.splats.filter((s) => s.title.includes('i915-userptr'))).toEqual([]);
  });
});
