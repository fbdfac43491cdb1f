// SPDX-License-Identifier: MIT
// The pages behind an object, as the GPU and the driver's own CPU accesses see them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace i915u::soft {

class Pages {
 public:
  virtual ~Pages() = default;
  /// off and len are bytes within the object. False: the page cannot be reached (the GPU faults).
  /// An aligned access of 4 or 8 bytes is single-copy atomic. Thread-safe.
  virtual bool read(uint64_t off, void* dst, size_t len) = 0;
  virtual bool write(uint64_t off, const void* src, size_t len) = 0;
};

}  // namespace i915u::soft
