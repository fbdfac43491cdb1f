// SPDX-License-Identifier: MIT
// An engine behind its execlist submission port: two contexts at a time, the first of them running,
// and the context status buffer that tells the driver what became of them (PRM volume 7,
// "Execlists"; i915's intel_execlists_submission.c for what the driver expects).
//
// It runs in slices: a bounded number of commands with the engine's lock held. Whoever needs all
// engines to stand still (a change of the guest's memory map, a TLB invalidation, a reset) holds
// them, and waits for one slice at most. A submission runs its first slice at once on the link's
// thread, where most batches end; the engine's own thread does the rest.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "gpu/command_streamer.h"
#include "vgpu/engine/context_image.h"
#include "vgpu/engine/engine_bus.h"
#include "vgpu/engine/engine_info.h"
#include "vgpu/hardware.h"

namespace i915u::vgpu {

class Engine {
 public:
  enum class Next : uint8_t {
    again,  ///< more commands are there
    rest,   ///< it waits for memory or time: look again soon
    idle,   ///< only a submission, a register or a reset can bring it on
  };

  Engine(EngineId id, Hardware& hw);
  ~Engine();

  EngineId id() const { return id_; }

  // For the link's thread.
  /// One of the four writes of a submission.
  void write_port(uint32_t value);
  void write_status_pointer(uint32_t value);
  /// MI_MODE has changed.
  void mode_changed();
  /// RING_IMR has: somebody may wait now.
  void mask_changed();

  /// Between the two, the engine does not run, and the caller may do what follows.
  void hold();
  void release();
  /// Held: forgets contexts and submissions.
  void reset();
  /// Held: only a reset brings it on.
  bool hung() const { return hung_; }
  /// Held.
  void invalidate_tlb() { bus_.mmu.invalidate(); }

  /// Runs at most `commands`. Not while held by the caller.
  Next slice(uint64_t commands);

 private:
  struct Submission {
    uint64_t port[2] = {};
  };

  void run();
  void kick();
  Next advance(uint64_t commands);
  Next step(uint64_t commands);
  gpu::Stop execute(uint64_t commands);
  Next stopped(const gpu::Stop& stop);
  void take_submission();
  Next complete();
  void switch_to(const Submission& to);
  void load_context();
  void save_context();
  void status_event(uint32_t event, uint64_t descriptor);
  void publish();
  bool batch_begins();
  void trace_batch();
  bool gathers();
  void run_inline();
  uint64_t page_of(uint64_t descriptor) const { return descriptor & 0xfffff000; }

  const EngineId id_;
  const EngineInfo& info_;
  Hardware& hw_;

  // What the port has received. A later submission replaces one that was not taken.
  std::mutex port_lock_;
  uint32_t fifo_[4] = {};
  unsigned fifo_used_ = 0;
  std::optional<Submission> arrived_;
  std::atomic<bool> any_arrived_{false};

  // Held by whoever runs the engine or stops it.
  std::mutex lock_;
  EngineBus bus_;
  gpu::CommandStreamer cs_;
  std::optional<Submission> pending_;  // waits for the running context to be preempted
  Submission running_;
  bool loaded_ = false, hung_ = false, waiting_ = false;
  uint32_t status_write_ = 5;  // the last entry of the status buffer that was written
  uint64_t loaded_at_ = 0, delay_until_ = 0, rests_ = 0;
  std::atomic<uint64_t> begin_at_{0};          // 0: the engine does not wait to begin
  unsigned gather_in_ = 0, gather_apart_ = 0;  // submissions until it may; between two such
  uint64_t user_batches_ = 0;
  gpu::Counters counted_;
  ContextImage image_;

  // The thread.
  std::mutex sleep_lock_;
  std::condition_variable awake_;
  uint64_t kicks_ = 0;
  std::atomic<int> holders_{0};
  std::atomic<bool> quit_{false};
  std::thread thread_;
};

}  // namespace i915u::vgpu
