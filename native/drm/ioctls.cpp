// SPDX-License-Identifier: MIT
#include "drm/ioctls.h"

#include <algorithm>
#include <cerrno>

namespace i915u {

using namespace uapi;

namespace {

template <class T>
uint64_t user(const T* p) {
  return reinterpret_cast<uintptr_t>(p);
}

template <class T, class Out>
int output(int ret, T value, Out* out) {
  if (ret >= 0) *out = value;
  return ret;
}

}  // namespace

int drm_version(Device& d, Version* v) {
  char name[64], date[64], desc[256];
  uapi::drm_version arg{};
  arg.name = name;
  arg.name_len = sizeof(name);
  arg.date = date;
  arg.date_len = sizeof(date);
  arg.desc = desc;
  arg.desc_len = sizeof(desc);
  const int ret = d.call(DRM_IOCTL_VERSION, &arg, Retry::always);
  if (ret < 0) return ret;
  *v = {arg.version_major, arg.version_minor, arg.version_patchlevel,
        // The lengths that come back are the strings' own, even where the buffer was shorter.
        std::string(name, std::min(arg.name_len, sizeof(name))),
        std::string(date, std::min(arg.date_len, sizeof(date))),
        std::string(desc, std::min(arg.desc_len, sizeof(desc)))};
  return ret;
}

int drm_get_cap(Device& d, uint64_t cap, uint64_t* value) {
  uapi::drm_get_cap arg{};
  arg.capability = cap;
  const int ret = d.call(DRM_IOCTL_GET_CAP, &arg, Retry::always);
  return output(ret, arg.value, value);
}

int i915_getparam(Device& d, int32_t param, int* value) {
  drm_i915_getparam arg{};
  int v = 0;
  arg.param = param;
  arg.value = &v;
  const int ret = d.call(DRM_IOCTL_I915_GETPARAM, &arg, Retry::always);
  return output(ret, v, value);
}

int i915_setparam(Device& d, int32_t param, int value) {
  drm_i915_setparam arg{};
  arg.param = param;
  arg.value = value;
  return d.call(DRM_IOCTL_I915_SETPARAM, &arg, Retry::always);
}

int i915_reg_read(Device& d, uint64_t offset, uint64_t* value) {
  drm_i915_reg_read arg{};
  arg.offset = offset;
  const int ret = d.call(DRM_IOCTL_I915_REG_READ, &arg, Retry::always);
  return output(ret, arg.val, value);
}

int i915_query_items(Device& d, uint32_t flags, drm_i915_query_item* items, uint32_t count) {
  drm_i915_query arg{};
  arg.num_items = count;
  arg.flags = flags;
  arg.items_ptr = user(items);
  return d.call(DRM_IOCTL_I915_QUERY, &arg, Retry::always);
}

int i915_query(Device& d, uint64_t query_id, uint32_t flags, std::vector<uint8_t>* data) {
  drm_i915_query_item item{};
  item.query_id = query_id;
  item.flags = flags;
  int ret = i915_query_items(d, 0, &item, 1);
  if (ret < 0) return ret;
  if (item.length < 0) return item.length;
  // Zeroed: the driver refuses reserved input fields that are not.
  std::vector<uint8_t> buf(item.length);
  item.data_ptr = user(buf.data());
  ret = i915_query_items(d, 0, &item, 1);
  if (ret < 0) return ret;
  if (item.length < 0) return item.length;
  *data = std::move(buf);
  return ret;
}

int gem_get_aperture(Device& d, uint64_t* size, uint64_t* available) {
  drm_i915_gem_get_aperture arg{};
  const int ret = d.call(DRM_IOCTL_I915_GEM_GET_APERTURE, &arg, Retry::always);
  output(ret, arg.aper_size, size);
  return output(ret, arg.aper_available_size, available);
}

int gem_create(Device& d, uint64_t* size, uint32_t* handle) {
  drm_i915_gem_create arg{};
  arg.size = *size;
  const int ret = d.call(DRM_IOCTL_I915_GEM_CREATE, &arg, Retry::always);
  output(ret, arg.size, size);
  return output(ret, arg.handle, handle);
}

int gem_create_ext(Device& d, uint64_t* size, uint32_t flags, uint64_t extensions,
                   uint32_t* handle) {
  drm_i915_gem_create_ext arg{};
  arg.size = *size;
  arg.flags = flags;
  arg.extensions = extensions;
  const int ret = d.call(DRM_IOCTL_I915_GEM_CREATE_EXT, &arg, Retry::always);
  output(ret, arg.size, size);
  return output(ret, arg.handle, handle);
}

int gem_close(Device& d, uint32_t handle) {
  drm_gem_close arg{};
  arg.handle = handle;
  return d.call(DRM_IOCTL_GEM_CLOSE, &arg, Retry::always);
}

int gem_userptr(Device& d, uint64_t ptr, uint64_t size, uint32_t flags, uint32_t* handle,
                Retry retry) {
  drm_i915_gem_userptr arg{};
  arg.user_ptr = ptr;
  arg.user_size = size;
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_I915_GEM_USERPTR, &arg, retry);
  return output(ret, arg.handle, handle);
}

