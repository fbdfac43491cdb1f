// SPDX-License-Identifier: MIT
// A value that threads share without a lock (kernel: READ_ONCE, WRITE_ONCE, atomic_t; sequentially
// consistent). Under a scheduler each access is a step.
#pragma once

#include <atomic>

#include "sync/scheduler.h"

namespace i915u::sync {

template <class T>
class Atomic {
 public:
  explicit Atomic(const char* name, T v = T()) : name_(name), id_(new_object(name)), v_(v) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(Where w = Where::current()) const {
    step(Op::load, w);
    return v_.load();
  }
  void store(T v, Where w = Where::current()) {
    step(Op::store, w);
    v_.store(v);
  }
  /// Returns the value before.
  T fetch_add(T n, Where w = Where::current()) {
    step(Op::store, w);
    return v_.fetch_add(n);
  }
  T exchange(T v, Where w = Where::current()) {
    step(Op::store, w);
    return v_.exchange(v);
  }

 private:
  void step(Op::Act act, Where w) const {
    if (scheduler) scheduler->step({act, id_, name_, w}, nullptr, nullptr);
  }
  const char* name_;
  const uint32_t id_;
  std::atomic<T> v_;
};

}  // namespace i915u::sync
