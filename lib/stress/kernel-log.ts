// SPDX-License-Identifier: MIT
// The kernel log's part in a run's verdict, wherever the log was read: on this machine or in a guest.
import type { KernelVerdict } from '../kernel/local.js';
import type { Splat } from '../kernel/splat.js';
import { exitStatus, type Result, type ResultViolation } from './result.js';

/** `result` with what the kernel said during it. `startUs`: of the run, on the log's clock. */
export function withKernelLog(
  result: Result,
  splats: readonly Splat[],
  startUs: number,
  became: readonly string[] = [],
): Result {
  const violations = [
    ...splats.filter((s) => s.severity !== 'notice').map((s) => splatViolation(s, startUs)),
    ...became.map((text) => violation(text, '', 0n)),
  ];
  const notices = splats.filter((s) => s.severity === 'notice');
  const notes = [...result.notes, ...notices.map((s) => `the kernel's log: ${s.title}`)];
  if (!violations.length) return { ...result, notes };
  const total = result.violationsTotal + violations.length;
  const titles = [...new Set(violations.map((v) => v.text))].slice(0, 3).join('; ');
  return {
    ...result,
    notes,
    verdict: 'fail',
    exitStatus: exitStatus.fail,
    why:
      result.verdict === 'fail'
        ? `${result.why}; kernel log: ${titles}`
        : `${total} ${total === 1 ? 'violation' : 'violations'}: kernel log: ${titles}`,
    violationsTotal: total,
    violations: [...result.violations, ...violations],
  };
}

/** As `withKernelLog`, of this machine's log. */
export function withLocalLog(result: Result, log: KernelVerdict, startNs: bigint): Result {
  const became = log.taintAdded
    // Each of these is the mark that a splat leaves, which is told already.
    .filter(({ letter }) => !(log.splats.length && 'DWL'.includes(letter)))
    .map(({ letter, words }) => `the kernel is tainted since: ${letter} (${words})`);
  if (log.lockdepOff && !log.splats.some(({ kind }) => kind === 'lockdep'))
    became.push('lockdep has turned itself off');
  const judged = withKernelLog(result, log.splats, Number(startNs) / 1000, became);
  const notes = [...judged.notes];
  if (log.moreSplats) notes.push(`${log.moreSplats} more complaints of the kernel's were not kept`);
  if (log.lost)
    notes.push(`${log.lost} records of the kernel's log were overwritten before they were read`);
  return { ...judged, notes };
}

/** What a kernel says its clock is may be no number that can be. */
const nanoseconds = (us: number) => BigInt(Math.round(Number.isFinite(us) ? us * 1000 : 0));

/** The kernel's time stamps and the run's are of nearly the same clock. */
const splatViolation = (splat: Splat, startUs: number) =>
  violation(splat.title, splat.lines.join('\n'), nanoseconds((splat.us ?? startUs) - startUs));

const violation = (text: string, where: string, ns: bigint): ResultViolation => ({
  kind: 'kernel log',
  text,
  thread: '',
  cell: null,
  ns,
  addr: null,
  page: null,
  expected: null,
  found: null,
  where,
  around: [],
});
