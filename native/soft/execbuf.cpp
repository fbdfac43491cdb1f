// SPDX-License-Identifier: MIT
// Execbuf (kernel: gem/i915_gem_execbuffer.c).
//
// The driver's algorithm: the checks and their order, the phases (validate, reserve, relocate,
// serialise, submit), and above all the order of the last steps: the request's fence stands in
// every object before the userptr objects are checked for the last time under notifier_lock, so an
// invalidate either makes that check fail or finds the fence and waits for it.
// Stubs: no error capture (EXEC_OBJECT_CAPTURE is accepted), no parallel submission.
// Changed on purpose: objects are locked in the order of their addresses, all at once, where the
// driver backs off (ww_mutex). What has to be waited for is waited for with nothing locked. On bcs0
// what is submitted is checked (cmd_parser.h), as on every generation 9; there the driver runs a
// copy of it, so that a batch which the CPU changes while it runs goes on unchanged, but not here.
#include "soft/execbuf.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <new>

#include "mem/uaccess.h"
#include "soft/cmd_parser.h"
#include "soft/device.h"
#include "soft/execbuf_impl.h"
#include "soft/strategies/strategy.h"
#include "soft/user_extensions.h"
#include "soft/userptr.h"

namespace i915u::soft {

using namespace uapi;

namespace {

int timeline_fences_extension(uint64_t ext, void* data) {
  return static_cast<ExecBuffer*>(data)->add_timeline_fences(ext);
}

constexpr UserExtension extensions[] = {
    timeline_fences_extension,  // DRM_I915_GEM_EXECBUFFER_EXT_TIMELINE_FENCES
};

const sync::LockClass acquire_class{"reservation_ww_class_acquire"};

// kernel: i915_gem_check_execbuffer
int check_args(drm_i915_gem_execbuffer2& args) {
  constexpr uint64_t illegal = static_cast<uint64_t>(__I915_EXEC_UNKNOWN_FLAGS) |
                               I915_EXEC_CONSTANTS_MASK | I915_EXEC_RESOURCE_STREAMER;
  if (args.flags & illegal) return -EINVAL;
  if (!(args.flags & (I915_EXEC_FENCE_ARRAY | I915_EXEC_USE_EXTENSIONS)) &&
      (args.num_cliprects || args.cliprects_ptr))
    return -EINVAL;
  if (args.DR4 == 0xffffffff) args.DR4 = 0;  // old UXA
  if (args.DR1 || args.DR4) return -EINVAL;
  return (args.batch_start_offset | args.batch_len) & 7 ? -EINVAL : 0;
}

}  // namespace

ExecBuffer::ExecBuffer(File& file, drm_i915_gem_execbuffer2& args, drm_i915_gem_exec_object2* exec)
    : file_(file),
      args_(args),
      exec_(exec),
      count_(args.buffer_count),
      acquire_(acquire_class),
      has_reloc_(!(args.flags & I915_EXEC_NO_RELOC)) {}

ExecBuffer::~ExecBuffer() {
  unpin_all();
  unlock_objects();
}

// kernel: eb_select_engine. One video engine: the BSD flags choose nothing.
int ExecBuffer::select_engine() {
  static constexpr EngineId user_rings[] = {rcs0, rcs0, vcs0, bcs0, vecs0};
  if (ctx_->closed.load()) return -ENOENT;
  size_t i = args_.flags & I915_EXEC_RING_MASK;
  if (!ctx_->user_engines) {
    if (i != I915_EXEC_BSD && args_.flags & I915_EXEC_BSD_MASK) return -EINVAL;
    if (i >= std::size(user_rings)) return -EINVAL;
    i = user_rings[i];
  }
  if (i >= ctx_->engines.size() || !ctx_->engines[i]) return -EINVAL;
  ce_ = ctx_->engines[i];
  return 0;
}

bool ExecBuffer::is_batch(size_t i) const {
  return i == (args_.flags & I915_EXEC_BATCH_FIRST ? 0 : count_ - 1);
}

// kernel: eb_validate_vma
int ExecBuffer::check_entry(Entry& e) const {
  drm_i915_gem_exec_object2& exec = *e.exec;
  if (exec.flags & (static_cast<uint64_t>(__EXEC_OBJECT_UNKNOWN_FLAGS) | EXEC_OBJECT_NEEDS_GTT))
    return -EINVAL;
  if (exec.alignment & (exec.alignment - 1)) return -EINVAL;
  if (exec.flags & EXEC_OBJECT_PINNED && exec.offset != canonical_addr(exec.offset & ~4095ull))
    return -EINVAL;
  if (!(exec.flags & EXEC_OBJECT_PAD_TO_SIZE))
    exec.pad_to_size = 0;
  else if (exec.pad_to_size & 4095)
    return -EINVAL;
  exec.offset = noncanonical_addr(exec.offset);
  // Fence registers are for before generation 4.
  e.flags = exec.flags & ~EXEC_OBJECT_NEEDS_FENCE;
  return 0;
}

// kernel: eb_add_vma, for the batch
int ExecBuffer::check_batch() {
  Entry& e = entries_.back();
  e.needs_bias = e.exec->relocation_count && !(e.flags & EXEC_OBJECT_PINNED);
  if (e.flags & EXEC_OBJECT_WRITE) return -EINVAL;
  const uint64_t start = args_.batch_start_offset, size = e.object->size;
  if (start > size || args_.batch_len > size - start) return -EINVAL;
  return args_.batch_len || start < size ? 0 : -EINVAL;
}

// kernel: eb_lookup_vmas
int ExecBuffer::lookup() {
  // So many that they were refused must not be reserved for.
  entries_.reserve(std::min<size_t>(count_, 4096));
  for (size_t i = 0; i < count_; i++) {
    auto object = file_.lookup(exec_[i].handle);
    if (!object) return -ENOENT;
    Entry& e = entries_.emplace_back(Entry{&exec_[i], std::move(object), nullptr, 0});
    if (int err = check_entry(e)) return err;
    if (is_batch(i))
      if (int err = check_batch()) return err;
    if (e.object->is_userptr()) {
      auto& o = static_cast<UserptrObject&>(*e.object);
      if (int err = file_.dev.strategy().submit_init(o)) return err;
      userptr_used_ = true;
    }
  }
  return 0;
}

// kernel: eb_reinit_userptr
int ExecBuffer::userptr_init() {
  for (Entry& e : entries_) {
    if (!e.object->is_userptr()) continue;
    auto& o = static_cast<UserptrObject&>(*e.object);
    if (int err = file_.dev.strategy().submit_init(o)) return err;
  }
  return 0;
}

// kernel: eb_move_to_gpu
int ExecBuffer::move_to_gpu(const std::shared_ptr<Request>& rq) {
  rq->bindings.reserve(entries_.size());
  for (Entry& e : entries_) rq->bindings.push_back({e.vma, e.object});
  rq->activate();
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    const bool write = it->flags & EXEC_OBJECT_WRITE;
    Object& o = *it->object;
    if (!(it->flags & EXEC_OBJECT_ASYNC))
      for (const auto& f : o.fences(write)) rq->await(f);
    o.add_fence(rq, write);
    o.dirty.store(true, std::memory_order_relaxed);
  }
  if (!userptr_used_) return 0;
  sync::ReadGuard g(file_.gpu.notifier_lock());
  for (Entry& e : entries_) {
    if (!e.object->is_userptr()) continue;
    auto& o = static_cast<UserptrObject&>(*e.object);
    if (int err = file_.dev.strategy().submit_done(o)) return err;
  }
  return 0;
}

