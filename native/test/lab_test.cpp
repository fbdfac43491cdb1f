// SPDX-License-Identifier: MIT
// The lab's table: what the search says of each strategy in each scenario, and that a cell turns
// when one line of a correct strategy is broken.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lab/cell.h"
#include "lab/lanes.h"
#include "lab/lockdep_reports.h"
#include "lab/model/lab.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::lab;

namespace {

/// With a limit that only two-invalidates, nested-invalidate and lookup-invalidate-close come near.
Verdict verdict(const std::string& strategy, const std::string& scenario,
                const std::string& faults = "", uint64_t executions = 30000) {
  Cell cell;
  CHECK_EQ(cell.find(strategy, scenario, faults), "");
  explore::Options o;
  o.max_executions = executions;
  o.minimize_seconds = 1;
  return explore_cell(cell, o);
}

/// `differ`: "scenario: verdict\n" of those that do not say `most`, in their order.
void check_row(const std::string& strategy, const std::string& most, const std::string& differ) {
  std::string text;
  for (const Scenario* s = scenarios; s->name; s++) {
    const Verdict v = verdict(strategy, s->name);
    if (v.name != most) text += std::string(s->name) + ": " + v.name + "\n";
  }
  CHECK_EQ("\n" + text, "\n" + differ);
}

/// Which of the faults' cells say what.
void turns(const char* strategy, const char* scenario, const char* fault, const char* name,
           const char* what) {
  const Verdict v = verdict(strategy, scenario, fault);
  const std::string said = std::string(fault) + " in " + scenario + ": " + v.name;
  CHECK_EQ(said, std::string(fault) + " in " + scenario + ": " + name);
  const bool says = v.search.what.find(what) != std::string::npos;
  CHECK_EQ(says ? what : v.search.what, std::string(what));
}

}  // namespace

// --- the table

TEST(lab_strategies_that_check_after_the_lookup_hold_everywhere) {
  for (const char* strategy : {"ranges", "seqcount", "interval", "interval-nowait"})
    check_row(strategy, "holds", "");
}

// Two invalidates: the first takes the object out of the tree, and the second waits for nobody.
TEST(lab_none_establishes_pages_inside_an_invalidate) {
  check_row("none", "holds",
            "lookup-invalidate: violated\nlookup-fault: violated\n"
            "lookup-invalidate-close: violated\ntwo-invalidates: violated\n"
            "first-instantiation: violated\nnested-invalidate: violated\n"
            "overlapping-objects: violated\nreclaim: deadlocks\noom-reap: violated\n");
  turns("none", "lookup-invalidate", "", "violated", "established inside an invalidate");
  turns("none", "first-instantiation", "", "violated", "established inside an invalidate");
  turns("none", "two-invalidates", "", "violated", "returned while a request");
}

TEST(lab_rwsem_deadlocks) {
  check_row("rwsem", "deadlocks",
            "lookup-invalidate: violated\nlookup-invalidate-close: violated\n"
            "two-invalidates: violated\nfirst-instantiation: violated\n"
            "innocent-mprotect: lockdep\ninnocent-migration: lockdep\ninnocent-thp: lockdep\n"
            "innocent-swap: lockdep\ninnocent-fork: lockdep\nexit-busy: lockdep\n"
            "reclaim-atomic: holds\noom-reap: holds\n");
  // Against mmap_sem; for writing inside its own read side; nested; the flush inside its write
  // side.
  turns("rwsem", "lookup-fault", "", "deadlocks", "waits for mmap_lock");
  turns("rwsem", "cow-in-gup", "", "deadlocks", "which itself has for read");
  turns("rwsem", "nested-invalidate", "", "deadlocks", "waits for mn->sem");
  turns("rwsem", "overlapping-objects", "", "deadlocks", "waits to lock struct_mutex");
}

// ban holds wherever nobody wants to use the object again, but for 4.16's tree.
TEST(lab_ban_fails_innocent_invalidates) {
  check_row("ban", "holds",
            "two-invalidates: violated\ncow-in-gup: violated\ninnocent-mprotect: violated\n"
            "innocent-migration: violated\ninnocent-thp: violated\ninnocent-swap: violated\n"
            "innocent-ksm: violated\ninnocent-fork: violated\nreclaim: deadlocks\n");
  for (const char* scenario : {"innocent-mprotect", "innocent-migration", "innocent-thp",
                               "innocent-swap", "innocent-ksm", "innocent-fork", "cow-in-gup"})
    turns("ban", scenario, "", "violated", "no longer works");
}

