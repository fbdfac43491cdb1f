// SPDX-License-Identifier: MIT
// Bugs that the explorer must find, programs that have none, and counterexamples: minimal, kept,
// replayed.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "sync/clock.h"
#include "sync/lockdep.h"
#include "sync/workqueue.h"
#include "test/explore_worlds.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::explore;
using sync::Guard;
using sync::LockClass;
using sync::Mutex;
using sync::RwSemaphore;
using sync::WaitQueue;
using test::Toy;
using test::toy;

namespace {

const LockClass class_a{"a"}, class_b{"b"}, class_s{"s"};

/// What is locked wrongly here is locked so on purpose.
struct NoLockdep {
  NoLockdep() { sync::lockdep::enable(false); }
  ~NoLockdep() { sync::lockdep::enable(true); }
};

Make abba() {
  return toy([](Toy& t) {
    auto& a = t.make<Mutex>(class_a);
    auto& b = t.make<Mutex>(class_b);
    t.thread("first", [&] {
      Guard ga(a);
      Guard gb(b);
    });
    t.thread("second", [&] {
      Guard gb(b);
      Guard ga(a);
    });
  });
}

bool contains(const std::string& s, const char* what) {
  return s.find(what) != std::string::npos;
}

/// x is 2 between one thread's two stores only, which the other sees only if it is stopped between
/// its own loads as well.
Make two_preemptions() {
  return toy([](Toy& t) {
    auto& x = t.var("x");
    auto& y = t.var("y");
    t.thread("writer", [&] {
      x.store(1);
      y.store(1);
      x.store(0);
    });
    t.thread("reader", [&] {
      const int before = y.load();
      const int seen = x.load();
      const int after = y.load();
      if (!before && seen && after && !x.load()) fail("seen while it was there");
    });
  });
}

}  // namespace

TEST(abba_deadlocks_and_the_report_says_who_waits_for_whom) {
  const NoLockdep off;
  const Result r = explore::explore(abba());
  CHECK_EQ(verdict_name(r.verdict), std::string("deadlocks"));
  CHECK(contains(r.what, "first waits to lock b"));
  CHECK(contains(r.what, "which second has; holds a"));
  CHECK(contains(r.what, "second waits to lock a"));
  CHECK(contains(r.what, "main waits for the threads to end"));
  CHECK_EQ(r.preemptions, 1u);
  CHECK(r.minimal);
  CHECK(!r.exhaustive);
}

TEST(one_order_of_locks_does_not_deadlock) {
  const Result r = explore::explore(toy([](Toy& t) {
    auto& a = t.make<Mutex>(class_a);
    auto& b = t.make<Mutex>(class_b);
    for (int i = 0; i < 3; i++)
      t.thread([&] {
        Guard ga(a);
        Guard gb(b);
      });
  }));
  CHECK_EQ(r.what, std::string());
  CHECK(r.exhaustive);
  CHECK_EQ(r.executions, 6u);  // the orders of three critical sections
}

TEST(a_lock_taken_twice_deadlocks) {
  const NoLockdep off;
  const Result r = explore::explore(toy([](Toy& t) {
    auto& a = t.make<Mutex>(class_a);
    t.thread([&] {
      Guard g(a);
      Guard again(a);
    });
  }));
  CHECK(r.verdict == Verdict::deadlocks);
  CHECK(contains(r.what, "which itself has"));
}

TEST(a_wake_between_the_check_and_the_sleep_is_lost) {
  const auto world = [](bool locked) {
    return toy([locked](Toy& t) {
      auto& m = t.make<Mutex>(class_a);
      auto& q = t.make<WaitQueue>();
      auto& done = t.var("done");
      t.thread("waiter", [&, locked] {
        if (locked) {
          Guard g(m);
          q.wait(m, [&] { return done.load() != 0; });
          return;
        }
        if (done.load()) return;  // outside of the lock
        Guard g(m);
        bool first = true;
        q.wait(m, [&] { return !std::exchange(first, false); });
      });
      t.thread("waker", [&] {
        Guard g(m);
        done.store(1);
        q.wake_all();
      });
    });
  };
  const Result lost = explore::explore(world(false));
  CHECK(lost.verdict == Verdict::deadlocks);
  CHECK(contains(lost.what, "waiter waits for a"));
  const Result kept = explore::explore(world(true));
  CHECK_EQ(kept.what, std::string());
  CHECK(kept.exhaustive);
}

TEST(a_wait_with_a_deadline_may_end_either_way_and_does_not_deadlock) {
  bool in_time = false, late = false;
  const Result r = explore::explore(toy([&](Toy& t) {
    auto& m = t.make<Mutex>(class_a);
    auto& q = t.make<WaitQueue>();
    auto& done = t.make<bool>(false);
    t.thread("waiter", [&] {
      Guard g(m);
      (q.wait(m, 1000, [&] { return done; }) ? in_time : late) = true;
    });
    t.thread("waker", [&] {
      Guard g(m);
      done = true;
      q.wake_all();
    });
  }));
  CHECK_EQ(r.what, std::string());
  CHECK(r.exhaustive);
  CHECK(in_time);
  CHECK(late);
}