int gem_mmap_offset(Device& d, uint32_t handle, uint64_t flags, uint64_t* offset) {
  drm_i915_gem_mmap_offset arg{};
  arg.handle = handle;
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_I915_GEM_MMAP_OFFSET, &arg, Retry::always);
  return output(ret, arg.offset, offset);
}

int gem_mmap_gtt(Device& d, uint32_t handle, uint64_t* offset) {
  drm_i915_gem_mmap_gtt arg{};
  arg.handle = handle;
  const int ret = d.call(DRM_IOCTL_I915_GEM_MMAP_GTT, &arg, Retry::always);
  return output(ret, arg.offset, offset);
}

int gem_mmap_v1(Device& d, uint32_t handle, uint64_t offset, uint64_t size, uint64_t flags,
                uint64_t* addr) {
  drm_i915_gem_mmap arg{};
  arg.handle = handle;
  arg.offset = offset;
  arg.size = size;
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_I915_GEM_MMAP, &arg, Retry::always);
  return output(ret, arg.addr_ptr, addr);
}

int gem_pread(Device& d, uint32_t handle, uint64_t offset, uint64_t size, uint64_t data_ptr,
              Retry retry) {
  drm_i915_gem_pread arg{};
  arg.handle = handle;
  arg.offset = offset;
  arg.size = size;
  arg.data_ptr = data_ptr;
  return d.call(DRM_IOCTL_I915_GEM_PREAD, &arg, retry);
}

int gem_pwrite(Device& d, uint32_t handle, uint64_t offset, uint64_t size, uint64_t data_ptr,
               Retry retry) {
  drm_i915_gem_pwrite arg{};
  arg.handle = handle;
  arg.offset = offset;
  arg.size = size;
  arg.data_ptr = data_ptr;
  return d.call(DRM_IOCTL_I915_GEM_PWRITE, &arg, retry);
}

int gem_set_domain(Device& d, uint32_t handle, uint32_t read_domains, uint32_t write_domain,
                   Retry retry) {
  drm_i915_gem_set_domain arg{};
  arg.handle = handle;
  arg.read_domains = read_domains;
  arg.write_domain = write_domain;
  return d.call(DRM_IOCTL_I915_GEM_SET_DOMAIN, &arg, retry);
}

int gem_sw_finish(Device& d, uint32_t handle) {
  drm_i915_gem_sw_finish arg{};
  arg.handle = handle;
  return d.call(DRM_IOCTL_I915_GEM_SW_FINISH, &arg, Retry::always);
}

