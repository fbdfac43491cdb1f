// SPDX-License-Identifier: MIT
// What lockdep must report (kernel: lib/locking-selftest.c). Each case takes its locks one after
// the other: none of them deadlocks. What it must not report: lockdep_allows_test.cpp.
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

TEST(lockdep_reports_AA) {
  Watch w;
  Pretended a(class_a);
  a.lock();
  a.lock();
  CHECK_EQ(w.title(), std::string(recursive));
  CHECK(w.says("  lock(A);\n  lock(A);\n"));
  CHECK(!lockdep::enabled());
}

TEST(lockdep_reports_AA_of_two_instances) {
  Watch w;
  Lock a1(class_a), a2(class_a);
  together(a1, a2);
  CHECK_EQ(w.title(), std::string(recursive));
}

TEST(lockdep_reports_ABBA) {
  Watch w;
  Lock a(class_a), b(class_b);
  together(a, b);
  CHECK_EQ(w.title(), "");
  together(b, a);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_ABBA_of_two_threads) {
  Watch w;
  Lock a(class_a), b(class_b);
  on_thread([&] { together(a, b); });
  together(b, a);
  CHECK_EQ(w.title(), std::string(circular));
  CHECK(w.says("by other/"));
}

TEST(lockdep_reports_ABBCCA) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c);
  together(a, b);
  together(b, c);
  CHECK_EQ(w.title(), "");
  together(c, a);
  CHECK_EQ(w.title(), std::string(circular));
  CHECK(w.says("Chain exists of:\n  A --> B --> C\n"));
}

TEST(lockdep_reports_ABBCCDDA) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c), d(class_d);
  together(a, b);
  together(b, c);
  together(c, d);
  CHECK_EQ(w.title(), "");
  together(d, a);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_ABCABC) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c);
  together(a, b);
  together(c, a);
  CHECK_EQ(w.title(), "");
  together(b, c);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_ABBCDBDDA) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c), d(class_d);
  together(a, b);
  together(b, c);
  together(d, b);
  CHECK_EQ(w.title(), "");
  together(c, d);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_ABC_CA_whatever_is_between) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c);
  together(a, b, c);
  together(c, a);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_what_comes_after_a_trylock) {
  Watch w;
  Lock a(class_a), b(class_b);
  CHECK(a.try_lock());
  b.lock();
  b.unlock();
  a.unlock();
  together(b, a);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_an_order_that_out_of_order_releases_make) {
  Watch w;
  Lock a(class_a), b(class_b), c(class_c);
  a.lock();
  b.lock();
  a.unlock();
  c.lock();  // under B alone
  b.unlock();
  c.unlock();
  together(c, b);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_rwsem_ABBA_of_writers) {
  Watch w;
  RwSemaphore a(class_a), b(class_b);
  { WriteGuard x(a), y(b); }
  { WriteGuard x(b), y(a); }
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_rwsem_ABBA_of_a_reader_and_a_writer) {
  Watch w;
  RwSemaphore a(class_a), b(class_b);
  {
    ReadGuard x(a);
    WriteGuard y(b);
  }
  {
    ReadGuard x(b);
    WriteGuard y(a);
  }
  CHECK_EQ(w.title(), std::string(circular));
  CHECK(w.says("rlock("));
}

TEST(lockdep_reports_rwsem_ABBA_of_readers_between_whom_writers_stand) {
  Watch w;
  RwSemaphore a(class_a), b(class_b);
  { ReadGuard x(a), y(b); }
  CHECK_EQ(w.title(), "");
  { ReadGuard x(b), y(a); }
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_rwsem_read_recursion) {
  Watch w;
  RwSemaphore a(class_a);
  { ReadGuard x(a), y(a); }
  CHECK_EQ(w.title(), std::string(recursive));
}

