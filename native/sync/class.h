// SPDX-License-Identifier: MIT
// A lock class: all locks of one kind, whatever object they sit in (the kernel's lock_class_key).
// It names a lock in a report; a lock checker keys its graph by it.
#pragma once

#include <cstdint>
#include <source_location>

namespace i915u::sync {

struct LockClass {
  const char* name;  ///< the kernel's name for it where there is one, e.g. "mmap_lock"
};

using Where = std::source_location;

}  // namespace i915u::sync
