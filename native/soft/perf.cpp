// SPDX-License-Identifier: MIT
// The ioctls of i915's performance streams (kernel: i915_perf.c).
// The driver's algorithm: the checks and their order, up to the properties' values.
// Stub: there are no counters to read. What would open a stream, or add a configuration, is refused
// as properties that make no sense are.
#include <errno.h>

#include "mem/uaccess.h"
#include "soft/file.h"
#include "soft/ioctls.h"

namespace i915u::soft {

using namespace uapi;

int ioctl_perf_open(File&, drm_i915_perf_open_param& args) {
  constexpr uint32_t property_max = 9;  // DRM_I915_PERF_PROP_MAX
  if (args.flags &
      ~(I915_PERF_FLAG_FD_CLOEXEC | I915_PERF_FLAG_FD_NONBLOCK | I915_PERF_FLAG_DISABLED))
    return -EINVAL;
  if (!args.num_properties || args.num_properties >= property_max) return -EINVAL;
  for (uint32_t i = 0; i < args.num_properties; i++) {
    uint64_t property[2];  // its number, its value
    if (copy_from_user(property, args.properties_ptr + i * sizeof(property), sizeof(property)))
      return -EFAULT;
    if (!property[0] || property[0] >= property_max) return -EINVAL;
  }
  return -EINVAL;
}

int ioctl_perf_add_config() {
  return -EINVAL;
}

// No configuration was ever added.
int ioctl_perf_remove_config() {
  return -ENOENT;
}

}  // namespace i915u::soft