int gem_busy(Device& d, uint32_t handle, uint32_t* busy) {
  drm_i915_gem_busy arg{};
  arg.handle = handle;
  const int ret = d.call(DRM_IOCTL_I915_GEM_BUSY, &arg, Retry::always);
  return output(ret, arg.busy, busy);
}

int gem_wait(Device& d, uint32_t handle, int64_t* timeout_ns, uint32_t flags, Retry retry) {
  drm_i915_gem_wait arg{};
  arg.bo_handle = handle;
  arg.flags = flags;
  arg.timeout_ns = *timeout_ns;
  const int ret = d.call(DRM_IOCTL_I915_GEM_WAIT, &arg, retry);
  *timeout_ns = arg.timeout_ns;
  return ret;
}

int gem_throttle(Device& d) {
  return d.call(DRM_IOCTL_I915_GEM_THROTTLE, nullptr, Retry::always);
}

int gem_madvise(Device& d, uint32_t handle, uint32_t madv, uint32_t* retained) {
  drm_i915_gem_madvise arg{};
  arg.handle = handle;
  arg.madv = madv;
  const int ret = d.call(DRM_IOCTL_I915_GEM_MADVISE, &arg, Retry::always);
  return output(ret, arg.retained, retained);
}

int gem_set_caching(Device& d, uint32_t handle, uint32_t caching) {
  drm_i915_gem_caching arg{};
  arg.handle = handle;
  arg.caching = caching;
  return d.call(DRM_IOCTL_I915_GEM_SET_CACHING, &arg, Retry::always);
}

int gem_get_caching(Device& d, uint32_t handle, uint32_t* caching) {
  drm_i915_gem_caching arg{};
  arg.handle = handle;
  const int ret = d.call(DRM_IOCTL_I915_GEM_GET_CACHING, &arg, Retry::always);
  return output(ret, arg.caching, caching);
}

int gem_set_tiling(Device& d, uint32_t handle, uint32_t* mode, uint32_t* stride,
                   uint32_t* swizzle) {
  drm_i915_gem_set_tiling arg{};
  arg.handle = handle;
  arg.tiling_mode = *mode;
  arg.stride = *stride;
  const int ret = d.call(DRM_IOCTL_I915_GEM_SET_TILING, &arg, Retry::always);
  output(ret, arg.tiling_mode, mode);
  output(ret, arg.stride, stride);
  return output(ret, arg.swizzle_mode, swizzle);
}

int gem_get_tiling(Device& d, uint32_t handle, uint32_t* mode, uint32_t* swizzle,
                   uint32_t* phys_swizzle) {
  drm_i915_gem_get_tiling arg{};
  arg.handle = handle;
  const int ret = d.call(DRM_IOCTL_I915_GEM_GET_TILING, &arg, Retry::always);
  output(ret, arg.tiling_mode, mode);
  output(ret, arg.swizzle_mode, swizzle);
  return output(ret, arg.phys_swizzle_mode, phys_swizzle);
}

int prime_handle_to_fd(Device& d, uint32_t handle, uint32_t flags, int* fd) {
  drm_prime_handle arg{};
  arg.handle = handle;
  arg.flags = flags;
  arg.fd = -1;
  const int ret = d.call(DRM_IOCTL_PRIME_HANDLE_TO_FD, &arg, Retry::always);
  return output(ret, arg.fd, fd);
}

int prime_fd_to_handle(Device& d, int fd, uint32_t* handle) {
  drm_prime_handle arg{};
  arg.fd = fd;
  const int ret = d.call(DRM_IOCTL_PRIME_FD_TO_HANDLE, &arg, Retry::always);
  return output(ret, arg.handle, handle);
}

int gem_context_create(Device& d, uint32_t* ctx) {
  drm_i915_gem_context_create arg{};
  const int ret = d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE, &arg, Retry::always);
  return output(ret, arg.ctx_id, ctx);
}

