// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include "stress/stressor.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  const uint64_t at = c.page_addr(r.first), len = r.n * page_size;
  const bool none = s.rng.one_in(4);
  const Content before(c, s.rng, r.first, r.n);
  c.begin_access();
  const bool took = s.expect_ok(Op::mprotect, c, s.call(Op::mprotect, c, at, len, [&] {
    return s.run.mem.mprotect(at, len, none ? PROT_NONE : PROT_READ);
  }));
  if (took) {
    // What had begun by now may still land where the notifier does not wait; nothing later may.
    uint32_t begun[lanes];
    for (uint32_t l = 0; l < lanes; l++) begun[l] = c.lane[l].begun.load();
    c.set_access(none ? Access::none : Access::read_only, r.first, r.n);
    if (none) {
      s.dwell();
    } else {
      const Content now(c, s.rng, r.first, r.n);
      before.survived(s.oracle, s.rec, "mprotect(PROT_READ)");
      s.dwell();
      now.unchanged(s.oracle, s.rec, s.run.era, begun);
    }
    c.begin_access();
    s.expect_ok(Op::mprotect, c, s.call(Op::mprotect, c, at, len, [&] {
      return s.run.mem.mprotect(at, len, PROT_READ | PROT_WRITE);
    }));
  }
  c.set_access(Access::rw, 0, c.pages);
  before.survived(s.oracle, s.rec, "mprotect and back");
}

extern const StressorInfo mprotect_stressor;
const StressorInfo mprotect_stressor = {
    "mprotect",
    "mprotect of a range to PROT_READ or PROT_NONE, and back",
    "",
    "write after protect; errno: EFAULT while it may not be written; content survives",
    nothing_missing,
    any_cell,
    change};

}  // namespace i915u::stress
