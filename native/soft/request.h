// SPDX-License-Identifier: MIT
// Fences, and what user space holds of them: sync files and syncobjs (kernel: dma_fence, sync_file,
// drm_syncobj), and requests, which are the fences that the engines signal (i915_request.c).
//
// The driver's algorithm: a request waits for all that it depends on, runs in the order of its
// timeline, signals once, and carries the error that it met. The error of another engine's request
// is handed on to those that wait for it, as i915_sw_fence does; the same engine's is not.
// Changed on purpose: the list of waiters is a vector behind a spinlock, without RCU. Priorities
// are not inherited along dependencies. A sync file is a socket whose other end gets one byte when
// the fence signals, so poll() works; the SYNC_IOC_* ioctls, which would have to be asked of the
// descriptor itself, do not exist.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "sync/wait_queue.h"

namespace i915u::soft {

class BatchRunner;
class ContextEngine;
class Engine;
class Fence;
class Object;
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
  /// `timeline`: fences of one timeline (not 0) signal in the order in which they were made.
  explicit Fence(uint64_t timeline_id = 0) : timeline(timeline_id) {}
  virtual ~Fence() = default;
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;

  const uint64_t timeline;

  bool signalled() const { return state_.load(std::memory_order_acquire) != unsignalled; }
  /// 0, or the -errno it was signalled with (-EIO: hung or cancelled).
  int error() const {
    const int s = state_.load(std::memory_order_acquire);
    return s == unsignalled ? 0 : s;
  }
  /// Once. `wake` false: those who sleep are not woken (fault_lost_wakeup).
  void signal(int error, bool wake = true);
  /// Absolute deadline in sync::now_ns() time. 0 or -ETIME; a deadline in the past only asks.
  int wait(uint64_t deadline);
  /// False when it has signalled already: then the callback is not called.
  bool add_callback(std::shared_ptr<FenceCallback> cb);
  /// The engine that signals it; null for a fence that no engine does.
  virtual Engine* signaller() const { return nullptr; }

 private:
  static constexpr int unsignalled = 1;
  std::atomic<int> state_{unsignalled};
  std::atomic<uint32_t> sleepers_{0};
  static const sync::LockClass lock_class, event_class;
  sync::SpinLock lock_{lock_class};
  /// A wait for it is a wait for all that its signaller needs (kernel: dma_fence_begin_signalling).
  sync::lockdep::Event event_{event_class};
  sync::WaitQueue queue_;
  std::vector<std::shared_ptr<FenceCallback>> callbacks_;
};

/// A fence that is born signalled (kernel: dma_fence_get_stub).
std::shared_ptr<Fence> signalled_fence();

/// Signals when all of its fences have, with the first error (kernel: dma_fence_array).
class AllOf : public Fence, public FenceCallback {
 public:
  static std::shared_ptr<Fence> make(const std::vector<std::shared_ptr<Fence>>& fences);
  /// Before it is known to anybody. It keeps itself until they have signalled.
  void wait_for(const std::vector<std::shared_ptr<Fence>>& fences);
  void fence_signalled(Fence& f) override;

 private:
  void done();
  std::atomic<size_t> pending_{1};
  std::atomic<int> error_{0};
};

/// kernel: drm_syncobj. Binary use: `replace` and `fence`. Timeline use: points, where a point has
/// signalled when its own fence and those of all points before it have.
class Syncobj {
 public:
  explicit Syncobj(bool signalled = false);

  /// Null when there is none yet (or it was reset). For a timeline: the last point's.
  std::shared_ptr<Fence> fence();
  /// Takes the place of all that was there; null resets.
  void replace(std::shared_ptr<Fence> f);

