// SPDX-License-Identifier: MIT
// A stressor: one way to change a mapping, again and again, with the checks that belong to it.
// One file each under stressors/, ending in its record.
#pragma once

#include <functional>
#include <string>

#include "stress/oracle.h"
#include "stress/run.h"

namespace i915u::stress {

/// What a stressor's thread has.
struct Stress {
  Run& run;
  Recorder& rec;
  Rng& rng;
  Oracle& oracle;

  /// Leaves things as they are for a while, by chance short or up to Config::dwell_ns.
  void dwell();
  /// One memory call, recorded: run(Op::munmap, cell, addr, len, [&] { return mem.munmap(...); }).
  template <class Call>
  int64_t call(Op op, Cell& c, uint64_t addr, uint64_t len, Call fn) {
    rec.begin(op, c.id, addr, len);
    const bool before = in_lookup(c), busy = in_flight(c);
    const int64_t r = rec.end(fn(), true);
    if (before || in_lookup(c)) rec.slot().overlap_lookup.fetch_add(1, std::memory_order_relaxed);
    if (busy) rec.slot().overlap_busy.fetch_add(1, std::memory_order_relaxed);
    return r;
  }
  /// A memory call that must succeed where it is made; what it says instead is a violation.
  /// -ENOMEM and -EAGAIN may always happen and are counted.
  bool expect_ok(Op op, Cell& c, int64_t result);

  static bool in_lookup(const Cell& c);
  static bool in_flight(const Cell& c);
};

struct Range {
  uint32_t first, n;
};
/// All of a cell, its first page, its last, or some pages: the edges are where notifiers err.
Range pick_range(Rng& rng, const Cell& c);

/// Maps the range afresh, however long memory takes to be had.
void map_anew(Stress&, Cell&, Range);
/// The CPU writes its dword of a few pages, which faults them in or breaks COW.
void touch_some(Stress&, Cell&, Range);
/// An innocent change of a range: one call, and everything in it must survive. `may_be_refused`:
/// the kernel may say no with any errno (a page is busy or pinned, no huge page could be had).
void innocent(Stress&, Cell&, Range, Op, const char* what, const std::function<int64_t()>& change,
              bool may_be_refused = false);

struct StressorInfo {
  const char* name;
  const char* changes;   ///< what it does to the mapping
  const char* needs;     ///< of the machine; "" for nothing
  const char* verified;  ///< which oracle sees what goes wrong
  /// Why it cannot run on this machine; empty if it can.
  std::string (*missing)(Run&);
  bool (*fits)(const Cell&);
  /// One change, cell.change_lock held. It leaves the cell mapped and rw.
  void (*change)(Stress&, Cell&);
};

/// In the order of `run --list`, ended by null.
extern const StressorInfo* const stressors[];
const StressorInfo* find_stressor(const std::string& name);

// Most have these.
std::string nothing_missing(Run&);
bool any_cell(const Cell&);
bool anon_cell(const Cell&);
bool memfd_cell(const Cell&);

}  // namespace i915u::stress
