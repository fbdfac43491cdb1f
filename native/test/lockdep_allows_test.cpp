// SPDX-License-Identifier: MIT
// What lockdep must not report.
#include "sync/lockdep.h"

#include <string>
#include <vector>

#include "sync/rwsem.h"
#include "sync/wait_queue.h"
#include "sync/workqueue.h"
#include "test/harness.h"
#include "test/lockdep_watch.h"

using namespace i915u;
using namespace i915u::sync;
using namespace i915u::test;

TEST(lockdep_allows_the_same_order) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c);
  for (int i = 0; i < 2; i++) {
    together(a, b, c);
    together(a, c);
    together(b, c);
  }
  on_thread([&] { together(a, b); });
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_lock_again_after_its_release) {
  Watch w;
  Lock a(class_a), b(class_b);
  together(a);
  together(b);
  together(a);
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_recursive_readers_to_nest) {
  Watch w;
  RecursiveRead a(class_a);
  a.read_lock();
  a.read_lock();
  a.unlock();
  a.unlock();
  a.write_lock();
  a.unlock();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_recursive_readers_in_both_orders) {
  Watch w;
  RecursiveRead a(class_a), b(class_b);
  a.read_lock();
  b.read_lock();
  b.unlock();
  a.unlock();
  b.read_lock();
  a.read_lock();
  a.unlock();
  b.unlock();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_recursive_readers_against_a_writers_order) {
  Watch w;
  RecursiveRead a(class_a);
  Lock b(class_b);
  a.read_lock();  // blocks no reader of A
  b.lock();
  b.unlock();
  a.unlock();
  b.lock();
  a.read_lock();
  a.unlock();
  b.unlock();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_readers_one_after_the_other) {
  Watch w;
  RwSemaphore a(class_a);
  { ReadGuard x(a); }
  { ReadGuard x(a); }
  on_thread([&] { ReadGuard x(a); });
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_trylock_in_the_other_order) {
  Watch w;
  Lock a(class_a), b(class_b);
  together(a, b);
  b.lock();
  CHECK(a.try_lock());
  a.unlock();
  b.unlock();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_trylock_of_the_same_class) {
  Watch w;
  Lock a1(class_a), a2(class_a);
  Guard g(a1);
  CHECK(a2.try_lock());
  a2.unlock();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_releases_in_any_order) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c);
  for (int i = 0; i < 2; i++) {
    a.lock();
    b.lock();
    c.lock();
    a.unlock();
    c.unlock();
    b.unlock();
  }
  together(a, b, c);
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_hand_over_hand_of_levels) {
  Watch w;
  Lock parent(class_a), child(class_a);
  for (int i = 0; i < 2; i++) {
    Guard g(parent);
    child.lock_nested(1);
    child.unlock();
  }
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_reports_levels_in_both_orders) {
  Watch w;
  Lock parent(class_a), child(class_a);
  parent.lock();
  child.lock_nested(1);
  child.unlock();
  parent.unlock();
  child.lock_nested(1);
  parent.lock();
  parent.unlock();
  child.unlock();
  CHECK_EQ(w.title(), std::string(circular));
  CHECK(w.says("A/1"));
}

TEST(lockdep_allows_sorted_objects_under_a_nest_lock) {
  Watch w;
  lockdep::Map map(class_map);
  Lock b(class_b);
  std::vector<std::unique_ptr<Lock>> objects;
  for (uint32_t i = 0; i < 3 * lockdep::max_held; i++)
    objects.push_back(std::make_unique<Lock>(class_a));
  for (int i = 0; i < 2; i++) {
    map.lock();
    for (auto& o : objects) o->lock_nest(&map);
    b.lock();
    b.unlock();
    for (auto& o : objects) o->unlock();
    map.unlock();
  }
  CHECK_EQ(w.title(), "");
  lockdep::return_to_user();  // and none of them is thought to be held
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_reports_objects_without_the_nest_lock_that_they_name) {
  Watch w;
  lockdep::Map map(class_map);
  Lock b(class_b), a1(class_a), a2(class_a);
  a1.lock();
  a2.lock_nest(&map);
  CHECK_EQ(w.title(), std::string(recursive));
  a2.unlock();
  a1.unlock();
}

