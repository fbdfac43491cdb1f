// SPDX-License-Identifier: MIT
#include "sync/rwsem.h"
#include "sync/wait_queue.h"
#include "sync/workqueue.h"
#include "test/harness.h"

#include <atomic>

using namespace i915u::sync;

static const LockClass cls{"test"};

TEST(a_waiting_writer_holds_back_new_readers) {
  RwSemaphore s(cls);
  s.down_read();
  std::atomic<bool> wrote{false};
  Thread w("writer", [&] {
    s.down_write();
    wrote = true;
    s.up_write();
  });
  while (s.down_read_trylock()) {  // until the writer stands in line
    s.up_read();
    yield();
  }
  CHECK(!wrote);
  s.up_read();
  w.join();
  CHECK(wrote);
  CHECK(s.down_read_trylock());
  s.up_read();
}

TEST(a_reader_in_line_comes_before_the_writers_behind_it) {
  RwSemaphore s(cls);
  std::atomic<bool> stop{false}, read{false};
  const auto write = [&] {
    while (!stop) {
      s.down_write();
      sleep_ns(100000);
      s.up_write();
    }
  };
  Thread a("a", write), b("b", write);  // one of them always waits
  Thread r("reader", [&] {
    for (int i = 0; i < 20; i++) {
      s.down_read();
      s.up_read();
    }
    read = true;
  });
  for (const uint64_t until = now_ns() + 20000000000u; !read && now_ns() < until;)
    sleep_ns(1000000);
  CHECK(read);
  stop = true;
}

TEST(a_completion_wakes_every_waiter_and_stays_done) {
  Completion c(cls);
  CHECK(!c.wait_until(now_ns() + 1000));
  std::atomic<int> woken{0};
  {
    Thread a("a", [&] {
      c.wait();
      woken++;
    });
    Thread b("b", [&] {
      c.wait();
      woken++;
    });
    c.complete_all();
  }
  CHECK_EQ(woken.load(), 2);
  CHECK(c.wait_until(0));
}

TEST(flush_returns_after_the_work_has_run) {
  WorkQueue q("wq", cls);
  std::atomic<int> ran{0};
  auto w = std::make_shared<WorkQueue::Work>([&] {
    sleep_ns(1000000);
    ran++;
  });
  CHECK(q.queue(w));
  q.flush(w);
  CHECK_EQ(ran.load(), 1);
  CHECK(q.queue(w));
  q.flush_all();
  CHECK_EQ(ran.load(), 2);
}

TEST(a_wait_with_a_deadline_ends) {
  Mutex m(cls);
  WaitQueue q;
  Guard g(m);
  const uint64_t t = now_ns();
  CHECK(!q.wait(m, t + 2000000, [] { return false; }));
  CHECK(now_ns() >= t + 2000000);
}
