// SPDX-License-Identifier: MIT
// What a kernel log says when something is wrong, line by line: the formats of 5.10 to 7.3.
import type { Severity, SplatKind } from './splat.js';

export const MAX_TITLE = 120;

/**
 * What ends a report: its own line, `</TASK>`, "end trace", a rule of equals signs, or, where there
 * may be a trace of each CPU, the next report.
 */
type Ends = 'line' | 'task' | 'trace' | 'rule' | 'next';

export interface Rule {
  kind: SplatKind;
  severity: Severity;
  line: RegExp;
  /** The title without its function. */
  title: (m: RegExpExecArray) => string;
  ends: Ends;
  /** Only part of a report: its headline may come before it or after it. */
  detail?: boolean;
  /** Reports that may have begun already, and that this line belongs to. */
  joins?: (open: Open) => boolean;
  /** The title says enough. */
  noFunction?: boolean;
}

export interface Open {
  rule: Rule;
  title: string;
  severity: Severity;
  function: string | undefined;
  access?: string | undefined;
  us: number | undefined;
  lastUs: number | undefined;
  caller: string | undefined;
  lines: string[];
  /** "Call Trace" has been seen: what follows are frames. */
  inTrace: boolean;
  /** Lockdep's first "at:" has been seen. */
  atSeen: boolean;
  /** The headline of a detail has come. */
  headed: boolean;
  muted: boolean;
}

