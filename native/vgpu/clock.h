// SPDX-License-Identifier: MIT
#pragma once

#include <time.h>

#include <cstdint>

namespace i915u::vgpu {

inline uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000 + static_cast<uint64_t>(t.tv_nsec);
}

/// The GPU's: 12 MHz on Skylake.
inline uint64_t timestamp_ticks() {
  return now_ns() * 12 / 1000;
}

}  // namespace i915u::vgpu
