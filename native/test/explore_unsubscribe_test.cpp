// SPDX-License-Identifier: MIT
// A notifier that leaves while its mm is being invalidated (kernel: mmu_notifier_unregister, by the
// close of the last object), in all interleavings.
#include <memory>
#include <set>
#include <string>

#include "soft/mm/notifier_chain.h"
#include "test/explore_worlds.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::soft;
using test::Toy;
using test::toy;

namespace {

std::set<std::string> seen;

/// Its owner may destroy it once unsubscribe() has returned.
class Leaver final : public MmuNotifier {
 public:
  Leaver() : life_("notifier") {}
  int invalidate_range_start(const InvalidateRange&) override { return called(); }
  void invalidate_range_end(const InvalidateRange&) override { called(); }
  void leave() {
    life_.store(0);
    left_ = true;
  }
  int calls = 0;

 private:
  int called() {
    for (int i = 0; i < 2; i++) {  // as it begins, and as it ends
      life_.load();
      if (left_) explore::fail("a call to a notifier that has left");
    }
    calls++;
    return 0;
  }
  sync::Atomic<int> life_;
  bool left_ = false;
};

/// `waits`: else it goes without unsubscribe().
void world(Toy& t, bool waits) {
  auto& chain = t.make<NotifierChain>();
  auto& leaver = t.make<Leaver>();
  chain.subscribe(leaver, NotifierChain::Leaves::any_time);
  t.thread("munmap", [&] {
    const InvalidateRange range{0, 4096, InvalidateEvent::unmap, true};
    chain.invalidate_range_start(range);
    chain.invalidate_range_end(range);
  });
  t.thread("close", [&chain, &leaver, waits] {
    if (waits) chain.unsubscribe(leaver);
    leaver.leave();
  });
  t.at_end = [&] {
    seen.insert(std::to_string(leaver.calls));
    if (!waits) chain.unsubscribe(leaver);
  };
}

}  // namespace

// Called for start and end, for one of them, or not at all; never once it has left, and
// unsubscribe() sleeps no longer than a call runs.
TEST(explore_unsubscribe_waits_for_the_calls_that_run) {
  seen.clear();
  const auto r = explore::explore(toy([](Toy& t) { world(t, true); }));
  CHECK_EQ(r.what, "");
  CHECK(r.exhaustive);
  CHECK_EQ(seen.size(), 3u);
}

TEST(explore_unsubscribe_is_needed_before_a_notifier_goes) {
  const auto r = explore::explore(toy([](Toy& t) { world(t, false); }));
  CHECK(r.verdict == explore::Verdict::violated);
  CHECK_EQ(r.what, "a call to a notifier that has left");
}
