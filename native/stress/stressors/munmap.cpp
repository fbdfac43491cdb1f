// SPDX-License-Identifier: MIT
#include <optional>

#include "stress/stressor.h"

namespace i915u::stress {

//   |====== cell ======|        rw
//   |===|        |=====|        munmap of a range: execbuf gives EFAULT
//   |===|~~~~~~~~|=====|        mmap at the same place: new pages, of zeros
static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  std::optional<Cell::Destroy> destroy;
  c.begin_access();
  if (c.backing == Backing::anon) destroy.emplace(c, r.first, r.n);  // a file keeps its pages
  const int64_t err = s.call(Op::munmap, c, c.page_addr(r.first), r.n * page_size, [&] {
    return s.run.mem.munmap(c.page_addr(r.first), r.n * page_size);
  });
  const bool gone = s.expect_ok(Op::munmap, c, err);
  if (gone) {
    c.set_access(Access::none, r.first, r.n);
    s.dwell();
    c.begin_access();
    map_anew(s, c, r);
    if (destroy) destroy->done();
  } else if (destroy) {
    destroy->undone();
  }
  c.set_access(Access::rw, 0, c.pages);
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "after munmap and mmap at the same address");
  touch_some(s, c, r);
  s.dwell();
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "a while after munmap and mmap");
}

extern const StressorInfo munmap_stressor;
const StressorInfo munmap_stressor = {
    "munmap",
    "munmap of a range, and after a while mmap of it at the same address",
    "",
    "stale write: the new pages hold nothing from before; errno: EFAULT while unmapped",
    nothing_missing,
    any_cell,
    change};

}  // namespace i915u::stress
