// SPDX-License-Identifier: MIT
// Swap in compressed memory, so that pages really are swapped out.
#pragma once

#include <cstdint>
#include <string>

namespace i915u::guest {

/// Makes a disk of `bytes` of a zram device ("zram0") and swaps to it. 0 or -errno.
int swap_on_zram(const std::string& disk, uint64_t bytes);

}  // namespace i915u::guest
