// SPDX-License-Identifier: MIT
// Which part of a file is free, in pages. Not locked.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace i915u::soft {

class Extents {
 public:
  explicit Extents(uint64_t pages) { insert(0, pages); }

  /// The smallest free extent that is large enough gives its beginning. False: there is none.
  bool take(uint64_t n, uint64_t* at) {
    if (n < quick_.size() && !quick_[n].empty()) {
      *at = quick_[n].back();
      quick_[n].pop_back();
      return true;
    }
    auto it = by_size_.lower_bound({n, 0});
    if (it == by_size_.end()) {
      flush();
      it = by_size_.lower_bound({n, 0});
      if (it == by_size_.end()) return false;
    }
    const auto [size, start] = *it;
    erase(start, size);
    if (size > n) insert(start + n, size - n);
    *at = start;
    return true;
  }

  void give(uint64_t at, uint64_t n) {
    if (n < quick_.size())
      quick_[n].push_back(at);
    else
      merge(at, n);
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
  void merge(uint64_t at, uint64_t n) {
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
  void flush() {
    for (uint64_t n = 1; n < quick_.size(); n++) {
      for (uint64_t at : quick_[n]) merge(at, n);
      quick_[n].clear();
    }
  }

  std::map<uint64_t, uint64_t> by_start_;
  std::set<std::pair<uint64_t, uint64_t>> by_size_;
  // Small ones come back at once in the size they had, the last freed first: it is still cached.
  std::array<std::vector<uint64_t>, 65> quick_;
};

}  // namespace i915u::soft
