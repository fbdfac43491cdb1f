// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace i915u::sync {

/// CLOCK_MONOTONIC in nanoseconds.
uint64_t now_ns();
void sleep_ns(uint64_t ns);
/// Lets another thread run: where a kernel loop would cond_resched() or cpu_relax().
void yield();

constexpr uint64_t forever = UINT64_MAX;  ///< a timeout that never ends

}  // namespace i915u::sync