int gem_context_create_ext(Device& d, uint32_t flags, uint64_t extensions, uint32_t* ctx) {
  drm_i915_gem_context_create_ext arg{};
  arg.flags = flags;
  arg.extensions = extensions;
  const int ret = d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, &arg, Retry::always);
  return output(ret, arg.ctx_id, ctx);
}

int gem_context_destroy(Device& d, uint32_t ctx) {
  drm_i915_gem_context_destroy arg{};
  arg.ctx_id = ctx;
  return d.call(DRM_IOCTL_I915_GEM_CONTEXT_DESTROY, &arg, Retry::always);
}

int gem_context_getparam(Device& d, uint32_t ctx, uint64_t param, uint32_t* size, uint64_t* value) {
  drm_i915_gem_context_param arg{};
  arg.ctx_id = ctx;
  arg.size = *size;
  arg.param = param;
  arg.value = *value;
  const int ret = d.call(DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM, &arg, Retry::always);
  output(ret, arg.size, size);
  return output(ret, arg.value, value);
}

int gem_context_setparam(Device& d, uint32_t ctx, uint64_t param, uint32_t size, uint64_t value) {
  drm_i915_gem_context_param arg{};
  arg.ctx_id = ctx;
  arg.size = size;
  arg.param = param;
  arg.value = value;
  return d.call(DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM, &arg, Retry::always);
}

int get_reset_stats(Device& d, uint32_t ctx, drm_i915_reset_stats* stats) {
  drm_i915_reset_stats arg{};
  arg.ctx_id = ctx;
  const int ret = d.call(DRM_IOCTL_I915_GET_RESET_STATS, &arg, Retry::always);
  return output(ret, arg, stats);
}

int gem_vm_create(Device& d, uint64_t extensions, uint32_t flags, uint32_t* vm) {
  drm_i915_gem_vm_control arg{};
  arg.extensions = extensions;
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_I915_GEM_VM_CREATE, &arg, Retry::always);
  return output(ret, arg.vm_id, vm);
}

int gem_vm_destroy(Device& d, uint32_t vm) {
  drm_i915_gem_vm_control arg{};
  arg.vm_id = vm;
  return d.call(DRM_IOCTL_I915_GEM_VM_DESTROY, &arg, Retry::always);
}

int gem_execbuffer2_raw(Device& d, drm_i915_gem_execbuffer2* arg, bool wr, Retry retry) {
  return d.call(wr ? DRM_IOCTL_I915_GEM_EXECBUFFER2_WR : DRM_IOCTL_I915_GEM_EXECBUFFER2, arg,
                retry);
}

int gem_execbuffer2(Device& d, Exec* e, Retry retry) {
  drm_i915_gem_execbuffer2 arg{};
  arg.buffers_ptr = user(e->objects.data());
  arg.buffer_count = e->objects.size();
  arg.batch_start_offset = e->batch_start_offset;
  arg.batch_len = e->batch_len;
  arg.flags = e->flags;
  arg.rsvd1 = e->ctx;
  if (e->flags & I915_EXEC_USE_EXTENSIONS) {
    arg.cliprects_ptr = e->extensions;
  } else if (e->flags & I915_EXEC_FENCE_ARRAY) {
    arg.num_cliprects = e->fences.size();
    arg.cliprects_ptr = user(e->fences.data());
  }
  if (e->flags & (I915_EXEC_FENCE_IN | I915_EXEC_FENCE_SUBMIT))
    arg.rsvd2 = static_cast<uint32_t>(e->fence_in);
  const bool out = e->flags & I915_EXEC_FENCE_OUT;
  const int ret = gem_execbuffer2_raw(d, &arg, out, retry);
  if (ret >= 0 && out) e->fence_out = static_cast<int>(arg.rsvd2 >> 32);
  return ret;
}

int syncobj_create(Device& d, uint32_t flags, uint32_t* handle) {
  drm_syncobj_create arg{};
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_SYNCOBJ_CREATE, &arg, Retry::always);
  return output(ret, arg.handle, handle);
}

