// SPDX-License-Identifier: MIT
// Decides whether what stands in a cell was allowed. Each check reads a value between two reads of
// the page's generation and says nothing when a change came between.
#pragma once

#include <string>
#include <vector>

#include "stress/board.h"
#include "stress/cell.h"
#include "stress/rng.h"

namespace i915u::stress {

class Oracle {
 public:
  explicit Oracle(Recorder& rec) : rec_(rec) {}

  /// Stale write: the dword of a lane is zero, or from a submission that may have found the pages
  /// of now. `when` ends the sentence of the report.
  void lane(Cell& c, uint32_t page, uint32_t lane, const char* when);
  /// Lost write: submission `seq` was waited for, and the page has been the same since before it.
  void landed(Cell& c, uint32_t page, uint32_t lane, uint32_t seq, uint32_t gen);
  /// Lost content: the CPU's dword is what the CPU wrote.
  void cpu(Cell& c, uint32_t page, const char* when);
  /// All three dwords of a page, and nothing else in it.
  void whole_page(Cell& c, uint32_t page, const char* when);
  /// Up to `n` pages of [first, first + count), its ends among them.
  void sample(Cell& c, Rng& rng, uint32_t first, uint32_t count, uint32_t n, const char* when);

  void violation(ViolationKind k, Cell& c, uint32_t page, uint64_t addr, uint64_t expected,
                 uint64_t found, const std::string& text);

 private:
  Recorder& rec_;
};

/// The values of some pages at one moment, to be compared with those of a later one.
class Content {
 public:
  Content(Cell& c, Rng& rng, uint32_t first, uint32_t count, uint32_t most = 16);

  /// After an innocent change: what was there is there, or something newer.
  void survived(Oracle& o, Recorder& rec, const char* change) const;
  /// While the range is read-only: nothing changed (Era::waits), or only by submissions that had
  /// begun when mprotect returned (`begun`, per lane).
  void unchanged(Oracle& o, Recorder& rec, Era era, const uint32_t* begun) const;

 private:
  struct Seen {
    uint32_t page, gen, lane[lanes], cpu;
    bool readable;
  };
  bool look(uint32_t page, Seen* s) const;
  Cell& c_;
  std::vector<Seen> seen_;
};

std::string hex(uint64_t v);

}  // namespace i915u::stress
