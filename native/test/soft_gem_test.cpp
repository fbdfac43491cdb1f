// SPDX-License-Identifier: MIT
// The soft device's objects: their data, mappings, PRIME, and what userptr objects are refused.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "test/soft_calls.h"

using namespace i915u;
using namespace i915u::test;

TEST(gem_handles_are_the_lowest_free) {
  auto d = open_soft();
  for (uint32_t i = 1; i <= 130; i++) CHECK_EQ(create(*d, page), i);
  CHECK_EQ(close_handle(*d, 65), 0);
  CHECK_EQ(close_handle(*d, 3), 0);
  CHECK_EQ(close_handle(*d, 3), -EINVAL);
  CHECK_EQ(close_handle(*d, 0), -EINVAL);
  CHECK_EQ(close_handle(*d, 131), -EINVAL);
  CHECK_EQ(create(*d, page), 3u);
  CHECK_EQ(create(*d, page), 65u);
  CHECK_EQ(create(*d, page), 131u);
  CHECK_EQ(d->stats().objects, 131u);
}

TEST(gem_create_rounds_up_and_has_a_limit) {
  auto d = open_soft();
  drm_i915_gem_create c{1, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), 0);
  CHECK_EQ(c.size, page);
  c.size = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), -EINVAL);
  c.size = ~0ull;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), -EINVAL);
  c.size = 1ull << 43;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), -E2BIG);
  // Larger than any memory: made, but it cannot have pages.
  c.size = (1ull << 43) - page;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), 0);
  char b;
  CHECK_EQ(pread(*d, c.handle, 0, &b, 1), -ENOMEM);
}

TEST(gem_create_ext_takes_system_memory_once) {
  auto d = open_soft();
  drm_i915_gem_memory_class_instance regions[2] = {};
  drm_i915_gem_create_ext_memory_regions ext{};
  ext.num_regions = 1;
  ext.regions = reinterpret_cast<uint64_t>(regions);
  drm_i915_gem_create_ext c{page, 0, 0, reinterpret_cast<uint64_t>(&ext)};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), 0);
  ext.num_regions = 2;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), -EINVAL);
  ext.num_regions = 1;
  regions[0].memory_class = I915_MEMORY_CLASS_DEVICE;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), -EINVAL);
  ext.base.name = 7;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), -EINVAL);
  ext.base.name = I915_GEM_CREATE_EXT_PROTECTED_CONTENT;
  ext.pad = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), -ENODEV);
  c.extensions = 16;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), -EFAULT);
  c = {page, 0, 1, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE_EXT, c), -EINVAL);
}

TEST(gem_pread_reads_what_pwrite_wrote_in_the_drivers_order_of_checks) {
  auto d = open_soft();
  const uint32_t h = create(*d, 2 * page);
  char out[64], in[64];
  memset(out, 0x5a, sizeof(out));
  CHECK_EQ(pwrite(*d, h, page - 32, out, sizeof(out)), 0);
  CHECK_EQ(pread(*d, h, page - 32, in, sizeof(in)), 0);
  CHECK(!memcmp(in, out, sizeof(in)));
  CHECK_EQ(pread(*d, h, page + 32, in, sizeof(in)), 0);
  CHECK_EQ(int{in[0]}, 0);

  CHECK_EQ(pread(*d, 99, 0, kernel, 0), 0);
  CHECK_EQ(pread(*d, 99, 0, kernel, 1), -EFAULT);
  CHECK_EQ(pread(*d, 99, 0, in, 1), -ENOENT);
  CHECK_EQ(pread(*d, h, 2 * page, in, 1), -EINVAL);
  CHECK_EQ(pread(*d, h, 2 * page - 1, in, 2), -EINVAL);
  CHECK_EQ(pread(*d, h, ~0ull, in, 2), -EINVAL);
  CHECK_EQ(pread(*d, h, 0, hole, 16), -EFAULT);
  CHECK_EQ(pwrite(*d, h, 0, hole, 16), -EFAULT);
  CHECK_EQ(pwrite(*d, 99, 0, out, 1), -ENOENT);
  CHECK_EQ(pwrite(*d, h, 1, out, 2 * page), -EINVAL);
}