TEST(lockdep_reports_rwsem_write_under_read) {
  Watch w;
  RwSemaphore a1(class_a), a2(class_a);
  {
    ReadGuard x(a1);
    WriteGuard y(a2);
  }
  CHECK_EQ(w.title(), std::string(recursive));
}

TEST(lockdep_reports_recursive_readers_that_close_a_circle_of_writers) {
  Watch w;
  RecursiveRead a(class_a), b(class_b);
  a.write_lock();
  b.read_lock();
  b.unlock();
  a.unlock();
  CHECK_EQ(w.title(), "");
  b.write_lock();
  a.read_lock();
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_a_lock_that_might_be_taken) {
  Watch w;
  Lock a(class_a);
  RwSemaphore b(class_b);
  a.lock();
  b.might_read();
  a.unlock();
  WriteGuard x(b);
  a.lock();
  a.unlock();
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_a_flush_under_a_lock_that_the_work_takes) {
  Watch w;
  Lock a(class_a);
  WorkQueue q("wq", class_q);
  auto work = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w);
  q.queue(work);
  q.flush(work);
  CHECK_EQ(w.title(), "");
  Guard g(a);
  q.flush(work);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_a_flush_of_what_stands_behind_such_work) {
  Watch w;
  Lock a(class_a);
  WorkQueue q("wq", class_q);
  auto work = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w);
  auto other = std::make_shared<WorkQueue::Work>([] {}, class_w2);
  q.queue(work);
  q.flush_all();
  CHECK_EQ(w.title(), "");
  Guard g(a);
  q.flush(other);
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_a_flush_of_a_work_from_itself) {
  Watch w;
  WorkQueue q("wq", class_q);
  lockdep::Map work(class_w);  // what flushing itself comes to; it would never return
  auto item = std::make_shared<WorkQueue::Work>([&] {
    work.lock();
    work.wait();
    work.unlock();
  });
  q.queue(item);
  q.flush(item);
  CHECK_EQ(w.title(), std::string(recursive));
}

TEST(lockdep_reports_a_flush_from_another_item_of_the_same_queue) {
  Watch w;
  WorkQueue q("wq", class_q), q2("wq", class_q);
  auto inner = std::make_shared<WorkQueue::Work>([] {});
  auto outer = std::make_shared<WorkQueue::Work>([&] { q2.flush(inner); });
  q.queue(outer);
  q.flush(outer);
  CHECK_EQ(w.title(), std::string(recursive));
}

TEST(lockdep_reports_a_completion_waited_for_under_a_lock_that_the_completer_takes) {
  Watch w;
  Lock a(class_a);
  Completion x(class_x);
  on_thread([&] {
    together(a);
    x.complete_all();
  });
  CHECK_EQ(w.title(), "");
  Guard g(a);
  x.wait();
  CHECK_EQ(w.title(), std::string(circular));
  CHECK(w.says("before it completed (X)"));
  CHECK(w.says("wait(X);"));
  CHECK(w.says("complete(X);"));
}

TEST(lockdep_reports_the_same_where_the_wait_was_first) {
  Watch w;
  Lock a(class_a);
  Completion x1(class_x), x2(class_x);
  on_thread([&] { x1.complete_all(); });
  a.lock();
  x1.wait();
  a.unlock();
  CHECK_EQ(w.title(), "");
  on_thread([&] {
    together(a);
    x2.complete_all();
  });
  CHECK_EQ(w.title(), std::string(circular));
  CHECK(w.says("is completing:\n(X)"));
}

