// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include "stress/stressor.h"
#include "stress/stressors/thp.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  const Range r{0, c.pages};
  const int advice = s.rng.one_in(3) ? MADV_NOHUGEPAGE : MADV_HUGEPAGE;
  innocent(s, c, r, Op::madvise, "after MADV_HUGEPAGE",
           [&] { return s.run.mem.madvise(c.addr, c.len, advice); });
}

extern const StressorInfo hugepage_stressor;
const StressorInfo hugepage_stressor = {
    "hugepage",
    "madvise(MADV_HUGEPAGE) and (MADV_NOHUGEPAGE): khugepaged and faults may use 2 MiB pages",
    "transparent huge pages",
    "content survives",
    thp_missing,
    huge_cell,
    change};

}  // namespace i915u::stress
