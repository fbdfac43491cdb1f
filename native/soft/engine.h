// SPDX-License-Identifier: MIT
// An engine: one thread that runs the batches of the contexts that have any (kernel: execlists).
//
// The driver's algorithm: priorities, preemption at arbitration points, timeslices among equals,
// and a heartbeat that finds out whether a batch can still be preempted and resets the engine if
// not. So a batch that spins over MI_ARB_CHECK may run for ever, and one that spins without hangs.
// Stubs: no ring buffer and no context image; the command streamer's state stays with the context.
// A reset is of this engine alone, and never a victim's: batch_pending stays 0, as it does with
// the driver's own per-engine resets.
// Changed on purpose: a batch that waits or spins rests between its polls instead of burning the
// CPU; times are SoftOptions', not the driver's sysfs attributes'.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "gpu/command_streamer.h"
#include "soft/gpu_state.h"
#include "sync/thread.h"
#include "sync/wait_queue.h"

namespace i915u::soft {

class BatchRunner;
class ContextEngine;
class Request;

struct EngineInfo {
  const char* name;  ///< "rcs0"
  gpu::Engine engine;
  uint16_t uabi_class, uabi_instance;
  uint32_t mmio_base;
};
extern const EngineInfo engine_info[num_engines];

class Engine {
 public:
  Engine(Gpu& gpu, EngineId id);
  ~Engine();

  Gpu& gpu;
  const EngineId id;
  const EngineInfo& info() const { return engine_info[id]; }

  /// Behind the others of its timeline; it does not run before ready(). Starts the thread at the
  /// first.
  void queue(std::shared_ptr<Request> rq);
  /// All that the request waited for has signalled.
  void ready(Request& rq);
  /// How many requests are queued.
  size_t load() const { return load_.load(std::memory_order_relaxed); }
  /// Something has changed that the engine should look at.
  void kick();
  bool idle();
  /// Every request ends with -EIO, now and from now on; the thread ends when there is none.
  void stop();
  void join();
  /// Lets go of what finished requests held, on a thread that may free objects.
  void retire();

  /// The timestamp register: 12 MHz.
  static uint64_t timestamp();

 private:
  enum class Outcome { done, preempted };

  void run();
  ContextEngine* pick();
  void make_runnable(ContextEngine& ce);
  void dequeue(ContextEngine& ce);
  void sleep(uint64_t idle_since);
  Outcome execute(ContextEngine& ce, Request& rq);
  void rest(uint64_t seen_kicks, uint64_t ns);
  bool preempting(const Request& rq, bool slice_over);
  void reset(ContextEngine& ce, Request& rq);
  void finish(std::shared_ptr<Request> rq, BatchRunner* runner);

  static const sync::LockClass lock_class, retire_lock_class;
  sync::Mutex lock_{lock_class};  // kernel: sched_engine->lock
  sync::WaitQueue work_;
  // The contexts that have requests, which keep them alive, and of these the runnable ones by the
  // priority of their first request. The nodes are the contexts' own.
  std::list<ContextEngine*> contexts_;
  std::map<int, std::list<ContextEngine*>, std::greater<int>> runnable_;
  std::atomic<size_t> load_{0};
  bool started_ = false;
  std::atomic<bool> sleeping_{false}, stop_{false};
  std::atomic<uint64_t> kicks_{0};
  uint64_t usual_idle_ns_ = 0;  // how long a pause lasts: decides whether to wait awake

  sync::SpinLock retire_lock_{retire_lock_class};
  std::vector<std::shared_ptr<Request>> retired_;
  std::atomic<bool> any_retired_{false};
  sync::Thread thread_;
};

}  // namespace i915u::soft
