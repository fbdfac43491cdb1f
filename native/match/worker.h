// SPDX-License-Identifier: MIT
// A thread of the player's that does one op at a time. Under a scheduler, a thread of that.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <functional>
#include <mutex>

#include "match/op.h"
#include "sync/thread.h"

namespace i915u::match {

class Worker {
 public:
  explicit Worker(std::function<void(Op&, Answer&)> perform);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// There is an op that nobody has joined.
  bool busy();
  /// Not busy. It is in the call, or about to be, when this returns.
  void start(const Op& op);
  /// Waits for the op; it and what came of it are valid until the next start().
  void join();
  /// Waits until the thread is asleep in the op, or the op is over, or the time is: "blocked",
  /// "over" or "awake". "refused" under a scheduler.
  const char* blocked(uint64_t ms);

  Op op;
  Answer answer;

 private:
  enum class State { idle, doing, done, leaving };
  static void* run(void* self);
  bool over();
  /// How often it has gone to sleep; false: it is awake.
  bool asleep(uint64_t* sleeps) const;

  const std::function<void(Op&, Answer&)> perform_;
  sync::Thread scheduled_;
  std::mutex lock_;
  std::condition_variable changed_;
  State state_ = State::idle;
  pid_t tid_ = 0;
  pthread_t thread_;
};

}  // namespace i915u::match
