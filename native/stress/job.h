// SPDX-License-Identifier: MIT
// One submission: a batch put together from what the oracles need, the objects it uses, and the
// execbuf call, by softpin where the device has it and by relocations elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "drm/device.h"
#include "drm/uapi.h"
#include "gpu/emit.h"
#include "stress/gate.h"
#include "stress/run.h"

namespace i915u::stress {

/// A small GEM object that holds a batch, used again when it is idle.
class BatchObject {
 public:
  static constexpr uint64_t size = 16384;
  static constexpr uint64_t data = 12288;  ///< bytes; from here on it is data that batches read
  /// `slot` chooses the GPU address: 64 KiB apart, below 2 GiB.
  BatchObject(Device& dev, uint32_t slot);
  ~BatchObject();
  BatchObject(const BatchObject&) = delete;
  BatchObject& operator=(const BatchObject&) = delete;

  uint32_t handle = 0;  ///< 0: it could not be created
  const uint64_t gpu_addr;
  /// Closes the handle, maybe while the batch runs.
  void close();

 private:
  Device& dev_;
};

class Job {
 public:
  Job(const Run& run, BatchObject& batch);

  /// `gpu_addr` is where it is pinned under softpin. Returns its index.
  uint32_t object(uint32_t handle, uint64_t gpu_addr, bool write);
  /// The rest of the batch runs when the CPU has opened the gate. Needs Run::gates.
  void wait_for(uint32_t gate);
  void store(uint32_t object, uint64_t offset, uint32_t value);
  /// The same by the blitter, which copies it from the batch object's data. At most 16 a job.
  void store_by_copy(uint32_t object, uint64_t offset, uint32_t value);
  /// Copies one dword with the blitter.
  void copy(uint32_t dst, uint64_t dst_offset, uint32_t src, uint64_t src_offset);
  /// Takes a while, by so many NOOPs (at most 2000).
  void pad(uint32_t noops);

  /// Ends the batch and writes it, which waits until the object is idle. 0 or -errno.
  int write(Device& dev);
  /// One execbuf call of what write() wrote, never retried. 0 or -errno.
  int exec(Device& dev, uint64_t engine, uint32_t ctx);

 private:
  /// A place in an object: by handle for relocations, by address under softpin.
  struct Place {
    uint32_t handle;
    uint64_t base, offset;
  };
  Place place(uint32_t object, uint64_t offset) const;
  uint64_t address(const Place& p) const;
  void relocate(int dword, const Place& p, bool write);
  void copy(const Place& dst, const Place& src);
  const Run& run_;
  BatchObject& batch_;
  std::vector<uint32_t> data_;
  gpu::Emit emit_;
  uint32_t gate_object_ = UINT32_MAX;
  uint32_t bytes_ = 0;
  std::vector<uapi::drm_i915_gem_exec_object2> objects_;
  std::vector<uapi::drm_i915_gem_relocation_entry> relocs_;
};

}  // namespace i915u::stress
