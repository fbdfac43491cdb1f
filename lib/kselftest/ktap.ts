// SPDX-License-Identifier: MIT
// KTAP as the kernel's documentation has it (Documentation/dev-tools/ktap.rst), read line by line as
// it comes. Nested subtests stand before the line of their test, two spaces further in. Who writes it
// may be broken: every list is bounded, and what does not fit is a problem that is told.

export type KtapOutcome = 'pass' | 'fail' | 'skip' | 'xfail';

export interface KtapTest {
  name: string;
  outcome: KtapOutcome;
  /** What stands behind the directive: why it was skipped. */
  reason: string;
  /** Its lines of diagnosis, without the #. */
  diagnostics: string[];
  subtests: KtapTest[];
}

export interface KtapReport {
  tests: KtapTest[];
  /** The whole was skipped by its plan: why. */
  skipped: string | null;
  /** What is not as it must be: points that are missing, an end too early. */
  problems: string[];
}

export interface KtapHooks {
  /** A test without subtests has ended; its name, and those of the tests that it is a part of. */
  onTest?: (test: KtapTest, path: readonly string[]) => void;
}

const MAX_DEPTH = 8;
const MAX_TESTS = 20_000;
const MAX_DIAGNOSTICS = 200;
const MAX_PROBLEMS = 64;
const MAX_TEXT = 1000;

interface Level {
  plan: number | null;
  tests: KtapTest[];
  diagnostics: string[];
  /** By `# Subtest:`, where that is said. */
  name: string;
}

const point = /^(ok|not ok)(?:\s+(\d{1,9}))?(?:\s+-)?(?:\s+(.*))?$/;
const directive = /^(?:(.*?)\s+)?#\s*(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*)$/i;

export class KtapReader {
  readonly #hooks: KtapHooks;
  readonly #levels: Level[] = [];
  readonly #problems: string[] = [];
  #skipped: string | null = null;
  #tests = 0;

  constructor(hooks: KtapHooks = {}) {
    this.#hooks = hooks;
  }

  feed(line: string): void {
    const text = line.trimStart();
    const depth = Math.floor((line.length - text.length) / 2);
    if (text === '' || depth >= MAX_DEPTH) return;
    const cut = text.slice(0, MAX_TEXT).trimEnd();
    const [, ok, number, rest = ''] = point.exec(cut) ?? [];
    if (ok) this.#point(depth, ok === 'ok', number, rest);
    else if (/^(K?TAP) version \d+$/.test(cut)) this.#open(depth);
    else if (/^1\.\.\d{1,9}(\s|$)/.test(cut)) this.#plan(depth, cut);
    else if (cut.startsWith('#')) this.#diagnosis(depth, cut.replace(/^#\s?/, ''));
    else if (cut.startsWith('Bail out!')) this.#problem(cut);
    // Else it is what a program or the kernel has said in between.
  }

  end(): KtapReport {
    // What runs when it ends has failed, with all that it is a part of.
    while (this.#levels.length > 1) {
      const level = this.#levels.pop();
      if (!level) break;
      this.#check(level);
      const above = this.#levels.at(-1);
      const name = level.name || 'a test';
      this.#problem(`${name} has not ended`);
      above?.tests.push({
        name,
        outcome: 'fail',
        reason: 'it has not ended',
        diagnostics: level.diagnostics,
        subtests: level.tests,
      });
    }
    const [top] = this.#levels;
    if (!top) this.#problem('nothing was said in KTAP');
    else this.#check(top);
    return { tests: top?.tests ?? [], skipped: this.#skipped, problems: this.#problems };
  }

  #level(depth: number): Level {
    while (this.#levels.length <= depth)
      this.#levels.push({ plan: null, tests: [], diagnostics: [], name: '' });
    return this.#levels[depth] as Level;
  }

  #open(depth: number): void {
    const level = this.#level(depth);
    if (level.tests.length) this.#problem('a report begins within another');
  }

  #plan(depth: number, text: string): void {
    const level = this.#level(depth);
    if (level.plan !== null) this.#problem(`a second plan: ${text}`);
    level.plan = Number(/^1\.\.(\d+)/.exec(text)?.[1]);
    const [, , kind, why = ''] = directive.exec(text) ?? [];
    if (depth === 0 && level.plan === 0 && kind?.toUpperCase() === 'SKIP') this.#skipped = why;
  }

  #diagnosis(depth: number, text: string): void {
    // Comments do not begin a level.
    const level = this.#levels[depth] ?? this.#levels.at(-1) ?? this.#level(0);
    const [, name] = /^Subtest: (.*)$/.exec(text) ?? [];
    if (name !== undefined) level.name = name;
    else if (level.diagnostics.length < MAX_DIAGNOSTICS) level.diagnostics.push(text);
  }

  #point(depth: number, ok: boolean, number: string | undefined, rest: string): void {
    const level = this.#level(depth);
    // Levels that were left out have no lines of their own.
    let below: Level | undefined;
    while (this.#levels.length > depth + 1) {
      below = this.#levels.pop();
      if (below) this.#check(below);
    }
    const [, before = '', kind = '', reason = ''] = directive.exec(rest) ?? [undefined, rest];
    const name = before.trim() || below?.name || (kind ? reason : `test ${level.tests.length + 1}`);
    if (++this.#tests > MAX_TESTS) {
      if (this.#tests === MAX_TESTS + 1) this.#problem(`more than ${MAX_TESTS} tests`);
      return;
    }
    if (number !== undefined && Number(number) !== level.tests.length + 1)
      this.#problem(`${name}: number ${number}, expected ${level.tests.length + 1}`);
    const test: KtapTest = {
      name,
      outcome: outcomeOf(ok, kind.toUpperCase()),
      reason,
      diagnostics: level.diagnostics,
      subtests: below?.tests ?? [],
    };
    level.diagnostics = [];
    level.tests.push(test);
    if (test.subtests.length) return;
    const path = this.#levels.slice(0, depth + 1).map((l) => l.name);
    this.#hooks.onTest?.(test, path.filter(Boolean));
  }

  #check({ plan, tests, name }: Level): void {
    const what = name ? `${name}: ` : '';
    if (plan === null) this.#problem(`${what}there is no plan`);
    else if (plan !== tests.length)
      this.#problem(`${what}${tests.length} of ${plan} tests have reported`);
  }

  #problem(text: string): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(text);
  }
}

function outcomeOf(ok: boolean, kind: string): KtapOutcome {
  if (kind === 'SKIP') return ok ? 'skip' : 'fail';
  if (kind === 'XFAIL' || kind === 'TODO') return ok ? 'pass' : 'xfail';
  return ok ? 'pass' : 'fail';
}

/** Those without subtests, each with the names that lead to it. */
export function* leaves(
  tests: readonly KtapTest[],
  path: readonly string[] = [],
): Generator<{ test: KtapTest; path: string[] }> {
  for (const test of tests) {
    const here = [...path, test.name];
    if (test.subtests.length) yield* leaves(test.subtests, here);
    else yield { test, path: here };
  }
}
