// SPDX-License-Identifier: MIT
// .config files and the fragments laid over them.

/** A symbol's value as .config writes it: `y`, `18`, `"text"`; n where it is not set. */
export type Config = Map<string, string>;

const line = /^(?:(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set)$/;

/** A later line overrides an earlier one, as for kconfig. Other lines are comments. */
export function parseConfig(text: string): Config {
  const config: Config = new Map();
  for (const l of text.split('\n')) {
    const [, set, value, unset] = line.exec(l.trimEnd()) ?? [];
    if (set) config.set(set, value ?? '');
    else if (unset) config.set(unset, 'n');
  }
  return config;
}

export const formatConfig = (config: Config): string =>
  [...config]
    .map(([symbol, value]) => (value === 'n' ? `# ${symbol} is not set` : `${symbol}=${value}`))
    .concat('')
    .join('\n');

export const mergeConfig = (base: Config, ...fragments: readonly Config[]): Config =>
  new Map([base, ...fragments].flatMap((config) => [...config]));

/** The symbols that kconfig did not give what the fragment asks for: `CONFIG_ZRAM=n, not y`. */
export function unmet(got: Config, fragment: Config): string[] {
  const lines: string[] = [];
  for (const [symbol, wanted] of fragment) {
    const value = got.get(symbol) ?? 'n';
    if (value !== wanted) lines.push(`${symbol}=${value}, not ${wanted}`);
  }
  return lines;
}