TEST(gem_a_new_object_is_zero_where_an_old_one_was) {
  auto d = open_soft();
  for (const uint64_t size : {page, 3 * page, 16 * page, 300 * page}) {
    std::vector<char> b(size, 'x');
    for (int i = 0; i < 3; i++) {
      const uint32_t h = create(*d, size);
      CHECK_EQ(pread(*d, h, 0, b.data(), size), 0);
      for (char c : b) CHECK(c == 0);
      memset(b.data(), 'x', size);
      CHECK_EQ(pwrite(*d, h, 0, b.data(), size), 0);
      CHECK_EQ(close_handle(*d, h), 0);
    }
  }
}

TEST(gem_every_kind_of_mapping_shows_the_object) {
  auto d = open_soft();
  const uint32_t h = create(*d, 2 * page);
  std::vector<uint32_t*> maps;
  std::vector<uint64_t> offsets;
  for (uint64_t type = I915_MMAP_OFFSET_GTT; type <= I915_MMAP_OFFSET_UC; type++) {
    uint64_t off;
    CHECK_EQ(mmap_offset(*d, h, type, &off), 0);
    for (uint64_t other : offsets) CHECK(other != off);
    offsets.push_back(off);
    const int64_t p = d->mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, off);
    CHECK(p > 0);
    maps.push_back(reinterpret_cast<uint32_t*>(p));
  }
  drm_i915_gem_mmap m{h, 0, page, page, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), 0);
  maps[0][page / 4] = 42;
  for (uint32_t* p : maps) CHECK_EQ(p[page / 4], 42u);
  CHECK_EQ(*reinterpret_cast<uint32_t*>(m.addr_ptr), 42u);
  uint32_t v = 0;
  CHECK_EQ(pread(*d, h, page, &v, 4), 0);
  CHECK_EQ(v, 42u);
  for (uint32_t* p : maps) unmap(*d, p, 2 * page);
  unmap(*d, reinterpret_cast<void*>(m.addr_ptr), page);
}

TEST(gem_mappings_are_refused_as_the_driver_does) {
  auto d = open_soft();
  auto other = d->reopen();
  const uint32_t h = create(*d, 2 * page);
  const int rw = PROT_READ | PROT_WRITE;
  uint64_t off;
  CHECK_EQ(mmap_offset(*d, 99, I915_MMAP_OFFSET_WB, &off), -ENOENT);
  CHECK_EQ(mmap_offset(*d, h, I915_MMAP_OFFSET_FIXED, &off), -ENODEV);
  CHECK_EQ(mmap_offset(*d, 99, 5, &off), -EINVAL);
  CHECK_EQ(mmap_offset(*d, h, I915_MMAP_OFFSET_WB, &off), 0);
  CHECK_EQ(d->mmap(0, 3 * page, rw, MAP_SHARED, off), -EINVAL);
  CHECK_EQ(d->mmap(0, page, rw, MAP_SHARED, off + page), -EINVAL);
  CHECK_EQ(d->mmap(0, page, rw, MAP_SHARED, off + 1), -EINVAL);
  CHECK_EQ(d->mmap(0, 0, rw, MAP_SHARED, off), -EINVAL);
  CHECK_EQ(d->mmap(0, page, rw, MAP_SHARED, 0), -EINVAL);
  CHECK_EQ(d->mmap(0, page, rw, MAP_SHARED, ~0xfffull), -EINVAL);
  CHECK_EQ(other->mmap(0, page, rw, MAP_SHARED, off), -EACCES);
  CHECK_EQ(close_handle(*d, h), 0);
  CHECK_EQ(d->mmap(0, page, rw, MAP_SHARED, off), -EINVAL);

  drm_i915_gem_mmap m{h, 0, 0, page, 0, 2};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), -EINVAL);
  m.flags = I915_MMAP_WC;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), -ENOENT);
  m.handle = create(*d, page);
  m.offset = page;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), -EINVAL);
  m.offset = 0;
  m.size = 2 * page;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), -EINVAL);
  m.size = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), -EINVAL);
}

