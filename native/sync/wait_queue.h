// SPDX-License-Identifier: MIT
// Waiting for a condition that is protected by a Mutex (kernel: wait_event and wake_up), and for an
// event that happens once (kernel: struct completion).
#pragma once

#include <condition_variable>

#include "sync/clock.h"
#include "sync/mutex.h"

namespace i915u::sync {

class WaitQueue {
 public:
  /// Waits until `ready()`, which is called with `m` held, as this is. The deadline is absolute, in
  /// now_ns() time; `forever` never comes. Returns whether it is ready.
  template <class Ready>
  bool wait(Mutex& m, uint64_t deadline, Ready ready, Where w = Where::current()) {
    lockdep::might_sleep(w);
    while (!ready()) {
      if (!sleep(m, deadline, w)) return ready();
    }
    return true;
  }
  template <class Ready>
  void wait(Mutex& m, Ready ready, Where w = Where::current()) {
    wait(m, forever, ready, w);
  }
  void wake_one() {
    if (scheduler)
      scheduled_wake(false);
    else
      cv_.notify_one();
  }
  void wake_all() {
    if (scheduler)
      scheduled_wake(true);
    else
      cv_.notify_all();
  }

 private:
  bool sleep(Mutex& m, uint64_t deadline, Where);  // false: the deadline has passed
  bool scheduled_sleep(Mutex& m, uint64_t deadline, Where);
  void scheduled_wake(bool all);
  struct Sleeper;
  void leave(const Sleeper*);

  const uint32_t id_ = new_object("wait queue");
  Sleeper* first_ = nullptr;  ///< under a scheduler; on the sleepers' stacks
  std::condition_variable cv_;
};

class Completion {
 public:
  explicit Completion(const LockClass& cls) : m_(cls, Mutex::untracked), event_(cls) {}
  void complete_all(Where = Where::current());
  bool done();
  void wait(Where w = Where::current()) { wait_until(forever, w); }
  /// A deadline of 0 only asks.
  bool wait_until(uint64_t deadline, Where = Where::current());

 private:
  Mutex m_;
  lockdep::Event event_;
  WaitQueue q_;
  bool done_ = false;
};

}  // namespace i915u::sync
