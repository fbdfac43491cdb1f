// SPDX-License-Identifier: MIT
// For tests of userptr on the software device: memory of the process, and a GPU that stores to it.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <memory>

#include "drm/uapi.h"
#include "mem/quiet.h"
#include "mem/uaccess.h"
#include "soft/device.h"
#include "soft/mm/address_space.h"
#include "sync/clock.h"
#include "sync/thread.h"
#include "test/harness.h"

namespace i915u::soft::test_gpu {

using namespace i915u::uapi;

constexpr uint64_t page = 4096;
constexpr uint64_t ms = 1000000;
constexpr int rw = PROT_READ | PROT_WRITE;
constexpr int anon = MAP_PRIVATE | MAP_ANONYMOUS;

inline AddressSpace& mm() {
  return AddressSpace::current();
}
inline uint64_t map(uint64_t pages) {
  return static_cast<uint64_t>(
      mm().mmap(quiet_address(pages * page), pages * page, rw, anon, -1, 0));
}
inline void renew(uint64_t at, uint64_t pages) {
  CHECK_EQ(mm().munmap(at, pages * page), 0);
  CHECK_EQ(mm().mmap(at, pages * page, rw, anon | MAP_FIXED, -1, 0), static_cast<int64_t>(at));
}
inline uint32_t peek(uint64_t at) {
  uint32_t v = 0;
  CHECK_EQ(load_user_u32(at, &v), 0);
  return v;
}

inline SoftOptions with(uint32_t faults, const char* strategy = "interval") {
  SoftOptions o;
  o.faults = faults;
  o.strategy = strategy;
  return o;
}

// A GPU that stores a dword at one address of the GPU, at once or when told.
class StoreGpu {
 public:
  static constexpr uint32_t target_at = 0x100000, batch_at = 0x8000000;

  explicit StoreGpu(const SoftOptions& o = {}) {
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
  ~StoreGpu() {
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
bool waits(StoreGpu& gpu, F change) {
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

/// A store to the object's last page, that page anew, another store: what the process then sees of
/// the second, which is 2, or 0 where the GPU still has the page of before.
inline uint32_t written_after_a_change(uint32_t faults, const char* strategy, uint64_t pages = 1) {
  StoreGpu gpu(with(faults, strategy));
  const uint64_t at = map(pages), last = (pages - 1) * page;
  const uint32_t h = gpu.userptr(at, pages);
  CHECK_EQ(gpu.store(h, last, 1), 0);
  gpu.idle();
  renew(at + last, 1);
  CHECK_EQ(gpu.store(h, last, 2), 0);
  gpu.idle();
  const uint32_t seen = peek(at + last);
  mm().munmap(at, pages * page);
  return seen;
}

}  // namespace i915u::soft::test_gpu
