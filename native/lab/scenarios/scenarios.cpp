// SPDX-License-Identifier: MIT
// Pages are drawn as 0 1 2; each object below the pages that it is of.
#include "lab/scenarios/scenario.h"

#include <cstring>

#include "lab/model/lab.h"
#include "lab/scenarios/second_notifier.h"

namespace i915u::lab {
namespace {

// Most have object 0 on page 0, which thread "submit" uses for the first time. It tries again for
// as long as there is EAGAIN, but for `spinning` tries of a strategy whose lookups return where
// others wait for the end of an invalidate: each try meets each step of that.
void submit_thread(Lab& l, int spinning = INT_MAX) {
  l.object(0);
  const int tries = l.spins() ? spinning : INT_MAX;
  l.thread("submit", [&l, tries] { l.submit({0}, nullptr, tries); });
}

void lookup_invalidate(Lab& l) {
  submit_thread(l);
  l.thread("munmap", [&l] {
    l.mm().munmap(0);
    l.mm().mmap(0);
  });
}

void lookup_fault(Lab& l) {
  l.mm().unpopulate(0);
  lookup_invalidate(l);
}

void lookup_invalidate_close(Lab& l) {
  l.will_close();
  submit_thread(l, 3);
  l.thread("madvise", [&l] { l.mm().dontneed(0); });
  l.thread("close", [&l] { l.close(0); });
}

void two_invalidates(Lab& l) {
  submit_thread(l, 1);
  l.thread("split", [&l] { l.mm().split(0, 1); });
  l.thread("fallocate", [&l] { l.mm().punch_hole(0); });
}

void first_instantiation(Lab& l) {
  submit_thread(l);
  l.thread("migration", [&l] { l.mm().migrate(0); });
}

void use_again(Lab& l) {
  l.submit_or_refused(0);
}

void cow_in_gup(Lab& l) {
  l.mm().share(0);
  submit_thread(l);
}

void works_after_cow(Lab& l) {
  l.must_work(0, "a COW break");
}

// 0 1   a huge page, of which munmap takes page 0
// #
void nested_invalidate(Lab& l) {
  submit_thread(l);
  l.thread("munmap", [&l] { l.mm().munmap_huge(0, 1); });
}

// --- innocent invalidates: while a request is busy; then the object is used again

void busy(Lab& l) {
  l.object(0);
  l.submit({0});
}

void innocent_mprotect(Lab& l) {
  busy(l);
  l.mm().mprotect(0, false);
  l.mm().mprotect(0, true);
  l.must_work(0, "mprotect and back");
}

void innocent_migration(Lab& l) {
  busy(l);
  l.mm().migrate(0);
  l.must_work(0, "migration");
}

// 0 1
// # #
void innocent_thp(Lab& l) {
  l.object(0, 2);
  l.submit({0});
  l.mm().collapse(0, 2);
  l.mm().split(0, 2);
  l.must_work(0, "THP collapse and split");
}

void innocent_swap(Lab& l) {
  l.will_close();
  busy(l);
  l.mm().swap_out(0);
  l.must_work(0, "swap-out");
  l.close(0);
  l.mm().swap_out(0);
  l.must_read(0, "after swap-out of a page that was given back");
}

void innocent_ksm(Lab& l) {
  busy(l);
  l.mm().ksm_merge(0);
  l.must_work(0, "a merge by KSM");
}

void innocent_fork(Lab& l) {
  busy(l);
  l.mm().fork();
  l.mm().access(0, true);
  l.must_work(0, "fork");
}

// --- the others

void exit_busy(Lab& l) {
  l.mm().will_exit();
  l.object(0);
  l.submit({0});
  l.mm().exit();
}

// 0 1
// # #
//   #
void overlapping_objects(Lab& l) {
  l.object(0, 2);
  l.object(1);
  l.thread("submit", [&l] { l.submit({0, 1}); });
  l.thread("madvise", [&l] { l.mm().dontneed(1); });
}

// 0 1
// #     ours
//   *   the other driver's, which munmap takes
void second_notifier(Lab& l) {
  const auto other = std::make_shared<SecondNotifier>(l.mm(), 1);
  l.more = other;  // it was there first, so it is called last
  busy(l);
  l.thread("munmap", [&l] { l.mm().munmap(1); });
  l.thread("other driver", [&l, o = other.get()] {
    sync::Guard g(o->lock);
    l.mm().swap_out(0);
  });
}

void reclaim_under_lock(Lab& l, bool blockable) {
  l.object(0);
  l.submit({0});
  l.thread("allocation", [&l, blockable] {
    sync::Guard g(l.object_at(0)->object_lock());
    l.mm().swap_out(0, blockable);
  });
}

void reclaim(Lab& l) {
  reclaim_under_lock(l, true);
}

void reclaim_atomic(Lab& l) {
  reclaim_under_lock(l, false);
}

void oom_reap(Lab& l) {
  submit_thread(l);
  l.thread("oom_reaper", [&l] { l.mm().oom_reap(0); });
}

void works_after_reclaim(Lab& l) {
  l.must_work(0, "reclaim");
}

}  // namespace

const Scenario scenarios[] = {
    {"lookup-invalidate", "a first submission looks a page up while munmap and mmap replace it", 1,
     lookup_invalidate, nullptr},
    {"lookup-fault", "the same where the lookup has to fault the page in, under mmap_lock", 1,
     lookup_fault, nullptr},
    {"lookup-invalidate-close",
     "a first submission, an madvise(DONTNEED) of its page, and another thread closes the object "
     "(seqcount: three tries, no search for a livelock)",
     1, lookup_invalidate_close, nullptr},
    {"two-invalidates",
     "a first submission, and two invalidates of its page at once: a split, and a hole in the file "
     "(seqcount: one try, no search for a livelock)",
     1, two_invalidates, nullptr},
    {"first-instantiation",
     "the page moves while an object gets its first pages; then it is used again", 1,
     first_instantiation, use_again},
    {"cow-in-gup", "the page lookup breaks COW, and so calls the notifiers itself", 1, cow_in_gup,
     works_after_cow},
    {"nested-invalidate", "munmap of half a huge page splits it, one invalidate inside another", 2,
     nested_invalidate, nullptr},
    {"innocent-mprotect", "a busy page goes read-only and back; the object is used again", 1,
     innocent_mprotect, nullptr},
    {"innocent-migration", "a busy page moves; the object is used again", 1, innocent_migration,
     nullptr},
    {"innocent-thp", "busy pages become a huge page, which is split; the object is used again", 2,
     innocent_thp, nullptr},
    {"innocent-swap",
     "a busy page is swapped out; the object is used again, and closed before the next swap-out", 1,
     innocent_swap, nullptr},
    {"innocent-ksm", "KSM merges a busy page with another; the object is used again", 1,
     innocent_ksm, nullptr},
    {"innocent-fork", "a process with a busy page forks and writes; the object is used again", 1,
     innocent_fork, nullptr},
    {"exit-busy", "a process exits while the GPU uses its pages", 1, exit_busy, nullptr},
    {"overlapping-objects", "a submission of two objects that share a page, which madvise drops", 2,
     overlapping_objects, nullptr},
    {"second-notifier",
     "another driver's notifier takes a lock that is held over an allocation, which reclaims our "
     "page",
     2, second_notifier, nullptr},
    {"reclaim", "an allocation under the object's lock reclaims the object's page", 1, reclaim,
     works_after_reclaim},
    {"reclaim-atomic", "the same where the notifier may not sleep", 1, reclaim_atomic,
     works_after_reclaim},
    {"oom-reap", "a first submission while the OOM reaper drops its page, which may not sleep", 1,
     oom_reap, nullptr},
    {nullptr, nullptr, 0, nullptr, nullptr},
};

const Scenario* find_scenario(const char* name) {
  for (const Scenario* s = scenarios; s->name; s++)
    if (!strcmp(s->name, name)) return s;
  return nullptr;
}

}  // namespace i915u::lab
