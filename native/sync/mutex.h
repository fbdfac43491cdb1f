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
  enum Tracking { tracked, untracked };
  /// Untracked: inside another primitive, which tells lockdep itself.
  explicit Mutex(const LockClass& cls, Tracking t = tracked) : Mutex(cls, t, true) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock(Where w = Where::current()) {
    note_lock(w, 0, nullptr);
    really_lock(w);
  }
  /// Under a lock of the same class that is of another level, 1 to 3 (kernel: mutex_lock_nested).
  void lock_nested(unsigned subclass, Where w = Where::current()) {
    note_lock(w, subclass, nullptr);
    really_lock(w);
  }
  /// One of any number of the same class, whose order is seen to under `nest`: a lock or a
  /// lockdep::Map that is held (kernel: mutex_lock_nest_lock, ww_mutex_lock).
  void lock_nest(const void* nest, Where w = Where::current()) {
    note_lock(w, 0, nest);
    really_lock(w);
  }
  bool try_lock(Where w = Where::current()) {
    const bool got = scheduler ? scheduled_try_lock(w) : m_.try_lock();
    if (got && tracked_) lockdep::acquire(*cls_, this, lockdep::Mode::write, true, w);
    return got;
  }
  void unlock() {
    note_unlock();
    if (scheduler)
      scheduled_unlock();
    else
      m_.unlock();
  }
  const LockClass& lock_class() const { return *cls_; }

 protected:
  Mutex(const LockClass& cls, Tracking t, bool sleeps)
      : cls_(&cls), id_(new_object(cls.name)), tracked_(t == tracked), sleeps_(sleeps) {}

 private:
  friend class WaitQueue;
  void note_lock(Where w, unsigned subclass, const void* nest) {
    if (sleeps_ && tracked_) lockdep::might_sleep(w);
    if (tracked_) lockdep::acquire(*cls_, this, lockdep::Mode::write, false, w, subclass, nest);
  }
  void note_unlock() {
    if (tracked_) lockdep::release(*cls_, this);
  }
  void really_lock(Where w) {
    if (scheduler)
      scheduled_lock(w);
    else
      m_.lock();
  }
  void scheduled_lock(Where);
  bool scheduled_try_lock(Where);
  void scheduled_unlock();

  const LockClass* cls_;
  const uint32_t id_;
  const bool tracked_, sleeps_;
  bool held_ = false;  ///< under a scheduler; else m_ knows
  std::mutex m_;
};

/// A lock that is held for a few instructions and never while sleeping (kernel: spinlock_t). On
/// threads it is a mutex all the same: a spinning waiter would keep a preempted holder off its CPU.
class SpinLock : public Mutex {
 public:
  explicit SpinLock(const LockClass& cls) : Mutex(cls, tracked, false) {}
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
