// SPDX-License-Identifier: MIT
// An engine's view of memory: translation, permissions, and the TLB.
//
// The real TLB may keep an entry or not; the usual mode here keeps none, so that every access sees
// the tables as they are. The stale mode keeps each entry until it is invalidated or pushed out,
// the worst that hardware may do: a driver that forgets an invalidation is then found out.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "gpu/command_streamer.h"
#include "vgpu/gtt/page_tables.h"
#include "vgpu/trace/statistics.h"

namespace i915u::vgpu {

class Mmu {
 public:
  enum class Result : uint8_t {
    ok,
    fault,      ///< no translation
    read_only,  ///< the write must be dropped
    nowhere,    ///< translated to what is no memory: reads zeros, drops writes
  };

  Mmu(const DmaMap& memory, const Ggtt& ggtt, Statistics& stats, bool stale);

  void set_root(uint64_t pml4) { pml4_ = pml4; }
  uint64_t root() const { return pml4_; }
  /// Where `addr` is; up to the end of its page is there.
  Result resolve(gpu::Space space, uint64_t addr, bool write, uint8_t** to);
  void invalidate();

 private:
  bool translate(gpu::Space space, uint64_t page, Translation* to);

  struct Entry {
    uint64_t page = 0, root = 0, generation = 0;
    Translation to;
  };
  static constexpr size_t tlb_entries = 4096;

  const DmaMap& memory_;
  const Ggtt& ggtt_;
  Statistics& stats_;
  uint64_t pml4_ = 0;
  std::unique_ptr<std::array<Entry, tlb_entries>> tlb_;  // null: none is kept
  uint64_t generation_ = 1;
};

}  // namespace i915u::vgpu
