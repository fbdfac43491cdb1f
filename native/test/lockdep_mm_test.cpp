// SPDX-License-Identifier: MIT
// Lockdep and invalidates: what a notifier takes may not be held where one is waited for, and who
// may not block may not sleep (kernel: mm/mmu_notifier.c).
#include <functional>

#include "soft/mm/notifier_chain.h"
#include "sync/wait_queue.h"
#include "sync/workqueue.h"
#include "test/harness.h"
#include "test/lockdep_watch.h"

using namespace i915u;
using namespace i915u::sync;
using namespace i915u::soft;
using namespace i915u::test;

namespace {

constexpr InvalidateRange range{0, 4096, InvalidateEvent::clear, true};
constexpr InvalidateRange atomic_range{0, 4096, InvalidateEvent::unmap, false};

struct Interval final : IntervalNotifier {
  Interval(NotifierChain& c, std::function<void()> f) : chain(c), call(std::move(f)) {
    chain.interval_insert(*this, 0, 4096);
  }
  ~Interval() override { chain.interval_remove(*this); }
  bool invalidate(const InvalidateRange&, uint64_t seq) override {
    chain.set_seq(*this, seq);
    if (call) call();
    return true;
  }
  NotifierChain& chain;
  const std::function<void()> call;
};

struct OfMm final : MmuNotifier {
  OfMm(NotifierChain& c, std::function<void()> f, std::function<void()> e = {})
      : chain(c), call(std::move(f)), at_end(std::move(e)) {
    chain.subscribe(*this);
  }
  ~OfMm() override { chain.unsubscribe(*this); }
  int invalidate_range_start(const InvalidateRange&) override {
    if (call) call();
    return 0;
  }
  void invalidate_range_end(const InvalidateRange&) override {
    if (at_end) at_end();
  }
  NotifierChain& chain;
  const std::function<void()> call, at_end;
};

void invalidate(NotifierChain& chain, const InvalidateRange& r = range) {
  chain.invalidate_range_start(r);
  chain.invalidate_range_end(r);
}

const char* const sleeping = "sleeping function called from invalid context";

}  // namespace

// --- reported

TEST(lockdep_reports_a_lock_over_read_begin_that_the_notifier_takes) {
  Watch w;
  Lock a(class_a);
  NotifierChain chain;
  Interval n(chain, [&] { together(a); });
  invalidate(chain);
  {
    Guard g(a);
    chain.read_begin(n);
  }
  CHECK_EQ(w.title(), circular);
  CHECK(w.says("mmu_notifier_invalidate_range_start"));
}

// Reclaim, migration, or gup that breaks COW: no mmap_lock is common to both.
TEST(lockdep_reports_a_lock_over_a_change_that_the_notifier_takes) {
  Watch w;
  Lock a(class_a), b(class_b);
  NotifierChain chain;
  OfMm n(chain, [&] { together(b); });
  {
    Guard g(a);
    invalidate(chain);
  }
  CHECK_EQ(w.title(), "");
  together(b, a);
  CHECK_EQ(w.title(), circular);
}

TEST(lockdep_reports_a_lock_over_the_removal_of_the_notifier_that_takes_it) {
  for (const bool interval : {false, true}) {
    Watch w;
    Lock a(class_a);
    NotifierChain chain;
    {
      std::unique_ptr<Interval> n;
      std::unique_ptr<OfMm> m;
      if (interval)
        n = std::make_unique<Interval>(chain, [&] { together(a); });
      else
        m = std::make_unique<OfMm>(chain, [&] { together(a); });
      invalidate(chain);
      Guard g(a);
      n.reset();
      m.reset();
    }
    CHECK_EQ(w.title(), circular);
  }
}

TEST(lockdep_reports_a_lock_over_read_begin_that_work_takes_which_the_notifier_flushes) {
  Watch w;
  Lock a(class_a);
  WorkQueue wq("wq", class_q);
  NotifierChain chain;
  Interval n(chain, [&] {
    wq.queue(std::make_shared<WorkQueue::Work>([&] { together(a); }));
    wq.flush_all();
  });
  invalidate(chain);
  {
    Guard g(a);
    chain.read_begin(n);
  }
  CHECK_EQ(w.title(), circular);
}

