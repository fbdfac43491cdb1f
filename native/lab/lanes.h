// SPDX-License-Identifier: MIT
// What a counterexample goes through, step by step. lib/lab/lanes.ts draws it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/cell.h"

namespace i915u::lab {

struct Lanes {
  struct Step {
    uint32_t thread;
    std::string op, object, where;
    /// After it, by thread: the locks that it holds, and what it is about to do.
    std::vector<std::vector<std::string>> held;
    std::vector<std::string> next;
    std::string pages;  ///< LabMm::show()
  };
  std::vector<std::string> threads;
  std::vector<Step> steps;

  /// Replays the schedule, which is of the cell.
  explore::Replayed record(const Cell&, const explore::Schedule&);
  std::string json() const;
};

}  // namespace i915u::lab
