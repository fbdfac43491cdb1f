// SPDX-License-Identifier: MIT
#include <optional>

#include "stress/stressor.h"

namespace i915u::stress {

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  std::optional<Cell::Destroy> destroy;
  c.begin_access();
  if (c.backing == Backing::anon) destroy.emplace(c, r.first, r.n);
  map_anew(s, c, r);
  if (destroy) destroy->done();
  c.set_access(Access::rw, 0, c.pages);
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "after mmap(MAP_FIXED) over it");
  touch_some(s, c, r);
  s.dwell();
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "a while after mmap(MAP_FIXED) over it");
}

extern const StressorInfo mmap_stressor;
const StressorInfo mmap_stressor = {
    "mmap",
    "mmap(MAP_FIXED) over a mapped range",
    "",
    "stale write: the new pages hold nothing from before; lost write: later batches reach them",
    nothing_missing,
    any_cell,
    change};

}  // namespace i915u::stress
