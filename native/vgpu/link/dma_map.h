// SPDX-License-Identifier: MIT
// The guest's memory: what the client lets the device reach by DMA, by guest-physical address.
//
// Changed only while no engine runs (Device::Pause); looked up without a lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace i915u::vgpu {

class DmaMap {
 public:
  static constexpr size_t max_mappings = 512;
  static constexpr uint64_t address_limit = 1ull << 46;

  DmaMap() = default;
  DmaMap(const DmaMap&) = delete;
  DmaMap& operator=(const DmaMap&) = delete;
  ~DmaMap() { unmap_all(); }

  /// Maps a part of the file. -EINVAL: not page aligned, empty or beyond the file's end (an access
  /// there would be SIGBUS); -EEXIST: overlaps; -ENOSPC: too many.
  int map(int fd, uint64_t file_offset, uint64_t gpa, uint64_t size, bool writable);
  /// Memory of the caller's own, which stays the caller's.
  int map_memory(void* memory, uint64_t gpa, uint64_t size, bool writable);
  /// -EINVAL where only a part of a mapping lies in the range, -ENOENT where nothing does.
  int unmap(uint64_t gpa, uint64_t size);
  void unmap_all();

  /// Null where not all of it is in one mapping, or not writable.
  uint8_t* at(uint64_t gpa, size_t len, bool write) const;

 private:
  struct Mapping {
    uint64_t gpa, size;
    uint8_t* memory;
    bool writable, owned;
  };
  int check(uint64_t gpa, uint64_t size) const;
  void insert(const Mapping& m);

  std::vector<Mapping> mappings_;  // by gpa
};

}  // namespace i915u::vgpu