TEST(lockdep_reports_a_completer_that_takes_what_is_behind_the_waiters_lock) {
  Watch w;
  Lock a(class_a), b(class_b);
  Completion x(class_x);
  on_thread([&] {
    together(b);
    x.complete_all();
  });
  together(b, a);
  CHECK_EQ(w.title(), "");
  Guard g(a);
  x.wait();
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_completions_that_wait_for_each_other) {
  Watch w;
  Completion x1(class_x), x2(class_x), y1(class_y), y2(class_y);
  on_thread([&] {
    x1.complete_all();
    y2.complete_all();
  });
  on_thread([&] {
    x1.wait();
    y1.complete_all();  // only after X
  });
  CHECK_EQ(w.title(), "");
  on_thread([&] {
    y2.wait();
    x2.complete_all();  // only after Y
  });
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_a_completion_by_work_that_is_flushed_by_its_waiters_locks_holder) {
  Watch w;
  Lock a(class_a);
  Completion x(class_x);
  WorkQueue q("wq", class_q);
  auto work = std::make_shared<WorkQueue::Work>([&] { x.complete_all(); }, class_w);
  q.queue(work);
  a.lock();
  x.wait();  // A, then X
  a.unlock();
  auto taker = std::make_shared<WorkQueue::Work>([&] { together(a); }, class_w2);
  q.queue(taker);
  q.flush_all();  // and the queue takes A, without which X is not completed
  CHECK_EQ(w.title(), std::string(circular));
}

TEST(lockdep_reports_a_thread_that_ends_with_a_lock) {
  Watch w;
  Lock a(class_a);
  {
    lockdep::Task task("fiber");
    lockdep::Task* before = lockdep::switch_to(&task);
    a.lock();
    lockdep::switch_to(before);
  }
  CHECK(w.title().find("still has locks held") != std::string::npos);
  CHECK(w.says("1 lock held by fiber/"));
  a.unlock();
}

TEST(lockdep_reports_a_lock_held_when_returning_to_user_space) {
  Watch w;
  Lock a(class_a);
  a.lock();
  lockdep::return_to_user();
  a.unlock();
  CHECK_EQ(w.title(), "lock held when returning to user space");
}

TEST(lockdep_says_that_a_stack_is_full_and_is_off) {
  Watch w;
  Lock a(class_a);
  RecursiveRead r(class_b);
  for (uint32_t i = 0; i <= lockdep::max_held; i++) r.read_lock();
  CHECK_EQ(w.title(), "BUG: MAX_LOCK_DEPTH too low");
  CHECK(w.says("turning off the locking correctness validator"));
  CHECK(!lockdep::enabled());
  together(a);
  CHECK_EQ(w.reports.size(), 1u);
}

TEST(lockdep_reports_once_and_again_after_a_reset) {
  Watch w;
  Lock a(class_a), b(class_b);
  together(a, b);
  together(b, a);
  together(b, a);
  CHECK_EQ(w.reports.size(), 1u);
  lockdep::reset();
  together(b, a);
  CHECK_EQ(w.reports.size(), 1u);
  together(a, b);
  CHECK_EQ(w.reports.size(), 2u);
}

TEST(lockdep_reports_in_the_words_of_the_kernel) {
  Watch w;
  Lock a(class_a), b(class_b);
  a.lock();
  b.lock();
  b.unlock();
  a.unlock();
  b.lock();
  a.lock();
  for (const char* part :
       {"\nWARNING: possible circular locking dependency detected\n---",
        " is trying to acquire lock:\n(A){write}, at: native/test/lockdep_test.cpp:",
        "\nbut task is already holding lock:\n(B){write}, at: native/test/lockdep_test.cpp:",
        "\nthe existing dependency chain (in reverse order) is:\n\n-> #1 (B){write}:\n",
        "\n-> #0 (A){write}:\n",
        "\n Possible unsafe locking scenario:\n\n"
        "       CPU0                    CPU1\n"
        "       ----                    ----\n"
        "  lock(B);\n"
        "                               lock(A);\n"
        "                               lock(B);\n"
        "  lock(A);\n"
        "\n *** DEADLOCK ***\n",
        "\n1 lock held by "})
    if (!w.says(part))
      test::fail(__FILE__, __LINE__, std::string("no ") + part + " in " + w.text());
  a.unlock();
  b.unlock();
}
