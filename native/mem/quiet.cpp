// SPDX-License-Identifier: MIT
#include "mem/quiet.h"

#include <algorithm>
#include <atomic>

namespace i915u {

uint64_t quiet_address(uint64_t len) {
  constexpr uint64_t huge = 2u << 20, gap = 64u << 10;
  constexpr uint64_t first = quiet_size / 4;
  static std::atomic<uint64_t> next{0};
  const uint64_t step = (std::min(len, quiet_size / 4) + gap + huge - 1) / huge * huge;
  return quiet_range + first + next.fetch_add(step) % (quiet_size / 2);
}

}  // namespace i915u
