// SPDX-License-Identifier: MIT
#include "sync/clock.h"

#include <sched.h>
#include <time.h>

#include <cerrno>

#include "sync/scheduler.h"

namespace i915u::sync {

uint64_t now_ns() {
  if (scheduler) return 1;
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

void sleep_ns(uint64_t ns, Where w) {
  if (scheduler) {
    scheduler->step({Op::sleep, 0, "sleep", w}, nullptr, nullptr);
    return;
  }
  timespec t{static_cast<time_t>(ns / 1000000000u), static_cast<long>(ns % 1000000000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
  }
}

void yield(Where w) {
  if (scheduler)
    scheduler->step({Op::yield, 0, "yield", w}, nullptr, nullptr);
  else
    sched_yield();
}

}  // namespace i915u::sync
