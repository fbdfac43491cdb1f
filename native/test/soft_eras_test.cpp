// SPDX-License-Identifier: MIT
// The software device as later kernels. That each is as its kernel in everything else is shown by
// i915-userptr match.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>

#include "soft/eras.h"
#include "soft/ioctls.h"
#include "test/soft_calls.h"

namespace i915u::test {

namespace {

std::unique_ptr<SoftDevice> as(const char* kernel) {
  SoftOptions o;
  o.kernel = kernel;
  return open_soft(o);
}

constexpr unsigned long EVENTFD = drm_ioc(Dir::RW, 0xcf, sizeof(syncobj_eventfd));
constexpr unsigned long CLIENT_NAME = drm_ioc(Dir::RW, 0xd1, sizeof(set_client_name));
constexpr unsigned long HANDLE_TO_FD = drm_ioc(Dir::RW, 0xc1, sizeof(syncobj_handle_point));
constexpr unsigned long FD_TO_HANDLE = drm_ioc(Dir::RW, 0xc2, sizeof(syncobj_handle_point));

uint32_t make_syncobj(SoftDevice& d, uint32_t flags = 0) {
  drm_syncobj_create c{0, flags};
  CHECK_EQ(ask(d, DRM_IOCTL_SYNCOBJ_CREATE, c), 0);
  return c.handle;
}
int set_point(SoftDevice& d, uint32_t handle, uint64_t point) {
  drm_syncobj_timeline_array a{reinterpret_cast<uint64_t>(&handle),
                               reinterpret_cast<uint64_t>(&point), 1, 0};
  return ask(d, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, a);
}
uint64_t point_of(SoftDevice& d, uint32_t handle) {
  uint64_t point = 0;
  drm_syncobj_timeline_array a{reinterpret_cast<uint64_t>(&handle),
                               reinterpret_cast<uint64_t>(&point), 1, 0};
  CHECK_EQ(ask(d, DRM_IOCTL_SYNCOBJ_QUERY, a), 0);
  return point;
}
bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

}  // namespace

TEST(the_table_of_eras_is_in_order_and_says_where_each_change_is_from) {
  int n = 0;
  for (const EraRow& row : era_table) {
    CHECK_EQ(static_cast<int>(row.change), ++n);
    CHECK(row.since > era_kernels[0]);
    CHECK(!has_change(era_kernels[0], row.change));
    CHECK(has_change(row.since, row.change));
    CHECK(*row.name && *row.source && *row.what);
  }
  for (const Version& v : era_kernels) CHECK(has_change(v, Change::always));
}

TEST(a_kernel_that_the_model_is_not_is_refused_and_each_has_its_strategy) {
  for (const char* unknown : {"", "6", "6.2", "6.1.0", "7.2 ", "06.1"}) {
    SoftOptions o;
    o.kernel = unknown;
    int err = 0;
    CHECK(!SoftDevice::open(o, &err));
    CHECK_EQ(err, -EINVAL);
  }
  CHECK_EQ(as("6.1")->options().strategy, "interval");
  CHECK_EQ(as("6.12")->options().strategy, "interval-nowait");
  SoftOptions o;
  o.kernel = "7.3";
  o.strategy = "rwsem";
  CHECK_EQ(open_soft(o)->options().strategy, "rwsem");
}

TEST(later_kernels_tell_of_what_is_new) {
  int value = 0;
  for (const int param : {57, 58, 59}) CHECK_EQ(getparam(*as("6.1"), param, &value), -EINVAL);
  CHECK_EQ(getparam(*as("6.12"), 57, &value), 0);
  CHECK_EQ(value, 12000000);
  CHECK_EQ(getparam(*as("6.12"), 58, &value), -ENODEV);
  CHECK_EQ(getparam(*as("6.12"), 59, &value), 0);
  CHECK_EQ(value, -EINVAL);
  CHECK_EQ(getparam(*as("6.12"), I915_PARAM_MMAP_GTT_VERSION, &value), 0);
  CHECK_EQ(value, 5);
  int32_t length = 0;
  CHECK_EQ(query(*as("6.1"), 7, nullptr, &length), 0);
  CHECK_EQ(length, -EINVAL);
  length = 0;
  CHECK_EQ(query(*as("6.12"), 7, nullptr, &length), 0);
  CHECK_EQ(length, -ENODEV);
  for (const char* kernel : {"6.1", "6.12"}) {
    char date[16] = {};
    drm_version v{};
    v.date = date;
    v.date_len = sizeof(date);
    CHECK_EQ(ask(*as(kernel), DRM_IOCTL_VERSION, v), 0);
    CHECK_EQ(std::string(date), strcmp(kernel, "6.1") ? "0" : "20201103");
  }
}

TEST(ioctls_come_and_go) {
  const auto none = [](const char* kernel, unsigned nr) {
    uint64_t zero[8] = {};
    return as(kernel)->ioctl(drm_ioc(Dir::RW, nr, sizeof(zero)), zero);
  };
  for (const unsigned legacy : {0x03u, 0x20u, 0x39u}) {
    CHECK_EQ(none("6.1", legacy), -EACCES);
    CHECK_EQ(none("6.12", legacy), -EINVAL);
  }
  CHECK_EQ(none("6.1", 0xd0), -EINVAL);
  CHECK_EQ(none("6.12", 0xd0), -EACCES);
  CHECK_EQ(none("6.1", 0xcf), -EINVAL);
  CHECK_EQ(none("6.12", 0xcf), -ENOENT);
  CHECK_EQ(none("6.12", 0xd1), -EINVAL);
  CHECK_EQ(none("7.2", 0xd1), 0);
}

TEST(a_client_has_a_name_of_graphic_characters) {
  const auto d = as("7.2");
  const auto name = [&](const std::string& s) {
    set_client_name n{s.size(), reinterpret_cast<uint64_t>(s.data())};
    return ask(*d, CLIENT_NAME, n);
  };
  CHECK_EQ(name("~!"), 0);
  CHECK_EQ(name(std::string(64, 'a')), 0);
  CHECK_EQ(name(std::string(65, 'a')), -EINVAL);
  CHECK_EQ(name("a b"), -EINVAL);
  CHECK_EQ(name(std::string("a\0", 2)), -EINVAL);
  CHECK_EQ(name("\xff"), -EINVAL);
  set_client_name bad{4, page / 2};
  CHECK_EQ(ask(*d, CLIENT_NAME, bad), -EFAULT);
}

TEST(an_eventfd_is_told_of_a_point_that_is_there_or_comes) {
  const auto d = as("6.12");
  const uint32_t handle = make_syncobj(*d);
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const auto tell = [&](uint64_t point, int to, uint32_t flags = 0) {
    syncobj_eventfd e{handle, flags, point, to, 0};
    return ask(*d, EVENTFD, e);
  };
  CHECK_EQ(tell(0, 1 << 20), -EBADF);
  CHECK_EQ(tell(0, STDERR_FILENO), -EINVAL);
  CHECK_EQ(tell(0, fd, 1), -EINVAL);
  CHECK_EQ(tell(5, fd), 0);
  CHECK(!readable(fd));
  CHECK_EQ(set_point(*d, handle, 4), 0);
  CHECK(!readable(fd));
  CHECK_EQ(set_point(*d, handle, 6), 0);
  uint64_t n = 0;
  CHECK_EQ(read(fd, &n, sizeof(n)), 8);
  CHECK_EQ(n, 1u);
  CHECK_EQ(tell(6, fd), 0);
  CHECK_EQ(tell(6, fd, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE), 0);
  CHECK_EQ(read(fd, &n, sizeof(n)), 8);
  CHECK_EQ(n, 2u);
  close(fd);
}

TEST(a_sync_file_is_of_a_point_and_becomes_one) {
  constexpr uint32_t sync_file = 1, timeline = 2;
  const auto d = as("7.2");
  const uint32_t from = make_syncobj(*d), to = make_syncobj(*d);
  CHECK_EQ(set_point(*d, from, 5), 0);
  syncobj_handle_point h{from, sync_file | timeline, 0, 0, 6};
  CHECK_EQ(ask(*d, HANDLE_TO_FD, h), -EINVAL);
  h.point = 5;
  CHECK_EQ(ask(*d, HANDLE_TO_FD, h), 0);
  syncobj_handle_point in{to, sync_file | timeline, h.fd, 0, 7};
  CHECK_EQ(ask(*d, FD_TO_HANDLE, in), 0);
  CHECK_EQ(point_of(*d, to), 7u);
  in.flags = 0;
  CHECK_EQ(ask(*d, FD_TO_HANDLE, in), -EINVAL);  // a point of nothing
  close(h.fd);
  const auto old = as("6.12");
  syncobj_handle_point refused{make_syncobj(*old, 1), sync_file | timeline, 0, 0, 0};
  CHECK_EQ(ask(*old, HANDLE_TO_FD, refused), -EINVAL);
  syncobj_handle_point unseen{refused.handle, 0, 0, 0, 1};
  CHECK_EQ(ask(*old, HANDLE_TO_FD, unseen), 0);
  close(unseen.fd);
}

TEST(a_wait_for_no_syncobj_is_over_since_waits_have_a_deadline) {
  for (const char* kernel : {"6.1", "6.12"}) {
    const auto d = as(kernel);
    const bool late = strcmp(kernel, "6.1") != 0;
    drm_syncobj_wait w{};
    w.first_signaled = 77;
    CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_WAIT, w), late ? 0 : -EINVAL);
    CHECK_EQ(w.first_signaled, 77u);
    const uint32_t handle = make_syncobj(*d, DRM_SYNCOBJ_CREATE_SIGNALED);
    w = {};
    w.handles = reinterpret_cast<uint64_t>(&handle);
    w.count_handles = 1;
    w.flags = 1u << 3;
    CHECK_EQ(ask(*d, DRM_IOCTL_SYNCOBJ_WAIT, w), late ? 0 : -EINVAL);
  }
}

