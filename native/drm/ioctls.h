// SPDX-License-Identifier: MIT
// One function per ioctl: the struct is zeroed, filled, passed to Device::call. Each returns 0 (or
// what the ioctl returns, >= 0), or -errno; outputs are written on success only, unless said
// otherwise. Nothing is checked here: what the driver refuses, the driver must be seen to refuse.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "drm/device.h"
#include "drm/uapi.h"

namespace i915u {

// ---- the driver and what it has

struct Version {
  int major = 0, minor = 0, patchlevel = 0;
  std::string name, date, desc;
};
int drm_version(Device&, Version*);
int drm_get_cap(Device&, uint64_t cap, uint64_t* value);

/// -EINVAL: this kernel does not know the parameter. -ENODEV: the GPU does not have it.
int i915_getparam(Device&, int32_t param, int* value);
int i915_setparam(Device&, int32_t param, int value);
int i915_reg_read(Device&, uint64_t offset, uint64_t* value);

/// One query item, asked for its length first. An error in the item is returned as the call's.
int i915_query(Device&, uint64_t query_id, uint32_t flags, std::vector<uint8_t>* data);
/// The ioctl itself, with the items as they are.
int i915_query_items(Device&, uint32_t flags, uapi::drm_i915_query_item* items, uint32_t count);

int gem_get_aperture(Device&, uint64_t* size, uint64_t* available);

// ---- GEM objects

/// *size: bytes in; out, what it was rounded up to.
int gem_create(Device&, uint64_t* size, uint32_t* handle);
int gem_create_ext(Device&, uint64_t* size, uint32_t flags, uint64_t extensions, uint32_t* handle);
int gem_close(Device&, uint32_t handle);
int gem_userptr(Device&, uint64_t ptr, uint64_t size, uint32_t flags, uint32_t* handle,
                Retry = Retry::always);

/// The fake offset for Device::mmap; `flags` is an I915_MMAP_OFFSET_*.
int gem_mmap_offset(Device&, uint32_t handle, uint64_t flags, uint64_t* offset);
int gem_mmap_gtt(Device&, uint32_t handle, uint64_t* offset);
/// The first mmap ioctl: maps at an address of the kernel's choice. `flags`: I915_MMAP_WC.
int gem_mmap_v1(Device&, uint32_t handle, uint64_t offset, uint64_t size, uint64_t flags,
                uint64_t* addr);

int gem_pread(Device&, uint32_t handle, uint64_t offset, uint64_t size, uint64_t data_ptr,
              Retry = Retry::always);
int gem_pwrite(Device&, uint32_t handle, uint64_t offset, uint64_t size, uint64_t data_ptr,
               Retry = Retry::always);
int gem_set_domain(Device&, uint32_t handle, uint32_t read_domains, uint32_t write_domain,
                   Retry = Retry::always);
int gem_sw_finish(Device&, uint32_t handle);
/// *busy as drm_i915_gem_busy has it; 0: idle.
int gem_busy(Device&, uint32_t handle, uint32_t* busy);
/// *timeout_ns: negative waits for ever; out, on any answer, what is left of it. -ETIME: still
/// busy.
int gem_wait(Device&, uint32_t handle, int64_t* timeout_ns, uint32_t flags = 0,
             Retry = Retry::always);
int gem_throttle(Device&);
/// *retained: 0 when the pages are gone for good.
int gem_madvise(Device&, uint32_t handle, uint32_t madv, uint32_t* retained);
int gem_set_caching(Device&, uint32_t handle, uint32_t caching);
int gem_get_caching(Device&, uint32_t handle, uint32_t* caching);
/// *mode, *stride: out, what the driver settled on.
int gem_set_tiling(Device&, uint32_t handle, uint32_t* mode, uint32_t* stride, uint32_t* swizzle);
int gem_get_tiling(Device&, uint32_t handle, uint32_t* mode, uint32_t* swizzle,
                   uint32_t* phys_swizzle);

/// `flags`: DRM_CLOEXEC, DRM_RDWR.
int prime_handle_to_fd(Device&, uint32_t handle, uint32_t flags, int* fd);
int prime_fd_to_handle(Device&, int fd, uint32_t* handle);

// ---- contexts and address spaces

int gem_context_create(Device&, uint32_t* ctx);
int gem_context_create_ext(Device&, uint32_t flags, uint64_t extensions, uint32_t* ctx);
int gem_context_destroy(Device&, uint32_t ctx);
/// *size in and out: the length behind *value, where the parameter's value is a pointer.
int gem_context_getparam(Device&, uint32_t ctx, uint64_t param, uint32_t* size, uint64_t* value);
int gem_context_setparam(Device&, uint32_t ctx, uint64_t param, uint32_t size, uint64_t value);
int get_reset_stats(Device&, uint32_t ctx, uapi::drm_i915_reset_stats*);
int gem_vm_create(Device&, uint64_t extensions, uint32_t flags, uint32_t* vm);
int gem_vm_destroy(Device&, uint32_t vm);

// ---- execbuf

struct Exec {
  std::span<uapi::drm_i915_gem_exec_object2>
      objects;  ///< the last is the batch, unless BATCH_FIRST
  uint32_t batch_start_offset = 0;
  uint32_t batch_len = 0;  ///< 0: to the end of the object
  uint64_t flags = 0;      ///< I915_EXEC_*
  uint32_t ctx = 0;
  int fence_in = -1;                                        ///< with FENCE_IN or FENCE_SUBMIT
  std::span<const uapi::drm_i915_gem_exec_fence> fences{};  ///< with FENCE_ARRAY
  uint64_t extensions = 0;                                  ///< with USE_EXTENSIONS
  int fence_out = -1;                                       ///< out, with FENCE_OUT: a sync file
};
/// The driver writes the offsets it chose into `objects`.
int gem_execbuffer2(Device&, Exec*, Retry = Retry::always);
/// The struct as it is, through EXECBUFFER2_WR when `wr`.
int gem_execbuffer2_raw(Device&, uapi::drm_i915_gem_execbuffer2*, bool wr, Retry = Retry::always);

// ---- syncobjs. Timeouts are absolute, ns of CLOCK_MONOTONIC.

int syncobj_create(Device&, uint32_t flags, uint32_t* handle);
int syncobj_destroy(Device&, uint32_t handle);
int syncobj_handle_to_fd(Device&, uint32_t handle, uint32_t flags, int* fd);
/// With IMPORT_SYNC_FILE *handle is an input: the syncobj that takes the fence.
int syncobj_fd_to_handle(Device&, int fd, uint32_t flags, uint32_t* handle);
/// -ETIME when the time is over. `first` may be null.
int syncobj_wait(Device&, std::span<const uint32_t> handles, int64_t timeout_ns, uint32_t flags,
                 uint32_t* first, Retry = Retry::always);
int syncobj_reset(Device&, std::span<const uint32_t> handles);
int syncobj_signal(Device&, std::span<const uint32_t> handles);
/// `points` holds as many as `handles`, here and below.
int syncobj_timeline_wait(Device&, std::span<const uint32_t> handles, const uint64_t* points,
                          int64_t timeout_ns, uint32_t flags, uint32_t* first,
                          Retry = Retry::always);
int syncobj_query(Device&, std::span<const uint32_t> handles, uint64_t* points, uint32_t flags = 0);
int syncobj_timeline_signal(Device&, std::span<const uint32_t> handles, const uint64_t* points);
int syncobj_transfer(Device&, uint32_t dst, uint64_t dst_point, uint32_t src, uint64_t src_point,
                     uint32_t flags = 0);

}  // namespace i915u
