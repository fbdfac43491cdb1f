// SPDX-License-Identifier: MIT
#include "stress/stressor.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  const uint64_t at = c.page_addr(r.first), len = r.n * page_size;
  innocent(
      s, c, r, Op::mlock, "after mlock", [&] { return s.run.mem.mlock(at, len); }, true);
  innocent(s, c, r, Op::munlock, "after munlock", [&] { return s.run.mem.munlock(at, len); });
}

extern const StressorInfo mlock_stressor;
const StressorInfo mlock_stressor = {"mlock",
                                     "mlock of a range, and munlock",
                                     "RLIMIT_MEMLOCK (refusals are counted)",
                                     "content survives",
                                     nothing_missing,
                                     any_cell,
                                     change};

}  // namespace i915u::stress
