// SPDX-License-Identifier: MIT
// A lock class: all locks of one kind, whatever object they sit in (the kernel's lock_class_key).
// It names a lock in a report; a lock checker keys its graph by it.
#pragma once

#include <atomic>
#include <cstdint>

namespace i915u::sync {

/// Of static storage: it is known by its address for as long as the process lives.
struct LockClass {
  static constexpr unsigned subclasses = 4;

  const char* name;  ///< the kernel's name for it where there is one, e.g. "mmap_lock"
  /// Lockdep's numbers for it and its subclasses (lockdep.h); 0: it has not been seen yet.
  mutable std::atomic<uint16_t> ids[subclasses]{};
};

/// Where a lock was taken; what std::source_location is, which clang 14 does not have.
struct Where {
  const char* file;
  uint32_t line;
  static constexpr Where current(const char* file = __builtin_FILE(),
                                 uint32_t line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace i915u::sync
