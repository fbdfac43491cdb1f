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

  /// An empty string, or what there is not. `faults`: names with commas between them, or "".
  std::string find(const std::string& strategy, const std::string& scenario,
                   const std::string& faults);
  std::string fault_names() const;
  explore::Make make() const;
  /// With the counterexample saying which cell it is of.
  explore::Result explore(const explore::Options&, const explore::OnProgress& = {}) const;
};

}  // namespace i915u::lab
