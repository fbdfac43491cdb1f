// SPDX-License-Identifier: MIT
#include "vgpu/gtt/mmu.h"

namespace i915u::vgpu {

Mmu::Mmu(const DmaMap& memory, const Ggtt& ggtt, Statistics& stats, bool stale)
    : memory_(memory), ggtt_(ggtt), stats_(stats) {
  if (stale) tlb_ = std::make_unique<std::array<Entry, tlb_entries>>();
}

void Mmu::invalidate() {
  generation_++;
}

bool Mmu::translate(gpu::Space space, uint64_t page, Translation* to) {
  return space == gpu::Space::ggtt ? ggtt_.translate(page << 12, to)
                                   : walk_ppgtt(memory_, pml4_, page << 12, to);
}

Mmu::Result Mmu::resolve(gpu::Space space, uint64_t addr, bool write, uint8_t** to) {
  const uint64_t page = addr >> 12;
  Translation t;
  if (!tlb_) {
    if (!translate(space, page, &t)) return Result::fault;
  } else {
    const uint64_t root = space == gpu::Space::ggtt ? UINT64_MAX : pml4_;
    // Mixed well: batches and their targets like to lie at round addresses.
    Entry& e = (*tlb_)[(page ^ root << 20) * 0x9e3779b97f4a7c15 >> 52];
    static_assert(tlb_entries == 1u << (64 - 52));
    if (e.generation != generation_ || e.page != page || e.root != root) {
      if (!translate(space, page, &t)) return Result::fault;
      e = {page, root, generation_, t};
    } else {
      t = e.to;
      Translation now;
      if (!translate(space, page, &now) || now.gpa != t.gpa || now.writable != t.writable)
        count(stats_.tlb_stale_hits);
    }
  }
  if (write && !t.writable) return Result::read_only;
  *to = memory_.at(t.gpa | (addr & 4095), 4096 - (addr & 4095), write);
  return *to ? Result::ok : Result::nowhere;
}

}  // namespace i915u::vgpu