// kernel: eb_requests_create, eb_submit, eb_requests_add. The objects are locked and in place. From
// the making of the request on it is always submitted, with an error if need be, and then skipped.
int ExecBuffer::submit(int* out_fd) {
  sync::Guard g(ce_->timeline_lock);
  auto rq = std::make_shared<Request>(ce_);
  await_fences(rq);
  int err = 0;
  if (args_.flags & I915_EXEC_FENCE_OUT) {
    *out_fd = sync_file_create(rq);
    if (*out_fd < 0) err = *out_fd;
  }
  if (!err) err = move_to_gpu(rq);
  if (!err && args_.flags & I915_EXEC_GEN7_SOL_RESET) err = -EINVAL;
  // As the driver has it, eb_requests_add(): both errors in one, so that -EAGAIN becomes -EPERM.
  if (ce_->closed.load()) err |= -ENOENT;
  if (err) rq->set_error(err);
  const Entry& batch = batch_entry();
  rq->has_batch = !err;
  rq->batch_addr = batch.vma->start + args_.batch_start_offset;
  rq->priority = ctx_->priority.load(std::memory_order_relaxed);
  ce_->add(rq);
  rq->submit();
  signal_fences(rq);
  return err;
}

// kernel: eb_parse
int ExecBuffer::parse() const {
  if (ce_->engine.id != bcs0) return 0;
  const Entry& batch = batch_entry();
  const uint64_t start = args_.batch_start_offset;
  const uint64_t length = args_.batch_len ? args_.batch_len : batch.object->size - start;
  uint32_t window[256];  // from this dword on
  uint64_t from = UINT64_MAX;
  return check_commands(
      canonical_addr(batch.vma->start + start), length, [&](uint64_t at, uint32_t* dword) {
        if (at / std::size(window) != from) {
          from = UINT64_MAX;
          const uint64_t offset = start + at / std::size(window) * sizeof(window);
          const uint64_t len = std::min<uint64_t>(sizeof(window), batch.object->size - offset);
          if (!batch.vma->pages->read(offset, window, len)) return false;
          from = at / std::size(window);
        }
        *dword = window[at % std::size(window)];
        return true;
      });
}

