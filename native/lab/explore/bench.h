// SPDX-License-Identifier: MIT
// How fast the scheduler and the search are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace i915u::explore {

struct Rate {
  const char* name;
  uint64_t executions, steps;
  double seconds;
};
/// Each for about that long.
std::vector<Rate> bench(double seconds);
std::string bench_text(const std::vector<Rate>&);

}  // namespace i915u::explore
