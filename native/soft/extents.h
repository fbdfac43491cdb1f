// SPDX-License-Identifier: MIT
// Which part of a file is free, in pages. Not locked.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <utility>

namespace i915u::soft {

class Extents {
 public:
  explicit Extents(uint64_t pages) { insert(0, pages); }

  /// The smallest free extent that is large enough gives its beginning. False: there is none.
  bool take(uint64_t n, uint64_t* at) {
    const auto it = by_size_.lower_bound({n, 0});
    if (it == by_size_.end()) return false;
    const auto [size, start] = *it;
    erase(start, size);
    if (size > n) insert(start + n, size - n);
    *at = start;
    return true;
  }

  void give(uint64_t at, uint64_t n) {
    auto next = by_start_.upper_bound(at);
    if (next != by_start_.begin()) {
      const auto [pa, pn] = *std::prev(next);
      if (pa + pn == at) {
        erase(pa, pn);
        at = pa;
        n += pn;
      }
    }
    next = by_start_.upper_bound(at);
    if (next != by_start_.end() && at + n == next->first) {
      const uint64_t nn = next->second;
      erase(at + n, nn);
      n += nn;
    }
    insert(at, n);
  }

 private:
  void insert(uint64_t at, uint64_t n) {
    by_start_.emplace(at, n);
    by_size_.emplace(n, at);
  }
  void erase(uint64_t at, uint64_t n) {
    by_start_.erase(at);
    by_size_.erase({n, at});
  }

  std::map<uint64_t, uint64_t> by_start_;
  std::set<std::pair<uint64_t, uint64_t>> by_size_;
};

}  // namespace i915u::soft
