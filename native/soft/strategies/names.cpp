// SPDX-License-Identifier: MIT
#include <cstring>

#include "soft/strategies/strategies.h"

namespace i915u::soft {

const StrategyName strategy_names[] = {
    {"interval",
     "mmu_interval_notifier with a sequence number; the notifier waits for the GPU (5.13 to 6.7)",
     make_interval, true},
    {"interval-nowait",
     "as interval, but the notifier does not wait; the next submission unbinds (6.8 and later)",
     make_interval_nowait, false},
    {nullptr, nullptr, nullptr, false},
};

const StrategyName* find_strategy(const char* name) {
  for (const StrategyName* s = strategy_names; s->name; s++)
    if (!strcmp(s->name, name)) return s;
  return nullptr;
}

}  // namespace i915u::soft
