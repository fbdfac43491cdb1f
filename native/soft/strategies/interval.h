// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "soft/strategies/strategy.h"

namespace i915u::soft {

std::unique_ptr<Strategy> make_interval(SoftDevice&);
std::unique_ptr<Strategy> make_interval_nowait(SoftDevice&);

}  // namespace i915u::soft