TEST(lab_ban_late_misses_the_first_instantiation) {
  CHECK_EQ(verdict("ban", "first-instantiation").name, "holds");
  turns("ban-late", "first-instantiation", "", "violated", "established inside an invalidate");
  turns("ban-late", "lookup-invalidate", "", "violated", "stale pages");
}

TEST(lab_only_rwsem_minds_the_second_notifier) {
  for (const auto* s = soft::strategy_names; s->name; s++)
    CHECK_EQ(s->name + (": " + verdict(s->name, "second-notifier").name),
             s->name + std::string(s->name == std::string("rwsem") ? ": deadlocks" : ": holds"));
}

// --- the search

TEST(lab_small_cells_are_explored_to_the_end) {
  for (const char* strategy : {"interval", "interval-nowait"}) {
    for (const char* scenario :
         {"lookup-invalidate", "lookup-fault", "lookup-invalidate-close", "first-instantiation",
          "cow-in-gup", "nested-invalidate", "exit-busy", "overlapping-objects"}) {
      const Verdict v = verdict(strategy, scenario);
      CHECK(v.search.exhaustive);
    }
  }
}

// The model must tell the scheduler of all that its threads share: what it does not, the reduction
// takes for independent, and passes over.
TEST(lab_a_search_without_reduction_says_the_same) {
  for (const Scenario* s = scenarios; s->name; s++) {
    for (const char* fault : {"", "no-wait", "no-seq"}) {
      Cell cell;
      CHECK_EQ(cell.find("interval", s->name, fault), "");
      explore::Options o;
      o.max_executions = 20000;
      o.minimize = false;
      LockdepReports reports;
      const auto reduced = explore::explore(cell.make(), o);
      o.preemptions = 2;
      const auto bounded = explore::explore(cell.make(), o);
      if (bounded.verdict == explore::Verdict::holds) continue;
      CHECK_EQ(std::string(s->name) + fault + explore::verdict_name(reduced.verdict),
               std::string(s->name) + fault + explore::verdict_name(bounded.verdict));
    }
  }
}

// --- one line of a correct strategy broken

TEST(lab_a_skipped_retry_check_establishes_stale_pages) {
  for (const char* strategy : {"interval", "interval-nowait"})
    for (const char* scenario : {"lookup-invalidate", "first-instantiation", "nested-invalidate",
                                 "overlapping-objects", "innocent-swap"})
      turns(strategy, scenario, "skip-retry", "violated", "stale pages");
}

TEST(lab_a_sequence_that_does_not_move_establishes_inside_an_invalidate) {
  turns("interval", "first-instantiation", "no-seq", "violated", "a request became visible");
  turns("interval-nowait", "nested-invalidate", "no-seq", "violated", "a request became visible");
}

TEST(lab_a_notifier_that_does_not_wait_returns_while_the_gpu_writes) {
  for (const Scenario* s = scenarios; s->name; s++) {
    const std::string name = s->name;
    if (name.starts_with("innocent") && name != "innocent-mprotect" && name != "innocent-fork")
      turns("interval", s->name, "no-wait", "violated", "returned while a request");
  }
}

TEST(lab_an_object_registered_late_misses_its_first_invalidate) {
  turns("interval", "first-instantiation", "late-insert", "violated", "a request became visible");
}

TEST(lab_a_short_range_is_not_waited_for) {
  turns("interval", "lookup-invalidate", "short-range", "violated", "returned while a request");
}

TEST(lab_each_check_of_each_correct_strategy_is_needed) {
  for (const char* strategy : {"ranges", "seqcount", "interval"})
    for (const char* fault : {"skip-retry", "no-seq", "late-insert", "no-wait"})
      for (const char* scenario : {"first-instantiation", "lookup-invalidate"})
        turns(strategy, scenario, fault, "violated", "");
}

// Without its read side the semaphore neither deadlocks in gup nor keeps anything apart.
TEST(lab_rwsem_without_its_read_lock_is_as_none) {
  turns("rwsem", "lookup-fault", "no-read-lock", "violated", "established inside an invalidate");
  turns("rwsem", "cow-in-gup", "no-read-lock", "holds", "");
}

TEST(lab_a_leaked_pin_is_seen_at_the_end) {
  turns("interval", "exit-busy", "leak-pin", "violated", "still pinned");
}

