// SPDX-License-Identifier: MIT
// A comparison in which everything that can stand in a table does, with texts that must stay text.
import type { Cell, Comparison, Lanes } from '../../lib/lab/schema.js';

/** Two threads and a thread 0; `a` waits for a lock that `b` has, and has one itself. */
export const lanes: Lanes = {
  threads: ['main', 'submit', 'munmap'],
  steps: [
    {
      thread: 0,
      op: 'begin',
      object: '',
      where: '',
      held: [[]],
      next: ['wait the threads to end'],
      pages: 'page 0: frame 0 rw',
    },
    {
      thread: 1,
      op: 'begin',
      object: '',
      where: '',
      held: [[], [], []],
      next: ['wait the threads to end', 'lock object lock', 'begin'],
      pages: 'page 0: frame 0 rw',
    },
    {
      thread: 1,
      op: 'lock',
      object: 'object lock',
      where: 'none.cpp:10',
      held: [[], ['object lock'], []],
      next: ['wait the threads to end', 'lock_read mmap_lock', 'begin'],
      pages: 'page 0: frame 0 rw',
    },
    {
      thread: 2,
      op: 'lock',
      object: 'mmap_lock',
      where: 'mm.cpp:145',
      held: [[], ['object lock'], ['mmap_lock']],
      next: ['wait the threads to end', 'lock_read mmap_lock', 'store page 0: change'],
      pages: 'page 0: frame 0 rw',
    },
    {
      thread: 2,
      op: 'store',
      object: 'page 0: change',
      where: 'mm.cpp:150',
      held: [[], ['object lock'], ['mmap_lock', 'notifier_lock (read)']],
      next: ['wait the threads to end', 'lock_read mmap_lock', 'lock object lock'],
      pages: 'page 0: none [munmap]',
    },
  ],
};

export const cell = (more: Partial<Cell> = {}): Cell => ({
  strategy: 'interval',
  scenario: 'lookup-invalidate',
  break: '',
  verdict: 'holds',
  exhaustive: true,
  within_bound: true,
  stopped: '',
  executions: 190,
  steps: 7586,
  pruned: 3,
  longest: 50,
  seconds: 0.25,
  what: '',
  lockdep: '',
  ...more,
});

export const finding = (more: Partial<Cell> = {}): Cell =>
  cell({
    strategy: 'none',
    verdict: 'deadlocks',
    exhaustive: false,
    within_bound: false,
    what: 'submit waits for mmap_lock, which munmap has\nmunmap waits for object lock, which submit has',
    preemptions: 1,
    minimal: true,
    switches: 2,
    file: '/tmp/found/none.lookup-invalidate.ndjson',
    lanes,
    ...more,
  });

export const HOSTILE = `<script>alert("x")</script>&'|\`](http://x) "`;

const named = (name: string) => ({ name, what: `what ${name} is ${HOSTILE}` });

export const comparison: Comparison = {
  schema: 'i915-userptr lab comparison',
  version: 1,
  startedAt: '2026-11-24T12:00:00.000Z',
  seconds: 12.34,
  jobs: 2,
  secondsPerCell: 60,
  host: { tool: '0.1.0', kernel: '6.1.0', cpus: 2, cpu: `A CPU ${HOSTILE}` },
  complete: false,
  strategies: ['none', 'interval'].map((name) => ({
    ...named(name),
    waits: true,
    kernels: '',
    does: '',
    against: '',
    sources: '',
  })),
  scenarios: ['lookup-invalidate', 'exit-busy', 'innocent-thp', 'reclaim'].map(named),
  cells: [
    finding(),
    finding({
      scenario: 'exit-busy',
      verdict: 'violated',
      what: `bad ${HOSTILE}`,
      file: `/tmp/${HOSTILE}`,
      lanes: {
        threads: ['main', HOSTILE],
        steps: [
          {
            thread: 1,
            op: HOSTILE,
            object: HOSTILE,
            where: HOSTILE,
            held: [[], [HOSTILE]],
            next: [HOSTILE, HOSTILE],
            pages: HOSTILE,
          },
        ],
      },
    }),
    finding({ scenario: 'innocent-thp', verdict: 'livelocks' }),
    cell({ strategy: 'none', scenario: 'reclaim', verdict: 'error', what: `died ${HOSTILE}` }),
    cell(),
    cell({ scenario: 'exit-busy', exhaustive: false, stopped: 'seconds' }),
    cell({
      scenario: 'innocent-thp',
      verdict: 'lockdep',
      what: 'possible circular locking dependency detected',
      lockdep: 'possible circular locking dependency detected',
    }),
  ],
};
