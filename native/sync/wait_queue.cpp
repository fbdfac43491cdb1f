// SPDX-License-Identifier: MIT
#include "sync/wait_queue.h"

#include <chrono>

namespace i915u::sync {

struct WaitQueue::Sleeper {
  bool woken = false;
  Sleeper* next = nullptr;
};

void WaitQueue::leave(const Sleeper* me) {
  for (Sleeper** at = &first_; *at; at = &(*at)->next)
    if (*at == me) {
      *at = me->next;
      return;
    }
}

// There is no time: a deadline may pass at any moment, and `forever` never.
bool WaitQueue::scheduled_sleep(Mutex& m, uint64_t deadline, Where w) {
  Sleeper me;
  Sleeper** end = &first_;
  while (*end) end = &(*end)->next;
  *end = &me;
  struct Leave {  // where the wait is given up; who was woken is in no queue
    WaitQueue& q;
    const Sleeper* me;
    ~Leave() { q.leave(me); }
  } leave{*this, &me};
  scheduler->touch(id_);
  m.unlock();
  if (deadline == forever)
    scheduler->step(
        {Op::wait, id_, m.lock_class().name, w},
        [](const void* s) { return static_cast<const Sleeper*>(s)->woken; }, &me);
  else
    scheduler->step({Op::wait, id_, m.lock_class().name, w}, nullptr, nullptr);
  leave.q.leave(&me);
  m.lock(w);
  return me.woken;
}

void WaitQueue::scheduled_wake(bool all) {
  scheduler->touch(id_);
  while (Sleeper* s = first_) {
    first_ = s->next;
    s->woken = true;
    if (!all) break;
  }
}

bool WaitQueue::sleep(Mutex& m, uint64_t deadline, Where w) {
  if (scheduler) return scheduled_sleep(m, deadline, w);
  // Taken anew when it wakes: under whatever else the sleeper holds.
  m.note_unlock();
  m.note_lock(w, 0, nullptr);
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

void Completion::complete_all(Where w) {
  event_.complete(w);
  Guard g(m_);
  done_ = true;
  q_.wake_all();
}

bool Completion::done() {
  Guard g(m_);
  return done_;
}

bool Completion::wait_until(uint64_t deadline, Where w) {
  if (deadline) event_.wait(w);
  Guard g(m_, w);
  if (!deadline) return done_;
  return q_.wait(
      m_, deadline, [&] { return done_; }, w);
}

}  // namespace i915u::sync
