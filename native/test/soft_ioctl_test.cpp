// SPDX-License-Identifier: MIT
// The soft device's ioctl surface beside objects and execbuf: dispatch, parameters, queries,
// syncobjs, closing, and what random arguments do to it.
#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "test/soft_calls.h"

using namespace i915u;
using namespace i915u::test;

TEST(soft_open_refuses_an_unknown_strategy) {
  int err = 0;
  CHECK(!SoftDevice::open({.strategy = "no such"}, &err));
  CHECK_EQ(err, -EINVAL);
}

TEST(soft_version_is_i915_and_text_is_cut_to_the_buffer) {
  auto d = open_soft();
  char name[8] = "xxxxxxx", date[16] = {};
  drm_version v{};
  v.name = name;
  v.name_len = 2;
  v.date = date;
  v.date_len = sizeof(date);
  CHECK_EQ(ask(*d, DRM_IOCTL_VERSION, v), 0);
  CHECK_EQ(std::string(name), "i9xxxxx");
  CHECK_EQ(v.name_len, 4u);
  CHECK_EQ(std::string(date), "20201103");
  CHECK_EQ(v.version_major * 100 + v.version_minor * 10 + v.version_patchlevel, 160);
  v.name = static_cast<char*>(hole);
  CHECK_EQ(ask(*d, DRM_IOCTL_VERSION, v), -EFAULT);
}

TEST(soft_dispatch_follows_drm_ioctl) {
  auto d = open_soft();
  char arg[64] = {};
  CHECK_EQ(d->ioctl(0x5401, arg), -ENOTTY);
  CHECK_EQ(d->ioctl(drm_ioc(Dir::RW, 0x0e, 8), arg), -EINVAL);
  CHECK_EQ(d->ioctl(drm_ioc(Dir::RW, 0x40 + 0x3d, 8), arg), -EINVAL);
  CHECK_EQ(d->ioctl(drm_ioc(Dir::RW, 0xff, 8), arg), -EINVAL);
  // Masters', authenticated users' and mode setting's are not a render node's.
  CHECK_EQ(d->ioctl(drm_ioc(Dir::RW, 0x02, 4), arg), -EACCES);
  CHECK_EQ(d->ioctl(drm_ioc(Dir::RW, 0xa0, 64), arg), -EACCES);
  CHECK_EQ(d->ioctl(drm_ioc(Dir::W, 0x40 + 0x14, 40), arg), -EACCES);
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_SETPARAM, arg), -EACCES);
  // The argument is copied before anything else is asked.
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_SETPARAM, hole), -EFAULT);
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_GEM_CREATE, kernel), -EFAULT);
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_GEM_GET_APERTURE, hole), -EFAULT);
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_PERF_OPEN, arg), -EINVAL);
  // A shorter struct is extended with zeros, a longer one copied back as it came.
  drm_i915_gem_mmap_gtt gtt{create(*d, page), 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP_GTT, gtt), 0);
  struct {
    drm_i915_gem_create c;
    uint64_t more[40];
  } large{{page, 0, 0}, {}};
  large.more[39] = 5;
  CHECK_EQ(d->ioctl(drm_ioc(Dir::RW, 0x40 + 0x1b, sizeof(large)), &large), 0);
  CHECK_EQ(large.c.handle, 2u);
  CHECK_EQ(large.more[39], 5u);
  // Only what both sides call output is written: by direction this one is input alone.
  drm_i915_gem_create c{page, 77, 0};
  CHECK_EQ(d->ioctl(drm_ioc(Dir::W, 0x40 + 0x1b, sizeof(c)), &c), 0);
  CHECK_EQ(c.handle, 77u);
}

