// SPDX-License-Identifier: MIT
// The strategies on the software device: what each must do, and what some are known to get wrong as
// far as one thread sees it. Their races are the lab's: lab_test.cpp.
#include "soft/strategies/strategy.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>

#include "soft/userptr.h"
#include "sync/lockdep.h"
#include "test/harness.h"
#include "test/userptr_gpu.h"

using namespace i915u;
using namespace i915u::soft;
using namespace i915u::soft::test_gpu;

namespace {

// rwsem takes its locks in a wrong order, which lockdep says at the first lookup by a worker.
bool deadlocks(const StrategyName& s) {
  return !strcmp(s.name, "rwsem");
}
bool bans(const StrategyName& s) {
  return !strncmp(s.name, "ban", 3);
}

template <class F>
void each(F test) {
  for (const StrategyName* s = strategy_names; s->name; s++)
    if (!deadlocks(*s)) test(*s);
}

std::shared_ptr<UserptrObject> object(StoreGpu& gpu, uint64_t at, uint64_t pages) {
  std::shared_ptr<UserptrObject> obj;
  CHECK_EQ(userptr_create(*gpu.dev, at, pages * page, 0, &obj), 0);
  return obj;
}

}  // namespace

TEST(strategies_say_all_of_themselves) {
  for (const StrategyName* s = strategy_names; s->name; s++) {
    StoreGpu gpu(with(0, s->name));
    CHECK_EQ(std::string(gpu.dev->strategy().name()), std::string(s->name));
    CHECK_EQ(find_strategy(s->name), s);
    for (const char* text : {s->what, s->does, s->kernels, s->against, s->sources})
      CHECK(text && *text);
  }
  CHECK(!find_strategy("hope"));
}

TEST(strategies_write_the_pages_of_now) {
  each([](const StrategyName& s) {
    StoreGpu gpu(with(0, s.name));
    const uint64_t at = map(4);
    uint32_t h = gpu.userptr(at, 4);
    for (uint32_t i = 1; i < 4; i++) {
      CHECK_EQ(gpu.store(h, 3 * page, i), 0);
      gpu.idle();
      CHECK_EQ(peek(at + 3 * page), i);
      renew(at + i * page, 1);
      if (!bans(s)) continue;
      CHECK_EQ(gpu.store(h, 3 * page, 9), -EFAULT);
      CHECK_EQ(gpu.store(h, 3 * page, 9), -EFAULT);
      h = gpu.userptr(at, 4);  // a new one is not banned
    }
    mm().munmap(at, 4 * page);
  });
}

TEST(strategies_fault_pages_in_and_fail_where_there_are_none) {
  each([](const StrategyName& s) {
    StoreGpu gpu(with(0, s.name));
    const uint64_t at = map(2);
    CHECK_EQ(mm().munmap(at, page), 0);
    const uint32_t hole = gpu.userptr(at, 2);
    CHECK_EQ(gpu.store(hole, page, 1), -EFAULT);
    CHECK_EQ(mm().mmap(at, page, PROT_READ, anon | MAP_FIXED, -1, 0), static_cast<int64_t>(at));
    CHECK_EQ(gpu.store(hole, 0, 1), -EFAULT);
    CHECK_EQ(mm().mprotect(at, page, rw), 0);
    const uint32_t h = bans(s) ? gpu.userptr(at, 2) : hole;
    CHECK_EQ(gpu.store(h, 0, 5), 0);  // no page is there yet
    gpu.idle();
    CHECK_EQ(peek(at), 5u);
    mm().munmap(at, 2 * page);
  });
}

TEST(strategies_wait_for_the_gpu_in_the_notifier_or_do_not) {
  each([](const StrategyName& s) {
    StoreGpu gpu(with(0, s.name));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 7, true), 0);
    CHECK_EQ(waits(gpu, [&] { renew(at, 1); }), s.waits);
    gpu.idle();
    CHECK_EQ(peek(at), 0u);
    mm().munmap(at, page);
  });
}

TEST(strategies_keep_the_pages_of_a_closed_object_to_its_batchs_end) {
  each([](const StrategyName& s) {
    const uint64_t pins = mm().pins_acquired() - mm().pins_released();
    const uint64_t at = map(1);
    {
      StoreGpu gpu(with(0, s.name));
      const uint32_t h = gpu.userptr(at, 1);
      CHECK_EQ(gpu.store(h, 0, 7, true), 0);
      gpu.close(h);
      CHECK_EQ(waits(gpu, [&] { renew(at, 1); }), s.waits);
      gpu.idle();
      CHECK_EQ(peek(at), 0u);
    }
    CHECK_EQ(mm().pins_acquired() - mm().pins_released(), pins);
    mm().munmap(at, page);
  });
}

TEST(strategies_give_the_parent_its_pages_after_a_fork_and_the_child_none) {
  each([](const StrategyName& s) {
    StoreGpu gpu(with(0, s.name));
    const uint64_t at = map(1);
    const auto obj = object(gpu, at, 1);
    Strategy& strategy = gpu.dev->strategy();
    CHECK_EQ(strategy.submit_init(*obj), 0);
    const pid_t pid = mm().fork();
    if (pid == 0) _exit(strategy.submit_init(*obj) == -EFAULT ? 0 : 1);
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    CHECK_EQ(strategy.submit_init(*obj), bans(s) ? -EFAULT : 0);
    mm().munmap(at, page);
  });
}

