// SPDX-License-Identifier: MIT
// The engines of Skylake GT2, and what each is called in the registers that all share.
#pragma once

#include <cstdint>

#include "gpu/commands.h"

namespace i915u::vgpu {

enum EngineId : uint8_t { rcs0, bcs0, vcs0, vecs0, num_engines };

struct EngineInfo {
  const char* name;
  gpu::Engine engine;
  uint32_t base;
  uint8_t irq_bank, irq_shift;  ///< its 16 bits in GT_IIR(bank)
  uint8_t master_bit;           ///< in GEN8_MASTER_IRQ
  uint8_t reset_bit;            ///< in GEN6_GDRST
  uint8_t fault_id;             ///< in GEN8_RING_FAULT_REG
};

constexpr EngineInfo engine_info[num_engines] = {
    {"rcs0", gpu::Engine::render, 0x2000, 0, 0, 0, 1, 0},
    {"bcs0", gpu::Engine::copy, 0x22000, 0, 16, 1, 3, 2},
    {"vcs0", gpu::Engine::video, 0x12000, 1, 0, 2, 2, 1},
    {"vecs0", gpu::Engine::video_enhance, 0x1a000, 3, 0, 6, 4, 3},
};

}  // namespace i915u::vgpu
