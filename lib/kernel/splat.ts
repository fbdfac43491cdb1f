// SPDX-License-Identifier: MIT
// Finds what is wrong in a kernel log: WARN, oops, lockdep's and the sanitizers' reports, lockups,
// and what i915 says of errors, hangs and resets. Known formats: 5.10 to 7.3.
import type { KmsgRecord } from './kmsg.js';
import { isCut, isTelling, MAX_TITLE, type Open, type Rule, rules, symbol } from './splat-rules.js';

/**
 * - `fatal`: the kernel or one of its CPUs is gone: panic, oops, soft and hard lockup
 * - `bug`: the kernel found a bug in itself, or the driver an error; the machine runs on
 * - `gpu-reset`: a GPU hang and what follows: expected of a run that hangs the GPU on purpose
 * - `notice`: explains a failure, is none by itself: OOM kill, failed allocation, slow work
 */
export type Severity = 'fatal' | 'bug' | 'gpu-reset' | 'notice';

export type SplatKind =
  | 'panic'
  | 'oops'
  | 'bug'
  | 'warning'
  | 'lockdep'
  | 'atomic'
  | 'sanitizer'
  | 'corruption'
  | 'lockup'
  | 'stall'
  | 'hung-task'
  | 'dma'
  | 'drm-error'
  | 'gpu-hang'
  | 'gpu-reset'
  | 'oom'
  | 'slow';

export interface Splat {
  kind: SplatKind;
  severity: Severity;
  /** "kind in function", without numbers that differ from run to run. */
  title: string;
  function?: string;
  /** Of the first line; undefined where the log has no time stamps. */
  us?: number;
  /** From its first line on, at most MAX_SPLAT_LINES. */
  lines: string[];
}

/** A line that is harmless, and why. */
export interface Allowed {
  line: RegExp;
  reason: string;
}

/** The guest's image holds no firmware; a Skylake without display and GuC submission needs none. */
export const allowedByDefault: readonly Allowed[] = [
  {
    line: /\*ERROR\* .*\b(?:DMC|GuC|HuC) firmware\b.*(?:fetch failed|not found)|Failed to load DMC firmware/,
    reason: 'no firmware files in the guest, and userptr needs none of them',
  },
];

export const MAX_SPLAT_LINES = 300;
const MAX_TEXT = 1024;
const MAX_OPEN = 16;
/** A report is printed in one go: a longer silence ends it. */
const GAP_US = 2_000_000;

