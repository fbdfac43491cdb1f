// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include "stress/stressor.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  Cell::Destroy destroy(c, r.first, r.n);
  const bool ok = s.expect_ok(
      Op::fallocate, c, s.call(Op::fallocate, c, c.page_addr(r.first), r.n * page_size, [&] {
        return s.run.mem.fallocate(c.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   static_cast<int64_t>(r.first * page_size),
                                   static_cast<int64_t>(r.n * page_size));
      }));
  ok ? destroy.done() : destroy.undone();
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "after FALLOC_FL_PUNCH_HOLE");
  touch_some(s, c, r);
  s.dwell();
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "a while after FALLOC_FL_PUNCH_HOLE");
}

extern const StressorInfo punch_stressor;
const StressorInfo punch_stressor = {
    "punch",
    "fallocate(FALLOC_FL_PUNCH_HOLE) in a mapped memfd",
    "",
    "stale write: the hole reads as zero; lost write: later batches reach the file's new pages",
    nothing_missing,
    memfd_cell,
    change};

}  // namespace i915u::stress
