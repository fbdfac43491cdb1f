// SPDX-License-Identifier: MIT
// Mutual exclusion. Everything under soft/ locks through these and through nothing else, so that
// what stands behind them can be changed: threads here, a scheduler that chooses the interleaving
// elsewhere. Both kinds satisfy BasicLockable.
#pragma once

#include <mutex>

#include "sync/class.h"

namespace i915u::sync {

/// A sleeping lock, not recursive (kernel: struct mutex).
class Mutex {
 public:
  explicit Mutex(const LockClass& cls) : cls_(&cls) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock(Where = Where::current()) { m_.lock(); }
  bool try_lock(Where = Where::current()) { return m_.try_lock(); }
  void unlock() { m_.unlock(); }
  const LockClass& lock_class() const { return *cls_; }

 private:
  friend class WaitQueue;
  const LockClass* cls_;
  std::mutex m_;
};

/// A lock that is held for a few instructions and never while sleeping (kernel: spinlock_t). On
/// threads it is a mutex all the same: a spinning waiter would keep a preempted holder off its CPU.
class SpinLock : public Mutex {
 public:
  using Mutex::Mutex;
};

/// Holds a lock to the end of its scope.
template <class L>
class Guard {
 public:
  explicit Guard(L& l, Where w = Where::current()) : l_(l) { l_.lock(w); }
  ~Guard() { l_.unlock(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  L& l_;
};

}  // namespace i915u::sync
