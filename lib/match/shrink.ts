// SPDX-License-Identifier: MIT
// A list made as short as it can be while it still shows what it shows.

/**
 * Leaves out halves, then quarters, and so on down to single elements, over and over until none can
 * go. `holds` is asked of shorter lists only; `stop` ends it with the best so far.
 */
export async function shortest<T>(
  list: readonly T[],
  holds: (shorter: readonly T[]) => Promise<boolean>,
  stop: () => boolean = () => false,
): Promise<readonly T[]> {
  let best = list;
  for (let size = Math.ceil(best.length / 2); size >= 1; ) {
    let shorter = false;
    // From the end: what comes last depends on what is before it, and not the other way round.
    for (let from = best.length - size; from > -size; from -= size) {
      if (stop()) return best;
      const at = Math.max(0, from);
      const without = [...best.slice(0, at), ...best.slice(from + size)];
      if (without.length < best.length && (await holds(without))) {
        best = without;
        shorter = true;
      }
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (!shorter) break;
  }
  return best;
}
