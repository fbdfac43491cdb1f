// SPDX-License-Identifier: MIT
// A logical ring context in the GGTT: page 0 is its status page, page 1 holds its registers as
// pairs of offset and value (PRM volume 7, "Logical Ring Context Format"; i915's intel_lrc_reg.h).
#pragma once

#include <array>
#include <cstdint>

#include "gpu/command_streamer.h"

namespace i915u::vgpu {

class ContextImage {
 public:
  static constexpr uint32_t registers_offset = 4096;
  static constexpr uint32_t bytes = 0x220 * 4;  ///< of the page: what is used here

  /// The registers, as the engine reads and writes them.
  std::array<uint32_t, bytes / 4> dw{};

  uint64_t pml4() const;
  uint32_t mi_mode() const;
  uint32_t timestamp() const;
  uint32_t tail() const;
  /// Where to go on. With the restore inhibited, or where the driver has moved the head, the batch
  /// that was running is forgotten: real hardware repeats the command that started it, which is
  /// then another one.
  gpu::CommandStreamer::State load() const;
  /// Puts the state in `dw`. `ticks` have passed on the engine.
  void save(const gpu::CommandStreamer::State& state, uint32_t ticks);
};

}  // namespace i915u::vgpu
