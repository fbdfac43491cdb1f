// SPDX-License-Identifier: MIT
#include "stress/stressor.h"

#include <sys/mman.h>

#include <cstring>

#include "sync/clock.h"

namespace i915u::stress {

extern const StressorInfo munmap_stressor, mmap_stressor, mprotect_stressor, mremap_stressor,
    dontneed_stressor, free_stressor, pageout_stressor, hugepage_stressor, collapse_stressor,
    mlock_stressor, fork_stressor, truncate_stressor, punch_stressor, move_pages_stressor,
    gem_close_stressor, exit_stressor;

const StressorInfo* const stressors[] = {&munmap_stressor,
                                         &mmap_stressor,
                                         &mprotect_stressor,
                                         &mremap_stressor,
                                         &dontneed_stressor,
                                         &free_stressor,
                                         &pageout_stressor,
                                         &hugepage_stressor,
                                         &collapse_stressor,
                                         &mlock_stressor,
                                         &fork_stressor,
                                         &truncate_stressor,
                                         &punch_stressor,
                                         &move_pages_stressor,
                                         &gem_close_stressor,
                                         &exit_stressor,
                                         nullptr};

const StressorInfo* find_stressor(const std::string& name) {
  for (auto* s = stressors; *s; s++)
    if (name == (*s)->name) return *s;
  return nullptr;
}

std::string nothing_missing(Run&) {
  return {};
}
bool any_cell(const Cell&) {
  return true;
}
bool anon_cell(const Cell& c) {
  return c.backing == Backing::anon;
}
bool memfd_cell(const Cell& c) {
  return c.backing == Backing::memfd;
}

Range pick_range(Rng& rng, const Cell& c) {
  switch (rng.below(4)) {
    case 0:
      return {0, c.pages};
    case 1:
      return {0, 1};
    case 2:
      return {c.pages - 1, 1};
    default: {
      const auto first = static_cast<uint32_t>(rng.below(c.pages));
      return {first, 1 + static_cast<uint32_t>(rng.below(c.pages - first))};
    }
  }
}

void Stress::dwell() {
  if (!run.cfg.dwell_ns || rng.one_in(3)) return;
  rec.begin(Op::idle, no_cell);
  sync::sleep_ns(rng.below(run.cfg.dwell_ns));
  rec.end(0);
}

bool Stress::expect_ok(Op op, Cell& c, int64_t r) {
  if (r >= 0) return true;
  ThreadSlot& s = rec.slot();
  if (r == -EAGAIN || r == -ENOMEM) {
    (r == -EAGAIN ? s.eagain : s.refused).fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  report(rec, ViolationKind::wrong_errno, c.id,
         std::string(op_names[static_cast<size_t>(op)]) + " failed with " +
             strerror(static_cast<int>(-r)));
  return false;
}

bool Stress::in_lookup(const Cell& c) {
  for (const Cell::Lane& l : c.lane)
    if (l.begun.load(std::memory_order_relaxed) != l.returned.load(std::memory_order_relaxed))
      return true;
  return false;
}

bool Stress::in_flight(const Cell& c) {
  for (const Cell::Lane& l : c.lane)
    if (l.busy.load(std::memory_order_relaxed)) return true;
  return false;
}

void map_anew(Stress& s, Cell& c, Range r) {
  for (;;) {
    const int64_t at = s.call(Op::mmap, c, c.page_addr(r.first), r.n * page_size, [&] {
      return c.map_pages(s.run.mem, r.first, r.n, PROT_READ | PROT_WRITE);
    });
    if (at != -ENOMEM && at != -EAGAIN) {
      s.expect_ok(Op::mmap, c, at < 0 ? at : 0);
      return;
    }
    s.rec.slot().refused.fetch_add(1, std::memory_order_relaxed);
    if (s.run.stopping()) return;
    sync::sleep_ns(1000000);
  }
}

void touch_some(Stress& s, Cell& c, Range r) {
  for (int i = 0; i < 4; i++) {
    const auto p = r.first + static_cast<uint32_t>(s.rng.below(r.n));
    // Never the value that means "changing", never 0.
    c.cpu_write(p, 1 + static_cast<uint32_t>(s.rng.below(0x7fffffff)));
  }
}

void innocent(Stress& s, Cell& c, Range r, Op op, const char* what,
              const std::function<int64_t()>& change, bool may_be_refused) {
  if (s.rng.one_in(2)) touch_some(s, c, r);
  const Content before(c, s.rng, r.first, r.n);
  const int64_t err = s.call(op, c, c.page_addr(r.first), r.n * page_size, change);
  if (err < 0 && may_be_refused)
    s.rec.slot().refused.fetch_add(1, std::memory_order_relaxed);
  else
    s.expect_ok(op, c, err);
  before.survived(s.oracle, s.rec, what);
  s.dwell();
  before.survived(s.oracle, s.rec, what);
  s.oracle.sample(c, s.rng, r.first, r.n, 4, what);
}

}  // namespace i915u::stress
