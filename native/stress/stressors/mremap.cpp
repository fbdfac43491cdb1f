// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include "stress/stressor.h"

namespace i915u::stress {

//   |====== cell ======|                           (away: cell.addr + 128 MiB)
//   |===|        |=====|             |========|    the range is moved away: EFAULT
//   |====== cell ======|                           and back: the same pages
static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  const uint64_t at = c.page_addr(r.first), len = r.n * page_size, away = at + (128u << 20);
  touch_some(s, c, r);
  const Content before(c, s.rng, r.first, r.n);
  const auto move = [&](uint64_t from, uint64_t to) {
    return s.call(Op::mremap, c, from, len, [&] {
      return s.run.mem.mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    });
  };
  c.begin_access();
  const int64_t moved = move(at, away);
  if (moved == -EFAULT) {  // the range spans vmas that do not merge: not moved at all
    s.rec.slot().refused.fetch_add(1, std::memory_order_relaxed);
  } else if (s.expect_ok(Op::mremap, c, moved)) {
    c.set_access(Access::none, r.first, r.n);
    s.dwell();
    c.begin_access();
    int64_t back;
    while ((back = move(away, at)) == -ENOMEM && !s.run.stopping()) {
    }
    s.expect_ok(Op::mremap, c, back);
  }
  c.set_access(Access::rw, 0, c.pages);
  before.survived(s.oracle, s.rec, "mremap away and back");
}

extern const StressorInfo mremap_stressor;
const StressorInfo mremap_stressor = {
    "mremap",
    "mremap of a range to another address, and back",
    "",
    "errno: EFAULT while it is away; content survives, lost write: later batches reach the pages",
    nothing_missing,
    any_cell,
    change};

}  // namespace i915u::stress
