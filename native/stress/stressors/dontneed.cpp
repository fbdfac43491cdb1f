// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include "stress/stressor.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  const uint64_t at = c.page_addr(r.first), len = r.n * page_size;
  const auto dontneed = [&] { return s.run.mem.madvise(at, len, MADV_DONTNEED); };
  if (c.backing == Backing::memfd) {  // only the page tables forget; the file does not
    innocent(s, c, r, Op::madvise, "after MADV_DONTNEED of a shared file mapping", dontneed);
    return;
  }
  Cell::Destroy destroy(c, r.first, r.n);
  const bool ok = s.expect_ok(Op::madvise, c, s.call(Op::madvise, c, at, len, dontneed));
  ok ? destroy.done() : destroy.undone();
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "after MADV_DONTNEED");
  touch_some(s, c, r);
  s.dwell();
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "a while after MADV_DONTNEED");
}

extern const StressorInfo dontneed_stressor;
const StressorInfo dontneed_stressor = {
    "dontneed",
    "madvise(MADV_DONTNEED) of a range",
    "",
    "stale write: private pages are zero afterwards; shared ones keep their content",
    nothing_missing,
    any_cell,
    change};

}  // namespace i915u::stress
