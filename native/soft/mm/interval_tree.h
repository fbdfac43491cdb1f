// SPDX-License-Identifier: MIT
// An ordered set of byte ranges that may overlap (kernel: lib/interval_tree.c): a treap in which
// every subtree knows its greatest end. The nodes are the user's own and belong to one tree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

namespace i915u::soft {

template <class T>
struct IntervalLinks {
  T *left = nullptr, *right = nullptr;
  uint64_t max_end = 0;
  uint32_t priority = 0;
};

/// T has start, end (exclusive; neither changes while it is in a tree) and links.
template <class T>
class IntervalTree {
 public:
  bool empty() const { return !root_; }

  void insert(T& n) {
    seed_ ^= seed_ << 13, seed_ ^= seed_ >> 17, seed_ ^= seed_ << 5;
    n.links = {nullptr, nullptr, n.end, seed_};
    T *less, *more;
    std::tie(less, more) = split(root_, n);
    root_ = merge(merge(less, &n), more);
  }

  void erase(T& n) { root_ = erase(root_, n); }

  bool overlaps(uint64_t start, uint64_t end) const {
    return !for_each(start, end, [](T&) { return false; });
  }

  /// Every range that overlaps [start, end), in the order of their starts, until fn returns false.
  /// fn leaves the tree alone. Returns whether it saw them all.
  template <class F>
  bool for_each(uint64_t start, uint64_t end, F fn) const {
    return walk(root_, start, end, fn);
  }

 private:
  static bool before(const T& a, const T& b) {
    return a.start != b.start ? a.start < b.start : &a < &b;
  }

  static T* update(T* t) {
    t->links.max_end = t->end;
    for (T* c : {t->links.left, t->links.right})
      if (c) t->links.max_end = std::max(t->links.max_end, c->links.max_end);
    return t;
  }

  static std::pair<T*, T*> split(T* t, const T& at) {  // before `at`, and the others
    if (!t) return {nullptr, nullptr};
    if (before(*t, at)) {
      auto [l, r] = split(t->links.right, at);
      t->links.right = l;
      return {update(t), r};
    }
    auto [l, r] = split(t->links.left, at);
    t->links.left = r;
    return {l, update(t)};
  }

  static T* merge(T* a, T* b) {  // all of a stands before all of b
    if (!a) return b;
    if (!b) return a;
    if (a->links.priority > b->links.priority) {
      a->links.right = merge(a->links.right, b);
      return update(a);
    }
    b->links.left = merge(a, b->links.left);
    return update(b);
  }

  static T* erase(T* t, T& n) {
    if (t == &n) return merge(n.links.left, n.links.right);
    T*& child = before(n, *t) ? t->links.left : t->links.right;
    child = erase(child, n);
    return update(t);
  }

  template <class F>
  static bool walk(T* t, uint64_t start, uint64_t end, F& fn) {
    if (!t || t->links.max_end <= start) return true;
    if (!walk(t->links.left, start, end, fn)) return false;
    if (t->start >= end) return true;
    if (t->end > start && !fn(*t)) return false;
    return walk(t->links.right, start, end, fn);
  }

  T* root_ = nullptr;
  uint32_t seed_ = 0x9e3779b9;
};

}  // namespace i915u::soft
