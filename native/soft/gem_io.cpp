// SPDX-License-Identifier: MIT
// GEM_PREAD and GEM_PWRITE (kernel: i915_gem.c, i915_gem_shmem.c).
// The driver's algorithm: the order of the checks, what is waited for, that objects which never had
// pages are written without getting them.
// Changed on purpose: no GTT path; what it would do differently cannot be seen.
#include <errno.h>

#include <algorithm>

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

// To an object that has no pages yet. kernel: shmem_pwrite
int write_to_file(const Gpu& gpu, PoolPages& pages, const drm_i915_gem_pwrite& args) {
  uint8_t c;
  if (gpu.has(Change::pwrite_by_iter)) {
    const int err = pages.copy_from_user(args.offset, args.data_ptr, args.size);
    // A write that is short, but not of all, is no fault to a file.
    return err && !copy_from_user(&c, args.data_ptr, 1) ? -EIO : err;
  }
  // Page by page, each of which is looked at before.
  for (uint64_t done = 0, len; done < args.size; done += len) {
    const uint64_t at = args.offset + done, user = args.data_ptr + done;
    len = std::min(args.size - done, 4096 - at % 4096);
    if (copy_from_user(&c, user, 1) || copy_from_user(&c, user + len - 1, 1) ||
        pages.copy_from_user(at, user, len))
      return -EFAULT;
  }
  return 0;
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
  {
    int err = 0;
    sync::Guard g(obj->lock);
    if (!gem->has_pages) {
      if (gem->madv != I915_MADV_WILLNEED) return -EFAULT;
      pages = gem->backing(&err);
      if (!pages) return err;
    }
  }
  if (pages) return write_to_file(file.gpu, *pages, args);
  if (int err = obj->wait(true, sync::forever)) return err;
  {
    int err = 0;
    sync::Guard g(obj->lock);
    pages = gem->pin_pages(&err);
    if (!pages) return err;
  }
  return pages->copy_from_user(args.offset, args.data_ptr, args.size);
}

}  // namespace i915u::soft
