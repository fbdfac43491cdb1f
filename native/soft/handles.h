// SPDX-License-Identifier: MIT
// Handles as the kernel's idr with base 1 gives them out: the lowest free one. Not locked.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

namespace i915u::soft {

template <class T>
class HandleTable {
 public:
  /// Null for a handle that is not in use, 0 among them.
  std::shared_ptr<T> find(uint32_t handle) const {
    const size_t i = size_t{handle} - 1;
    return handle && i < slots_.size() ? slots_[i] : nullptr;
  }

  uint32_t add(std::shared_ptr<T> what) {
    size_t w = first_free_;
    while (w < used_.size() && used_[w] == UINT64_MAX) w++;
    first_free_ = w;
    if (w == used_.size()) {
      used_.push_back(0);
      slots_.resize(used_.size() * 64);
    }
    const int bit = std::countr_one(used_[w]);
    used_[w] |= uint64_t{1} << bit;
    slots_[w * 64 + bit] = std::move(what);
    return static_cast<uint32_t>(w * 64 + bit + 1);
  }

  /// What stood there; null when nothing did.
  std::shared_ptr<T> remove(uint32_t handle) {
    const size_t i = size_t{handle} - 1;
    if (!handle || i >= slots_.size() || !slots_[i]) return nullptr;
    used_[i / 64] &= ~(uint64_t{1} << i % 64);
    if (i / 64 < first_free_) first_free_ = i / 64;
    return std::move(slots_[i]);
  }

  template <class F>
  void for_each(F f) const {
    for (size_t i = 0; i < slots_.size(); i++)
      if (slots_[i]) f(static_cast<uint32_t>(i + 1), slots_[i]);
  }

 private:
  std::vector<std::shared_ptr<T>> slots_;
  std::vector<uint64_t> used_;  // a bit a slot
  size_t first_free_ = 0;       // no word below it has a free bit
};

}  // namespace i915u::soft
