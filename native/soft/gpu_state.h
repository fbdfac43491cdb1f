// SPDX-License-Identifier: MIT
// One GPU, shared by every file that is open on it (kernel: drm_i915_private and intel_gt).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "soft/device.h"
#include "soft/eras.h"
#include "soft/faults.h"
#include "soft/strategies/strategy.h"
#include "sync/mutex.h"
#include "sync/rwsem.h"
#include "sync/workqueue.h"

namespace i915u::soft {

class Engine;
class Pool;

/// Skylake GT2's engines, in the order of the driver's engine ids.
enum EngineId : uint32_t { rcs0, bcs0, vcs0, vecs0, num_engines };

/// What happened since the GPU was made, and what is alive now.
struct GpuCounters {
  std::atomic<uint64_t> requests{0}, batches{0}, commands{0}, gpu_faults{0}, resets{0};
  std::atomic<uint64_t> objects{0}, object_bytes{0}, contexts{0}, vms{0}, bindings{0}, fences{0};
};

struct Gpu final : StrategyHost {
  explicit Gpu(const SoftOptions& o);
  /// Cancels what still runs and joins the engine threads, in bounded time. Every file is closed.
  ~Gpu() override;
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const SoftOptions options;
  const Version kernel;
  /// Is it of a kernel that has the change?
  bool has(Change c) const { return has_change(kernel, c); }
  GpuCounters counters;

  /// Lets go of what finished requests held (kernel: intel_gt_retire_requests). Objects may be
  /// freed: no lock held, and never on an engine's thread.
  void retire();
  /// The same, later, on a worker.
  void queue_retire();

  std::atomic<uint32_t> faults, fault_one_in;
  /// Does the fault strike now? One in fault_one_in times, from the options' seed.
  bool fault(Fault f) override;

  Mm& mm() override;
  sync::RwLock& notifier_lock() override { return notifier_lock_; }

  sync::SpinLock atomics_lock;  ///< MI_ATOMIC is atomic among the engines
  std::shared_ptr<Strategy> strategy;
  std::shared_ptr<Pool> pool;
  std::array<std::unique_ptr<Engine>, num_engines> engines;  ///< never null

 private:
  sync::RwLock notifier_lock_;  // kernel: i915->mm.notifier_lock
  std::atomic<uint64_t> fault_draws_{0};
  sync::WorkQueue wq_;  // kernel: i915->wq
  std::shared_ptr<sync::WorkQueue::Work> retire_work_;
};

/// What user-space may do beyond its own (kernel: capable()).
bool capable_sys_admin();
bool capable_sys_nice();

}  // namespace i915u::soft
