// SPDX-License-Identifier: MIT
// The software device as C functions, for callers with a foreign function interface of their own
// (ffi-napi in the contract suite): the same ioctls with none of the addon's packing between.
#include <cerrno>
#include <cstdint>

#include "soft/device.h"

using i915u::soft::SoftDevice;
using i915u::soft::SoftOptions;

#define EXPORT extern "C" __attribute__((visibility("default")))

/// A device with the default options, or null.
EXPORT void* i915_userptr_soft_open() {
  int err = 0;
  return SoftDevice::open(SoftOptions{}, &err).release();
}

/// As ioctl(2), but the answer is >= 0 or -errno.
EXPORT int i915_userptr_soft_ioctl(void* device, unsigned long request, void* arg) {
  return device ? static_cast<SoftDevice*>(device)->ioctl(request, arg) : -EBADF;
}

/// As mmap(2), but the answer is an address or -errno.
EXPORT int64_t i915_userptr_soft_mmap(void* device, uint64_t addr, uint64_t length, int prot,
                                      int flags, uint64_t offset) {
  return device ? static_cast<SoftDevice*>(device)->mmap(addr, length, prot, flags, offset)
                : -EBADF;
}

/// Frees the device. 0 or -errno.
EXPORT int i915_userptr_soft_close(void* device) {
  if (!device) return -EBADF;
  SoftDevice* dev = static_cast<SoftDevice*>(device);
  const int ret = dev->close();
  delete dev;
  return ret;
}