// Most lines are nothing: one look tells.
const hint =
  /cut here|WARN|BUG|Oops|SAN: |\[#\d|panic|LOCKUP|INFO: |turning off|corruption|refcount_t|DMA|\*ERROR\*|i915|GPU|Resett|[Ff]ence|workqueue|memory|allocation/;

// The machinery of reports, locks, faults and sleeping: what called it is meant.
const plumbing = new RegExp(
  `^_*(?:${[
    'dump_stack|show_(?:stack|regs|trace)|print_|sched_show_task|dump_cpu_task|nmi_|trigger_|arch_trigger_',
    'kasan_|asan_|tsan_|kcsan_|kfence_|kmsan_|msan_|ubsan_|check_region_inline|check_memory_region',
    'lock_acquire|lock_release|lock_acquired|lock_contended|lock_acquire|lockdep_|check_noncircular|check_prev|check_wait|check_lock',
    'validate_chain|mark_(?:lock|usage|held)|register_lock_class|assign_lock_key|debug_check_no_locks|valid_state',
    'warn|report_bug|handle_bug|exc_|asm_|die\\b|die_body|oops_|page_fault_oops|kernelmode_fixup|bad_area|do_user_addr_fault',
    'do_kern_addr_fault|do_error_trap|do_trap|do_page_fault|panic|vpanic|check_panic',
    'mutex_|ww_mutex|rt_mutex|rtlock|down_(?:read|write)|down\\b|down_timeout|up_(?:read|write)|rwsem_|percpu_(?:down|up)|raw_|do_raw_',
    'native_queued|queued_|pv_queued|spin_|rwlock_|might_|schedule|io_schedule|preempt_schedule|cond_resched',
    'msleep|usleep_range|fsleep|wait_for_common|wait_for_completion|do_wait_for|bit_wait|wait_on_bit|out_of_line_wait|prepare_to_wait',
    'refcount_|list_(?:add|del)_|err_printk|check_unmap|check_sync|debug_dma_',
    'flush_work|cancel_work_sync|process_one_work|process_scheduled_works|worker_thread|kthread|ret_from_fork',
    'rcu_|update_process_times|tick_|hrtimer_|sysvec_|local_apic|watchdog|softlockup|smp_call_function|on_each_cpu|bad_page',
    'irq_exit|handle_softirqs|do_softirq|run_timer|entry_|do_syscall|x64_sys_call|syscall_|srso_|x86_(?:return|indirect)_thunk',
    'mem(?:cpy|set|move|cmp|chr)|warn_alloc|check_preemption|debug_smp|check_preempt',
  ].join('|')})`,
);

const frame = new RegExp(
  `^(?:\\[<[0-9a-f]*>\\] )?(${symbol})(?:\\+0x[0-9a-f]+/0x[0-9a-f]+| \\(\\S+:[\\d?]+)`,
);
// 0033 and 0023 are user space's.
const rip = new RegExp(`^(?:RIP: 0010:|pc : )(${symbol})(?:\\+0x| \\()`);
const lockAt = new RegExp(
  `(?:\\}(?:-\\{\\d+:\\d+\\})?, at: |^\\[<[0-9a-f]*>\\] )(${symbol})(?:\\+0x| \\()`,
);

const meaningful = (name: string | undefined): string | undefined =>
  name === undefined || plumbing.test(name)
    ? undefined
    : name.replace(/\.(?:isra|constprop|part|cold|llvm|lto_priv)\b.*$/, '');

/** Takes a log line by line; gives each splat when its last line has come. */
export class SplatDetector {
  readonly #allow: readonly Allowed[];
  readonly #open: Open[] = [];
  #stamped = false;

  constructor(allow: readonly Allowed[] = allowedByDefault) {
    this.#allow = allow;
  }

  feed(record: KmsgRecord): Splat[] {
    // User space may say what it likes; the kernel marks it as such.
    if (record.facility) return [];
    const done: Splat[] = [];
    this.#stamped ||= record.us !== undefined;
    for (const line of record.text.split('\n')) this.#line(line.slice(0, MAX_TEXT), record, done);
    return done;
  }

  /** The log ends, or nothing has come for a while: splats without a last line. */
  end(): Splat[] {
    const done: Splat[] = [];
    while (this.#open[0]) this.#close(this.#open[0], done);
    return done;
  }

  #line(raw: string, { us, caller }: KmsgRecord, done: Splat[]): void {
    const text = raw.trim();
    for (const open of [...this.#open]) {
      if (us !== undefined && us - (open.lastUs ?? us) > GAP_US) this.#close(open, done);
    }
    // On a log with time stamps a line without one continues another, or is user space's.
    const started = us !== undefined || !this.#stamped ? this.#start(text, us, caller, done) : null;
    for (const open of [...this.#open]) {
      if (open.caller !== caller && us !== undefined) continue;
      if (started && started !== open) continue;
      open.lastUs = us ?? open.lastUs;
      if (text !== '') open.lines.push(raw.trimEnd());
      if (started === null) scan(open, text);
      if (open.lines.length >= MAX_SPLAT_LINES) this.#close(open, done);
    }
    if (started?.rule.ends === 'line') this.#close(started, done);
    if (started === null) this.#last(text, caller, done);
  }

  #start(
    text: string,
    us: number | undefined,
    caller: string | undefined,
    done: Splat[],
  ): Open | null {
    if (!hint.test(text)) return null;
    for (const rule of rules) {
      const match = rule.line.exec(text);
      if (!match) continue;
      const muted = this.#allow.some(({ line }) => line.test(text));
      const named = rule.noFunction ? undefined : meaningful(match.groups?.f);
      const title = rule.title(match);
      const joined = this.#open.find(
        (open) => open.caller === caller && !open.inTrace && rule.joins?.(open),
      );
      if (joined) {
        this.#join(joined, rule, title, named, muted);
        return joined;
      }
      const over = this.#open.find((open) => open.caller === caller && open.rule.ends === 'next');
      if (over) this.#close(over, done);
      if (this.#open.length >= MAX_OPEN && this.#open[0]) this.#close(this.#open[0], done);
      const open: Open = {
        rule,
        title,
        severity: rule.severity,
        function: named,
        us,
        lastUs: us,
        caller,
        lines: [],
        inTrace: false,
        atSeen: false,
        headed: false,
        muted,
      };
      this.#open.push(open);
      return open;
    }
    return null;
  }

  /** Another headline of the same report: the one that says most gives the title. */
  #join(open: Open, rule: Rule, title: string, named: string | undefined, muted: boolean): void {
    // drm_WARN_ON(...) says what, WARNING where.
    const words = rule.detail && !isTelling(rule) && !isCut(open);
    const adds = words || rule.kind === 'oops' || rule.kind === 'lockdep';
    if (!adds && !isTelling(open.rule)) {
      open.rule = rule;
      open.title = title;
    }
    open.headed ||= !rule.detail;
    if (rule.severity === 'fatal') open.severity = 'fatal';
    open.function ??= named;
    open.muted ||= muted;
  }

  #last(text: string, caller: string | undefined, done: Splat[]): void {
    const ends = /^-+\[ end (?:trace|Kernel panic)/.test(text)
      ? 'trace'
      : /^<\/TASK>/.test(text)
        ? 'task'
        : /^={20,}$/.test(text)
          ? 'rule'
          : null;
    if (!ends) return;
    const open = this.#open.find(
      (o) => o.caller === caller && o.rule.ends === ends && (o.inTrace || ends !== 'task'),
    );
    if (open) this.#close(open, done);
  }

  #close(open: Open, done: Splat[]): void {
    this.#open.splice(this.#open.indexOf(open), 1);
    if (open.muted) return;
    const { rule, severity, us, lines } = open;
    const where = rule.noFunction || !open.function ? '' : ` in ${open.function}`;
    const what = open.title + (open.access ? ` ${open.access}` : '');
    const splat: Splat = {
      kind: rule.kind,
      severity,
      title: what.slice(0, MAX_TITLE) + where.slice(0, MAX_TITLE),
      lines,
    };
    if (open.function) splat.function = open.function;
    if (us !== undefined) splat.us = us;
    done.push(splat);
  }
}

/** What a line inside a report tells of where it happened. */
function scan(open: Open, text: string): void {
  if (/^(?:Call [Tt]race|stack backtrace):/.test(text)) open.inTrace = true;
  if (open.rule.kind === 'sanitizer' && !open.access && !open.inTrace)
    open.access = /^(Read|Write) of size \d+ at addr/.exec(text)?.[1];
  if (open.function) return;
  const pc = rip.exec(text);
  if (pc) open.function = meaningful(pc[1]);
  else if (open.inTrace) open.function = meaningful(frame.exec(text)?.[1]);
  else if (open.rule.kind === 'lockdep' && !open.atSeen && open.title !== 'suspicious RCU usage') {
    // The first is the lock that was asked for; the others are held, or of the chain.
    const at = lockAt.exec(text);
    open.atSeen = at !== null;
    open.function = meaningful(at?.[1]);
  }
}
