// SPDX-License-Identifier: MIT
// The registers' storage. Any thread may read and write; what a write sets in motion is the
// business of Mmio.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vgpu/registers/register_map.h"

namespace i915u::vgpu {

class RegisterFile {
 public:
  RegisterFile();

  void reset();
  /// Those of one engine that hardware itself changes.
  void reset_engine(uint32_t base);

  struct Known {
    Register r;  ///< with its offset in the file
    int engine;  ///< EngineId, or -1
  };
  /// Null: plain, and without a name. Offsets are multiples of 4 below register_bytes.
  const Known* find(uint32_t offset) const;
  /// "rcs0.RING_TAIL", "GEN9_GFX_MOCS[3]", "0x00a0b4".
  std::string name(uint32_t offset) const;

  uint32_t get(uint32_t offset) const { return at(offset).load(std::memory_order_relaxed); }
  void set(uint32_t offset, uint32_t value) { at(offset).store(value, std::memory_order_release); }
  void set_bits(uint32_t offset, uint32_t bits) { at(offset).fetch_or(bits); }
  void clear_bits(uint32_t offset, uint32_t bits) { at(offset).fetch_and(~bits); }
  /// Bits 31:16 of the value say which of 15:0 change.
  void set_masked(uint32_t offset, uint32_t value);

 private:
  std::atomic<uint32_t>& at(uint32_t offset) const {
    return values_[(offset & (register_bytes - 1)) / 4];
  }
  void add(RegisterTable table, uint32_t base, int engine);

  std::unique_ptr<std::atomic<uint32_t>[]> values_;
  std::unique_ptr<uint16_t[]> index_;  // of each dword: 1 + its place in known_, or 0
  std::vector<Known> known_;
};

}  // namespace i915u::vgpu
