// SPDX-License-Identifier: MIT
// GEM_PREAD and GEM_PWRITE (kernel: i915_gem.c, i915_gem_shmem.c).
// The driver's algorithm: the order of the checks, what is waited for, that objects which never had
// pages are written without getting them.
// Changed on purpose: no GTT path; what it would do differently cannot be seen.
#include <errno.h>

#include "mem/uaccess.h"
#include "soft/file.h"
#include "soft/gem_object.h"
#include "soft/ioctls.h"
#include "sync/clock.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint64_t task_size = 0x7ffffffff000;  // x86-64, four levels

bool access_ok(uint64_t ptr, uint64_t size) {
  return size <= task_size && ptr <= task_size - size;
}

bool range_overflows(uint64_t start, uint64_t size, uint64_t max) {
  return start >= max || size > max - start;
}

}  // namespace

int ioctl_gem_pread(File& file, drm_i915_gem_pread& args) {
  if (!args.size) return 0;
  if (!access_ok(args.data_ptr, args.size)) return -EFAULT;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  if (range_overflows(args.offset, args.size, obj->size)) return -EINVAL;
  GemObject* gem = to_gem(*obj);
  if (!gem) return -EINVAL;  // "pread from userptr no longer allowed"
  if (int err = obj->wait(false, sync::forever)) return err;
  std::shared_ptr<PoolPages> pages;
  {
    int err = 0;
    sync::Guard g(obj->lock);
    pages = gem->pin_pages(&err);
    if (!pages) return err;
  }
  return pages->copy_to_user(args.data_ptr, args.offset, args.size);
}

int ioctl_gem_pwrite(File& file, drm_i915_gem_pwrite& args) {
  if (!args.size) return 0;
  if (!access_ok(args.data_ptr, args.size)) return -EFAULT;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  if (range_overflows(args.offset, args.size, obj->size)) return -EINVAL;
  GemObject* gem = to_gem(*obj);
  if (!gem) return -EINVAL;  // "pwrite to userptr no longer allowed"
  std::shared_ptr<PoolPages> pages;
  bool by_iter = false;
  {
    int err = 0;
    sync::Guard g(obj->lock);
    if (!gem->has_pages) {
      by_iter = file.gpu.has(Change::pwrite_by_iter);
      if (gem->madv != I915_MADV_WILLNEED) return -EFAULT;
      pages = gem->backing(&err);
      if (!pages) return err;
    }
  }
  if (!pages) {
    if (int err = obj->wait(true, sync::forever)) return err;
    int err = 0;
    sync::Guard g(obj->lock);
    pages = gem->pin_pages(&err);
    if (!pages) return err;
  }
  const int err = pages->copy_from_user(args.offset, args.data_ptr, args.size);
  uint8_t first;
  // A write that is short, but not of all, is no fault to a file.
  return err && by_iter && !copy_from_user(&first, args.data_ptr, 1) ? -EIO : err;
}

}  // namespace i915u::soft
