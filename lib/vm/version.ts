// SPDX-License-Identifier: MIT

/**
 * Negative, 0 or positive, as `a` is older than `b`, the same, or newer: by the numbers in them, and
 * by Debian's ~, which is older than nothing.
 */
export function compareVersions(a: string, b: string): number {
  const parts = (v: string) => (v.match(/\d+|~/g) ?? []).map((p) => (p === '~' ? -1 : Number(p)));
  const [x, y] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const d = (x[i] ?? 0) - (y[i] ?? 0);
    if (d !== 0) return d;
  }
  return 0;
}

/** Whether a version is of a series, or is the whole of it: 6.1 is not 6.12. */
export function fits(version: string, spec: string): boolean {
  if (spec === 'newest' || version === spec) return true;
  return version.startsWith(spec) && /^[.+~-]/.test(version.slice(spec.length));
}
