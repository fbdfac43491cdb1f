// SPDX-License-Identifier: MIT
// An engine: one thread that runs the batches of the contexts that have any (kernel: execlists).
//
// The driver's algorithm: priorities, preemption at arbitration points, timeslices among equals, a
// heartbeat that finds out whether a batch can still be preempted and resets the engine if not.
// Stubs: no ring buffer, no context image; the command streamer's state stays with the context.
// Changed on purpose: a batch that waits or spins rests between its polls instead of burning the
// CPU; times are those of SoftOptions, not of the driver's sysfs attributes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "soft/gpu_state.h"
#include "sync/thread.h"
#include "sync/wait_queue.h"

namespace i915u::soft {

class ContextEngine;
class Request;

struct EngineInfo {
  const char* name;  ///< "rcs0"
  uint16_t uabi_class, uabi_instance;
  uint32_t mmio_base;
};
extern const EngineInfo engine_info[num_engines];

class Engine {
 public:
  Engine(Gpu& gpu, EngineId id);
  ~Engine();  ///< cancels what is left, joins the thread

  Gpu& gpu;
  const EngineId id;
  const EngineInfo& info() const { return engine_info[id]; }

  /// A request all of whose dependencies have signalled. Starts the thread at the first.
  void queue(std::shared_ptr<Request> rq);
  /// The requests of `ce` end with -EIO, the one that runs too.
  void cancel(ContextEngine& ce);
  /// How much is queued: what a virtual engine's choice goes by.
  uint32_t load() const { return load_.load(std::memory_order_relaxed); }
  /// The timestamp register, 12 MHz.
  static uint64_t timestamp();

 private:
  void run();
  sync::Mutex lock_;
  sync::WaitQueue work_;
  std::deque<std::shared_ptr<ContextEngine>> runnable_;
  std::atomic<uint32_t> load_{0};
  std::atomic<uint32_t> kicks_{0};  // counts whatever the running batch's owner should look at
  bool sleeping_ = false, started_ = false;
  std::atomic<bool> stop_{false};
  sync::Thread thread_;
};

}  // namespace i915u::soft
