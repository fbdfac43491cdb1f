// SPDX-License-Identifier: MIT
// Drivers that are broken on purpose: what a tester does not find in them, it would not find in a
// kernel. Each is an edit of i915's userptr code that must fit exactly once, or fails: a fault that
// silently is none would make a test that cannot fail.
import { VmError } from './error.js';

/** One change inside one function. */
export interface Edit {
  /** From the top of the kernel's source. */
  file: string;
  function: string;
  find: RegExp;
  put: string;
}

export interface Fault {
  name: string;
  /** What the driver does wrong. */
  says: string;
  /** What must be seen of it. */
  shows: string;
  edits: readonly Edit[];
}

export const I915 = 'drivers/gpu/drm/i915';
const file = `${I915}/gem/i915_gem_userptr.c`;
const notifier = 'i915_gem_userptr_invalidate';

/** Written for 6.1; a later kernel takes those that fit it. */
export const driverFaults: readonly Fault[] = [
  {
    name: 'no-set-seq',
    says: 'the notifier does not call mmu_interval_set_seq: pages pinned before stay valid',
    shows: 'writes after munmap and mmap land in the old pages',
    edits: [{ file, function: notifier, find: /\bmmu_interval_set_seq\([^;]*\);/, put: ';' }],
  },
  {
    name: 'short-range',
    says: 'the notifier of an object of two pages or more is registered one page short at its end',
    shows: "the last page's changes go unseen",
    edits: [
      {
        file,
        function: 'i915_gem_userptr_init__mmu_notifier',
        find: /\bobj->base\.size\b/,
        // A range of no pages would be refused, and nothing tested.
        put: 'obj->base.size - (obj->base.size > PAGE_SIZE ? PAGE_SIZE : 0)',
      },
    ],
  },
  {
    name: 'no-wait',
    says: 'the notifier does not wait for the GPU (before 6.9: later ones do not anyway)',
    shows: 'munmap and mprotect return while batches still write',
    edits: [{ file, function: notifier, find: /\bdma_resv_wait_timeout\([^;]*\);/, put: '1;' }],
  },
  {
    name: 'lockup',
    says: 'the notifier spins for ever with preemption off, where it should wait for the GPU',
    shows: 'a soft lockup: the guest is lost, and the run must still end with a result',
    edits: [
      {
        file,
        function: notifier,
        find: /\bdma_resv_wait_timeout\([^;]*\);/,
        put: '({ preempt_disable(); for (;;) cpu_relax(); 1L; });',
      },
    ],
  },
  {
    name: 'no-foll-write',
    says: 'pages are pinned without FOLL_WRITE',
    shows: 'the GPU writes to the zero page and to read-only memory',
    edits: [
      {
        file,
        function: 'i915_gem_object_userptr_submit_init',
        find: /\bgup_flags \|= FOLL_WRITE;/,
        put: 'gup_flags |= 0;',
      },
    ],
  },
  {
    name: 'no-dirty',
    says: 'pages are given back without being marked dirty',
    shows:
      'what a batch in flight wrote to a file after a write-back is lost: from 6.9 on, or with no-wait',
    edits: [
      {
        file,
        function: 'i915_gem_userptr_put_pages',
        find: /\bobj->mm\.dirty && trylock_page\(page\)/,
        put: 'false && trylock_page(page)',
      },
    ],
  },
  {
    name: 'notifier-lock',
    says: "the notifier takes the object's lock",
    shows:
      'a cycle of locks, which lockdep reports before it deadlocks: build the kernel --lockdep',
    edits: [
      {
        file,
        function: notifier,
        // Before the notifier's own lock, which spins.
        find: /(?=\bwrite_lock\(&i915->mm\.notifier_lock\);)/,
        put: 'i915_gem_object_lock(obj, NULL);\n\ti915_gem_object_unlock(obj);\n\t',
      },
    ],
  },
];

/** @throws {VmError} there is no such fault; the message lists those there are. */
export function driverFault(name: string): Fault {
  const fault = driverFaults.find((f) => f.name === name);
  if (fault) return fault;
  const names = driverFaults.map((f) => f.name).join(', ');
  throw new VmError(`there is no driver fault ${JSON.stringify(name)}: ${names}`);
}

/** Start and end of a function's definition, from its name to its closing brace in column 0. */
function bodyOf(text: string, name: string): [number, number] | undefined {
  const head = new RegExp(`^(?:\\w[\\w\\s*]*[\\s*])?${name}\\([^;{}]*\\)\\s*\\{`, 'gm');
  const found = [...text.matchAll(head)];
  const [first] = found;
  if (!first || found.length > 1) return undefined;
  const end = text.indexOf('\n}', first.index);
  return end < 0 ? undefined : [first.index + first[0].length, end];
}

/**
 * The text of a source file with an edit made.
 * @throws {VmError} the function is not there, or what is to be changed is not there exactly once.
 */
export function applyEdit(text: string, edit: Edit): string {
  const where = `${edit.function} of ${edit.file}`;
  const body = bodyOf(text, edit.function);
  if (!body) throw new VmError(`${where} is not in this kernel: the fault does not fit it`);
  const [start, end] = body;
  const inside = text.slice(start, end);
  const found = [...inside.matchAll(new RegExp(edit.find, 'g'))];
  const [match] = found;
  if (!match || found.length > 1)
    throw new VmError(
      `${where} has ${edit.find} ${found.length} times, not once: the fault does not fit this kernel`,
    );
  const at = start + match.index;
  return text.slice(0, at) + edit.put + text.slice(at + match[0].length);
}

/**
 * The files that faults change, by path from the top of the source, with the changes made.
 * @param read gives a file's text before.
 */
export function editedFiles(
  read: (path: string) => string,
  names: readonly string[],
): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of names)
    for (const edit of driverFault(name).edits)
      files.set(edit.file, applyEdit(files.get(edit.file) ?? read(edit.file), edit));
  return files;
}