TEST(gem_a_mapping_keeps_its_memory_when_the_object_is_closed) {
  auto d = open_soft();
  std::vector<uint32_t*> maps;
  for (uint32_t i = 0; i < 200; i++) {  // more than are let lie before somebody looks
    const uint32_t h = create(*d, page);
    uint64_t off;
    CHECK_EQ(mmap_offset(*d, h, I915_MMAP_OFFSET_WC, &off), 0);
    const int64_t p = d->mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, off);
    CHECK(p > 0);
    *reinterpret_cast<uint32_t*>(p) = i + 1;
    CHECK_EQ(close_handle(*d, h), 0);
    if (i % 2)
      maps.push_back(reinterpret_cast<uint32_t*>(p));
    else
      unmap(*d, reinterpret_cast<void*>(p), page);
  }
  for (uint32_t i = 0; i < 400; i++) {
    const uint32_t h = create(*d, page);
    uint32_t v = 1;
    CHECK_EQ(pread(*d, h, 0, &v, 4), 0);
    CHECK_EQ(v, 0u);
    v = 0xdead;
    CHECK_EQ(pwrite(*d, h, 0, &v, 4), 0);
  }
  for (uint32_t i = 0; i < maps.size(); i++) {
    CHECK_EQ(*maps[i], 2 * i + 2);
    unmap(*d, maps[i], page);
  }
}

TEST(gem_prime_gives_one_handle_an_object_and_file) {
  auto d = open_soft();
  auto other = d->reopen();
  const uint32_t h = create(*d, 8 * page);
  uint64_t off;
  CHECK_EQ(mmap_offset(*d, h, I915_MMAP_OFFSET_WB, &off), 0);
  const int rw = PROT_READ | PROT_WRITE;
  auto* before = reinterpret_cast<uint32_t*>(d->mmap(0, 8 * page, rw, MAP_SHARED, off));
  before[5 * 1024] = 7;

  int fd, fd2;
  CHECK_EQ(export_fd(*d, h, 4, &fd), -EINVAL);
  CHECK_EQ(export_fd(*d, 99, 0, &fd), -ENOENT);
  CHECK_EQ(export_fd(*d, h, DRM_CLOEXEC | DRM_RDWR, &fd), 0);
  CHECK_EQ(export_fd(*d, h, DRM_CLOEXEC, &fd2), 0);
  CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  uint32_t again, theirs, theirs2;
  CHECK_EQ(import_fd(*d, fd2, &again), 0);
  CHECK_EQ(again, h);
  create(*other, page);
  CHECK_EQ(import_fd(*other, fd, &theirs), 0);
  CHECK_EQ(theirs, 2u);
  CHECK_EQ(import_fd(*other, fd2, &theirs2), 0);
  CHECK_EQ(theirs2, theirs);

  // Old mappings, new ones, the descriptor's and both files see one memory.
  auto* direct = static_cast<uint32_t*>(mmap(nullptr, 8 * page, rw, MAP_SHARED, fd, 0));
  CHECK(direct != MAP_FAILED);
  CHECK_EQ(direct[5 * 1024], 7u);
  before[0] = 8;
  CHECK_EQ(direct[0], 8u);
  uint32_t v;
  CHECK_EQ(pread(*other, theirs, 0, &v, 4), 0);
  CHECK_EQ(v, 8u);
  v = 9;
  CHECK_EQ(pwrite(*other, theirs, 4 * page, &v, 4), 0);
  CHECK_EQ(before[4 * 1024], 9u);
  auto* after = reinterpret_cast<uint32_t*>(d->mmap(0, 8 * page, rw, MAP_SHARED, off));
  CHECK_EQ(after[4 * 1024], 9u);
  CHECK_EQ(ftruncate(fd, 0), -1);

  // It lives while a handle or a descriptor does, and a mapping is as good as a descriptor.
  CHECK_EQ(close_handle(*d, h), 0);
  CHECK_EQ(close_handle(*other, theirs), 0);
  CHECK_EQ(d->stats().objects, 2u);
  close(fd2);
  close(fd);
  CHECK_EQ(d->stats().objects, 2u);
  munmap(direct, 8 * page);
  CHECK_EQ(d->stats().objects, 1u);
  CHECK_EQ(after[4 * 1024], 9u);
  unmap(*d, before, 8 * page);
  unmap(*d, after, 8 * page);

  // Another handle then.
  CHECK_EQ(create(*d, page), 1u);
}

