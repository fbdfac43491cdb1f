// SPDX-License-Identifier: MIT
// The PCI configuration space of Skylake GT2 (Core i5-6500 and its like).
#pragma once

#include <array>
#include <cstdint>

namespace i915u::vgpu {

constexpr uint64_t bar0_bytes = 16 << 20;   ///< GTTMMADR: registers, then GGTT entries
constexpr uint64_t bar2_bytes = 256 << 20;  ///< GMADR, the aperture
constexpr uint64_t bar4_bytes = 64;         ///< I/O ports; nothing behind them here

class ConfigSpace {
 public:
  static constexpr uint32_t bytes = 256;

  ConfigSpace() { reset(); }
  void reset();
  uint8_t read(uint32_t offset) const { return offset < bytes ? space_[offset] : 0; }
  /// Changes the bits that can be written.
  void write(uint32_t offset, uint8_t value);

 private:
  void set(uint32_t offset, uint32_t value, unsigned size, uint32_t writable = 0);
  std::array<uint8_t, bytes> space_, writable_;
};

}  // namespace i915u::vgpu
