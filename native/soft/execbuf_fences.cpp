// SPDX-License-Identifier: MIT
// The fences that come in and go out with an execbuf: sync files, syncobjs, points of timelines
// (kernel: add_fence_array, add_timeline_fence_array, eb_fences_add). The driver's algorithm.
#include <cerrno>

#include "mem/uaccess.h"
#include "soft/execbuf_impl.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint64_t user_end = 0x7ffffffff000;

bool array_ok(uint64_t addr, uint64_t count, uint64_t each) {
  return count <= user_end / each && addr <= user_end - count * each;
}

}  // namespace

int ExecBuffer::add_fence_array() {
  if (!(args_.flags & I915_EXEC_FENCE_ARRAY)) return 0;
  if (!array_ok(args_.cliprects_ptr, args_.num_cliprects, sizeof(drm_i915_gem_exec_fence)))
    return -EFAULT;
  for (uint64_t i = 0; i < args_.num_cliprects; i++) {
    drm_i915_gem_exec_fence user;
    if (copy_from_user(&user, args_.cliprects_ptr + i * sizeof(user), sizeof(user))) return -EFAULT;
    if (user.flags & static_cast<uint32_t>(__I915_EXEC_FENCE_UNKNOWN_FLAGS)) return -EINVAL;
    ExecFence f{
        file_.lookup_syncobj(user.handle), {}, 0, (user.flags & I915_EXEC_FENCE_SIGNAL) != 0};
    if (!f.syncobj) return -ENOENT;
    if (user.flags & I915_EXEC_FENCE_WAIT && f.syncobj->find(0, &f.waits)) return -EINVAL;
    fences_.push_back(std::move(f));
  }
  return 0;
}

int ExecBuffer::add_timeline_fences(uint64_t at) {
  drm_i915_gem_execbuffer_ext_timeline_fences ext;
  if (copy_from_user(&ext, at, sizeof(ext))) return -EFAULT;
  if (!ext.fence_count) return 0;
  if (ext.fence_count > UINT64_MAX / 64) return -EINVAL;
  if (!array_ok(ext.handles_ptr, ext.fence_count, sizeof(drm_i915_gem_exec_fence)) ||
      !array_ok(ext.values_ptr, ext.fence_count, sizeof(uint64_t)))
    return -EFAULT;
  for (uint64_t i = 0; i < ext.fence_count; i++) {
    drm_i915_gem_exec_fence user;
    uint64_t point;
    if (copy_from_user(&user, ext.handles_ptr + i * sizeof(user), sizeof(user))) return -EFAULT;
    if (user.flags & static_cast<uint32_t>(__I915_EXEC_FENCE_UNKNOWN_FLAGS)) return -EINVAL;
    if (copy_from_user(&point, ext.values_ptr + i * sizeof(point), sizeof(point))) return -EFAULT;
    const bool signal = user.flags & I915_EXEC_FENCE_SIGNAL;
    ExecFence f{file_.lookup_syncobj(user.handle), {}, point, signal};
    if (!f.syncobj) return -ENOENT;
    // Whatever the flags, the driver waits for the point if it is there, and for all if it is not.
    const bool none = f.syncobj->find(0, &f.waits) != 0;
    if (none && user.flags && !signal) return -EINVAL;
    if (!none) {
      std::vector<std::shared_ptr<Fence>> waits;
      const int err = f.syncobj->find(point, &waits);
      if (err && !signal) return err;
      if (!err) f.waits = std::move(waits);
    }
    if (f.waits.empty() && !signal) continue;  // signalled, and forgotten
    if (point && signal && user.flags & I915_EXEC_FENCE_WAIT) return -EINVAL;
    fences_.push_back(std::move(f));
  }
  return 0;
}

int ExecBuffer::find_in_fence() {
  constexpr uint64_t in_fences = I915_EXEC_FENCE_IN | I915_EXEC_FENCE_SUBMIT;
  if (!(args_.flags & in_fences)) return 0;
  if ((args_.flags & in_fences) == in_fences) return -EINVAL;
  in_fence_ = sync_file_get_fence(static_cast<int>(args_.rsvd2));
  return in_fence_ ? 0 : -EINVAL;
}

void ExecBuffer::await_fences(const std::shared_ptr<Request>& rq) {
  if (ctx_->single_timeline) rq->await(ctx_->single_timeline->fence());
  if (args_.flags & I915_EXEC_FENCE_SUBMIT)
    rq->await_execution(in_fence_);
  else
    rq->await(in_fence_);
  for (const ExecFence& f : fences_)
    for (const auto& w : f.waits) rq->await(w);
}

void ExecBuffer::signal_fences(const std::shared_ptr<Fence>& fence) {
  for (const ExecFence& f : fences_) {
    if (!f.signal) continue;
    if (f.point)
      f.syncobj->add_point(f.point, fence);
    else
      f.syncobj->replace(fence);
  }
  if (ctx_->single_timeline) ctx_->single_timeline->replace(fence);
}

}  // namespace i915u::soft
