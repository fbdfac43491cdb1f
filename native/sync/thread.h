// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "sync/scheduler.h"

namespace i915u::sync {

/// A named thread that is joined when it is destroyed. All signals are blocked in it, so that a
/// program's own handlers run where they were meant to; faults still arrive. Made by a thread of a
/// scheduler, it is a thread of that scheduler.
class Thread {
 public:
  Thread() = default;
  Thread(std::string name, std::function<void()> body);  ///< names are cut to 15 characters
  ~Thread() { join(); }
  Thread(Thread&& o) noexcept : t_(std::move(o.t_)), scheduled_(std::exchange(o.scheduled_, 0)) {}
  Thread& operator=(Thread&& o) {
    join();
    t_ = std::move(o.t_);
    scheduled_ = std::exchange(o.scheduled_, 0);
    return *this;
  }
  void join(Where w = Where::current()) {
    if (scheduled_)
      scheduler->join(std::exchange(scheduled_, 0), w);
    else if (t_.joinable())
      t_.join();
  }
  bool joinable() const { return scheduled_ || t_.joinable(); }
  /// Forgets the thread, which a fork has left behind in the parent.
  void forget() {
    if (t_.joinable()) t_.detach();
  }

 private:
  std::thread t_;
  uint32_t scheduled_ = 0;  ///< what Scheduler::spawn() said; 0: it is in t_, if anywhere
};

}  // namespace i915u::sync
