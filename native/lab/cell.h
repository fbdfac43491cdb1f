// SPDX-License-Identifier: MIT
// One cell of the table: a strategy, perhaps with a fault, in a scenario.
#pragma once

#include <string>

#include "lab/explore/explorer.h"
#include "lab/scenarios/scenario.h"
#include "soft/strategies/strategy.h"

namespace i915u::lab {

struct Cell {
  const soft::StrategyName* strategy = nullptr;
  const Scenario* scenario = nullptr;
  uint32_t faults = 0;
  bool lockdep = false;  ///< a report of lockdep's within an execution is a violation, at its end

  /// An empty string, or what there is not. `faults`: names with commas between them, or "".
  std::string find(const std::string& strategy, const std::string& scenario,
                   const std::string& faults);
  std::string fault_names() const;
  /// Of a schedule: find() of what it says, and from another build there may be none.
  std::string find(const explore::Schedule&);
  explore::Make make() const;
};

/// Of what the explorer says of a deadlock.
std::string what_matters(const std::string& what);

struct Verdict {
  explore::Result search;
  /// "holds", "violated", "deadlocks", "livelocks"; or "lockdep": it holds, and the order in which
  /// locks are taken could deadlock in a program with other threads.
  std::string name;
  std::string lockdep;  ///< the title of its report, whatever the verdict
};

/// Explores with lockdep on. Where it holds but for lockdep's report, a second and shorter search
/// looks for one execution that has both sides of it, which is then the counterexample.
Verdict explore_cell(Cell, const explore::Options&, const explore::OnProgress& = {});

}  // namespace i915u::lab
