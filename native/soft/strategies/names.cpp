// SPDX-License-Identifier: MIT
#include "soft/strategies/interval.h"

namespace i915u::soft {

const StrategyName strategy_names[] = {
    {"interval",
     "mmu_interval_notifier with a sequence number; the notifier waits for the GPU (5.13 to 6.7)",
     make_interval},
    {"interval-nowait",
     "as interval, but the notifier does not wait; the next submission unbinds (6.8 and later)",
     make_interval_nowait},
    {nullptr, nullptr, nullptr},
};

}  // namespace i915u::soft
