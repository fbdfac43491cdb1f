// SPDX-License-Identifier: MIT
#include "drm/device.h"

#include <time.h>

#include <cerrno>

namespace i915u {

namespace {

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000 + static_cast<uint64_t>(t.tv_nsec);
}

}  // namespace

int Device::call(unsigned long request, void* arg, Retry policy) {
  uint64_t begin = 0;
  for (int n = 0;; n++) {
    const int ret = ioctl(request, arg);
    std::atomic<uint64_t>* counter;
    if (ret == -EINTR && policy != Retry::none)
      counter = &retries_.eintr;
    else if (ret == -EAGAIN && policy == Retry::always)
      counter = &retries_.eagain;
    else
      return ret;
    if (!begin) begin = now_ns();
    if (n == retry_limit || (n >= retry_least && now_ns() - begin > retry_ns)) return ret;
    counter->fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace i915u
