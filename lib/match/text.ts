// SPDX-License-Identifier: MIT
// What a match came to, in words.
import pico from 'picocolors';
import { columns, count } from '../report/units.js';
import { differenceText } from './compare.js';
import { Coverage } from './coverage.js';
import { possible } from './generate.js';
import { testText } from './paste.js';
import { RACE } from './races.js';
import type { KernelResult, MatchResult, RacesResult } from './result.js';

let known: ReturnType<typeof possible> | undefined;
/** Made once: progress asks after each sequence. Any place will do, only the names are asked for. */
const names = () => {
  known ??= possible({
    arena: 1n << 40n,
    arenaSize: 256 << 20,
    args: 1n << 39n,
    argsSize: 256 << 10,
  });
  return known;
};
const MAX_MISSING = 12;

export function progressText(result: KernelResult, what: string): string {
  const { kernel, calls, seconds, differences } = result;
  const reached = new Coverage(result.coverage).reached(names());
  return [
    kernel,
    `${count(calls)} calls`,
    `${count(Math.round(calls / Math.max(seconds, 0.001)))}/s`,
    `${differences.length} differences`,
    `${reached.seen} of ${reached.of} classes`,
    what,
  ]
    .filter(Boolean)
    .join('  ');
}

function racesText(release: string, races: RacesResult): string {
  const pairs = Object.keys(races.pairs).length;
  return (
    `${release}, races: ${count(races.races)}, of ${count(pairs)} pairs of calls; ` +
    `${count(races.runs)} runs, ${count(races.schedules)} schedules; ` +
    `the driver showed ${count(races.driver)} outcomes, soft ${count(races.soft)}`
  );
}

export function matchText(
  result: MatchResult,
  { color, brief }: { color: boolean; brief: boolean },
): string {
  const paint = pico.createColors(color);
  const lines: string[] = [];
  if (!brief) {
    lines.push(`seed     ${result.seed}`, '');
    const rows = result.kernels.map((k) => [
      k.release,
      count(k.sequences),
      count(k.calls),
      count(Math.round(k.calls / Math.max(k.seconds, 0.001))),
      `${k.differences.length}`,
      count(Object.values(k.deliberate).reduce((sum, n) => sum + n, 0)),
    ]);
    const head = ['kernel', 'sequences', 'calls', 'a second', 'differences', 'on purpose'];
    lines.push(...columns([head, ...rows]), '');
    for (const k of result.kernels) {
      const missing = [...new Coverage(k.coverage).missing(names())].flatMap(([call, kinds]) =>
        kinds.map((kind) => `${call} (${kind})`),
      );
      if (missing.length) {
        const more =
          missing.length > MAX_MISSING ? `, and ${missing.length - MAX_MISSING} more` : '';
        lines.push(
          `${k.release}, never reached: ${missing.slice(0, MAX_MISSING).join('; ')}${more}`,
        );
      }
      for (const note of k.notes) lines.push(`note     ${note}`);
    }
    for (const k of result.kernels) if (k.races.races) lines.push(racesText(k.release, k.races));
    lines.push('');
  }
  for (const k of result.kernels)
    for (const difference of k.differences) {
      lines.push(
        paint.red(`${k.release}: ${difference.signature}`),
        ...differenceText(difference),
        `  found ${count(difference.times)} times${difference.stable ? '' : '; the same sequence did not show it again'}`,
        `  again:  i915-userptr match --kernel ${k.kernel} --replay ${difference.replay}`,
        '',
        ...(difference.call === RACE
          ? difference.lines
          : testText(difference, k.release).split('\n')
        ).map((line) => `  ${line}`),
        '',
      );
    }
  const shown = { pass: paint.green, fail: paint.red, error: paint.red };
  lines.push(`${shown[result.verdict](result.verdict.toUpperCase())}: ${result.why}`);
  if (result.verdict === 'fail') lines.push(`again:  ${result.replay}`);
  return `${lines.join('\n')}\n`;
}