TEST(lockdep_allows_a_flush_under_an_unrelated_lock) {
  Watch w;
  Lock a(class_a), b(class_b);
  WorkQueue q("wq", class_q);
  auto work = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w);
  Guard g(b);
  for (int i = 0; i < 2; i++) {
    q.queue(work);
    q.flush(work);
  }
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_flush_before_the_lock_that_the_work_takes) {
  Watch w;
  Lock a(class_a);
  WorkQueue q("wq", class_q);
  auto work = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w);
  q.queue(work);
  q.flush(work);
  together(a);
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_flush_of_another_queues_work_under_a_lock_of_this_ones) {
  Watch w;
  Lock a(class_a);
  WorkQueue q("wq", class_q), q2("wq2", class_q2);
  auto taker = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w);
  auto other = std::make_shared<WorkQueue::Work>([] {}, class_w2);
  q.queue(taker);
  q.flush(taker);
  Guard g(a);
  q2.queue(other);
  q2.flush(other);
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_completer_that_took_the_lock_before_there_was_anything_to_wait_for) {
  Watch w;
  Lock a(class_a);
  on_thread([&] {
    together(a);
    Completion x(class_x);
    x.complete_all();
  });
  Completion x(class_x);
  x.complete_all();
  Guard g(a);
  x.wait();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_completer_that_holds_the_lock_since_before) {
  Watch w;
  Lock a(class_a);
  {
    Guard g(a);
    Completion x(class_x);
    x.complete_all();
  }
  Completion x(class_x);
  x.complete_all();
  Guard g(a);
  x.wait();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_what_another_item_of_the_completers_queue_took) {
  Watch w;
  Lock a(class_a);
  Completion x(class_x);
  WorkQueue q("wq", class_q);
  auto taker = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w);
  q.queue(taker);
  q.flush(taker);
  on_thread([&] {
    together(a);
    lockdep::cut_history();
    x.complete_all();
  });
  Guard g(a);
  x.wait();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_completer_that_only_tries_the_lock) {
  Watch w;
  Lock a(class_a);
  Completion x(class_x);
  on_thread([&] {
    CHECK(a.try_lock());
    a.unlock();
    x.complete_all();
  });
  Guard g(a);
  x.wait();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_question_under_a_lock_that_the_completer_takes) {
  Watch w;
  Lock a(class_a);
  Completion x(class_x);
  on_thread([&] {
    together(a);
    x.complete_all();
  });
  Guard g(a);
  CHECK(x.wait_until(0));
  CHECK(x.done());
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_allows_a_pipeline_of_completions_of_one_class) {
  Watch w;
  Completion x1(class_x), x2(class_x);
  on_thread([&] { x1.complete_all(); });
  on_thread([&] {
    x1.wait();
    x2.complete_all();
  });
  x2.wait();
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_tells_fibers_of_one_thread_apart) {
  Watch w;
  Lock a(class_a), b(class_b);
  lockdep::Task one("one"), two("two");
  lockdep::Task* thread = lockdep::switch_to(&one);
  a.lock();
  lockdep::switch_to(&two);
  CHECK_EQ(lockdep::current(), &two);
  b.lock();  // not under A
  b.unlock();
  lockdep::switch_to(&one);
  a.unlock();
  lockdep::switch_to(thread);
  together(b, a);
  CHECK_EQ(w.title(), "");
}

TEST(lockdep_switched_off_sees_nothing) {
  Watch w;
  Lock a(class_a), b(class_b);
  lockdep::enable(false);
  together(a, b);
  lockdep::reset();
  together(b, a);
  CHECK(!lockdep::enabled());
  a.lock();
  lockdep::enable(true);
  a.unlock();  // not known to be held
  together(b, a);
  CHECK_EQ(w.title(), "");
}
