// SPDX-License-Identifier: MIT
// The patch of March 2018: one semaphore for the notifier of a mm. Its writers are invalidates,
// from invalidate_range_start to invalidate_range_end; its readers are page lookups, the worker's
// and the fast one in get_pages. It keeps lookups out of invalidates, and has its owner wait for
// itself: a lookup takes mmap_lock inside of the semaphore, munmap the semaphore inside of
// mmap_lock; gup that breaks COW, and an invalidate within another, take it for writing under what
// they hold already; the flush in invalidate_range_start waits, with the semaphore, for work that
// needs the lock under which get_pages waits for the semaphore.
#include <cerrno>

#include "soft/strategies/deferred.h"
#include "soft/strategies/strategies.h"

namespace i915u::soft {
namespace {

const sync::LockClass sem_class{"mn->sem"};

class Notifier final : public DeferredNotifier {
 public:
  explicit Notifier(StrategyHost& host) : DeferredNotifier(host, false), sem_(sem_class) {}

  int invalidate_range_start(const InvalidateRange& range) override {
    if (!range.blockable) return -EAGAIN;
    sem_.down_write();
    return DeferredNotifier::invalidate_range_start(range);
  }
  void invalidate_range_end(const InvalidateRange&) override { sem_.up_write(); }

  bool begin_lookup() override {
    if (host_.fault(fault_no_read_lock)) return false;
    sem_.down_read();
    return true;
  }
  void end_lookup() override { sem_.up_read(); }

 private:
  sync::RwSemaphore sem_;
};

std::unique_ptr<DeferredNotifier> make_notifier(StrategyHost& host) {
  return std::make_unique<Notifier>(host);
}

constexpr DeferredRules rules{"rwsem", DeferredRules::asked, false, make_notifier};

}  // namespace

std::unique_ptr<Strategy> make_rwsem(StrategyHost& host) {
  return std::make_unique<Deferred>(host, rules);
}

}  // namespace i915u::soft
