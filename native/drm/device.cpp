// SPDX-License-Identifier: MIT
#include "drm/device.h"

#include <cerrno>

namespace i915u {

int Device::call(unsigned long request, void* arg, Retry policy) {
  for (int n = 0;; n++) {
    const int ret = ioctl(request, arg);
    std::atomic<uint64_t>* counter;
    if (ret == -EINTR && policy != Retry::none)
      counter = &retries_.eintr;
    else if (ret == -EAGAIN && policy == Retry::always)
      counter = &retries_.eagain;
    else
      return ret;
    if (n == retry_limit) return ret;
    counter->fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace i915u