TEST(strategies_that_look_twice_see_an_invalidate_after_the_lookup) {
  for (const char* name : {"ranges", "seqcount", "interval", "interval-nowait"}) {
    StoreGpu gpu(with(0, name));
    const uint64_t at = map(2);
    const auto obj = object(gpu, at, 1);
    Strategy& s = gpu.dev->strategy();
    CHECK_EQ(s.submit_init(*obj), 0);
    renew(at + page, 1);  // the neighbour
    CHECK_EQ(s.submit_done(*obj), 0);
    renew(at, 1);
    CHECK_EQ(s.submit_done(*obj), -EAGAIN);
    CHECK_EQ(s.submit_init(*obj), 0);
    CHECK_EQ(s.submit_done(*obj), 0);
    mm().munmap(at, 2 * page);
  }
}

TEST(strategies_that_cancel_have_taken_the_pages_when_the_invalidate_is_over) {
  for (const char* name : {"none", "ban", "ban-late"}) {
    StoreGpu gpu(with(0, name));
    const uint64_t at = map(2);
    const auto obj = object(gpu, at, 1);
    CHECK_EQ(gpu.dev->strategy().submit_init(*obj), 0);
    CHECK_EQ(mm().madvise(at + page, page, MADV_DONTNEED), 0);
    CHECK(obj->pages);
    CHECK_EQ(mm().madvise(at, page, MADV_DONTNEED), 0);
    CHECK(!obj->pages);
    mm().munmap(at, 2 * page);
  }
}

TEST(ban_loses_an_object_whose_memory_is_as_it_was) {
  each([](const StrategyName& s) {
    StoreGpu gpu(with(0, s.name));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 1), 0);
    CHECK_EQ(mm().mprotect(at, page, PROT_READ), 0);
    CHECK_EQ(mm().mprotect(at, page, rw), 0);
    CHECK_EQ(gpu.store(h, 0, 2), bans(s) ? -EFAULT : 0);
    gpu.idle();
    mm().munmap(at, page);
  });
}

TEST(ban_sees_an_invalidate_before_the_first_lookup_and_ban_late_does_not) {
  for (const bool late : {false, true}) {
    StoreGpu gpu(with(0, late ? "ban-late" : "ban"));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    renew(at, 1);
    CHECK_EQ(gpu.store(h, 0, 1), late ? 0 : -EFAULT);
    gpu.idle();
    mm().munmap(at, page);
  }
}

TEST(rwsem_is_a_deadlock_that_lockdep_sees_before_it_has_happened) {
  std::mutex lock;
  std::string said;
  sync::lockdep::on_report([&](const sync::lockdep::Report& r) {
    std::lock_guard g(lock);
    said += r.text;
  });
  {
    StoreGpu gpu(with(0, "rwsem"));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 1), 0);  // by the worker: the page is not there
    gpu.idle();
    CHECK_EQ(peek(at), 1u);
    renew(at, 1);
    mm().munmap(at, page);
  }
  sync::lockdep::on_report([](const sync::lockdep::Report&) {});
  if (sync::lockdep::enabled() || !said.empty()) {
    CHECK(said.find("possible circular locking dependency detected") != std::string::npos);
    CHECK(said.find("mn->sem") != std::string::npos);
  }
  sync::lockdep::reset();
}

// --- the faults that break one line of a strategy

TEST(fault_no_seq_loses_writes) {
  for (const char* name : {"ranges", "interval", "interval-nowait"}) {
    for (const uint32_t fault : {0u, uint32_t{fault_no_seq}})
      CHECK_EQ(written_after_a_change(fault, name), fault ? 0u : 2u);
  }
}

TEST(faults_of_interval_break_ranges_and_seqcount_too) {
  for (const char* name : {"ranges", "seqcount"}) {
    for (const uint32_t fault : {uint32_t{fault_skip_retry}, uint32_t{fault_short_range}})
      CHECK_EQ(written_after_a_change(fault, name, 2), 0u);
  }
}

TEST(fault_no_wait_breaks_each_notifier_that_waits) {
  each([](const StrategyName& s) {
    if (!s.waits) return;
    StoreGpu gpu(with(fault_no_wait, s.name));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 7, true), 0);
    CHECK(!waits(gpu, [&] { renew(at, 1); }));
    gpu.idle();
    CHECK_EQ(peek(at), 7u);
    mm().munmap(at, page);
  });
}

TEST(submissions_against_changes_write_no_page_that_came_after) {
  for (const char* strategy : {"interval", "interval-nowait"}) {
    StoreGpu gpu(with(0, strategy));
    constexpr uint64_t n = 4;
    const uint64_t at = map(n);
    const uint32_t h = gpu.userptr(at, n);
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> submitted{0};
    std::atomic<uint32_t> last{0};  // value of the newest submission that was begun
    {
      sync::Thread submitter("submitter", [&] {
        for (uint32_t v = 1; !stop; v++) {
          last = v;
          const int err = gpu.store(h, v % n * page, v);
          submitted += err == 0;
          if (err == 0) gpu.idle();
        }
      });
      const uint64_t until = sync::now_ns() + 700 * ms;
      while (sync::now_ns() < until) {
        const uint32_t before = last;
        renew(at, n);
        for (uint64_t i = 0; i < n; i++) {
          const uint32_t v = peek(at + i * page);
          CHECK(v == 0 || v >= before);
        }
        mm().mprotect(at + page, page, PROT_READ);
        mm().mprotect(at + page, page, rw);
        mm().madvise(at, n * page, MADV_DONTNEED);
      }
      stop = true;
    }
    CHECK(submitted > 0);
    mm().munmap(at, n * page);
  }
}
