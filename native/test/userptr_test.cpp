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
#include "mem/quiet.h"
#include "mem/uaccess.h"
#include "soft/device.h"
#include "soft/mm/address_space.h"
#include "soft/strategies/strategy.h"
#include "soft/userptr.h"
#include "sync/clock.h"
#include "sync/thread.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::soft;
using namespace i915u::uapi;

namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t ms = 1000000;
constexpr int rw = PROT_READ | PROT_WRITE;
constexpr int anon = MAP_PRIVATE | MAP_ANONYMOUS;

AddressSpace& mm() {
  return AddressSpace::current();
}
uint64_t map(uint64_t pages) {
  return static_cast<uint64_t>(
      mm().mmap(quiet_address(pages * page), pages * page, rw, anon, -1, 0));
}
void renew(uint64_t at, uint64_t pages) {
  CHECK_EQ(mm().munmap(at, pages * page), 0);
  CHECK_EQ(mm().mmap(at, pages * page, rw, anon | MAP_FIXED, -1, 0), static_cast<int64_t>(at));
}
uint32_t peek(uint64_t at) {
  uint32_t v = 0;
  CHECK_EQ(load_user_u32(at, &v), 0);
  return v;
}

SoftOptions with(uint32_t faults, const char* strategy = "interval") {
  SoftOptions o;
  o.faults = faults;
  o.strategy = strategy;
  return o;
}

// A GPU that stores a dword at one address of the GPU, at once or when told.
class Gpu {
 public:
  static constexpr uint32_t target_at = 0x100000, batch_at = 0x8000000;

  explicit Gpu(const SoftOptions& o = {}) {
    int err = 0;
    dev = SoftDevice::open(o, &err);
    CHECK(dev);
    drm_i915_gem_create c{};
    c.size = page;
    CHECK_EQ(dev->ioctl(DRM_IOCTL_I915_GEM_CREATE, &c), 0);
    batch_ = c.handle;
    drm_i915_gem_mmap_offset m{};
    m.handle = batch_;
    m.flags = I915_MMAP_OFFSET_WB;
    CHECK_EQ(dev->ioctl(DRM_IOCTL_I915_GEM_MMAP_OFFSET, &m), 0);
    const int64_t a = dev->mmap(0, page, rw, MAP_SHARED, m.offset);
    CHECK(a > 0);
    dw_ = static_cast<uint64_t>(a);
  }
  ~Gpu() {
    dev->close();
    mm().munmap(dw_, page);
  }

  int userptr(uint64_t at, uint64_t len, uint32_t flags, uint32_t* handle) {
    drm_i915_gem_userptr u{at, len, flags, 0};
    const int err = dev->ioctl(DRM_IOCTL_I915_GEM_USERPTR, &u);
    *handle = u.handle;
    return err;
  }
  uint32_t userptr(uint64_t at, uint64_t pages) {
    uint32_t handle;
    CHECK_EQ(userptr(at, pages * page, 0, &handle), 0);
    return handle;
  }
  // dword value to byte off of the object; `spin`: not before go().
  int store(uint32_t target, uint32_t off, uint32_t value, bool spin = false) {
    // [0] MI_NOOP, MI_BATCH_BUFFER_START to [0] or [16]    [16] MI_STORE_DWORD_IMM, end
    const uint32_t head[] = {0, 0x18800101, batch_at + (spin ? 0u : 64u), 0};
    const uint32_t tail[] = {0x10000002, target_at + off, 0, value, 0x05000000, 0};
    copy_to_user(dw_, head, sizeof(head));
    copy_to_user(dw_ + 64, tail, sizeof(tail));
    drm_i915_gem_exec_object2 o[2]{};
    o[0].handle = target;
    o[0].offset = target_at;
    o[0].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_WRITE;
    o[1].handle = batch_;
    o[1].offset = batch_at;
    o[1].flags = EXEC_OBJECT_PINNED;
    drm_i915_gem_execbuffer2 e{};
    e.buffers_ptr = reinterpret_cast<uint64_t>(o);
    e.buffer_count = 2;
    e.batch_len = 128;
    e.flags = I915_EXEC_RENDER;
    int err;
    do err = dev->ioctl(DRM_IOCTL_I915_GEM_EXECBUFFER2_WR, &e);
    while (err == -EAGAIN);
    return err;
  }
  void go() { CHECK_EQ(store_user_u32(dw_ + 8, batch_at + 64), 0); }
  void idle() {
    drm_i915_gem_wait w{};
    w.bo_handle = batch_;
    w.timeout_ns = -1;
    CHECK_EQ(dev->ioctl(DRM_IOCTL_I915_GEM_WAIT, &w), 0);
  }
  void close(uint32_t handle) {
    drm_gem_close c{handle, 0};
    CHECK_EQ(dev->ioctl(DRM_IOCTL_GEM_CLOSE, &c), 0);
  }

