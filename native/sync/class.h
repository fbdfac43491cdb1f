// SPDX-License-Identifier: MIT
// A lock class: all locks of one kind, whatever object they sit in (the kernel's lock_class_key).
// It names a lock in a report; a lock checker keys its graph by it.
#pragma once

#include <cstdint>

namespace i915u::sync {

struct LockClass {
  const char* name;  ///< the kernel's name for it where there is one, e.g. "mmap_lock"
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