const tidy = (text: string): string =>
  text
    .slice(0, 2 * MAX_TITLE)
    .replace(/\{[^{}]*\}/g, '')
    .replace(/\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b/gi, '*')
    .replace(/ ?\[\d+\]/g, '')
    .replace(/\s+/g, ' ')
    .replace(/[\s:;,.!(]+$/, '');

const is =
  (...kinds: SplatKind[]) =>
  (open: Open) =>
    kinds.includes(open.rule.kind);
export const isCut = (open: Open) => open.rule === cutHere;
const isDetail = (open: Open) => open.rule.detail === true && !open.headed;
/** Its words say more than the headline to come: refcount_t, list corruption, DMA-API. */
export const isTelling = ({ detail, noFunction }: Rule) => detail === true && !noFunction;

export const symbol = '[A-Za-z_][\\w.]*';

/** Opens every WARN and BUG(); a report of its own only where the log breaks off after it. */
const cutHere: Rule = {
  kind: 'warning',
  severity: 'bug',
  line: /^-+\[ cut here \]-+$/,
  title: () => 'WARNING: nothing follows "cut here"',
  ends: 'trace',
  detail: true,
  // A corrupted list is told of before its BUG().
  joins: (open) => isTelling(open.rule) && open.lines.length === 1,
  noFunction: true,
};

// The order counts: the first that fits is it.
export const rules: readonly Rule[] = [
  cutHere,
  {
    kind: 'panic',
    severity: 'fatal',
    line: /^Kernel panic - not syncing: (.*)/,
    title: (m) => `Kernel panic - not syncing: ${tidy(m[1] ?? '')}`,
    ends: 'trace',
    noFunction: true,
  },
  {
    // Since 6.19: "WARNING: [condition] file:line at f+0x1/0x2, CPU#0: comm/pid".
    kind: 'warning',
    severity: 'bug',
    line: new RegExp(
      `^WARNING: (?:CPU: \\d+ PID: \\d+ at |(?:\\[.*\\] )?(?=\\S+:\\d+ at |at ))(?:(?<file>\\S+:\\d+) )?(?:at )?(?:(?<f>${symbol})(?:\\+0x| \\()|0x)?`,
    ),
    title: (m) => (m.groups?.f ? 'WARNING' : `WARNING at ${m.groups?.file ?? 'an unknown place'}`),
    ends: 'trace',
    joins: isDetail,
  },
  {
    kind: 'bug',
    severity: 'fatal',
    line: /^kernel BUG at (\S+:\d+)!?/,
    title: (m) => `kernel BUG at ${m[1]}`,
    ends: 'trace',
    joins: isDetail,
    noFunction: true,
  },
  {
    kind: 'sanitizer',
    severity: 'bug',
    line: new RegExp(
      `^BUG: (?<tool>KASAN|KFENCE|KMSAN): (?<what>.+?)(?: in (?<f>${symbol})(?:[+ (].*)?)?$`,
    ),
    title: (m) => `${m.groups?.tool}: ${tidy(m.groups?.what ?? '')}`,
    ends: 'rule',
  },
  {
    kind: 'sanitizer',
    severity: 'bug',
    line: /^BUG: (KCSAN: .*)/,
    title: (m) => tidy(m[1] ?? ''),
    ends: 'rule',
    noFunction: true,
  },
  {
    kind: 'sanitizer',
    severity: 'bug',
    line: /^UBSAN: (.+?) in \S+:\d+/,
    title: (m) => `UBSAN: ${tidy(m[1] ?? '')}`,
    ends: 'trace',
    joins: isCut,
  },
  {
    kind: 'oops',
    severity: 'fatal',
    line: /^BUG: (unable to handle (?:page fault|kernel [\w ]+?)|kernel NULL pointer dereference|stack guard page was hit|TASK stack guard page was hit)\b/,
    title: (m) => `BUG: ${m[1]}`,
    ends: 'trace',
  },
  {
    // "Oops: " stands before all of them since 6.10, and twice before page faults.
    kind: 'oops',
    severity: 'fatal',
    line: /^(?:Oops: )?(general protection fault|divide error|invalid opcode|stack segment|double fault|bounds|int3|alignment check|invalid TSS|segment not present|control protection)\b.*\[#\d+\]/,
    title: (m) => m[1] ?? '',
    ends: 'trace',
    joins: (open) => open.lines.length < 6 && is('bug', 'corruption')(open),
  },
  {
    kind: 'oops',
    severity: 'fatal',
    line: /^(?:Internal error: )?Oops\b.*\[#\d+\]/,
    title: () => 'Oops',
    ends: 'trace',
    joins: is('oops', 'bug'),
  },
  {
    kind: 'lockup',
    severity: 'fatal',
    line: /^(?:NMI )?watchdog: (?:CPU\d+: )?(?:BUG: (soft lockup)|Watchdog detected (hard LOCKUP))/,
    title: (m) => `watchdog: ${m[1] ? 'BUG: soft lockup' : 'hard LOCKUP'}`,
    ends: 'task',
  },
  {
    kind: 'stall',
    severity: 'bug',
    line: /^rcu: INFO: (\w+) (self-detected stall|detected (?:expedited )?stalls)/,
    title: (m) => `rcu: INFO: ${m[1]} ${m[2]}`,
    ends: 'next',
  },
  {
    kind: 'stall',
    severity: 'bug',
    line: /^BUG: workqueue lockup\b/,
    title: () => 'BUG: workqueue lockup',
    ends: 'line',
    noFunction: true,
  },
  {
    // A task that the notifier has put to sleep for good.
    kind: 'hung-task',
    severity: 'bug',
    line: /^INFO: task .{1,20}:\d+ blocked (?:in I\/O wait )?for more than \d+ seconds/,
    title: () => 'INFO: task blocked',
    ends: 'task',
  },
  {
    kind: 'lockdep',
    severity: 'bug',
    line: /^(?:\[ )?(?:WARNING|INFO|BUG): (possible (?:circular locking dependency|recursive locking|irq lock inversion dependency) detected|inconsistent lock state|(?:HARD|SOFT)IRQ-\w+ -> (?:HARD|SOFT)IRQ-\w+ lock order detected|bad (?:unlock balance|contention) detected|held lock freed|nested lock was not taken|lock held when returning to user space|suspicious RCU usage|invalid wait context)/i,
    title: (m) => m[1] ?? '',
    ends: 'task',
  },
  {
    kind: 'lockdep',
    severity: 'bug',
    line: /^(?:\[ )?(?:WARNING|BUG): .{1,20}\/\d+ still has locks held/,
    title: () => 'task still has locks held',
    ends: 'task',
  },
  {
    kind: 'lockdep',
    severity: 'bug',
    line: /^INFO: trying to register non-static key/,
    title: () => 'INFO: trying to register non-static key',
    ends: 'task',
  },
  {
    // Not the driver's fault, but from here on lockdep sees nothing.
    kind: 'lockdep',
    severity: 'bug',
    line: /^BUG: (MAX_\w+ too low)/,
    title: (m) => `BUG: ${m[1]}: lockdep is off`,
    ends: 'task',
    noFunction: true,
  },
  {
    kind: 'lockdep',
    severity: 'bug',
    line: /^turning off the locking correctness validator/,
    title: () => 'lockdep is off',
    ends: 'line',
    joins: (open) => open.rule.kind === 'lockdep',
    noFunction: true,
  },
  {
    kind: 'atomic',
    severity: 'bug',
    line: /^BUG: (sleeping function called from invalid context|scheduling while atomic|using \w+\(\) in preemptible)/,
    title: (m) => `BUG: ${m[1]}`,
    ends: 'task',
  },
  {
    kind: 'corruption',
    severity: 'bug',
    line: /^BUG: (Bad (?:page state|page map|page cache|rss-counter state|swap)|non-zero pgtables_bytes on freeing mm)/,
    title: (m) => `BUG: ${m[1]}`,
    ends: 'task',
  },
  {
    kind: 'corruption',
    severity: 'bug',
    line: /^(list_(?:add|del)(?:_\w+)? corruption|refcount_t: [^.]+)/,
    title: (m) => m[1] ?? '',
    ends: 'trace',
    detail: true,
    joins: (open) => isCut(open) || is('warning', 'bug')(open),
  },
  {
    kind: 'dma',
    severity: 'bug',
    line: /^DMA-API: (?!preallocated|debugging )(?:[\w.-]+ [0-9a-f:.]+: )?(.+)/,
    title: (m) => `DMA-API: ${tidy((m[1] ?? '').replace(/ \[.*/, ''))}`,
    ends: 'trace',
    detail: true,
    joins: (open) => isCut(open) || is('warning')(open),
  },
  {
    kind: 'dma',
    severity: 'bug',
    line: /^DMAR: \[(.*?)\] .*\[fault reason \w+\] (.*)/,
    title: (m) =>
      `DMAR: ${tidy((m[1] ?? '').replace(/ (?:PASID|NO_PASID).*/, ''))}: ${tidy(m[2] ?? '')}`,
    ends: 'line',
    noFunction: true,
  },
  {
    // The words of a WARN of the driver; its WARNING line says where.
    kind: 'warning',
    severity: 'bug',
    line: /(?:^|[:\]] )((?:drm_|GEM_)?(?:DEBUG_LOCKS_)?WARN(?:_ON)?(?:_ONCE)?\(.*)/,
    title: (m) => `WARNING: ${tidy(m[1] ?? '')}`,
    ends: 'trace',
    detail: true,
    joins: (open) => isCut(open) || is('warning')(open),
    noFunction: true,
  },
  {
    kind: 'bug',
    severity: 'bug',
    line: /^BUG: (.+)/,
    title: (m) => `BUG: ${tidy((m[1] ?? '').replace(/, .*/, '')).replace(/\b\d+\b/g, 'N')}`,
    ends: 'task',
  },
  {
    kind: 'drm-error',
    severity: 'bug',
    line: new RegExp(`\\[drm(?::(?<f>${symbol})(?: \\[\\w+\\])?)?\\] \\*ERROR\\* (?<what>.*)`),
    title: (m) => `*ERROR* ${tidy(m.groups?.what ?? '')}`,
    ends: 'line',
  },
  {
    kind: 'drm-error',
    severity: 'bug',
    line: /\bi915\b.*\b(GPU recovery failed|Failed to reset chip|declaring (?:it )?wedged)/,
    title: (m) => m[1] ?? '',
    ends: 'line',
    noFunction: true,
  },
  {
    // 6.1: "i915: probe of D failed with error -12"; later "i915 D: probe with driver i915 failed ...".
    kind: 'drm-error',
    severity: 'bug',
    line: /^i915.*\bprobe (?:of|with) .*failed with error (-\d+)/,
    title: (m) => `i915: probe failed with error ${m[1]}`,
    ends: 'line',
    noFunction: true,
  },
  {
    kind: 'gpu-hang',
    severity: 'gpu-reset',
    line: /\b(GPU HANG: ecode [\w:]+)/,
    title: (m) => m[1] ?? '',
    ends: 'line',
    noFunction: true,
  },
  {
    kind: 'gpu-reset',
    severity: 'gpu-reset',
    line: /(?:\bi915|\[drm)\b.*\b(Resetting (?:chip|[a-z]+\d+) for .*)/,
    title: (m) => tidy(m[1] ?? ''),
    ends: 'line',
    noFunction: true,
  },
  {
    kind: 'gpu-reset',
    severity: 'gpu-reset',
    line: /\b(context reset due to GPU hang)/,
    title: (m) => m[1] ?? '',
    ends: 'line',
    noFunction: true,
  },
  {
    // CONFIG_DRM_I915_FENCE_TIMEOUT: i915 gives a request up, hung or only slow.
    kind: 'gpu-hang',
    severity: 'gpu-reset',
    line: /^Fence expiration time out i915\b/,
    title: () => 'Fence expiration time out',
    ends: 'line',
    noFunction: true,
  },
  {
    kind: 'slow',
    severity: 'notice',
    line: /^Asynchronous wait on fence .* timed out/,
    title: () => 'Asynchronous wait on fence timed out',
    ends: 'line',
    noFunction: true,
  },
  {
    kind: 'slow',
    severity: 'notice',
    line: new RegExp(`^workqueue: (?<f>${symbol})(?: \\[\\w+\\])? hogged CPU for`),
    title: () => 'workqueue: CPU hogged',
    ends: 'line',
  },
  {
    kind: 'oom',
    severity: 'notice',
    line: /^((?:Memory cgroup out|Out) of memory): Killed process/,
    title: (m) => `${m[1]}: Killed process`,
    ends: 'line',
    noFunction: true,
  },
  {
    kind: 'oom',
    severity: 'notice',
    line: /\bpage allocation failure: order:(\d+)/,
    title: (m) => `page allocation failure: order ${m[1]}`,
    ends: 'task',
  },
];