TEST(soft_every_getparam_of_6_1_answers_as_skylake) {
  auto d = open_soft();
  int v = -1;
  for (int p = 0; p <= 60; p++) {
    const int err = getparam(*d, p, &v);
    const bool old = p >= 1 && p <= 3;
    if (p == 0 || p > I915_PARAM_HAS_USERPTR_PROBE)
      CHECK_EQ(err, -EINVAL);
    else if (old || p == I915_PARAM_HAS_EXEC_CONSTANTS)
      CHECK_EQ(err, -ENODEV);
    else if (p == I915_PARAM_HUC_STATUS)
      CHECK_EQ(err, -EOPNOTSUPP);
    else
      CHECK_EQ(err, 0);
  }
  CHECK_EQ(getparam(*d, I915_PARAM_CHIPSET_ID, &v), 0);
  CHECK_EQ(v, 0x1912);
  CHECK_EQ(getparam(*d, I915_PARAM_HAS_USERPTR_PROBE, &v), 0);
  CHECK_EQ(v, 1);
  CHECK_EQ(getparam(*d, I915_PARAM_CHIPSET_ID, static_cast<int*>(hole)), -EFAULT);
}

TEST(soft_query_tells_the_length_first) {
  auto d = open_soft();
  int32_t len = 0;
  CHECK_EQ(query(*d, DRM_I915_QUERY_ENGINE_INFO, nullptr, &len), 0);
  CHECK_EQ(len, static_cast<int32_t>(16 + 4 * sizeof(drm_i915_engine_info)));
  std::vector<char> data(len);
  CHECK_EQ(query(*d, DRM_I915_QUERY_ENGINE_INFO, data.data(), &len), 0);
  const auto* info = reinterpret_cast<drm_i915_query_engine_info*>(data.data());
  CHECK_EQ(info->num_engines, 4u);
  const auto* e = reinterpret_cast<const drm_i915_engine_info*>(info + 1);
  for (int i = 0; i < 4; i++) CHECK_EQ(e[i].engine.engine_class, i);

  // It is full now, and must come in empty.
  len = static_cast<int32_t>(data.size());
  CHECK_EQ(query(*d, DRM_I915_QUERY_ENGINE_INFO, data.data(), &len), 0);
  CHECK_EQ(len, -EINVAL);
  len = 8;
  CHECK_EQ(query(*d, DRM_I915_QUERY_TOPOLOGY_INFO, data.data(), &len), 0);
  CHECK_EQ(len, -EINVAL);
  len = 32;
  CHECK_EQ(query(*d, DRM_I915_QUERY_TOPOLOGY_INFO, hole, &len), 0);
  CHECK_EQ(len, -EFAULT);
  len = 32;
  unsigned char topo[32] = {};
  CHECK_EQ(query(*d, DRM_I915_QUERY_TOPOLOGY_INFO, topo, &len), 0);
  CHECK_EQ(len, 32);
  CHECK_EQ(int{topo[16]}, 1);
  CHECK_EQ(int{topo[17]}, 7);
  len = 0;
  CHECK_EQ(query(*d, DRM_I915_QUERY_MEMORY_REGIONS, nullptr, &len), 0);
  CHECK_EQ(len, 104);
  len = 0;
  CHECK_EQ(query(*d, DRM_I915_QUERY_HWCONFIG_BLOB, nullptr, &len), 0);
  CHECK_EQ(len, -ENODEV);
  len = 0;
  CHECK_EQ(query(*d, 1000, nullptr, &len), 0);
  CHECK_EQ(len, -EINVAL);
  CHECK_EQ(query(*d, 0, nullptr, &len), -EINVAL);
  drm_i915_query bad{0, 1, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_QUERY, bad), -EINVAL);
  bad = {1, 0, reinterpret_cast<uint64_t>(hole)};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_QUERY, bad), -EFAULT);
}

TEST(soft_reg_read_knows_the_render_timestamp_alone) {
  auto d = open_soft();
  drm_i915_reg_read a{0x2358, 0}, b{0x2358 | I915_REG_READ_8B_WA, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_REG_READ, a), 0);
  usleep(1000);
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_REG_READ, b), 0);
  CHECK(b.val > a.val);
  for (uint64_t off : {0x2359ull + 1, 0x2350ull, 0ull, ~0ull}) {
    a.offset = off;
    CHECK_EQ(ask(*d, DRM_IOCTL_I915_REG_READ, a), -EINVAL);
  }
}