// kernel: a dma_fence whose signaller allocates memory, which may need an invalidate.
TEST(lockdep_reports_a_notifier_that_waits_for_who_needs_an_invalidate_first) {
  Watch w;
  NotifierChain chain;
  Completion* fence = nullptr;
  OfMm n(chain, [&] {
    if (fence) fence->wait();
  });
  Completion done(class_x);
  on_thread([&] {
    invalidate(chain);
    done.complete_all();
  });
  fence = &done;
  invalidate(chain);
  CHECK_EQ(w.title(), circular);
}

// --- not reported

TEST(lockdep_allows_the_notifiers_lock_around_its_sequence_and_the_last_check) {
  Watch w;
  RwLock lock(class_a);
  NotifierChain chain;
  Interval n(chain, [&] { WriteGuard g(lock); });
  for (int i = 0; i < 2; i++) {
    const uint64_t seq = chain.read_begin(n);
    {
      ReadGuard g(lock);
      CHECK(!chain.read_retry(n, seq));
    }
    invalidate(chain);
    ReadGuard g(lock);
    CHECK(chain.read_retry(n, seq));
  }
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_lock_over_invalidates_that_no_notifier_takes) {
  Watch w;
  Lock a(class_a), b(class_b);
  NotifierChain chain;
  Interval n(chain, [&] { together(b); });
  for (int i = 0; i < 2; i++) {
    Guard g(a);
    chain.read_begin(n);
    invalidate(chain);
  }
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_an_invalidate_between_start_and_end_of_another) {
  Watch w;
  NotifierChain chain;
  OfMm n(chain, {});
  chain.invalidate_range_start(range);
  invalidate(chain);
  chain.invalidate_range_end(range);
  CHECK_EQ(w.title(), "");
}

// The end is no wait: who waits for it goes on before these calls (rwsem's semaphore).
TEST(lockdep_allows_what_is_held_from_the_start_to_the_end) {
  Watch w;
  RwSemaphore sem(class_a);
  NotifierChain chain;
  OfMm n(
      chain, [&] { sem.down_write(); }, [&] { sem.up_write(); });
  for (int i = 0; i < 2; i++) invalidate(chain);
  CHECK_EQ(w.title(), "");
}

// --- what may not block

TEST(lockdep_reports_a_notifier_that_sleeps_where_it_may_not) {
  Mutex m(class_a);
  RwSemaphore s(class_b);
  WorkQueue wq("wq", class_q);
  Completion done(class_x);
  done.complete_all();
  const std::function<void()> ways[] = {
      [&] { together(m); },    [&] { WriteGuard g(s); }, [&] { ReadGuard g(s); },
      [&] { wq.flush_all(); }, [&] { done.wait(); },     [&] { s.might_read(); },
  };
  for (const auto& way : ways) {
    for (const bool interval : {false, true}) {
      Watch w;
      NotifierChain chain;
      std::unique_ptr<Interval> n;
      std::unique_ptr<OfMm> o;
      if (interval)
        n = std::make_unique<Interval>(chain, way);
      else
        o = std::make_unique<OfMm>(chain, way);
      invalidate(chain);
      CHECK_EQ(w.title(), "");
      invalidate(chain, atomic_range);
      CHECK_EQ(w.title(), sleeping);
      CHECK(w.says("\nBUG: sleeping function called from invalid context at native/"));
      CHECK(w.says("mmu_notifier_invalidate_range_start"));
    }
  }
}

TEST(lockdep_allows_who_may_not_block_to_spin_to_try_and_to_ask) {
  Watch w;
  SpinLock spin(class_a);
  RwLock rw(class_b);
  Mutex m(class_c);
  Completion done(class_x);
  NotifierChain chain;
  Interval n(chain, [&] {
    together(spin);
    { WriteGuard g(rw); }
    if (m.try_lock()) m.unlock();
    CHECK(!done.done());
  });
  invalidate(chain, atomic_range);
  together(m);  // afterwards it may again
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_others_to_sleep_meanwhile) {
  Watch w;
  Mutex m(class_a);
  NotifierChain chain;
  bool other = false;
  Interval n(chain, [&] {
    std::thread t([&] {
      together(m);
      other = true;
    });
    t.join();
  });
  invalidate(chain, atomic_range);
  CHECK(other);
  CHECK_EQ(w.title(), "");
}
