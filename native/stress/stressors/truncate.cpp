// SPDX-License-Identifier: MIT
#include "stress/stressor.h"

namespace i915u::stress {

//   |====== memfd ======|
//   |=======|                 ftruncate: the tail is SIGBUS to the CPU, EFAULT to execbuf
//   |=======|~~~~~~~~~~~|     and longer again: new pages, of zeros
static void change(Stress& s, Cell& c) {
  const auto first = static_cast<uint32_t>(s.rng.below(c.pages));
  const Range tail{first, c.pages - first};
  const auto truncate = [&](uint64_t len) {
    return s.call(Op::truncate, c, c.page_addr(tail.first), tail.n * page_size,
                  [&] { return s.run.mem.ftruncate(c.fd, static_cast<int64_t>(len)); });
  };
  c.begin_access();
  Cell::Destroy destroy(c, tail.first, tail.n);
  if (s.expect_ok(Op::truncate, c, truncate(tail.first * page_size))) {
    c.set_access(Access::none, tail.first, tail.n);
    s.dwell();
    c.begin_access();
    s.expect_ok(Op::truncate, c, truncate(c.len));
    destroy.done();
  } else {
    destroy.undone();
  }
  c.set_access(Access::rw, 0, c.pages);
  s.oracle.sample(c, s.rng, tail.first, tail.n, 8, "after the file was cut and grew again");
  touch_some(s, c, tail);
  s.dwell();
  s.oracle.sample(c, s.rng, tail.first, tail.n, 8, "a while after the file was cut and grew again");
}

extern const StressorInfo truncate_stressor;
const StressorInfo truncate_stressor = {
    "truncate",
    "ftruncate of a mapped memfd, shorter and longer again",
    "",
    "stale write: the new pages hold nothing from before; errno: EFAULT past the end",
    nothing_missing,
    memfd_cell,
    change};

}  // namespace i915u::stress
