// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <functional>
#include <string>
#include <thread>

namespace i915u::sync {

/// A named thread that is joined when it is destroyed. All signals are blocked in it, so that a
/// program's own handlers run where they were meant to; faults still arrive.
class Thread {
 public:
  Thread() = default;
  Thread(std::string name, std::function<void()> body);  ///< names are cut to 15 characters
  ~Thread() { join(); }
  Thread(Thread&&) = default;
  Thread& operator=(Thread&& o) {
    join();
    t_ = std::move(o.t_);
    return *this;
  }
  void join() {
    if (t_.joinable()) t_.join();
  }
  bool joinable() const { return t_.joinable(); }
  /// Forgets the thread, which a fork has left behind in the parent.
  void forget() {
    if (t_.joinable()) t_.detach();
  }

 private:
  std::thread t_;
};

}  // namespace i915u::sync
