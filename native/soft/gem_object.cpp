// SPDX-License-Identifier: MIT
// The driver's algorithm: when an object has pages, what madvise makes of it, which file may map
// which fake offset.
// Changed on purpose: nothing is reclaimed, there is no shrinker; DONTNEED objects with pages keep
// them. An object too large for the pool is -ENOMEM where the driver would fill memory and swap.
#include "soft/gem_object.h"

#include <errno.h>
#include <unistd.h>

#include <climits>

#include "drm/uapi.h"
#include "soft/device_impl.h"
#include "soft/file.h"

namespace i915u::soft {

namespace {

const sync::LockClass mmo_class{"mmo.lock"};

// Above 4 GiB, as DRM_FILE_PAGE_OFFSET_START has it; a window of the whole pool for each type.
constexpr uint64_t first_offset = 1ull << 32, window = 1ull << 40;

uint64_t ram_bytes() {
  static const uint64_t bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * 4096;
  return bytes;
}

}  // namespace

GemObject::GemObject(SoftDevice& d, uint64_t s)
    : Object(d, s), caching(uapi::I915_CACHING_CACHED), mmo_lock_(mmo_class) {}

GemObject::~GemObject() {
  if (!pages_) return;
  if (mmo_types_) gpu_of(dev).pool->withdraw(pages_->offset);
  // The bug is told by the memory that stays in use, and by the counters.
  if (gpu_of(dev).fault(fault_leak_object)) {
    GpuCounters& c = gpu_of(dev).counters;
    c.objects++;
    c.object_bytes += size;
    Pool::leak(std::move(pages_));
  }
}

std::shared_ptr<PoolPages> GemObject::backing(int* err) {
  if (!pages_ && !(pages_ = gpu_of(dev).pool->alloc(size))) *err = -ENOMEM;
  return pages_;
}

std::shared_ptr<PoolPages> GemObject::pin_pages(int* err) {
  if (!has_pages) {
    if (madv != uapi::I915_MADV_WILLNEED) {
      *err = -EFAULT;
      return nullptr;
    }
    if (size >> 12 > UINT_MAX) {  // what a scatterlist counts
      *err = -E2BIG;
      return nullptr;
    }
    if (size > ram_bytes()) {
      *err = -ENOMEM;
      return nullptr;
    }
  }
  auto pages = backing(err);
  has_pages |= pages != nullptr;
  return pages;
}

std::shared_ptr<Pages> GemObject::get_pages(int* err) {
  return pin_pages(err);
}

void GemObject::purge() {
  madv = purged;
  if (pages_) pages_->discard();
}

int GemObject::mmap_offset(uint64_t type, const File& file, uint64_t* offset) {
  int err = 0;
  const auto pages = backing(&err);
  if (!pages) return -ENOSPC;
  bool first;
  {
    sync::Guard g(mmo_lock_);
    first = !mmo_types_;
    mmo_types_ |= 1u << type;
    mmo_files_[file.id] |= 1u << type;
  }
  if (first)
    gpu_of(dev).pool->publish(pages->offset,
                              std::static_pointer_cast<GemObject>(shared_from_this()));
  *offset = first_offset + type * window + pages->offset;
  return 0;
}

bool GemObject::split_mmap_offset(uint64_t fake, uint64_t* type, uint64_t* extent) {
  if (fake < first_offset) return false;
  *type = (fake - first_offset) / window;
  *extent = (fake - first_offset) % window;
  return *type < uapi::I915_MMAP_OFFSET_FIXED;
}

int GemObject::may_mmap(uint64_t type, const File& file) {
  sync::Guard g(mmo_lock_);
  if (!(mmo_types_ >> type & 1)) return -EINVAL;
  const auto it = mmo_files_.find(file.id);
  return it != mmo_files_.end() && it->second >> type & 1 ? 0 : -EACCES;
}

void GemObject::revoke_mmap(const File& file) {
  sync::Guard g(mmo_lock_);
  mmo_files_.erase(file.id);
}

}  // namespace i915u::soft