TEST(soft_syncobjs_wait_signal_and_travel) {
  auto d = open_soft();
  drm_syncobj_create c{0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_CREATE, c), 0);
  const uint32_t h = c.handle;
  c.flags = DRM_SYNCOBJ_CREATE_SIGNALED;
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_CREATE, c), 0);
  uint32_t hs[2] = {h, c.handle};
  const auto wait = [&](uint32_t n, uint32_t flags, int64_t timeout, uint32_t* first = nullptr) {
    drm_syncobj_wait w{reinterpret_cast<uint64_t>(hs), timeout, n, flags, 0, 0};
    const int err = ask(*d, DRM_IOCTL_SYNCOBJ_WAIT, w);
    if (first) *first = w.first_signaled;
    return err;
  };
  CHECK_EQ(wait(1, 0, 0), -EINVAL);  // there is no fence
  CHECK_EQ(wait(2, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL, 1),
           -ETIME);
  uint32_t first = 9;
  CHECK_EQ(wait(2, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, INT64_MAX, &first), 0);
  CHECK_EQ(first, 1u);
  CHECK_EQ(wait(0, 0, 0), -EINVAL);
  CHECK_EQ(wait(1, 8, 0), -EINVAL);
  drm_syncobj_wait many{reinterpret_cast<uint64_t>(hs), 0, ~0u, 0, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_WAIT, many), -ENOMEM);

  std::thread later([&] {
    usleep(5000);
    drm_syncobj_array a{reinterpret_cast<uint64_t>(hs), 1, 0};
    ask(*d, DRM_IOCTL_SYNCOBJ_SIGNAL, a);
  });
  const int late =
      wait(2, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, INT64_MAX);
  later.join();
  CHECK_EQ(late, 0);

  drm_syncobj_handle x{h, 0, -1, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, x), 0);
  const int fd = x.fd;
  auto other = open_soft();
  x = {0, 0, fd, 0};
  CHECK_EQ(ask(*other, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, x), 0);
  CHECK_EQ(x.handle, 1u);
  close(fd);
  x.fd = -1;
  CHECK_EQ(ask(*other, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, x), -EINVAL);
  x = {h, DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE, -1, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, x), 0);
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, x), 0);
  close(x.fd);

  uint64_t points[2] = {3, 3};
  drm_syncobj_timeline_array t{reinterpret_cast<uint64_t>(hs), reinterpret_cast<uint64_t>(points),
                               1, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, t), 0);
  points[0] = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_QUERY, t), 0);
  CHECK_EQ(points[0], 3u);
  drm_syncobj_timeline_wait tw{t.handles, t.points, 0, 1, 0, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, tw), 0);
  points[0] = 4;
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, tw), -EINVAL);

  drm_syncobj_destroy e{h, 1};
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_DESTROY, e), -EINVAL);
  e.pad = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_DESTROY, e), 0);
  CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_DESTROY, e), -EINVAL);
  CHECK_EQ(wait(1, 0, 0), -ENOENT);
}

TEST(soft_close_of_the_file_takes_everything) {
  auto d = open_soft();
  auto other = d->reopen();
  const uint32_t h = create(*d, page);
  create(*d, 100 * page);
  int fd;
  CHECK_EQ(export_fd(*d, h, 0, &fd), 0);
  CHECK_EQ(d->close(), 0);
  CHECK_EQ(d->close(), -EBADF);
  drm_i915_gem_create c{page, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), -EBADF);
  CHECK_EQ(d->mmap(0, page, PROT_READ, MAP_SHARED, 1ull << 32), -EBADF);
  CHECK_EQ(other->stats().objects, 1u);
  uint32_t imported;
  CHECK_EQ(import_fd(*other, fd, &imported), 0);
  close(fd);
  d.reset();
  CHECK_EQ(other->stats().objects, 1u);
  CHECK_EQ(close_handle(*other, imported), 0);
  CHECK_EQ(other->stats().objects, 0u);
}

