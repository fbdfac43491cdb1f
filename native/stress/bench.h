// SPDX-License-Identifier: MIT
// Loops for bench/, in C++ so that what JavaScript adds can be told apart.
#pragma once

#include <cstdint>

#include "drm/device.h"

namespace i915u::stress {

/// Each returns the nanoseconds that all of its rounds took, or -errno.
int64_t bench_getparam(Device& dev, uint64_t rounds);
int64_t bench_userptr_create_close(Device& dev, uint64_t addr, uint64_t len, uint64_t rounds);
/// Batches of one MI_STORE_DWORD_IMM into a userptr page by softpin without relocations, on the
/// blitter; with a GEM_WAIT after each, or one at the end.
int64_t bench_exec(Device& dev, uint64_t addr, uint64_t rounds, bool wait_each);

}  // namespace i915u::stress