  /// kernel: drm_syncobj_add_point. A point below the last one counts as of the last one's number.
  void add_point(uint64_t point, std::shared_ptr<Fence> f);
  /// kernel: dma_fence_chain_find_seqno. Adds to *out the unsignalled fences that `point` waits for
  /// (point 0: the whole syncobj). 0, or -EINVAL when no fence of that or a later point is there.
  int find(uint64_t point, std::vector<std::shared_ptr<Fence>>* out);
  /// The last point whose fence and all before it have signalled.
  uint64_t signalled_point();
  uint64_t last_point();  ///< the last point that was submitted
  /// A timeline up to `point` (0: all of it), as one fence that signals with it: what is exported
  /// of a timeline or made a syncobj of stays one. Null: it is no timeline, or has signalled so far
  /// and is not asked for as a whole (kernel: dma_fence_chain).
  std::shared_ptr<Fence> chain(uint64_t point);
  /// WAIT_FOR_SUBMIT: waits until find(point) has an answer. 0 or -ETIME.
  int wait_available(uint64_t point, uint64_t deadline);
  /// Calls `then` with what find(point) answers, once it does: at once, or on the thread that makes
  /// it so.
  using Then = std::function<void(const std::vector<std::shared_ptr<Fence>>&)>;
  void when_available(uint64_t point, Then then);

 private:
  void prune();
  bool available(uint64_t point) const;
  void find_locked(uint64_t point, std::vector<std::shared_ptr<Fence>>* out) const;
  void call_waiting();
  struct Point {
    uint64_t point;
    std::shared_ptr<Fence> fence;
  };
  struct Chain;
  static const sync::LockClass lock_class;
  sync::Mutex lock_{lock_class};
  sync::WaitQueue changed_;
  // Ordered. A binary fence is a point of number 0. The last one stays when it has signalled.
  std::vector<Point> points_;
  struct Waiting {
    uint64_t point;
    Then then;
  };
  std::vector<Waiting> waiting_;
};

/// A descriptor that polls readable once the fence has signalled (O_CLOEXEC), or -errno.
int sync_file_create(std::shared_ptr<Fence> f);
/// Lets go of those that no descriptor stands for any more.
void reap_sync_files();
/// Null when the descriptor is not one of sync_file_create's.
std::shared_ptr<Fence> sync_file_get_fence(int fd);

/// One batch on its way through an engine.
class Request final : public Fence, public FenceCallback {
 public:
  explicit Request(std::shared_ptr<ContextEngine> context_engine);

  /// Runs after `f` (null and signalled ones cost nothing). Before submit() only.
  void await(const std::shared_ptr<Fence>& f);
  /// Runs no earlier than `f` begins to run (I915_EXEC_FENCE_SUBMIT). Before submit() only.
  void await_execution(const std::shared_ptr<Fence>& f);
  /// What it may access is complete: each binding counts as active, its pages as busy.
  void activate();
  /// It is queued, and may run once all that it awaits has signalled. The caller holds the
  /// timeline's lock, as from the request's making on.
  void submit();
  /// The first fatal error counts; with one the batch is skipped.
  void set_error(int e);

  Engine* signaller() const override { return &engine; }
  void fence_signalled(Fence& f) override;

  Engine& engine;
  /// Let go, as are the bindings, when the request is retired; the engine's own until then.
  std::shared_ptr<ContextEngine> ce;
  uint64_t batch_addr = 0;
  bool has_batch = false;  ///< false: nothing is run, it only signals
  int priority = 0;
  uint64_t emitted_ns = 0;  ///< when it was submitted (GEM_THROTTLE)

  /// What it may access. activate() orders it by GPU address; until then as the caller filled it.
  struct Binding {
    std::shared_ptr<Vma> vma;
    std::shared_ptr<Object> object;
  };
  std::vector<Binding> bindings;

 private:
  friend class Engine;
  void dependency_done();
  bool ready() const { return pending_.load(std::memory_order_acquire) == 0; }
  void begin();       // execution begins: those with await_execution go on
  void deactivate();  // the engine has made its last access
  int fatal_error() const;

  std::atomic<uint32_t> pending_{1};  // dependencies that have not signalled, and submit() itself
  std::atomic<int> error_{0};
  bool active_ = false;
  bool taken_ = false;                      // Engine::lock_: the engine has it
  bool begun_ = false, hold_last_ = false;  // the engine thread's own
  std::shared_ptr<Fence> execution_;        // signals when it begins to run; null: nobody asked
  static const sync::LockClass execution_lock_class;
  sync::SpinLock execution_lock_{execution_lock_class};
};

}  // namespace i915u::soft
