// SPDX-License-Identifier: MIT
// Fences, and what user space holds of them: sync files and syncobjs (kernel: dma_fence, sync_file,
// drm_syncobj), and requests, which are the fences that the engines signal (i915_request.c).
//
// The driver's algorithm: a request waits for all that it depends on, runs in the order of its
// timeline, signals once, and carries an error that it met. Errors travel along dependencies to
// later requests as i915_sw_fence hands them on.
// Changed on purpose: the list of waiters is a vector behind a spinlock, without RCU; a sync file
// is a socket whose other end gets one byte when the fence signals, so poll() works, and the
// SYNC_IOC_* ioctls, which would have to be asked of the descriptor itself, do not exist.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "sync/wait_queue.h"

namespace i915u::soft {

class Context;
class ContextEngine;
class Engine;
class Fence;
class Object;
class Vm;
class Vma;
struct Gpu;

/// Called once when a fence signals, on the thread that signals it.
class FenceCallback {
 public:
  virtual ~FenceCallback() = default;
  virtual void fence_signalled(Fence&) = 0;
};

class Fence : public std::enable_shared_from_this<Fence> {
 public:
  Fence() = default;
  virtual ~Fence() = default;
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;

  bool signalled() const { return state_.load(std::memory_order_acquire) != unsignalled; }
  /// 0, or the -errno it was signalled with (-EIO: hung or cancelled).
  int error() const {
    const int s = state_.load(std::memory_order_acquire);
    return s == unsignalled ? 0 : s;
  }
  /// The first call counts. `wake` false: those who sleep are not woken (fault_lost_wakeup).
  void signal(int error, bool wake = true);
  /// Absolute deadline in sync::now_ns() time. 0 or -ETIME; a deadline in the past asks only.
  int wait(uint64_t deadline);
  /// False when it has signalled already: then the callback is not called.
  bool add_callback(std::shared_ptr<FenceCallback> cb);
  /// uabi class and instance of the engine that signals it; what GEM_BUSY reports.
  virtual int engine_class() const { return -1; }

 private:
  static constexpr int unsignalled = 1;
  std::atomic<int> state_{unsignalled};
  std::atomic<uint32_t> sleepers_{0};
  sync::SpinLock lock_{lock_class};
  sync::WaitQueue queue_;
  std::vector<std::shared_ptr<FenceCallback>> callbacks_;
  static const sync::LockClass lock_class;
};

/// A fence that is born signalled (kernel: dma_fence_get_stub).
std::shared_ptr<Fence> signalled_fence();

/// kernel: drm_syncobj. Binary use: `replace` and `fence`. Timeline use: points, where a point has
/// signalled when its own fence and those of all points before it have.
class Syncobj {
 public:
  explicit Syncobj(bool signalled = false);

  /// Null when there is none yet (or it was reset). For a timeline: the last point's.
  std::shared_ptr<Fence> fence();
  /// Takes the place of all that was there; null resets.
  void replace(std::shared_ptr<Fence> f);

  /// kernel: drm_syncobj_add_point. Out-of-order points are taken as the kernel takes them.
  void add_point(uint64_t point, std::shared_ptr<Fence> f);
  /// kernel: dma_fence_chain_find_seqno. The unsignalled fences that `point` waits for (point 0:
  /// the whole syncobj); 0, or -EINVAL when no fence of that or a later point is there yet.
  int find(uint64_t point, std::vector<std::shared_ptr<Fence>>* out);
  /// The last point whose fence and all before it have signalled.
  uint64_t signalled_point();
  uint64_t last_point();  ///< the last point that was submitted
  /// WAIT_FOR_SUBMIT: waits until find(point) has an answer. 0 or -ETIME.
  int wait_available(uint64_t point, uint64_t deadline);

 private:
  void prune();
  bool available(uint64_t point) const;
  struct Point {
    uint64_t point;
    std::shared_ptr<Fence> fence;
  };
  sync::Mutex lock_;
  sync::WaitQueue changed_;
  std::vector<Point> points_;  // ordered; a binary fence is one point of number 0
  uint64_t signalled_ = 0, last_ = 0;
};

/// A descriptor that polls readable when the fence has signalled (O_CLOEXEC), or -errno.
int sync_file_create(std::shared_ptr<Fence> f);
/// Null when the descriptor is not one of sync_file_create's.
std::shared_ptr<Fence> sync_file_get_fence(int fd);

/// One batch on its way through an engine.
class Request final : public Fence, public FenceCallback {
 public:
  Request(Gpu& gpu, std::shared_ptr<ContextEngine> ce);
  ~Request() override;

  /// Runs after `f` (null and signalled ones cost nothing). Before submit() only.
  void await(const std::shared_ptr<Fence>& f);
  /// Runs no earlier than `f` begins to run (I915_EXEC_FENCE_SUBMIT).
  void await_execution(const std::shared_ptr<Fence>& f);
  /// The request is complete in itself; it is queued once all that it awaits has signalled.
  void submit();
  /// The first error counts; a request with a fatal one skips its batch.
  void set_error(int e);
  bool started() const { return started_.load(std::memory_order_acquire); }

  int engine_class() const override;
  void fence_signalled(Fence& f) override;

  Gpu& gpu;
  const std::shared_ptr<ContextEngine> ce;
  Engine* engine;  ///< where it runs; a virtual engine's choice is made at submission
  uint64_t batch_addr = 0, batch_len = 0;
  uint64_t seqno = 0;         ///< in its timeline
  uint64_t emitted_ns = 0;    ///< when it was submitted (GEM_THROTTLE)
  bool skip_submit_wait = false;
  /// What it may access, ordered by GPU address; each is kept bound until the request is done.
  struct Binding {
    std::shared_ptr<Vma> vma;
    std::shared_ptr<Object> object;
  };
  std::vector<Binding> bindings;

 private:
  friend class Engine;
  void dependency_done(int error);
  void begin();               // execution begins: those with await_execution go on
  void finish(int error);     // bindings are let go, then it signals
  void release_bindings();

  std::atomic<uint32_t> pending_{1};  // dependencies that have not signalled, and submit() itself
  std::atomic<int> error_{0};
  std::atomic<bool> started_{false};
  std::shared_ptr<Fence> started_fence_;
};

}  // namespace i915u::soft
