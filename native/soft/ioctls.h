// SPDX-License-Identifier: MIT
// The ioctls that are no context's and no execbuf's. Each gets its struct copied in and zero-
// extended, and what it leaves there is copied out as the request's direction says, on failure too.
// 0 or -errno.
#pragma once

#include "drm/uapi.h"

namespace i915u::soft {

struct File;

// What came after 6.1, and so is not in uapi.h: the kernel's layouts.
/// drm_syncobj_handle, with the point (Change::sync_file_points).
struct syncobj_handle_point {
  uint32_t handle, flags;
  int32_t fd;
  uint32_t pad;
  uint64_t point;
};
/// drm_syncobj_eventfd
struct syncobj_eventfd {
  uint32_t handle, flags;
  uint64_t point;
  int32_t fd;
  uint32_t pad;
};
/// drm_set_client_name
struct set_client_name {
  uint64_t name_len, name;
};

// params.cpp
int ioctl_set_client_name(File&, set_client_name&);
int ioctl_version(File&, uapi::drm_version&);
int ioctl_get_cap(File&, uapi::drm_get_cap&);
int ioctl_getparam(File&, uapi::drm_i915_getparam&);
int ioctl_reg_read(File&, uapi::drm_i915_reg_read&);
int ioctl_gem_get_aperture(File&, uapi::drm_i915_gem_get_aperture&);

// query.cpp
int ioctl_query(File&, uapi::drm_i915_query&);

// gem_create.cpp
int ioctl_gem_create(File&, uapi::drm_i915_gem_create&);
int ioctl_gem_create_ext(File&, uapi::drm_i915_gem_create_ext&);
int ioctl_gem_userptr(File&, uapi::drm_i915_gem_userptr&);
int ioctl_gem_close(File&, uapi::drm_gem_close&);

// gem_mman.cpp
int ioctl_gem_mmap(File&, uapi::drm_i915_gem_mmap&);
int ioctl_gem_mmap_offset(File&, uapi::drm_i915_gem_mmap_offset&);

// gem_io.cpp
int ioctl_gem_pread(File&, uapi::drm_i915_gem_pread&);
int ioctl_gem_pwrite(File&, uapi::drm_i915_gem_pwrite&);

// gem_domain.cpp
int ioctl_gem_set_domain(File&, uapi::drm_i915_gem_set_domain&);
int ioctl_gem_sw_finish(File&, uapi::drm_i915_gem_sw_finish&);
int ioctl_gem_set_caching(File&, uapi::drm_i915_gem_caching&);
int ioctl_gem_get_caching(File&, uapi::drm_i915_gem_caching&);
int ioctl_gem_set_tiling(File&, uapi::drm_i915_gem_set_tiling&);
int ioctl_gem_get_tiling(File&, uapi::drm_i915_gem_get_tiling&);
int ioctl_gem_madvise(File&, uapi::drm_i915_gem_madvise&);

// gem_wait.cpp
int ioctl_gem_busy(File&, uapi::drm_i915_gem_busy&);
int ioctl_gem_wait(File&, uapi::drm_i915_gem_wait&);

// prime.cpp
int ioctl_prime_handle_to_fd(File&, uapi::drm_prime_handle&);
int ioctl_prime_fd_to_handle(File&, uapi::drm_prime_handle&);

// perf.cpp
int ioctl_perf_open(File&, uapi::drm_i915_perf_open_param&);
int ioctl_perf_add_config();
int ioctl_perf_remove_config();

// syncobj.cpp
/// Lets go of those that no descriptor stands for any more.
void reap_syncobj_files();
int ioctl_syncobj_create(File&, uapi::drm_syncobj_create&);
int ioctl_syncobj_destroy(File&, uapi::drm_syncobj_destroy&);
int ioctl_syncobj_handle_to_fd(File&, syncobj_handle_point&);
int ioctl_syncobj_fd_to_handle(File&, syncobj_handle_point&);
int ioctl_syncobj_eventfd(File&, syncobj_eventfd&);
int ioctl_syncobj_transfer(File&, uapi::drm_syncobj_transfer&);
int ioctl_syncobj_wait(File&, uapi::drm_syncobj_wait&);
int ioctl_syncobj_timeline_wait(File&, uapi::drm_syncobj_timeline_wait&);
int ioctl_syncobj_reset(File&, uapi::drm_syncobj_array&);
int ioctl_syncobj_signal(File&, uapi::drm_syncobj_array&);
int ioctl_syncobj_timeline_signal(File&, uapi::drm_syncobj_timeline_array&);
int ioctl_syncobj_query(File&, uapi::drm_syncobj_timeline_array&);

}  // namespace i915u::soft
