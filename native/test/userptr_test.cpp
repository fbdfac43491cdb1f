// SPDX-License-Identifier: MIT
// Userptr of the software i915: the ioctl's checks, what happens to a batch when its memory goes,
// and that each fault switch of page lookup and notifier breaks what it says.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "drm/uapi.h"
#include "mem/uaccess.h"
#include "soft/device.h"
#include "soft/mm/address_space.h"
#include "soft/strategies/strategy.h"
#include "soft/userptr.h"
#include "sync/clock.h"
#include "sync/thread.h"
#include "test/harness.h"
#include "test/userptr_gpu.h"

using namespace i915u;
using namespace i915u::soft;
using namespace i915u::soft::test_gpu;
using namespace i915u::uapi;

TEST(userptr_checks_come_in_the_drivers_order) {
  StoreGpu gpu;
  uint32_t h;
  const uint64_t at = map(4);
  const uint32_t unsync = I915_USERPTR_UNSYNCHRONIZED;
  CHECK_EQ(gpu.userptr(at, ~uint64_t{0}, 4, &h), -EINVAL);          // flags before size
  CHECK_EQ(gpu.userptr(at + 1, (1ull << 43), unsync, &h), -E2BIG);  // size before alignment
  CHECK_EQ(gpu.userptr(at, 0, unsync, &h), -EINVAL);
  CHECK_EQ(gpu.userptr(at + 8, page, unsync, &h), -EINVAL);  // alignment before flags
  CHECK_EQ(gpu.userptr(at, page + 8, 0, &h), -EINVAL);
  CHECK_EQ(gpu.userptr(1ull << 47, page, unsync, &h), -EFAULT);  // access_ok before flags
  CHECK_EQ(gpu.userptr(0x7fffffffe000, 2 * page, 0, &h), -EFAULT);
  CHECK_EQ(gpu.userptr(at, page, unsync | I915_USERPTR_PROBE, &h), -ENODEV);
  CHECK_EQ(gpu.userptr(at, page, I915_USERPTR_READ_ONLY, &h), 0);
  mm().munmap(at + page, page);
  CHECK_EQ(gpu.userptr(at, 2 * page, I915_USERPTR_PROBE, &h), -EFAULT);
  CHECK_EQ(gpu.userptr(at, page, I915_USERPTR_PROBE, &h), 0);
  CHECK_EQ(gpu.userptr(at, 2 * page, 0, &h), 0);  // not looked at before it is used
  CHECK_EQ(gpu.store(h, 0, 1), -EFAULT);
  mm().munmap(at, 4 * page);
}

TEST(a_gem_mapping_is_no_memory_for_userptr) {
  StoreGpu gpu;
  drm_i915_gem_create c{};
  c.size = page;
  CHECK_EQ(gpu.dev->ioctl(DRM_IOCTL_I915_GEM_CREATE, &c), 0);
  drm_i915_gem_mmap_offset m{};
  m.handle = c.handle;
  m.flags = I915_MMAP_OFFSET_WB;
  CHECK_EQ(gpu.dev->ioctl(DRM_IOCTL_I915_GEM_MMAP_OFFSET, &m), 0);
  const int64_t a = gpu.dev->mmap(0, page, rw, MAP_SHARED, m.offset);
  CHECK(a > 0);
  const auto at = static_cast<uint64_t>(a);
  uint32_t h;
  CHECK_EQ(gpu.userptr(at, page, I915_USERPTR_PROBE, &h), -EFAULT);
  CHECK_EQ(gpu.userptr(at, page, 0, &h), 0);
  CHECK_EQ(gpu.store(h, 0, 1), -EFAULT);
  mm().munmap(at, page);
}

TEST(a_batch_writes_the_pages_of_now) {
  StoreGpu gpu;
  const uint64_t at = map(4);
  const uint32_t h = gpu.userptr(at, 4);
  for (uint32_t i = 1; i < 4; i++) {
    CHECK_EQ(gpu.store(h, 3 * page, i), 0);
    gpu.idle();
    CHECK_EQ(peek(at + 3 * page), i);
    renew(at + i * page, 1);
  }
  mm().munmap(at, page);
  CHECK_EQ(gpu.store(h, 0, 1), -EFAULT);
  mm().mmap(at, page, PROT_READ, anon | MAP_FIXED, -1, 0);
  CHECK_EQ(gpu.store(h, 0, 1), -EFAULT);
  mm().mprotect(at, page, rw);
  CHECK_EQ(gpu.store(h, 0, 5), 0);
  gpu.idle();
  CHECK_EQ(peek(at), 5u);
  mm().munmap(at, 4 * page);
}