TEST(gem_prime_refuses_foreign_descriptors) {
  auto d = open_soft();
  uint32_t h;
  CHECK_EQ(import_fd(*d, -1, &h), -EBADF);
  const int fd = memfd_create("foreign", MFD_CLOEXEC);
  CHECK_EQ(import_fd(*d, fd, &h), -EINVAL);
  close(fd);
}

TEST(gem_userptr_objects_are_refused_what_they_cannot_do) {
  auto d = open_soft();
  char* p = map_pages(2);
  uint32_t h;
  CHECK_EQ(userptr(*d, p, 2 * page, &h), 0);
  char b;
  CHECK_EQ(pread(*d, h, 0, &b, 1), -EINVAL);
  CHECK_EQ(pwrite(*d, h, 0, &b, 1), -EINVAL);
  uint64_t off;
  for (uint64_t type = I915_MMAP_OFFSET_GTT; type <= I915_MMAP_OFFSET_FIXED; type++)
    CHECK_EQ(mmap_offset(*d, h, type, &off), -ENODEV);
  drm_i915_gem_mmap m{h, 0, 0, page, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MMAP, m), -ENXIO);
  int fd;
  CHECK_EQ(export_fd(*d, h, 0, &fd), -EINVAL);
  drm_i915_gem_set_tiling t{h, I915_TILING_X, 512, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_TILING, t), -ENXIO);
  drm_i915_gem_get_tiling gt{h, 9, 9, 9};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_GET_TILING, gt), 0);
  CHECK_EQ(gt.tiling_mode, I915_TILING_NONE);
  drm_i915_gem_caching c{h, I915_CACHING_NONE};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_CACHING, c), -ENXIO);
  c.caching = I915_CACHING_CACHED;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_CACHING, c), 0);
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_GET_CACHING, c), 0);
  CHECK_EQ(c.caching, I915_CACHING_CACHED);
  drm_i915_gem_sw_finish f{h};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SW_FINISH, f), 0);
  // SET_DOMAIN is how a user asks whether the pages are there.
  drm_i915_gem_set_domain s{h, I915_GEM_DOMAIN_CPU, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), 0);
  unmap(*d, p, 2 * page);
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), -EFAULT);
  CHECK_EQ(close_handle(*d, h), 0);
}

TEST(gem_userptr_over_a_device_mapping_has_no_pages) {
  auto d = open_soft();
  const uint32_t o = create(*d, page);
  uint64_t off;
  CHECK_EQ(mmap_offset(*d, o, I915_MMAP_OFFSET_WB, &off), 0);
  const int64_t p = d->mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, off);
  CHECK(p > 0);
  uint32_t h;
  CHECK_EQ(userptr(*d, reinterpret_cast<void*>(p), page, &h), 0);
  drm_i915_gem_set_domain s{h, I915_GEM_DOMAIN_CPU, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), -EFAULT);
  unmap(*d, reinterpret_cast<void*>(p), page);
}

TEST(gem_set_domain_checks_before_it_looks_the_handle_up) {
  auto d = open_soft();
  drm_i915_gem_set_domain s{99, I915_GEM_DOMAIN_RENDER, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), -EINVAL);
  s = {99, I915_GEM_DOMAIN_CPU, I915_GEM_DOMAIN_GTT};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), -EINVAL);
  s = {99, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), 0);
  s = {99, I915_GEM_DOMAIN_CPU, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), -ENOENT);
  s = {create(*d, page), I915_GEM_DOMAIN_GTT, I915_GEM_DOMAIN_GTT};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_DOMAIN, s), 0);
}

