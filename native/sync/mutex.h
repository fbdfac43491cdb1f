// SPDX-License-Identifier: MIT
// Mutual exclusion. Everything under soft/ locks through these and through nothing else, so that
// what stands behind them can be changed: threads, or a scheduler that chooses the interleaving.
// Both kinds satisfy BasicLockable.
#pragma once

#include <mutex>

#include "sync/class.h"
#include "sync/lockdep.h"
#include "sync/scheduler.h"

namespace i915u::sync {

/// A sleeping lock, not recursive (kernel: struct mutex).
class Mutex {
 public:
  explicit Mutex(const LockClass& cls) : cls_(&cls), id_(new_object(cls.name)) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock(Where w = Where::current()) {
    lockdep::acquire(*cls_, this, lockdep::Mode::write, false, w);
    if (scheduler)
      scheduled_lock(w);
    else
      m_.lock();
  }
  bool try_lock(Where w = Where::current()) {
    const bool got = scheduler ? scheduled_try_lock(w) : m_.try_lock();
    if (got) lockdep::acquire(*cls_, this, lockdep::Mode::write, true, w);
    return got;
  }
  void unlock() {
    lockdep::release(*cls_, this);
    if (scheduler)
      scheduled_unlock();
    else
      m_.unlock();
  }
  const LockClass& lock_class() const { return *cls_; }

 private:
  friend class WaitQueue;
  void scheduled_lock(Where);
  bool scheduled_try_lock(Where);
  void scheduled_unlock();

  const LockClass* cls_;
  const uint32_t id_;
  bool held_ = false;  ///< under a scheduler; else m_ knows
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
