// SPDX-License-Identifier: MIT
// The lock checker's side of the primitives.
#pragma once

#include <cstdint>

#include "sync/class.h"

namespace i915u::sync::lockdep {

enum class Mode : uint8_t { write, read };

/// Before the lock is waited for; with `trylock`, once it was taken.
inline void acquire(const LockClass&, const void* /*lock*/, Mode, bool /*trylock*/, Where) {}
inline void release(const LockClass&, const void* /*lock*/) {}

}  // namespace i915u::sync::lockdep