//  |     object      |
//       |  mapped  |
TEST(a_mapping_may_start_within_an_object) {
  for (const char* kernel : {"6.1", "6.12"}) {
    const auto d = as(kernel);
    const uint32_t handle = create(*d, 3 * page);
    uint64_t offset;
    CHECK_EQ(mmap_offset(*d, handle, I915_MMAP_OFFSET_WB, &offset), 0);
    const uint32_t five = 5;
    CHECK_EQ(pwrite(*d, handle, 2 * page, &five, 4), 0);
    const auto map = [&](uint64_t from, uint64_t pages) {
      return d->mmap(0, pages * page, PROT_READ, MAP_SHARED, offset + from * page);
    };
    CHECK_EQ(map(1, 3), -EINVAL);
    CHECK_EQ(map(3, 1), -EINVAL);
    const int64_t at = map(1, 2);
    if (!strcmp(kernel, "6.1")) {
      CHECK_EQ(at, -EINVAL);
      continue;
    }
    CHECK(at > 0);
    const char* p = reinterpret_cast<const char*>(at);
    CHECK_EQ(p[page], 5);
    unmap(*d, p, 2 * page);
  }
}

TEST(an_object_may_be_longer_than_an_int_counts_pages) {
  const uint64_t long_size = (uint64_t{1} << 31) * page;
  for (const char* kernel : {"6.1", "6.12"}) {
    const auto d = as(kernel);
    const bool late = strcmp(kernel, "6.1") != 0;
    uint32_t handle;
    CHECK_EQ(userptr(*d, reinterpret_cast<void*>(0x10000), long_size, &handle), late ? 0 : -E2BIG);
    drm_i915_gem_create c{2 * long_size, 0, 0};
    CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), late ? 0 : -E2BIG);
    if (!late) continue;
    uint32_t word;
    CHECK_EQ(pread(*d, c.handle, 0, &word, 4), -E2BIG);
    c = {1ull << 63, 0, 0};
    CHECK_EQ(ask(*d, DRM_IOCTL_I915_GEM_CREATE, c), -E2BIG);
  }
}

TEST(small_breaks_are_seen) {
  const auto broken = [](uint32_t faults) {
    SoftOptions o;
    o.faults = faults;
    return open_soft(o);
  };
  CHECK_EQ(close_handle(*broken(0), 77), -EINVAL);
  CHECK_EQ(close_handle(*broken(fault_wrong_errno), 77), -ENOENT);
  drm_i915_gem_userptr u{reinterpret_cast<uint64_t>(kernel), page, 0x40, 0};
  CHECK_EQ(ask(*broken(0), DRM_IOCTL_I915_GEM_USERPTR, u), -EINVAL);
  CHECK_EQ(ask(*broken(fault_check_order), DRM_IOCTL_I915_GEM_USERPTR, u), -EFAULT);
}

}  // namespace i915u::test
