// SPDX-License-Identifier: MIT
// The soft device's ioctl surface but execbuf: dispatch, parameters, objects, mappings, PRIME,
// syncobjs, and what random arguments do to it.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "drm/uapi.h"
#include "soft/device.h"
#include "soft/mm/address_space.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::soft;
using namespace i915u::uapi;

namespace {

constexpr uint64_t page = 4096;
// No mapping is ever there: below mmap_min_addr, and beyond user space.
void* const hole = reinterpret_cast<void*>(page / 2);
void* const kernel = reinterpret_cast<void*>(0xffff800000000000);

std::unique_ptr<SoftDevice> open_soft(SoftOptions o = {}) {
  int err = 0;
  auto d = SoftDevice::open(o, &err);
  if (!d) test::fail(__FILE__, __LINE__, "open: " + std::to_string(err));
  return d;
}

template <class T>
int ask(SoftDevice& d, unsigned long request, T& arg) {
  return d.ioctl(request, &arg);
}

uint32_t create(SoftDevice& d, uint64_t size) {
  drm_i915_gem_create c{size, 0, 0};
  CHECK_EQ(ask(d, DRM_IOCTL_I915_GEM_CREATE, c), 0);
  return c.handle;
}
int close_handle(SoftDevice& d, uint32_t handle) {
  drm_gem_close c{handle, 0};
  return ask(d, DRM_IOCTL_GEM_CLOSE, c);
}
int pread(SoftDevice& d, uint32_t h, uint64_t off, void* to, uint64_t size) {
  drm_i915_gem_pread p{h, 0, off, size, reinterpret_cast<uint64_t>(to)};
  return ask(d, DRM_IOCTL_I915_GEM_PREAD, p);
}
int pwrite(SoftDevice& d, uint32_t h, uint64_t off, const void* from, uint64_t size) {
  drm_i915_gem_pwrite p{h, 0, off, size, reinterpret_cast<uint64_t>(from)};
  return ask(d, DRM_IOCTL_I915_GEM_PWRITE, p);
}
int mmap_offset(SoftDevice& d, uint32_t h, uint64_t type, uint64_t* offset) {
  drm_i915_gem_mmap_offset m{h, 0, 0, type, 0};
  const int err = ask(d, DRM_IOCTL_I915_GEM_MMAP_OFFSET, m);
  *offset = m.offset;
  return err;
}
// An anonymous page of this process.
char* map_pages(uint64_t n = 1) {
  void* p = mmap(nullptr, n * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  return static_cast<char*>(p);
}
// What the device mapped is unmapped through the software mm, which else goes on refusing pages there.
void unmap(SoftDevice& d, const void* p, uint64_t len) {
  CHECK_EQ(d.memory().munmap(reinterpret_cast<uint64_t>(p), len), 0);
}
int userptr(SoftDevice& d, void* p, uint64_t size, uint32_t* handle) {
  drm_i915_gem_userptr u{reinterpret_cast<uint64_t>(p), size, 0, 0};
  const int err = ask(d, DRM_IOCTL_I915_GEM_USERPTR, u);
  *handle = u.handle;
  return err;
}
int getparam(SoftDevice& d, int32_t param, int* value) {
  drm_i915_getparam g{param, value};
  return ask(d, DRM_IOCTL_I915_GETPARAM, g);
}
int query(SoftDevice& d, uint64_t id, void* data, int32_t* length, uint32_t flags = 0) {
  drm_i915_query_item item{id, *length, flags, reinterpret_cast<uint64_t>(data)};
  drm_i915_query q{1, 0, reinterpret_cast<uint64_t>(&item)};
  const int err = ask(d, DRM_IOCTL_I915_QUERY, q);
  *length = item.length;
  return err;
}
int export_fd(SoftDevice& d, uint32_t h, uint32_t flags, int* fd) {
  drm_prime_handle p{h, flags, -1};
  const int err = ask(d, DRM_IOCTL_PRIME_HANDLE_TO_FD, p);
  *fd = p.fd;
  return err;
}
int import_fd(SoftDevice& d, int fd, uint32_t* h) {
  drm_prime_handle p{0, 0, fd};
  const int err = ask(d, DRM_IOCTL_PRIME_FD_TO_HANDLE, p);
  *h = p.handle;
  return err;
}

}  // namespace

TEST(gem_open_refuses_an_unknown_strategy) {
  int err = 0;
  CHECK(!SoftDevice::open({.strategy = "no such"}, &err));
  CHECK_EQ(err, -EINVAL);
}

TEST(gem_version_is_i915_and_text_is_cut_to_the_buffer) {
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

TEST(gem_dispatch_follows_drm_ioctl) {
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
  CHECK_EQ(d->ioctl(DRM_IOCTL_I915_PERF_OPEN, arg), -524);
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

TEST(gem_every_getparam_of_6_1_answers_as_skylake) {
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

TEST(gem_query_tells_the_length_first) {
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

TEST(gem_reg_read_knows_the_render_timestamp_alone) {
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

TEST(gem_syncobjs_wait_signal_and_travel) {
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

TEST(gem_close_of_the_file_takes_everything) {
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

TEST(gem_leak_fault_shows_in_the_counters) {
  auto d = open_soft({.faults = fault_leak_object});
  const uint32_t h = create(*d, page);
  uint32_t v = 1;
  CHECK_EQ(pwrite(*d, h, 0, &v, 4), 0);
  CHECK_EQ(close_handle(*d, h), 0);
  CHECK_EQ(d->stats().objects, 1u);
  CHECK_EQ(d->stats().object_bytes, page);
}

TEST(gem_threads_share_a_file_and_one_closes_it) {
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

// Every ioctl with arguments that are mostly wrong. Pointers lead into `scratch`, past its end, to
// nothing, or beyond user space: never elsewhere (a sanitizer's shadow is mapped, too), since what
// they point at is written to.
TEST(gem_random_arguments_end_in_an_errno) {
  auto d = open_soft({.hang_ns = 20000000});
  constexpr uint64_t scratch_size = 8 * page;
  char* scratch = map_pages(scratch_size / page);
  const uint64_t base = reinterpret_cast<uint64_t>(scratch);
  std::mt19937_64 r(1);
  std::vector<int> fds;
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
  uint64_t answers = 0;
  for (int i = 0; i < 40000; i++) {
    const bool core = r() % 4 == 0;
    const unsigned nr = core ? 0x100 - 0x40 + r() % 0x10 : 0x40 + r() % 0x3e;
    const unsigned number = r() % 16 ? nr : r() % 256;
    size_t size = 4 * (1 + r() % 20);
    if (r() % 64 == 0) size = r() % 0x4000;
    uint64_t arg[16384 / 8 + 1];
    memset(arg, 0, size + 8);
    for (size_t w = 0; w < size / 8 + 1 && w < 32; w++) {
      arg[w] = value();
      if (r() % 3 == 0) arg[w] = r() % 16 << 32 | (value() & 0xffffffff);
    }
    for (char* p = scratch; p < scratch + scratch_size; p += 256)
      if (r() % 8 == 0) {
        const uint64_t v = value();
        memcpy(p + r() % 32 * 8, &v, 8);
      }
    // A wait for what never comes would be no error.
    if (number == ioc_nr(DRM_IOCTL_SYNCOBJ_WAIT)) arg[1] = 0;
    if (number == ioc_nr(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT)) arg[2] = 0;
    if (number == ioc_nr(DRM_IOCTL_SYNCOBJ_TRANSFER)) arg[3] &= ~2ull, arg[4] = 0;
    if (number == ioc_nr(DRM_IOCTL_SYNCOBJ_TRANSFER) && size > 32) arg[4] = 0;
    if (number == ioc_nr(DRM_IOCTL_I915_GEM_WAIT)) arg[1] = r() % 100000;
    void* where = r() % 64 ? static_cast<void*>(arg) : hole;
    const int ret = d->ioctl(drm_ioc(static_cast<Dir>(r() % 8 ? 3 : r() % 4), number, size), where);
    CHECK(ret == 0 || (ret < 0 && ret >= -524));
    answers += ret == 0;
    if (ret || where == hole) continue;
    if (number == ioc_nr(DRM_IOCTL_I915_GEM_MMAP) && size >= 40 && arg[3])
      unmap(*d, reinterpret_cast<void*>(arg[3]), (arg[2] + page - 1) & ~(page - 1));
    if (number == ioc_nr(DRM_IOCTL_I915_GEM_MMAP_OFFSET)) {
      const int64_t p = d->mmap(0, page, PROT_READ, MAP_SHARED, arg[1]);
      if (p > 0) unmap(*d, reinterpret_cast<void*>(p), page);
    }
    int fd = -1;
    if (number == ioc_nr(DRM_IOCTL_PRIME_HANDLE_TO_FD) ||
        number == ioc_nr(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD))
      fd = static_cast<int>(arg[1]);
    if (number == ioc_nr(DRM_IOCTL_I915_GEM_EXECBUFFER2_WR) && arg[5] & I915_EXEC_FENCE_OUT)
      fd = static_cast<int>(arg[7] >> 32);
    if (fd > 2) close(fd);
  }
  CHECK(answers > 1000);
  d.reset();
  munmap(scratch, scratch_size);
}
