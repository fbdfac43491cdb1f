// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <algorithm>

#include "stress/stressor.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  Range r = pick_range(s.rng, c);
  r.n = std::min(r.n, 64u);  // each is written below
  // Until a page is written again, its old content may turn to zero at any moment.
  Cell::Destroy destroy(c, r.first, r.n);
  s.expect_ok(Op::madvise, c, s.call(Op::madvise, c, c.page_addr(r.first), r.n * page_size, [&] {
    return s.run.mem.madvise(c.page_addr(r.first), r.n * page_size, MADV_FREE);
  }));
  s.dwell();
  for (uint32_t p = r.first; p < r.first + r.n; p++)
    c.cpu_write(p, 1 + static_cast<uint32_t>(s.rng.below(0x7fffffff)));
  destroy.undone();
  const Content after(c, s.rng, r.first, r.n);
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "after MADV_FREE");
  s.dwell();
  after.survived(s.oracle, s.rec, "the write that took MADV_FREE back");
}

extern const StressorInfo free_stressor;
const StressorInfo free_stressor = {
    "free",
    "madvise(MADV_FREE) of a range, then a write that takes it back",
    "",
    "stale write: pages are old or zero; what is written after it stays",
    nothing_missing,
    anon_cell,
    change};

}  // namespace i915u::stress
