// SPDX-License-Identifier: MIT
#include "vgpu/link/dma_map.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace i915u::vgpu {

namespace {
constexpr uint64_t page_mask = 4095;
}

int DmaMap::check(uint64_t gpa, uint64_t size) const {
  if (!size || ((gpa | size) & page_mask) || size > address_limit || gpa > address_limit - size)
    return -EINVAL;
  if (mappings_.size() >= max_mappings) return -ENOSPC;
  for (const Mapping& m : mappings_)
    if (gpa < m.gpa + m.size && m.gpa < gpa + size) return -EEXIST;
  return 0;
}

void DmaMap::insert(const Mapping& m) {
  const auto at = std::upper_bound(mappings_.begin(), mappings_.end(), m.gpa,
                                   [](uint64_t a, const Mapping& b) { return a < b.gpa; });
  mappings_.insert(at, m);
}

int DmaMap::map(int fd, uint64_t file_offset, uint64_t gpa, uint64_t size, bool writable) {
  if (const int err = check(gpa, size)) return err;
  struct stat st;
  if (fstat(fd, &st)) return -errno;
  const auto length = static_cast<uint64_t>(st.st_size);
  if (!S_ISREG(st.st_mode) || (file_offset & page_mask) || size > length ||
      file_offset > length - size)
    return -EINVAL;
  void* p = mmap(nullptr, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd,
                 static_cast<off_t>(file_offset));
  if (p == MAP_FAILED) return -errno;
  insert({gpa, size, static_cast<uint8_t*>(p), writable, true});
  return 0;
}

int DmaMap::map_memory(void* memory, uint64_t gpa, uint64_t size, bool writable) {
  if (const int err = check(gpa, size)) return err;
  insert({gpa, size, static_cast<uint8_t*>(memory), writable, false});
  return 0;
}

int DmaMap::unmap(uint64_t gpa, uint64_t size) {
  if (size > address_limit || gpa > address_limit - size) return -EINVAL;
  const auto inside = [&](const Mapping& m) {
    return m.gpa >= gpa && m.gpa + m.size <= gpa + size;
  };
  bool any = false;
  for (const Mapping& m : mappings_) {
    if (gpa >= m.gpa + m.size || m.gpa >= gpa + size) continue;
    if (!inside(m)) return -EINVAL;
    any = true;
  }
  if (!any) return -ENOENT;
  std::erase_if(mappings_, [&](const Mapping& m) {
    if (!inside(m)) return false;
    if (m.owned) munmap(m.memory, m.size);
    return true;
  });
  return 0;
}

void DmaMap::unmap_all() {
  for (const Mapping& m : mappings_)
    if (m.owned) munmap(m.memory, m.size);
  mappings_.clear();
}

uint8_t* DmaMap::at(uint64_t gpa, size_t len, bool write) const {
  auto it = std::upper_bound(mappings_.begin(), mappings_.end(), gpa,
                             [](uint64_t a, const Mapping& b) { return a < b.gpa; });
  if (it == mappings_.begin()) return nullptr;
  --it;
  const uint64_t off = gpa - it->gpa;
  if (off >= it->size || len > it->size - off || (write && !it->writable)) return nullptr;
  return it->memory + off;
}

}  // namespace i915u::vgpu