int ExecBuffer::run() {
  if (args_.flags & I915_EXEC_SECURE) return -EPERM;  // no master on a render node
  if (args_.flags & I915_EXEC_USE_EXTENSIONS) {
    if (args_.flags & I915_EXEC_FENCE_ARRAY || args_.num_cliprects) return -EINVAL;
    if (int err = user_extensions(args_.cliprects_ptr, extensions, std::size(extensions), this))
      return err;
  }
  if (int err = add_fence_array()) return err;
  if (int err = find_in_fence()) return err;

  int err;
  ctx_ = file_.contexts.lookup(static_cast<uint32_t>(args_.rsvd1), &err);
  if (!ctx_) return err;
  if ((err = select_engine())) return err;
  if ((err = lookup())) return err;
  if (ce_->banned.load()) return -EIO;
  ce_->throttle();
  err = reserve();
  if (!err && has_reloc_) err = relocate();
  if (err) {
    has_reloc_ = false;
    return err;
  }
  if ((err = parse())) return err;

  int out_fd = -1;
  err = submit(&out_fd);
  if (out_fd >= 0) {
    if (!err)
      args_.rsvd2 = (args_.rsvd2 & 0xffffffff) | static_cast<uint64_t>(out_fd) << 32;
    else
      close(out_fd);
  }
  return err;
}

void ExecBuffer::copy_offsets_back() {
  if (!has_reloc_) return;
  for (const Entry& e : entries_) {
    if (!e.moved) continue;
    const uint64_t offset = canonical_addr(e.vma->start);
    const uint64_t at = args_.buffers_ptr + static_cast<size_t>(e.exec - exec_) * sizeof(*e.exec) +
                        offsetof(drm_i915_gem_exec_object2, offset);
    // Execution has begun: what fails now is the user's loss.
    if (copy_to_user(at, &offset, sizeof(offset))) return;
  }
}

int ioctl_execbuffer2(File& file, drm_i915_gem_execbuffer2& args) {
  const size_t count = args.buffer_count;
  if (count < 1 || count > INT_MAX) return -EINVAL;
  if (int err = check_args(args)) return err;
  // kvmalloc_array refuses more than INT_MAX bytes; an element has its eb_vma, too.
  constexpr size_t element = sizeof(drm_i915_gem_exec_object2) + 72;
  if (count + 2 > INT_MAX / element) return -ENOMEM;
  file.gpu.retire();

  drm_i915_gem_exec_object2 few[8];
  std::unique_ptr<drm_i915_gem_exec_object2[]> many;
  drm_i915_gem_exec_object2* exec = few;
  if (count > std::size(few)) {
    many.reset(new (std::nothrow) drm_i915_gem_exec_object2[count]);
    if (!many) return -ENOMEM;
    exec = many.get();
  }
  if (copy_from_user(exec, args.buffers_ptr, sizeof(*exec) * count)) return -EFAULT;

  int err;
  {
    ExecBuffer eb(file, args, exec);
    err = eb.run();
    eb.copy_offsets_back();
  }
  args.flags &= ~static_cast<uint64_t>(__I915_EXEC_UNKNOWN_FLAGS);
  return err;
}

}  // namespace i915u::soft
