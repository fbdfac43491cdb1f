// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace i915u {

/// Where mappings go whose addresses are to be unmapped and mapped again: far below the place where
/// the kernel puts what it places itself, so that no allocator takes a hole that stands open for a
/// moment and is then mapped over. 64 TiB of 47 bits, with what sanitizers leave of it.
#if defined(__SANITIZE_THREAD__)
constexpr uint64_t quiet_range = 0x4000000000, quiet_size = 0x4000000000;
#else
constexpr uint64_t quiet_range = 0x300000000000, quiet_size = 0x100000000000;
#endif
/// The first quarter is the stress engine's, whose addresses are the same in each run.
constexpr uint64_t quiet_stress = quiet_range;
/// The last eighth is the player's (native/match).
constexpr uint64_t quiet_match = quiet_range + quiet_size / 8 * 7;

/// A hint for mmap(2) for so many bytes, another each time; aligned to 2 MiB from that size on.
uint64_t quiet_address(uint64_t len);

}  // namespace i915u
