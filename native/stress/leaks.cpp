// SPDX-License-Identifier: MIT
#include "stress/leaks.h"

#include <cstdio>
#include <cstring>

#include "soft/device.h"
#include "sync/clock.h"

namespace i915u::stress {

LeakCheck::LeakCheck(Device& dev) : dev_(dev), before_(now()) {}

// On a node the pins are those of the whole system (/proc/vmstat, since 5.6): other users of
// long-term pins, like io_uring and RDMA, are expected to be quiet.
LeakCheck::Now LeakCheck::now() {
  Now n;
  if (dev_.is_soft()) {
    const soft::SoftStats s = static_cast<soft::SoftDevice&>(dev_).stats();
    return {s.pins_acquired, s.pins_released, s.objects, s.object_bytes, s.bindings, true};
  }
  FILE* f = fopen("/proc/vmstat", "re");
  if (!f) return n;
  char name[64];
  unsigned long long v;
  while (fscanf(f, "%63s %llu", name, &v) == 2) {
    if (!strcmp(name, "nr_foll_pin_acquired")) n.acquired = v, n.pins_known = true;
    if (!strcmp(name, "nr_foll_pin_released")) n.released = v;
  }
  fclose(f);
  return n;
}

void LeakCheck::check(Recorder& rec) {
  Now n;
  int64_t pins = 0, objects = 0, bytes = 0;
  for (const uint64_t until = sync::now_ns() + 2000000000u; sync::now_ns() < until;
       sync::sleep_ns(20000000)) {
    n = now();
    pins = static_cast<int64_t>((n.acquired - before_.acquired) - (n.released - before_.released));
    objects = static_cast<int64_t>(n.objects - before_.objects);
    bytes = static_cast<int64_t>(n.bytes - before_.bytes);
    if (pins <= 0 && objects <= 0 && bytes <= 0) break;
  }
  Board& b = rec.board();
  b.pins_acquired = n.acquired - before_.acquired;
  b.pins_released = n.released - before_.released;
  if (n.pins_known && pins > 0)
    report(rec, ViolationKind::leak, no_cell,
           std::to_string(pins) + " pages are still pinned after all objects were closed (" +
               std::to_string(b.pins_acquired) + " pins taken, " + std::to_string(b.pins_released) +
               " given back)");
  if (objects > 0 || bytes > 0)
    report(rec, ViolationKind::leak, no_cell,
           std::to_string(objects) + " GEM objects with " + std::to_string(bytes) +
               " bytes are still there after all handles were closed");
}

}  // namespace i915u::stress
