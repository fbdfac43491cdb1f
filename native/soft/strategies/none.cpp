// SPDX-License-Identifier: MIT
// i915 as of 4.16: nothing keeps page lookups apart from invalidates. An object is cancelled by the
// invalidates that begin while it is in the tree. A lookup that begins between the start and the
// end of one finds the pages that are about to go, and the GPU has them when they are gone; so does
// a fast gup that an invalidate follows before the object is in the tree.
#include "soft/strategies/deferred.h"
#include "soft/strategies/strategies.h"

namespace i915u::soft {
namespace {

std::unique_ptr<DeferredNotifier> make_notifier(StrategyHost& host) {
  return std::make_unique<DeferredNotifier>(host, false);
}

constexpr DeferredRules rules{"none", DeferredRules::asked, false, make_notifier};

}  // namespace

std::unique_ptr<Strategy> make_none(StrategyHost& host) {
  return std::make_unique<Deferred>(host, rules);
}

}  // namespace i915u::soft
