// SPDX-License-Identifier: MIT
// Batches that wait for the CPU: a dword in an ordinary GEM object that a batch polls with
// MI_SEMAPHORE_WAIT, and a thread that writes it when its time has come. This holds an invalidate
// in the middle for as long as wanted, whoever is blocked behind it.
//
// That is all threads that fault, map or allocate: before 6.9, munmap waits for the batch with the
// mmap lock held. So the thread that opens gates does none of these, and waits for nobody who
// might. What it touches is shared or not forked, for a fork write-protects the rest, and is there
// before it starts.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "drm/device.h"

namespace i915u::stress {

class Gates {
 public:
  static constexpr uint64_t gpu_addr = 0x80000000;
  static constexpr uint32_t num = 4096;      ///< a gate is used again after so many others
  static constexpr uint32_t size = num * 4;  ///< bytes

  /// Null where it cannot be: no CPU mapping of a GEM object.
  static std::unique_ptr<Gates> create(Device& dev);
  /// Opens what is still closed.
  ~Gates();

  uint32_t handle() const { return handle_; }
  /// A closed gate that opens by itself at `at_ns` (CLOCK_MONOTONIC).
  uint32_t arm(uint64_t at_ns);
  static uint64_t offset_of(uint32_t gate) { return gate * 4; }  ///< bytes within the object
  static constexpr uint32_t opened = 1;  ///< the value that a batch waits for

 private:
  struct Shared;
  Gates(Device& dev, uint32_t handle, uint32_t* map);
  void run();
  uint64_t open_due(uint64_t now);

  Device& dev_;
  uint32_t handle_;
  std::atomic<uint32_t>* map_;
  Shared* shared_;
  void* stack_;
  pthread_t thread_;
};

}  // namespace i915u::stress
