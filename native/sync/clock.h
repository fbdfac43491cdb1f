// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "sync/class.h"

namespace i915u::sync {

/// CLOCK_MONOTONIC in nanoseconds. Under a scheduler there is no time, and it stands still.
uint64_t now_ns();
void sleep_ns(uint64_t ns, Where = Where::current());
/// Lets another thread run: where a kernel loop would cond_resched() or cpu_relax(). Under a
/// scheduler the caller says that there is no use in its going on before something has changed.
void yield(Where = Where::current());

constexpr uint64_t forever = UINT64_MAX;  ///< a timeout that never ends

}  // namespace i915u::sync
