// SPDX-License-Identifier: MIT
// What stands where in this process, as far as the notifier calls depend on it (kernel: the mm's
// vm_area_structs, and each file's i_mmap tree).
//
// A stub on purpose: it starts from /proc/self/maps and then follows the library's own calls. A
// mapping that was made or removed behind the library's back afterwards (malloc, a raw syscall) is
// taken for what the map says, and where it says nothing for private memory, which is what malloc
// makes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "sync/mutex.h"

namespace i915u::soft {

constexpr uint64_t page_size = 4096;
constexpr uint64_t task_size = 0x7ffffffff000;  ///< TASK_SIZE_MAX with four-level page tables

constexpr uint64_t page_align(uint64_t len) {
  return (len + page_size - 1) & ~(page_size - 1);
}
/// Is it what the kernel takes for a range of user space?
constexpr bool user_range(uint64_t start, uint64_t len) {
  return start % page_size == 0 && len <= task_size && start <= task_size - len;
}

struct ByteRange {
  uint64_t start, end;
};

struct Mapping {
  static constexpr int prot_unknown = -1;

  uint64_t end;
  int prot;
  bool shared;
  bool pfnmap;  ///< no struct pages behind it (VM_PFNMAP)
  dev_t dev;    ///< the file; 0 and ino 0: none; 0 and ino > 0: shared anonymous memory
  ino_t ino;
  uint64_t off;  ///< bytes in the file at the mapping's start

  bool file() const { return dev || ino; }
};

class Mappings {
 public:
  Mappings();  ///< as /proc/self/maps has it

  void insert(uint64_t start, Mapping m);  ///< over what stood there
  void erase(uint64_t start, uint64_t end);
  void protect(uint64_t start, uint64_t end, int prot);
  void set_pfnmap(uint64_t start, uint64_t end);
  ino_t new_anon_file();  ///< identity for one piece of shared anonymous memory

  bool find(uint64_t addr, uint64_t* start, Mapping* m) const;
  bool any(uint64_t start, uint64_t end) const;
  bool any_pfnmap(uint64_t start, uint64_t end) const;
  /// From the first to the last byte whose protection is not known to be `prot` already.
  ByteRange not_protected(uint64_t start, uint64_t end, int prot) const;
  /// The parts of [start, end) that are shared.
  std::vector<ByteRange> shared(uint64_t start, uint64_t end) const;
  /// Where bytes [off, end) of the file are mapped.
  std::vector<ByteRange> of_file(dev_t dev, ino_t ino, uint64_t off, uint64_t end) const;
  struct FileRange {
    dev_t dev;
    ino_t ino;
    uint64_t off, end;
  };
  /// Which bytes of which files stand in the shared mappings of [start, end).
  std::vector<FileRange> files_in(uint64_t start, uint64_t end) const;

 private:
  using Map = std::map<uint64_t, Mapping>;
  void split(uint64_t at);
  void cut(uint64_t start, uint64_t end);
  Map::const_iterator first(uint64_t start) const;  // the first that ends after `start`
  template <class F>
  void for_each(uint64_t start, uint64_t end, F fn) const;

  mutable sync::SpinLock lock_;
  Map map_;
  std::set<uint64_t> files_;  // starts of those with a file
  ino_t last_anon_ = 0;
};

}  // namespace i915u::soft