TEST(a_reader_that_reads_again_deadlocks_with_a_writer_between) {
  const NoLockdep off;
  const auto world = [](int writers) {
    return toy([writers](Toy& t) {
      auto& s = t.make<RwSemaphore>(class_s);
      t.thread("reader", [&] {
        sync::ReadGuard outer(s);
        sync::ReadGuard inner(s);
      });
      t.thread("other", [&] { sync::ReadGuard g(s); });
      if (writers) t.thread("writer", [&] { sync::WriteGuard g(s); });
    });
  };
  const Result r = explore::explore(world(1));
  CHECK(r.verdict == Verdict::deadlocks);
  CHECK(contains(r.what, "reader waits for s"));
  CHECK(contains(r.what, "writer waits for s"));
  CHECK_EQ(r.preemptions, 1u);
  const Result readers = explore::explore(world(0));
  CHECK_EQ(readers.what, std::string());
  CHECK_EQ(readers.executions, 1u);  // readers commute
}

TEST(a_violation_is_found_with_the_fewest_preemptions) {
  const Result r = explore::explore(two_preemptions());
  CHECK(r.verdict == Verdict::violated);
  CHECK_EQ(r.what, std::string("seen while it was there"));
  CHECK(r.minimal);
  CHECK_EQ(r.preemptions, 2u);
  Options o;
  o.preemptions = 1;
  const Result bounded = explore::explore(two_preemptions(), o);
  CHECK(bounded.verdict == Verdict::holds);
  CHECK(!bounded.exhaustive);
  CHECK(bounded.within_bound);
  o.preemptions = 2;
  CHECK(explore::explore(two_preemptions(), o).verdict == Verdict::violated);
}

TEST(a_bound_that_is_never_met_leaves_the_search_exhaustive) {
  const NoLockdep off;
  Options o;
  o.preemptions = 100;
  o.keep_going = true;
  o.minimize = false;
  const Result r = explore::explore(abba(), o);
  CHECK(r.exhaustive);
  CHECK(r.findings > 0);
  o.preemptions = -1;
  o.reduce = false;
  CHECK_EQ(explore::explore(abba(), o).executions, r.executions);
}

TEST(limits_end_the_search_and_are_named) {
  Options o;
  o.reduce = false;
  const auto world = toy([](Toy& t) {
    auto& x = t.var("x");
    for (int i = 0; i < 3; i++) t.thread([&x] { x.store(1); });
  });
  o.max_executions = 5;
  Result r = explore::explore(world, o);
  CHECK_EQ(r.executions, 5u);
  CHECK_EQ(r.stopped, std::string("executions"));
  CHECK(!r.exhaustive);
  o.max_executions = UINT64_MAX;
  o.max_steps = 20;
  r = explore::explore(world, o);
  CHECK_EQ(r.stopped, std::string("steps"));
  CHECK(!r.exhaustive);
}

TEST(two_that_give_way_to_each_other_for_ever_livelock) {
  Options o;
  o.livelock_steps = 200;
  const Result r = explore::explore(toy([](Toy& t) {
                                      auto& x = t.var("x");
                                      for (int i = 0; i < 2; i++)
                                        t.thread([&x, i] {  // until the other has written last
                                          while (x.load() != 2 - i) {
                                            x.store(1 + i);
                                            sync::yield();
                                          }
                                          x.store(0);
                                        });
                                    }),
                                    o);
  CHECK_EQ(verdict_name(r.verdict), std::string("livelocks"));
  CHECK(r.counterexample.steps.size() < 64);
}

TEST(a_thread_that_spins_for_what_nobody_does_livelocks) {
  Options o;
  o.livelock_steps = 100;
  const Make world = toy([](Toy& t) {
    auto& x = t.var("x");
    t.thread([&x] {
      while (!x.load()) sync::yield();
    });
  });
  const Result r = explore::explore(world, o);
  CHECK(r.verdict == Verdict::livelocks);
  const Replayed again = replay(world, r.counterexample, {}, o);
  CHECK_EQ(again.mismatch, std::string());
  CHECK(again.same);
}

