// SPDX-License-Identifier: MIT
// Deferred work (kernel: workqueue_struct and work_struct): items run in order on one thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "sync/thread.h"
#include "sync/wait_queue.h"

namespace i915u::sync {

class WorkQueue {
 public:
  /// One item; it may be queued again once it runs or has run.
  class Work {
   public:
    explicit Work(std::function<void()> fn) : fn_(std::move(fn)) {}
    /// Lockdep knows a work without a class by its queue's alone.
    Work(std::function<void()> fn, const LockClass& cls) : fn_(std::move(fn)), map_(cls) {}

   private:
    friend class WorkQueue;
    std::function<void()> fn_;
    std::optional<lockdep::Map> map_;
    enum { idle, queued, running, running_queued } state_ = idle;
  };

  WorkQueue(std::string name, const LockClass& cls);
  ~WorkQueue();  ///< runs what is queued, then ends

  /// Returns false when it was queued already.
  bool queue(std::shared_ptr<Work> w);
  /// Waits until `w` is neither queued nor running. Never call it from `w` itself.
  void flush(const std::shared_ptr<Work>& w, Where = Where::current());
  /// Waits for all that is queued now.
  void flush_all(Where = Where::current());

 private:
  void run();
  void run(Work&);
  Mutex m_;
  lockdep::Map map_;  ///< held while an item runs
  WaitQueue work_, done_;
  std::deque<std::shared_ptr<Work>> q_;
  uint64_t in_ = 0, out_ = 0;  ///< items ever queued, ever finished
  bool stop_ = false;
  Thread thread_;
};

}  // namespace i915u::sync
