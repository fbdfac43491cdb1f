// SPDX-License-Identifier: MIT
// Registers of an engine that its own commands use, as offsets from the engine's base.
#pragma once

#include <cstdint>

#include "gpu/commands.h"

namespace i915u::gpu {

namespace reg {
constexpr uint32_t nopid = 0x94;
constexpr uint32_t timestamp = 0x358, timestamp_udw = 0x35c;
constexpr uint32_t ctx_timestamp = 0x3a8;
constexpr uint32_t predicate_result_2 = 0x3bc;
constexpr uint32_t predicate_src0 = 0x400, predicate_src1 = 0x408;
constexpr uint32_t predicate_data = 0x410;
constexpr uint32_t predicate_result = 0x418, predicate_result_1 = 0x41c;
constexpr uint32_t gpr = 0x600, gpr_end = 0x680;  ///< 16 of 8 bytes; gen7.5+
}  // namespace reg

/// The base of the first engine of a class.
uint32_t engine_base(Gen gen, Engine engine);

}  // namespace i915u::gpu
