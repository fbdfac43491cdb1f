// SPDX-License-Identifier: MIT
// Proposed in the discussion of March 2018: the first invalidate that hits an object is its last.
// From then on a submission with it fails with -EFAULT, and what was invalidated is never looked up
// again. `ban` has an object in the tree from its creation on, so that an invalidate before or
// during its first lookup counts too. `ban-late` has it there only once it has pages, and so does
// not see an invalidate that comes while they are looked up for the first time.
// Both fail where the memory is as before: after mprotect, fork, migration, huge pages, swap-out.
#include "soft/strategies/deferred.h"
#include "soft/strategies/strategies.h"

namespace i915u::soft {
namespace {

std::unique_ptr<DeferredNotifier> make_notifier(StrategyHost& host) {
  return std::make_unique<DeferredNotifier>(host, true);
}

constexpr DeferredRules early{"ban", DeferredRules::created, true, make_notifier};
constexpr DeferredRules late{"ban-late", DeferredRules::installed, true, make_notifier};

}  // namespace

std::unique_ptr<Strategy> make_ban(StrategyHost& host) {
  return std::make_unique<Deferred>(host, early);
}

std::unique_ptr<Strategy> make_ban_late(StrategyHost& host) {
  return std::make_unique<Deferred>(host, late);
}

}  // namespace i915u::soft
