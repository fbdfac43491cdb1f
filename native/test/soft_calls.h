// SPDX-License-Identifier: MIT
// The soft device's calls as its tests make them.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <string>

#include "drm/uapi.h"
#include "soft/device.h"
#include "test/harness.h"

namespace i915u::test {

using namespace i915u::soft;
using namespace i915u::uapi;

inline constexpr uint64_t page = 4096;
// No mapping is ever there: below mmap_min_addr, and beyond user space.
inline void* const hole = reinterpret_cast<void*>(page / 2);
inline void* const kernel = reinterpret_cast<void*>(0xffff800000000000);

inline std::unique_ptr<SoftDevice> open_soft(SoftOptions o = {}) {
  int err = 0;
  auto d = SoftDevice::open(o, &err);
  if (!d) test::fail(__FILE__, __LINE__, "open: " + std::to_string(err));
  return d;
}

template <class T>
inline int ask(SoftDevice& d, unsigned long request, T& arg) {
  return d.ioctl(request, &arg);
}

inline uint32_t create(SoftDevice& d, uint64_t size) {
  drm_i915_gem_create c{size, 0, 0};
  CHECK_EQ(ask(d, DRM_IOCTL_I915_GEM_CREATE, c), 0);
  return c.handle;
}
inline int close_handle(SoftDevice& d, uint32_t handle) {
  drm_gem_close c{handle, 0};
  return ask(d, DRM_IOCTL_GEM_CLOSE, c);
}
inline int pread(SoftDevice& d, uint32_t h, uint64_t off, void* to, uint64_t size) {
  drm_i915_gem_pread p{h, 0, off, size, reinterpret_cast<uint64_t>(to)};
  return ask(d, DRM_IOCTL_I915_GEM_PREAD, p);
}
inline int pwrite(SoftDevice& d, uint32_t h, uint64_t off, const void* from, uint64_t size) {
  drm_i915_gem_pwrite p{h, 0, off, size, reinterpret_cast<uint64_t>(from)};
  return ask(d, DRM_IOCTL_I915_GEM_PWRITE, p);
}
inline int mmap_offset(SoftDevice& d, uint32_t h, uint64_t type, uint64_t* offset) {
  drm_i915_gem_mmap_offset m{h, 0, 0, type, 0};
  const int err = ask(d, DRM_IOCTL_I915_GEM_MMAP_OFFSET, m);
  *offset = m.offset;
  return err;
}
// An anonymous page of this process.
inline char* map_pages(uint64_t n = 1) {
  void* p = mmap(nullptr, n * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  return static_cast<char*>(p);
}
// What the device mapped is unmapped through the software mm, which else goes on refusing pages
// there.
inline void unmap(SoftDevice& d, const void* p, uint64_t len) {
  CHECK_EQ(d.memory().munmap(reinterpret_cast<uint64_t>(p), len), 0);
}
inline int userptr(SoftDevice& d, void* p, uint64_t size, uint32_t* handle) {
  drm_i915_gem_userptr u{reinterpret_cast<uint64_t>(p), size, 0, 0};
  const int err = ask(d, DRM_IOCTL_I915_GEM_USERPTR, u);
  *handle = u.handle;
  return err;
}
inline int getparam(SoftDevice& d, int32_t param, int* value) {
  drm_i915_getparam g{param, value};
  return ask(d, DRM_IOCTL_I915_GETPARAM, g);
}
inline int query(SoftDevice& d, uint64_t id, void* data, int32_t* length, uint32_t flags = 0) {
  drm_i915_query_item item{id, *length, flags, reinterpret_cast<uint64_t>(data)};
  drm_i915_query q{1, 0, reinterpret_cast<uint64_t>(&item)};
  const int err = ask(d, DRM_IOCTL_I915_QUERY, q);
  *length = item.length;
  return err;
}
inline int export_fd(SoftDevice& d, uint32_t h, uint32_t flags, int* fd) {
  drm_prime_handle p{h, flags, -1};
  const int err = ask(d, DRM_IOCTL_PRIME_HANDLE_TO_FD, p);
  *fd = p.fd;
  return err;
}
inline int import_fd(SoftDevice& d, int fd, uint32_t* h) {
  drm_prime_handle p{0, 0, fd};
  const int err = ask(d, DRM_IOCTL_PRIME_FD_TO_HANDLE, p);
  *h = p.handle;
  return err;
}

}  // namespace i915u::test