TEST(interval_waits_for_the_gpu_in_the_notifier) {
  StoreGpu gpu;
  const uint64_t at = map(2);
  const uint32_t h = gpu.userptr(at, 2);
  CHECK_EQ(gpu.store(h, 0, 7, true), 0);
  CHECK(waits(gpu, [&] { renew(at, 1); }));
  CHECK_EQ(peek(at), 0u);
  gpu.idle();
  CHECK_EQ(gpu.store(h, 0, 8, true), 0);
  CHECK(waits(gpu, [&] { mm().mprotect(at + page, page, PROT_READ); }));
  CHECK_EQ(peek(at), 8u);
  gpu.close(h);
  mm().munmap(at, 2 * page);
}

TEST(interval_waits_for_an_object_whose_handle_is_closed) {
  StoreGpu gpu;
  const uint64_t at = map(1);
  const uint32_t h = gpu.userptr(at, 1);
  CHECK_EQ(gpu.store(h, 0, 7, true), 0);
  gpu.close(h);
  CHECK(waits(gpu, [&] { renew(at, 1); }));
  gpu.idle();
  CHECK_EQ(peek(at), 0u);
  mm().munmap(at, page);
}

TEST(nowait_leaves_the_old_pages_to_the_batch) {
  StoreGpu gpu(with(0, "interval-nowait"));
  const uint64_t at = map(1);
  const uint32_t h = gpu.userptr(at, 1);
  CHECK_EQ(gpu.store(h, 0, 7, true), 0);
  CHECK(!waits(gpu, [&] { renew(at, 1); }));
  gpu.idle();
  CHECK_EQ(peek(at), 0u);
  // A write after mprotect is allowed to it until the batch is done.
  CHECK_EQ(gpu.store(h, 0, 8, true), 0);
  CHECK(!waits(gpu, [&] { mm().mprotect(at, page, PROT_READ); }));
  gpu.idle();
  CHECK_EQ(peek(at), 8u);
  CHECK_EQ(gpu.store(h, 0, 9), -EFAULT);
  mm().munmap(at, page);
}

TEST(a_child_may_not_use_its_parents_object) {
  StoreGpu gpu;
  const uint64_t at = map(1);
  std::shared_ptr<UserptrObject> obj;
  CHECK_EQ(userptr_create(*gpu.dev, at, page, 0, &obj), 0);
  CHECK_EQ(gpu.dev->strategy().submit_init(*obj), 0);
  const pid_t pid = mm().fork();
  if (pid == 0) _exit(gpu.dev->strategy().submit_init(*obj) == -EFAULT ? 0 : 1);
  int status = -1;
  waitpid(pid, &status, 0);
  CHECK_EQ(status, 0);
  mm().munmap(at, page);
}

TEST(a_submission_collides_with_an_invalidate_after_its_lookup) {
  StoreGpu gpu;
  const uint64_t at = map(1);
  std::shared_ptr<UserptrObject> obj;
  CHECK_EQ(userptr_create(*gpu.dev, at, page, 0, &obj), 0);
  Strategy& s = gpu.dev->strategy();
  CHECK_EQ(s.submit_init(*obj), 0);
  CHECK_EQ(s.submit_done(*obj), 0);
  renew(at, 1);
  CHECK_EQ(s.submit_done(*obj), -EAGAIN);
  CHECK_EQ(s.submit_init(*obj), 0);
  CHECK_EQ(s.submit_done(*obj), 0);
  mm().munmap(at, page);
}

TEST(the_last_reference_may_go_while_pages_are_pinned) {
  const uint64_t pins = mm().pins_acquired() - mm().pins_released();
  const uint64_t at = map(1);
  {
    StoreGpu gpu;
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 1), 0);
    gpu.close(h);
  }
  CHECK_EQ(mm().pins_acquired() - mm().pins_released(), pins);
  mm().munmap(at, page);
}

