// SPDX-License-Identifier: MIT
// All of them, for names.cpp.
#pragma once

#include <memory>

#include "soft/strategies/strategy.h"

namespace i915u::soft {

std::unique_ptr<Strategy> make_none(StrategyHost&);
std::unique_ptr<Strategy> make_rwsem(StrategyHost&);
std::unique_ptr<Strategy> make_ban(StrategyHost&);
std::unique_ptr<Strategy> make_ban_late(StrategyHost&);
std::unique_ptr<Strategy> make_ranges(StrategyHost&);
std::unique_ptr<Strategy> make_seqcount(StrategyHost&);
std::unique_ptr<Strategy> make_interval(StrategyHost&);
std::unique_ptr<Strategy> make_interval_nowait(StrategyHost&);

}  // namespace i915u::soft