TEST(soft_threads_share_a_file_and_one_closes_it) {
  auto d = open_soft();
  std::atomic<int> running{4};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      std::mt19937 r(t);
      for (;;) {
        drm_i915_gem_create c{(1 + r() % 8) * page, 0, 0};
        if (ask(*d, DRM_IOCTL_I915_GEM_CREATE, c) == -EBADF) break;
        const uint32_t v = r();
        pwrite(*d, c.handle, 0, &v, 4);
        uint64_t off;
        if (r() % 8 == 0 && !mmap_offset(*d, c.handle, r() % 4, &off)) {
          const int64_t p = d->mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, off);
          if (p > 0) unmap(*d, reinterpret_cast<void*>(p), page);
        }
        int fd;
        if (r() % 16 == 0 && !export_fd(*d, c.handle, DRM_RDWR, &fd)) {
          uint32_t h;
          import_fd(*d, fd, &h);
          close(fd);
        }
        close_handle(*d, r() % 4 ? c.handle : r() % 64);
      }
      running--;
    });
  usleep(200000);
  CHECK_EQ(d->close(), 0);
  for (auto& t : threads) t.join();
  CHECK_EQ(running.load(), 0);
  CHECK_EQ(d->stats().objects, 0u);
}

// Every ioctl, with arguments that are wrong in one word or in all of them. Pointers lead into
// `scratch`, past its end, to nothing, or beyond user space: never elsewhere (a sanitizer's shadow
// is mapped, too), since what they point at is written to.
TEST(soft_random_arguments_end_in_an_errno) {
  static constexpr unsigned long known[] = {
#define I(name, dir, nr, arg) name,
#define I0(name, nr) name,
#include "drm/uapi_ioctls.inc"
#undef I
#undef I0
  };
  auto d = open_soft({.hang_ns = 20000000});
  constexpr uint64_t scratch_size = 8 * page;
  // What runs over its end must not reach what stands behind it.
  constexpr uint64_t guard_size = 1ull << 32;
  void* guard = mmap(nullptr, scratch_size + guard_size, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(guard != MAP_FAILED);
  CHECK_EQ(mprotect(guard, scratch_size, PROT_READ | PROT_WRITE), 0);
  char* scratch = static_cast<char*>(guard);
  const uint64_t base = reinterpret_cast<uint64_t>(scratch);
  std::mt19937_64 r(1);
  const auto value = [&]() -> uint64_t {
    switch (r() % 12) {
      case 0:
      case 1:
      case 2:
        return r() % 16;
      case 3:
        return base + r() % scratch_size;
      case 4:
        return base + r() % scratch_size / page * page;
      case 5:
        return r() % 64 * page;
      case 6:
        return r() % 2 ? 1ull << r() % 30 : 1ull << (47 + r() % 17);
      case 7:
        return 0xffff800000000000 + r() % page;
      case 8:
        return ~0ull - r() % 64;
      case 9:
        return r() % 4 ? 0 : (r() % 16) << 32 | r() % 16;
      default:
        return 0;
    }
  };
  std::vector<uint64_t> answers(256);
  for (int i = 0; i < 40000; i++) {
    const bool gentle = r() % 2;
    unsigned long request = known[r() % std::size(known)];
    if (!gentle && r() % 4 == 0)
      request = drm_ioc(static_cast<Dir>(r() % 4), r() % 256, 4 * (r() % 20));
    if (!gentle && r() % 64 == 0) request = drm_ioc(Dir::RW, ioc_nr(request), r() % 0x4000);
    const unsigned nr = ioc_nr(request);
    uint64_t arg[16384 / 8 + 1];
    memset(arg, 0, sizeof(arg));
    for (size_t w = 0; w < 32 && w * 8 < ioc_size(request); w++) {
      if (gentle && r() % 3 == 0) continue;
      arg[w] = gentle ? r() % 2 ? r() % 8 : base + r() % 8 * page : value();
      if (r() % 3 == 0) arg[w] = r() % 8 << 32 | (value() & 0xffffffff);
    }
    for (char* p = scratch; p < scratch + scratch_size; p += 256)
      if (r() % 8 == 0) {
        const uint64_t v = value();
        memcpy(p + r() % 32 * 8, &v, 8);
      }
    if (gentle && nr == ioc_nr(DRM_IOCTL_I915_GEM_CREATE)) arg[0] = (1 + r() % 16) * page;
    if (gentle && nr == ioc_nr(DRM_IOCTL_I915_GEM_USERPTR)) {
      arg[0] = base + r() % 8 * page;
      arg[1] = (1 + r() % 4) * page;
      arg[2] = 0;
    }
    if (gentle && nr == ioc_nr(DRM_IOCTL_I915_GEM_EXECBUFFER2)) {
      drm_i915_gem_exec_object2 objects[2] = {};
      for (auto& o : objects) o.handle = 1 + r() % 8;
      memcpy(scratch, objects, sizeof(objects));
      drm_i915_gem_execbuffer2 eb{};
      eb.buffers_ptr = base;
      eb.buffer_count = 1 + r() % 2;
      eb.flags = r() % 4 ? r() % 5 : value();
      memcpy(arg, &eb, sizeof(eb));
    }
    if (gentle &&
        (nr >= ioc_nr(DRM_IOCTL_SYNCOBJ_WAIT) && nr <= ioc_nr(DRM_IOCTL_SYNCOBJ_SIGNAL))) {
      const uint32_t handles[2] = {static_cast<uint32_t>(1 + r() % 4), 1};
      memcpy(scratch, handles, sizeof(handles));
      arg[0] = base;
      arg[nr == ioc_nr(DRM_IOCTL_SYNCOBJ_WAIT) ? 2 : 1] = 1 + r() % 2;
    }
    // A wait for what never comes would be no error.
    if (nr == ioc_nr(DRM_IOCTL_SYNCOBJ_WAIT)) arg[1] = 0;
    if (nr == ioc_nr(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT)) arg[2] = 0;
    if (nr == ioc_nr(DRM_IOCTL_SYNCOBJ_TRANSFER))
      arg[3] &= ~uint64_t{DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT};
    if (nr == ioc_nr(DRM_IOCTL_I915_GEM_WAIT)) arg[1] = r() % 100000;
    void* where = r() % 64 ? static_cast<void*>(arg) : hole;
    const int ret = d->ioctl(request, where);
    CHECK(ret == 0 || (ret < 0 && ret >= -524));
    if (ret || where == hole) continue;
    answers[nr]++;
    // What was not written back is not an answer.
    if (std::find(std::begin(known), std::end(known), request) == std::end(known)) continue;
    if (nr == ioc_nr(DRM_IOCTL_I915_GEM_MMAP))
      unmap(*d, reinterpret_cast<void*>(arg[3]), (arg[2] + page - 1) & ~(page - 1));
    if (request == DRM_IOCTL_I915_GEM_MMAP_OFFSET) {
      const int64_t p = d->mmap(0, page, PROT_READ, MAP_SHARED, arg[1]);
      if (p > 0) unmap(*d, reinterpret_cast<void*>(p), page);
    }
    int fd = -1;
    if (nr == ioc_nr(DRM_IOCTL_PRIME_HANDLE_TO_FD) || nr == ioc_nr(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD))
      fd = static_cast<int>(arg[1]);
    if (request == DRM_IOCTL_I915_GEM_EXECBUFFER2_WR && arg[5] & I915_EXEC_FENCE_OUT)
      fd = static_cast<int>(arg[7] >> 32);
    if (fd > 2) close(fd);
  }
  // It is a test of more than the first check of each call.
  for (const unsigned long request :
       {DRM_IOCTL_I915_GEM_CREATE, DRM_IOCTL_GEM_CLOSE, DRM_IOCTL_I915_GEM_USERPTR,
        DRM_IOCTL_I915_GEM_PWRITE, DRM_IOCTL_I915_GEM_EXECBUFFER2, DRM_IOCTL_SYNCOBJ_CREATE,
        DRM_IOCTL_SYNCOBJ_WAIT, DRM_IOCTL_PRIME_HANDLE_TO_FD, DRM_IOCTL_I915_GEM_MMAP})
    CHECK(answers[ioc_nr(request)] > 0);
  d.reset();
  munmap(guard, scratch_size + guard_size);
}
