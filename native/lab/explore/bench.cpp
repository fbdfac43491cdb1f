// SPDX-License-Identifier: MIT
#include "lab/explore/bench.h"

#include <cstdio>
#include <memory>

#include "lab/explore/explorer.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/rwsem.h"

namespace i915u::explore {

namespace {

const sync::LockClass outer_class{"bench outer"}, inner_class{"bench inner"};

/// Threads that nest a mutex in a semaphore, and one that writes.
class Locks final : public World {
 public:
  void setup() override {
    for (int i = 0; i < 3; i++)
      spawn("t" + std::to_string(i), [this, i] {
        for (int k = 0; k < 8; k++) {
          if (i) {
            sync::ReadGuard r(s_);
            sync::Guard g(m_);
            x_.store(x_.load() + 1);
          } else {
            sync::WriteGuard w(s_);
            x_.store(0);
          }
        }
      });
  }

 private:
  sync::RwSemaphore s_{outer_class};
  sync::Mutex m_{inner_class};
  sync::Atomic<int> x_{"x"};
};

Rate rate(const char* name, Options o, double seconds) {
  o.seconds = seconds;
  o.minimize = false;
  const Result r = explore([] { return std::make_unique<Locks>(); }, o);
  return {name, r.executions + r.pruned, r.steps, r.seconds};
}

}  // namespace

std::vector<Rate> bench(double seconds) {
  Options reduced, plain, bounded;
  plain.reduce = false;
  bounded.preemptions = 2;
  return {rate("reduced", reduced, seconds), rate("all", plain, seconds),
          rate("two preemptions", bounded, seconds)};
}

std::string bench_text(const std::vector<Rate>& rates) {
  std::string s;
  for (const Rate& r : rates) {
    char line[128];
    snprintf(line, sizeof line, "%-16s %10.0f steps/s %8.0f executions/s %6.1f steps each\n",
             r.name, static_cast<double>(r.steps) / r.seconds,
             static_cast<double>(r.executions) / r.seconds,
             static_cast<double>(r.steps) / static_cast<double>(r.executions));
    s += line;
  }
  return s;
}

}  // namespace i915u::explore