  std::unique_ptr<SoftDevice> dev;

 private:
  uint32_t batch_;
  uint64_t dw_;
};

// Is the thread that does this still in it after a while?
template <class F>
bool waits(Gpu& gpu, F change) {
  std::atomic<bool> done{false};
  sync::Thread t("changer", [&] {
    change();
    done = true;
  });
  sync::sleep_ns(50 * ms);
  const bool waited = !done;
  gpu.go();
  t.join();
  return waited;
}

}  // namespace

TEST(userptr_checks_come_in_the_drivers_order) {
  Gpu gpu;
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
  Gpu gpu;
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
  Gpu gpu;
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
  Gpu gpu;
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
  Gpu gpu;
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
  Gpu gpu(with(0, "interval-nowait"));
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
  Gpu gpu;
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
  Gpu gpu;
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
    Gpu gpu;
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 1), 0);
    gpu.close(h);
  }
  CHECK_EQ(mm().pins_acquired() - mm().pins_released(), pins);
  mm().munmap(at, page);
}

// --- the fault switches, each against the same steps without it

TEST(fault_skip_retry_loses_writes) {
  for (const uint32_t fault : {0u, uint32_t{fault_skip_retry}}) {
    Gpu gpu(with(fault));
    const uint64_t at = map(1);
    const uint32_t h = gpu.userptr(at, 1);
    CHECK_EQ(gpu.store(h, 0, 1), 0);
    gpu.idle();
    renew(at, 1);
    CHECK_EQ(gpu.store(h, 0, 2), 0);
    gpu.idle();
    CHECK_EQ(peek(at), fault ? 0u : 2u);
    mm().munmap(at, page);
  }
}

TEST(fault_no_wait_writes_into_the_pages_that_come_after) {
  Gpu gpu(with(fault_no_wait));
  const uint64_t at = map(1);
  const uint32_t h = gpu.userptr(at, 1);
  CHECK_EQ(gpu.store(h, 0, 7, true), 0);
  CHECK(!waits(gpu, [&] { renew(at, 1); }));
  gpu.idle();
  CHECK_EQ(peek(at), 7u);
  mm().munmap(at, page);
}

TEST(fault_write_after_close_writes_into_the_pages_that_come_after) {
  Gpu gpu(with(fault_write_after_close));
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
  for (const uint32_t fault : {0u, uint32_t{fault_short_range}}) {
    Gpu gpu(with(fault));
    const uint64_t at = map(4);
    const uint32_t h = gpu.userptr(at, 4);
    CHECK_EQ(gpu.store(h, 3 * page, 1), 0);
    gpu.idle();
    renew(at + 3 * page, 1);
    CHECK_EQ(gpu.store(h, 3 * page, 2), 0);
    gpu.idle();
    CHECK_EQ(peek(at + 3 * page), fault ? 0u : 2u);
    mm().munmap(at, 4 * page);
  }
}

TEST(fault_lose_dirty_loses_what_was_written_at_pageout) {
  for (const uint32_t fault : {0u, uint32_t{fault_lose_dirty}}) {
    Gpu gpu(with(fault));
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
    Gpu gpu(with(fault_leak_pin));
    const uint32_t h = gpu.userptr(at, 4);
    CHECK_EQ(gpu.store(h, 0, 2), 0);
    gpu.idle();
  }
  CHECK_EQ(mm().pins_acquired() - mm().pins_released(), pins + 1);
  mm().munmap(at, 4 * page);
}

TEST(fault_no_foll_write_lets_the_gpu_write_read_only_pages) {
  for (const uint32_t fault : {0u, uint32_t{fault_no_foll_write}}) {
    Gpu gpu(with(fault));
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
    Gpu gpu(with(fault_lock_over_gup));
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

TEST(submissions_against_changes_write_no_page_that_came_after) {
  for (const char* strategy : {"interval", "interval-nowait"}) {
    Gpu gpu(with(0, strategy));
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