TEST(a_fair_retry_loop_is_no_livelock_and_makes_the_search_not_infinite) {
  for (const bool reduce : {true, false}) {
    Options o;
    o.reduce = reduce;
    const Result r = explore::explore(toy([](Toy& t) {
                                        auto& m = t.make<Mutex>(class_a);
                                        auto& pages = t.make<bool>(false);
                                        t.thread("execbuf", [&] {
                                          for (;;) {
                                            {
                                              Guard g(m);
                                              if (pages) return;
                                            }
                                            sync::yield();  // -EAGAIN
                                          }
                                        });
                                        t.thread("worker", [&] {
                                          for (int i = 0; i < 3; i++) {
                                            Guard g(m);
                                            pages = i == 2;
                                          }
                                        });
                                      }),
                                      o);
    CHECK_EQ(r.what, std::string());
    CHECK(r.exhaustive);
  }
}

TEST(a_work_queue_of_the_world_ends_with_it) {
  static const LockClass queue_class{"wq"};
  int ran = 0;
  const Result r = explore::explore(toy([&](Toy& t) {
    auto& q = t.make<sync::WorkQueue>("wq", queue_class);
    auto& x = t.var("x");
    auto w = std::make_shared<sync::WorkQueue::Work>([&] { x.store(x.load() + 1); });
    t.thread([&q, w] {
      q.queue(w);
      q.flush(w);
    });
    t.thread([&q, w] { q.queue(w); });
    t.at_end = [&] { ran++; };
  }));
  CHECK_EQ(r.what, std::string());
  CHECK(r.exhaustive);
  CHECK(ran > 2);
}

// Under AddressSanitizer a stack that was not unwound leaks what it owns.
TEST(threads_that_are_given_up_are_unwound) {
  const NoLockdep off;
  static const LockClass queue_class{"wq"};
  int made = 0, gone = 0;
  struct Counted {
    int& gone;
    explicit Counted(int& n) : gone(n) {}
    ~Counted() { gone++; }
  };
  Options o;
  o.keep_going = true;
  o.minimize = false;
  const Result r =
      explore::explore(toy([&](Toy& t) {
                         auto& q = t.make<sync::WorkQueue>("wq", queue_class);
                         auto& a = t.make<Mutex>(class_a);
                         auto& b = t.make<Mutex>(class_b);
                         auto& s = t.make<RwSemaphore>(class_s);
                         const auto both = [&](Mutex& m, Mutex& n) {
                           made++;
                           const auto owned = std::make_unique<Counted>(gone);
                           Guard gm(m);
                           sync::Thread child("child", [&] {
                             made++;
                             const auto mine = std::make_unique<Counted>(gone);
                             sync::WriteGuard w(s);
                             Guard gn(n);
                           });
                         };
                         t.thread([&, both] { both(a, b); });
                         t.thread([&, both] { both(b, a); });
                         t.thread([&] {
                           q.queue(std::make_shared<sync::WorkQueue::Work>([&] { Guard g(a); }));
                           sync::ReadGuard g(s);
                           if (a.try_lock()) fail("in the middle");
                         });
                       }),
                       o);
  CHECK(r.findings > 1);
  CHECK(r.pruned > 0);
  CHECK(made > 0);
  CHECK_EQ(made, gone);
}

TEST(an_exception_of_a_thread_is_a_violation) {
  const Result r = explore::explore(
      toy([](Toy& t) { t.thread("thrower", [] { throw std::runtime_error("boom"); }); }));
  CHECK(r.verdict == Verdict::violated);
  CHECK_EQ(r.what, std::string("an exception has left thrower: boom"));
}

TEST(a_check_at_the_end_is_a_violation_with_its_schedule) {
  const Make world = toy([](Toy& t) {
    auto& x = t.var("x");
    for (int i = 0; i < 2; i++) t.thread([&x] { x.store(x.load() + 1); });
    t.at_end = [&x] {
      if (x.load() != 2) fail("an increment is lost");
    };
  });
  const Result r = explore::explore(world);
  CHECK_EQ(r.what, std::string("an increment is lost"));
  CHECK_EQ(r.preemptions, 1u);
  const Replayed again = replay(world, r.counterexample);
  CHECK_EQ(again.mismatch, std::string());
  CHECK(again.same);
}

TEST(a_schedule_is_kept_and_replayed_step_by_step) {
  const NoLockdep off;
  Result r = explore::explore(abba());
  Schedule& s = r.counterexample;
  s.strategy = "none";
  s.scenario = "quotes \" \\ and\nlines";
  const std::string path = "/tmp/explore_test." + std::to_string(getpid());
  CHECK_EQ(s.save(path), std::string());
  Schedule back;
  CHECK_EQ(back.load(path), std::string());
  unlink(path.c_str());
  CHECK(back == s);
  size_t steps = 0, most_held = 0;
  const Replayed again = replay(abba(), back, [&](const StepView& v) {
    CHECK_EQ(v.index, steps);
    CHECK(v.world);
    steps++;
    size_t held = 0;
    for (const auto& h : v.held) held += h.size();
    most_held = std::max(most_held, held);
    if (steps == back.steps.size()) {
      CHECK_EQ(v.next[1], std::string("lock b"));
      CHECK_EQ(v.held[1].at(0), std::string("a"));
    }
  });
  CHECK_EQ(again.mismatch, std::string());
  CHECK(again.same);
  CHECK_EQ(steps, s.steps.size());
  CHECK_EQ(most_held, 2u);
}

