// SPDX-License-Identifier: MIT
#include "vgpu/gtt/page_tables.h"

namespace i915u::vgpu {

namespace {

constexpr uint64_t present = 1u << 0, writable = 1u << 1;
constexpr uint64_t large = 1u << 7;          // of a level 2 or 3 entry: it is a page
constexpr uint64_t table_of_64k = 1u << 11;  // of a level 2 entry
constexpr uint64_t frame = 0x7ffffff000;     // Skylake: 39 bits

constexpr uint64_t pages(unsigned shift) {
  return (1ull << shift) - 1;
}

}  // namespace

Ggtt::Ggtt() : entries_(new std::atomic<uint64_t>[entries]()) {}

void Ggtt::reset() {
  for (uint64_t i = 0; i < entries; i++) entries_[i].store(0, std::memory_order_relaxed);
}

uint64_t Ggtt::read(uint64_t offset, unsigned size) const {
  const uint64_t entry = entries_[offset / 8].load(std::memory_order_relaxed);
  return size == 8 ? entry : entry >> (offset & 4) * 8 & UINT32_MAX;
}

void Ggtt::write(uint64_t offset, uint64_t value, unsigned size) {
  auto& entry = entries_[offset / 8];
  if (size == 4) {
    const unsigned shift = (offset & 4) * 8;
    value = (entry.load(std::memory_order_relaxed) & ~(uint64_t{UINT32_MAX} << shift)) |
            (value & UINT32_MAX) << shift;
  }
  entry.store(value, std::memory_order_release);
}

bool Ggtt::translate(uint64_t addr, Translation* to) const {
  if (addr >= entries << 12) return false;
  const uint64_t entry = entries_[addr >> 12].load(std::memory_order_acquire);
  *to = {entry & frame, true};
  return entry & present;
}

bool walk_ppgtt(const DmaMap& memory, uint64_t pml4, uint64_t addr, Translation* to) {
  uint64_t table = pml4 & frame;
  bool may_write = true;
  for (unsigned shift = 39;; shift -= 9) {
    uint64_t index = addr >> shift & 511;
    const uint8_t* p = memory.at(table + index * 8, 8, false);
    if (!p) return false;
    const uint64_t entry = __atomic_load_n(reinterpret_cast<const uint64_t*>(p), __ATOMIC_ACQUIRE);
    if (!(entry & present)) return false;
    may_write &= (entry & writable) != 0;
    const bool is_page = shift == 12 || (shift <= 30 && (entry & large));
    if (is_page) {
      *to = {((entry & frame & ~pages(shift)) | (addr & pages(shift))) & ~pages(12), may_write};
      return true;
    }
    table = entry & frame;
    if (shift == 21 && (entry & table_of_64k)) {
      // Only each 16th entry counts, and holds for the 16 pages.
      index = addr >> 12 & 511 & ~15u;
      p = memory.at(table + index * 8, 8, false);
      if (!p) return false;
      const uint64_t e = __atomic_load_n(reinterpret_cast<const uint64_t*>(p), __ATOMIC_ACQUIRE);
      *to = {((e & frame & ~pages(16)) | (addr & pages(16))) & ~pages(12),
             may_write && (e & writable)};
      return e & present;
    }
  }
}

}  // namespace i915u::vgpu
