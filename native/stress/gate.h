// SPDX-License-Identifier: MIT
// Batches that wait for the CPU: a dword in an ordinary GEM object that a batch polls with
// MI_SEMAPHORE_WAIT, and a thread that writes it when its time has come. This holds an invalidate
// in the middle for as long as wanted, whoever is blocked behind it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <queue>
#include <vector>

#include "drm/device.h"
#include "sync/thread.h"

namespace i915u::stress {

class Gates {
 public:
  static constexpr uint64_t gpu_addr = 0x80000000;
  static constexpr uint32_t size =
      16384;  ///< bytes; a gate is a dword, used again after 4096 others

  /// Null where it cannot be: no CPU mapping of a GEM object.
  static std::unique_ptr<Gates> create(Device& dev);
  ~Gates();

  uint32_t handle() const { return handle_; }
  /// A closed gate that opens by itself at `at_ns` (CLOCK_MONOTONIC).
  uint32_t arm(uint64_t at_ns);
  /// One that stays closed until open().
  uint32_t arm_shut();
  void open(uint32_t gate);
  static uint64_t offset_of(uint32_t gate) { return gate * 4; }  ///< bytes within the object
  static constexpr uint32_t opened = 1;  ///< the value that a batch waits for

 private:
  Gates(Device& dev, uint32_t handle, uint32_t* map);
  void run();
  Device& dev_;
  uint32_t handle_;
  std::atomic<uint32_t>* map_;
  std::atomic<uint32_t> next_{0};
  struct Due {
    uint64_t at;
    uint32_t gate;
    bool operator<(const Due& o) const { return at > o.at; }
  };
  std::mutex m_;
  std::condition_variable cv_;
  std::priority_queue<Due> due_;
  bool stop_ = false;
  sync::Thread thread_;
};

}  // namespace i915u::stress
