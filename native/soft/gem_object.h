// SPDX-License-Identifier: MIT
// An ordinary GEM object, of system memory (kernel: i915_gem_shmem.c).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "soft/object.h"
#include "soft/pool.h"

namespace i915u::soft {

struct File;
struct Gpu;

class GemObject final : public Object {
 public:
  GemObject(SoftDevice& dev, uint64_t size);
  ~GemObject() override;

  std::shared_ptr<Pages> get_pages(int* err) override;

  /// The memory, though it may not count as pages of the driver yet; `lock` held. Null with *err =
  /// -ENOMEM.
  std::shared_ptr<PoolPages> backing(int* err);
  /// i915_gem_object_pin_pages: from now on it has pages. `lock` held. -EFAULT: not WILLNEED.
  std::shared_ptr<PoolPages> pin_pages(int* err);

  /// The memory is given up: from now on it is zero and cannot be pinned. `lock` held.
  void purge();

  bool has_pages = false;  ///< `lock`

  // Written under `lock`, read without it as the driver does.
  std::atomic<uint32_t> caching;
  std::atomic<uint32_t> tiling_and_stride{0};

  /// Fake mmap offsets, one for each way of caching (kernel: i915_mmap_offset). `type` is
  /// I915_MMAP_OFFSET_*; `lock` held. 0 or -errno.
  int mmap_offset(uint64_t type, const File& file, uint64_t* offset);
  /// kernel: drm_vma_node_is_allowed. 0, -EINVAL (never assigned) or -EACCES (not to this file).
  int may_mmap(uint64_t type, const File& file);
  void revoke_mmap(const File& file);

  /// Splits a fake offset into what mmap_offset() made it of: false when it cannot be one.
  static bool split_mmap_offset(uint64_t fake, uint64_t* type, uint64_t* extent);

 private:
  std::shared_ptr<PoolPages> pages_;  // `lock`; set once
  sync::SpinLock mmo_lock_;
  uint32_t mmo_types_ = 0;                  // a bit a type that has an offset
  std::map<uint64_t, uint32_t> mmo_files_;  // file id: the types it may map
};

/// The one behind an object, or null for a userptr object.
inline GemObject* to_gem(Object& o) {
  return o.is_userptr() ? nullptr : static_cast<GemObject*>(&o);
}

}  // namespace i915u::soft