TEST(two_searches_find_the_same) {
  const NoLockdep off;
  const Result a = explore::explore(abba()), b = explore::explore(abba());
  CHECK_EQ(a.counterexample.text(), b.counterexample.text());
  CHECK_EQ(a.steps, b.steps);
}

TEST(a_schedule_that_does_not_fit_says_where_and_what_stands_there) {
  const NoLockdep off;
  const Schedule s = explore::explore(abba()).counterexample;
  const auto is_lock = [](const Schedule::Step& step) { return step.act == sync::Op::lock; };

  Schedule other = s;
  std::find_if(other.steps.begin(), other.steps.end(), is_lock)->object = "gone";
  std::string m = replay(abba(), other).mismatch;
  CHECK(contains(m, "lock gone"));
  CHECK(contains(m, "but there stands thread"));

  other = s;
  std::find_if(other.steps.begin(), other.steps.end(), is_lock)->act = sync::Op::load;
  CHECK(contains(replay(abba(), other).mismatch, "but there stands thread"));

  other = s;
  other.steps[1].thread = 9;
  CHECK(contains(replay(abba(), other).mismatch, "step 2 is thread 9"));
  CHECK(contains(replay(abba(), other).mismatch, "there is no such thread"));

  other = s;
  other.steps.pop_back();
  CHECK(contains(replay(abba(), other).mismatch, "it has not ended"));

  other = s;
  other.steps.push_back(other.steps.back());
  CHECK(contains(replay(abba(), other).mismatch, "it ended after step"));

  other = s;
  other.steps.push_back({0, sync::Op::wait, "the threads to end", ""});
  std::swap(other.steps.back(), other.steps[1]);
  CHECK(contains(replay(abba(), other).mismatch, "but it cannot go on there: possible is thread"));
}

TEST(a_file_that_is_no_schedule_is_refused_with_its_line) {
  const auto parse = [](const std::string& text) {
    std::istringstream in(text);
    return Schedule().parse(in);
  };
  const std::string head =
      R"({"schedule":1,"strategy":"","scenario":"","options":"","found":"holds","what":"",)"
      R"("threads":["main","t"],"steps":1})"
      "\n";
  CHECK_EQ(parse(head + R"({"thread":1,"act":"begin","object":"","where":""})" + "\n"), "");
  CHECK_EQ(parse(""), "1: not the head of a schedule");
  CHECK_EQ(parse("{\"schedule\":2}\n"), "1: version 2; this build reads 1");
  CHECK_EQ(parse(head), "2: the file ends; its head says 1 steps");
  CHECK_EQ(parse(head + "{\"thread\":1,\"act\":\"sing\"}\n"),
           "2: \"sing\" is nothing that a thread does");
  CHECK_EQ(parse(head + "{\"thread\":7,\"act\":\"begin\"}\n"), "2: no thread 7");
  CHECK_EQ(parse(head + "{\"thread\":99999999999,\"act\":\"begin\"}\n"), "2: not a step");
  CHECK_EQ(parse(head + "{\"thread\":1,\"act\":\"begin\",\"more\":1}\n"), "2: not a step");
  CHECK_EQ(parse(head + "{\"thread\":1,\"act\":\"beg\n"), "2: not a step");
  CHECK_EQ(parse(head + "{\"thread\":1,\"act\":\"begin\"}\nmore\n"),
           "3: more than the steps that the head says");
  CHECK_EQ(parse(std::string(Schedule::max_line + 1, ' ')), "1: the line is too long");
  CHECK_EQ(parse("{\"schedule\":1,\"steps\":1000001}\n"), "1: more steps than 1000000");
  CHECK(contains(Schedule().load("/nonexistent/schedule"), "No such file"));
}

TEST(a_primitive_from_outside_is_refused) {
  Mutex outside(class_a);
  const Result r = explore::explore(toy([&](Toy& t) { t.thread([&] { Guard g(outside); }); }));
  CHECK(r.verdict == Verdict::violated);
  CHECK_EQ(r.what, std::string("a was made outside of the execution"));
}

TEST(a_world_that_depends_on_more_than_the_choices_is_refused) {
  int run = 0;
  bool thrown = false;
  try {
    explore::explore(toy([&](Toy& t) {
      auto& x = t.var("x");
      const int threads = run++ ? 3 : 2;
      for (int i = 0; i < threads; i++) t.thread([&x] { x.store(1); });
    }));
  } catch (const std::logic_error& e) {
    thrown = contains(e.what(), "depends on more than the choices");
  }
  CHECK(thrown);
}