// --- the fault switches, each against the same steps without it

TEST(fault_skip_retry_loses_writes) {
  for (const uint32_t fault : {0u, uint32_t{fault_skip_retry}})
    CHECK_EQ(written_after_a_change(fault, "interval"), fault ? 0u : 2u);
}

TEST(fault_no_wait_writes_into_the_pages_that_come_after) {
  StoreGpu gpu(with(fault_no_wait));
  const uint64_t at = map(1);
  const uint32_t h = gpu.userptr(at, 1);
  CHECK_EQ(gpu.store(h, 0, 7, true), 0);
  CHECK(!waits(gpu, [&] { renew(at, 1); }));
  gpu.idle();
  CHECK_EQ(peek(at), 7u);
  mm().munmap(at, page);
}

TEST(fault_write_after_close_writes_into_the_pages_that_come_after) {
  StoreGpu gpu(with(fault_write_after_close));
  const uint64_t at = map(1);
  const uint32_t h = gpu.userptr(at, 1);
  CHECK_EQ(gpu.store(h, 0, 7, true), 0);
  gpu.close(h);
  CHECK(!waits(gpu, [&] { renew(at, 1); }));
  gpu.idle();
  CHECK_EQ(peek(at), 7u);
  mm().munmap(at, page);
}

TEST(fault_short_range_misses_changes_of_the_last_page) {
  for (const uint32_t fault : {0u, uint32_t{fault_short_range}})
    CHECK_EQ(written_after_a_change(fault, "interval", 4), fault ? 0u : 2u);
}

TEST(fault_lose_dirty_loses_what_was_written_at_pageout) {
  for (const uint32_t fault : {0u, uint32_t{fault_lose_dirty}}) {
    StoreGpu gpu(with(fault));
    const uint64_t at = map(1);
    CHECK_EQ(store_user_u32(at, 1), 0);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 2), 0);
    gpu.idle();
    gpu.close(h);
    // The request may be retired a moment after it is done.
    const uint64_t until = sync::now_ns() + 1000 * ms;
    do {
      sync::sleep_ns(ms);
      CHECK_EQ(mm().madvise(at, page, MADV_PAGEOUT), 0);
    } while (fault && peek(at) != 1 && sync::now_ns() < until);
    CHECK_EQ(peek(at), fault ? 1u : 2u);
    mm().munmap(at, page);
  }
}

TEST(fault_leak_pin_leaves_one_page_pinned) {
  const uint64_t pins = mm().pins_acquired() - mm().pins_released();
  const uint64_t at = map(4);
  {
    StoreGpu gpu(with(fault_leak_pin));
    const uint32_t h = gpu.userptr(at, 4);
    CHECK_EQ(gpu.store(h, 0, 2), 0);
    gpu.idle();
  }
  CHECK_EQ(mm().pins_acquired() - mm().pins_released(), pins + 1);
  mm().munmap(at, 4 * page);
}

TEST(fault_no_foll_write_lets_the_gpu_write_read_only_pages) {
  for (const uint32_t fault : {0u, uint32_t{fault_no_foll_write}}) {
    StoreGpu gpu(with(fault));
    const uint64_t at = map(1);
    CHECK_EQ(store_user_u32(at, 1), 0);
    CHECK_EQ(mm().mprotect(at, page, PROT_READ), 0);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 2), fault ? 0 : -EFAULT);
    if (fault) gpu.idle();
    CHECK_EQ(peek(at), fault ? 2u : 1u);
    mm().munmap(at, page);
  }
}

TEST(fault_lock_over_gup_deadlocks) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    // Either it hangs, which the alarm ends, or a sanitizer reports the order of the locks.
    if (!freopen("/dev/null", "w", stderr)) _exit(0);
    alarm(4);
    StoreGpu gpu(with(fault_lock_over_gup));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    std::atomic<bool> stop{false};
    sync::Thread changer("changer", [&] {
      while (!stop) renew(at, 1);
    });
    const uint64_t until = sync::now_ns() + 3000 * ms;
    while (sync::now_ns() < until) gpu.store(h, 0, 1);
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}