TEST(gem_madvise_drops_what_has_no_pages) {
  auto d = open_soft();
  const uint32_t h = create(*d, page);
  uint32_t v = 5;
  drm_i915_gem_madvise m{h, 2, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MADVISE, m), -EINVAL);
  m = {99, I915_MADV_DONTNEED, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MADVISE, m), -ENOENT);
  // With pages it is kept until somebody needs the memory.
  CHECK_EQ(pwrite(*d, h, 0, &v, 4), 0);
  CHECK_EQ(pread(*d, h, 0, &v, 4), 0);
  m.handle = h;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MADVISE, m), 0);
  CHECK_EQ(m.retained, 1u);
  m.madv = I915_MADV_WILLNEED;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MADVISE, m), 0);
  CHECK_EQ(m.retained, 1u);
  // Without it is gone at once, for good.
  const uint32_t g = create(*d, page);
  m = {g, I915_MADV_DONTNEED, 1};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MADVISE, m), 0);
  CHECK_EQ(m.retained, 0u);
  m.madv = I915_MADV_WILLNEED;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_MADVISE, m), 0);
  CHECK_EQ(m.retained, 0u);
  CHECK_EQ(pread(*d, g, 0, &v, 4), -EFAULT);
  CHECK_EQ(pwrite(*d, g, 0, &v, 4), -EFAULT);
}

TEST(gem_caching_and_tiling_are_kept) {
  auto d = open_soft();
  const uint32_t h = create(*d, 16 * page);
  drm_i915_gem_caching c{h, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_GET_CACHING, c), 0);
  CHECK_EQ(c.caching, I915_CACHING_CACHED);
  c.caching = I915_CACHING_DISPLAY;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_CACHING, c), 0);
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_GET_CACHING, c), 0);
  CHECK_EQ(c.caching, I915_CACHING_NONE);
  c = {99, 3};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_CACHING, c), -EINVAL);
  c.caching = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_SET_CACHING, c), -ENOENT);

  const auto tile = [&](uint32_t mode, uint32_t stride) {
    drm_i915_gem_set_tiling t{h, mode, stride, 0};
    return ask(*d, DRM_IOCTL_I915_GEM_SET_TILING, t);
  };
  CHECK_EQ(tile(I915_TILING_X, 512), 0);
  drm_i915_gem_get_tiling g{h, 0, 0, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_GET_TILING, g), 0);
  CHECK_EQ(g.tiling_mode, I915_TILING_X);
  CHECK_EQ(tile(I915_TILING_X, 128), -EINVAL);
  CHECK_EQ(tile(I915_TILING_Y, 128), 0);
  CHECK_EQ(tile(I915_TILING_Y, 0), -EINVAL);
  CHECK_EQ(tile(I915_TILING_X, 0x801 * 128 + 384), -EINVAL);
  CHECK_EQ(tile(3, 512), -EINVAL);
  CHECK_EQ(tile(I915_TILING_NONE, 77), 0);
}

TEST(gem_wait_and_busy_of_an_idle_object) {
  auto d = open_soft();
  const uint32_t h = create(*d, page);
  drm_i915_gem_busy b{h, 9};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_BUSY, b), 0);
  CHECK_EQ(b.busy, 0u);
  b.handle = 99;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_BUSY, b), -ENOENT);
  for (int64_t timeout : {int64_t{-1}, int64_t{0}, int64_t{1000000}, INT64_MAX}) {
    drm_i915_gem_wait w{h, 0, timeout};
    CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_WAIT, w), 0);
    CHECK(timeout <= 0 ? w.timeout_ns == timeout : w.timeout_ns > 0 && w.timeout_ns <= timeout);
  }
  drm_i915_gem_wait w{99, 1, 0};
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_WAIT, w), -EINVAL);
  w.flags = 0;
  CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_WAIT, w), -ENOENT);
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_GEM_THROTTLE, nullptr), 0);
}

TEST(gem_leak_fault_shows_in_the_counters) {
  auto d = open_soft({.faults = fault_leak_object});
  const uint32_t h = create(*d, page);
  uint32_t v = 1;
  CHECK_EQ(pwrite(*d, h, 0, &v, 4), 0);
  CHECK_EQ(close_handle(*d, h), 0);
  CHECK_EQ(d->stats().objects, 1u);
  CHECK_EQ(d->stats().object_bytes, page);
}