int syncobj_destroy(Device& d, uint32_t handle) {
  drm_syncobj_destroy arg{};
  arg.handle = handle;
  return d.call(DRM_IOCTL_SYNCOBJ_DESTROY, &arg, Retry::always);
}

int syncobj_handle_to_fd(Device& d, uint32_t handle, uint32_t flags, int* fd) {
  drm_syncobj_handle arg{};
  arg.handle = handle;
  arg.flags = flags;
  arg.fd = -1;
  const int ret = d.call(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &arg, Retry::always);
  return output(ret, arg.fd, fd);
}

int syncobj_fd_to_handle(Device& d, int fd, uint32_t flags, uint32_t* handle) {
  drm_syncobj_handle arg{};
  if (flags & DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE) arg.handle = *handle;
  arg.flags = flags;
  arg.fd = fd;
  const int ret = d.call(DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &arg, Retry::always);
  return output(ret, arg.handle, handle);
}

int syncobj_wait(Device& d, std::span<const uint32_t> handles, int64_t timeout_ns, uint32_t flags,
                 uint32_t* first, Retry retry) {
  drm_syncobj_wait arg{};
  arg.handles = user(handles.data());
  arg.count_handles = handles.size();
  arg.timeout_nsec = timeout_ns;
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_SYNCOBJ_WAIT, &arg, retry);
  return first ? output(ret, arg.first_signaled, first) : ret;
}

namespace {
int syncobj_array(Device& d, unsigned long request, std::span<const uint32_t> handles) {
  drm_syncobj_array arg{};
  arg.handles = user(handles.data());
  arg.count_handles = handles.size();
  return d.call(request, &arg, Retry::always);
}

int timeline_array(Device& d, unsigned long request, std::span<const uint32_t> handles,
                   const uint64_t* points, uint32_t flags) {
  drm_syncobj_timeline_array arg{};
  arg.handles = user(handles.data());
  arg.points = user(points);
  arg.count_handles = handles.size();
  arg.flags = flags;
  return d.call(request, &arg, Retry::always);
}
}  // namespace

int syncobj_reset(Device& d, std::span<const uint32_t> handles) {
  return syncobj_array(d, DRM_IOCTL_SYNCOBJ_RESET, handles);
}

int syncobj_signal(Device& d, std::span<const uint32_t> handles) {
  return syncobj_array(d, DRM_IOCTL_SYNCOBJ_SIGNAL, handles);
}

int syncobj_timeline_wait(Device& d, std::span<const uint32_t> handles, const uint64_t* points,
                          int64_t timeout_ns, uint32_t flags, uint32_t* first, Retry retry) {
  drm_syncobj_timeline_wait arg{};
  arg.handles = user(handles.data());
  arg.points = user(points);
  arg.count_handles = handles.size();
  arg.timeout_nsec = timeout_ns;
  arg.flags = flags;
  const int ret = d.call(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &arg, retry);
  return first ? output(ret, arg.first_signaled, first) : ret;
}

int syncobj_query(Device& d, std::span<const uint32_t> handles, uint64_t* points, uint32_t flags) {
  return timeline_array(d, DRM_IOCTL_SYNCOBJ_QUERY, handles, points, flags);
}

int syncobj_timeline_signal(Device& d, std::span<const uint32_t> handles, const uint64_t* points) {
  return timeline_array(d, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, handles, points, 0);
}

int syncobj_transfer(Device& d, uint32_t dst, uint64_t dst_point, uint32_t src, uint64_t src_point,
                     uint32_t flags) {
  drm_syncobj_transfer arg{};
  arg.src_handle = src;
  arg.dst_handle = dst;
  arg.src_point = src_point;
  arg.dst_point = dst_point;
  arg.flags = flags;
  return d.call(DRM_IOCTL_SYNCOBJ_TRANSFER, &arg, Retry::always);
}

}  // namespace i915u
