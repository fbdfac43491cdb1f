// SPDX-License-Identifier: MIT
// The CPU's accesses to registers, and what they set in motion.
#pragma once

#include <cstdint>

#include "vgpu/engine/engines.h"
#include "vgpu/hardware.h"
#include "vgpu/reset/reset.h"

namespace i915u::vgpu {

class Mmio {
 public:
  Mmio(Hardware& hw, Engines& engines, Reset& reset);

  /// Of 4 bytes, at multiples of 4 below register_bytes.
  uint32_t read(uint32_t offset);
  void write(uint32_t offset, uint32_t value);

 private:
  uint32_t residency();

  Hardware& hw_;
  Engines& engines_;
  Reset& reset_;
  const uint64_t start_;
};

}  // namespace i915u::vgpu
