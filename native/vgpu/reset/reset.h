// SPDX-License-Identifier: MIT
// Resets: of engines by GDRST and RESET_CTL (PRM volume 2c, "Graphics Device Reset Control"), and
// of the whole device.
#pragma once

#include <cstdint>

#include "vgpu/engine/engines.h"
#include "vgpu/hardware.h"

namespace i915u::vgpu {

class Reset {
 public:
  Reset(Hardware& hw, Engines& engines) : hw_(hw), engines_(engines) {}

  /// A write of GDRST, which reads as zero when it is done. With Options::reset_fails it never is
  /// for an engine that hangs. (The driver must have probed by then: it does not survive that.)
  void domains(uint32_t offset, uint32_t value);
  /// A write of RESET_CTL: the request is answered at once.
  void control(uint32_t offset, uint32_t value);
  /// As at power on, but for the memory map.
  void device();

 private:
  Hardware& hw_;
  Engines& engines_;
};

}  // namespace i915u::vgpu
