// SPDX-License-Identifier: MIT
#include <cstring>

#include "soft/strategies/strategies.h"

namespace i915u::soft {

const StrategyName strategy_names[] = {
    {"interval",
     "mmu_interval_notifier with a sequence number; the notifier waits for the GPU (5.13 to 6.7)",
     make_interval, true},
    {"interval-nowait",
     "as interval, but the notifier does not wait; the next submission unbinds (6.8 and later)",
     make_interval_nowait, false},
    {"none", "invalidates cancel what is in a tree, lookups know nothing of them (4.16)", make_none,
     true},
    {"rwsem",
     "as none, with a semaphore over each invalidate and each lookup (patch of March 2018)",
     make_rwsem, true},
    {"ban",
     "as none, but an object has no pages any more after its first invalidate (proposed 2018)",
     make_ban, true},
    {"ban-late", "as ban, but invalidates see an object only once it has pages (proposed 2018)",
     make_ban_late, true},
    {"ranges", "a list of the ranges that are being invalidated, which lookups of them wait for",
     make_ranges, true},
    {"seqcount", "one count and one sequence of invalidates for the mm, checked under a lock (KVM)",
     make_seqcount, true},
    {nullptr, nullptr, nullptr, false},
};

const StrategyName* find_strategy(const char* name) {
  for (const StrategyName* s = strategy_names; s->name; s++)
    if (!strcmp(s->name, name)) return s;
  return nullptr;
}

}  // namespace i915u::soft
