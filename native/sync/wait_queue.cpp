// SPDX-License-Identifier: MIT
#include "sync/wait_queue.h"

#include <chrono>

namespace i915u::sync {

bool WaitQueue::sleep(Mutex& m, uint64_t deadline) {
  std::unique_lock<std::mutex> l(m.m_, std::adopt_lock);
  bool in_time = true;
  if (deadline == forever) {
    cv_.wait(l);
  } else {
    // steady_clock is CLOCK_MONOTONIC in libstdc++; a deadline past its range is never.
    constexpr uint64_t most = INT64_MAX;
    auto at = std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(deadline < most ? deadline : most));
    in_time = cv_.wait_until(l, at) == std::cv_status::no_timeout;
  }
  l.release();
  return in_time;
}

void Completion::complete_all() {
  Guard g(m_);
  done_ = true;
  q_.wake_all();
}

bool Completion::done() {
  Guard g(m_);
  return done_;
}

bool Completion::wait_until(uint64_t deadline, Where w) {
  Guard g(m_, w);
  return q_.wait(
      m_, deadline, [&] { return done_; }, w);
}

}  // namespace i915u::sync
