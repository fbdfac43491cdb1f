// SPDX-License-Identifier: MIT
// The GPU's page tables, as Broadwell and Skylake have them (PRM volume 5, "Memory Views").
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "vgpu/link/dma_map.h"

namespace i915u::vgpu {

/// Of one 4 KiB page.
struct Translation {
  uint64_t gpa = 0;
  bool writable = true;
};

/// The global GTT: 4 GiB by entries of 8 bytes, in the upper half of BAR 0. The link's thread
/// writes it, engines read.
class Ggtt {
 public:
  static constexpr uint64_t entries = 1u << 20;
  static constexpr uint64_t bytes = entries * 8;

  Ggtt();
  void reset();
  /// By the CPU: 4 or 8 bytes, aligned, below `bytes`.
  uint64_t read(uint64_t offset, unsigned size) const;
  void write(uint64_t offset, uint64_t value, unsigned size);
  bool translate(uint64_t addr, Translation* to) const;

 private:
  std::unique_ptr<std::atomic<uint64_t>[]> entries_;
};

/// Walks the four levels below `pml4`; pages of 4 KiB, 64 KiB, 2 MiB and 1 GiB. A page is writable
/// where each level says so. False: an entry is not present, or a table is not in memory.
bool walk_ppgtt(const DmaMap& memory, uint64_t pml4, uint64_t addr, Translation* to);

}  // namespace i915u::vgpu
