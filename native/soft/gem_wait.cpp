// SPDX-License-Identifier: MIT
// GEM_BUSY and GEM_WAIT (kernel: i915_gem_busy.c, i915_gem_wait.c).
// Changed on purpose: time is not counted in jiffies, so a wait is never told to come again
// (-EAGAIN) because it was too short to be one.
#include <errno.h>

#include <algorithm>

#include "soft/file.h"
#include "soft/ioctls.h"
#include "soft/object.h"
#include "sync/clock.h"

namespace i915u::soft {

using namespace uapi;

int ioctl_gem_busy(File& file, drm_i915_gem_busy& args) {
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  args.busy = obj->busy_mask();
  return 0;
}

int ioctl_gem_wait(File& file, drm_i915_gem_wait& args) {
  if (args.flags) return -EINVAL;
  const auto obj = file.lookup(args.bo_handle);
  if (!obj) return -ENOENT;
  if (args.timeout_ns < 0) return obj->wait(true, sync::forever);
  // A deadline in the past only asks.
  if (args.timeout_ns == 0) return obj->wait(true, 0);
  const uint64_t start = sync::now_ns();
  const int err = obj->wait(true, start + static_cast<uint64_t>(args.timeout_ns));
  args.timeout_ns =
      std::max<int64_t>(0, args.timeout_ns - static_cast<int64_t>(sync::now_ns() - start));
  if (err == -ETIME) args.timeout_ns = 0;
  return err;
}

}  // namespace i915u::soft