TEST(lab_pages_given_back_clean_lose_what_the_gpu_wrote) {
  turns("interval", "innocent-swap", "lose-dirty", "violated", "lost write");
}

TEST(lab_a_lock_held_over_gup_deadlocks_where_gup_needs_mmap_lock) {
  turns("interval", "lookup-fault", "lock-over-gup", "deadlocks", "mmap_lock");
  turns("interval", "cow-in-gup", "lock-over-gup", "deadlocks", "object lock");
}

// The page is there, so gup never waits for mmap_lock while munmap waits for the object's lock.
TEST(lab_lockdep_sees_what_no_execution_deadlocks_on) {
  const Verdict v = verdict("interval", "lookup-invalidate", "lock-over-gup");
  CHECK_EQ(v.name, "lockdep");
  CHECK_EQ(v.lockdep, "possible circular locking dependency detected");
  CHECK(v.search.exhaustive);
  CHECK(v.search.counterexample.steps.size() > 0);
}

namespace {

/// A driver that does not ask whether it may block.
class Sleeper final : public soft::MmuNotifier {
 public:
  explicit Sleeper(LabMm& mm) : mm_(mm) { mm_.notifiers().subscribe(*this); }
  ~Sleeper() override {
    sync::Uncancelled whole;
    mm_.notifiers().unsubscribe(*this);
  }
  int invalidate_range_start(const soft::InvalidateRange&) override {
    sync::Guard g(lock_);
    return 0;
  }

 private:
  static inline const sync::LockClass lock_class{"the sleeper's lock"};
  LabMm& mm_;
  sync::Mutex lock_{lock_class};
};

template <bool atomic>
void sleeper(Lab& l) {
  l.more = std::make_shared<Sleeper>(l.mm());
  l.thread("reaper", [&l] { atomic ? l.mm().oom_reap(0) : l.mm().dontneed(0); });
}

}  // namespace

TEST(lab_a_notifier_that_sleeps_where_it_may_not_is_lockdeps) {
  Cell cell;
  cell.strategy = soft::find_strategy("interval");
  for (const bool atomic : {false, true}) {
    const Scenario s{"sleeper", "", 1, atomic ? sleeper<true> : sleeper<false>, nullptr};
    cell.scenario = &s;
    const Verdict v = explore_cell(cell, {});
    CHECK_EQ(v.name, atomic ? "lockdep" : "holds");
    CHECK_EQ(v.lockdep, atomic ? "sleeping function called from invalid context" : "");
  }
}

// --- what is said of it

TEST(lab_a_counterexample_is_saved_and_replayed_as_lanes) {
  for (const char* scenario : {"lookup-fault", "lookup-invalidate"}) {
    const Verdict v = verdict("interval", scenario, "lock-over-gup");
    char path[] = "/tmp/lab_test.XXXXXX";
    const int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(v.search.counterexample.save(path), "");
    explore::Schedule s;
    CHECK_EQ(s.load(path), "");
    unlink(path);
    Cell cell;
    CHECK_EQ(cell.find(s), "");
    Lanes lanes;
    const auto r = lanes.record(cell, s);
    CHECK_EQ(r.mismatch, "");
    CHECK(r.same);
    CHECK_EQ(lanes.steps.size(), s.steps.size());
    const std::string json = lanes.json();
    for (const char* part : {"\"munmap\"", "\"held\":[[", "[\"mmap_lock\"", "\"pages\":\"page 0:"})
      CHECK_EQ(json.find(part) != std::string::npos ? part : json, std::string(part));
  }
}

TEST(lab_a_schedule_of_a_repaired_strategy_does_not_fit) {
  Verdict v = verdict("interval", "lookup-invalidate", "skip-retry");
  CHECK_EQ(v.name, "violated");
  Cell cell;
  v.search.counterexample.options = "";
  CHECK_EQ(cell.find(v.search.counterexample), "");
  Lanes lanes;
  const auto r = lanes.record(cell, v.search.counterexample);
  CHECK(!r.same);
  CHECK(!r.mismatch.empty());
}

TEST(lab_names_that_there_are_not_are_said) {
  Cell cell;
  CHECK_EQ(cell.find("interval", "nope", ""), "there is no scenario 'nope'");
  CHECK_EQ(cell.find("nope", "reclaim", ""), "there is no strategy 'nope'");
  CHECK_EQ(cell.find("interval", "reclaim", "no-seq,nope"), "there is no fault 'nope'");
}
