// SPDX-License-Identifier: MIT
// A GEM object (kernel: drm_i915_gem_object): what userptr, the GEM calls and execbuf share of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "soft/pages.h"
#include "sync/mutex.h"

namespace i915u::soft {

class SoftDevice;
class Vma;    // one binding of an object into an address space of the GPU: vm.h
class Fence;  // request.h

extern const sync::LockClass object_lock_class;

class Object : public std::enable_shared_from_this<Object> {
 public:
  Object(SoftDevice& dev, uint64_t size);
  virtual ~Object();

  SoftDevice& dev;
  const uint64_t size;  ///< bytes, a multiple of 4096

  virtual bool is_userptr() const { return false; }
  virtual bool is_readonly() const { return false; }

  /// The reservation lock (kernel: obj->base.resv, a ww_mutex). Guards vmas, fences and pages.
  sync::Mutex lock{object_lock_class};

  /// Pages for a binding; `lock` held. Null with *err: -EFAULT, -EAGAIN (userptr: not looked up),
  /// -ENOMEM, -ENOSPC.
  virtual std::shared_ptr<Pages> get_pages(int* err) = 0;

  /// Removes every binding (kernel: i915_gem_object_unbind with UNBIND_ACTIVE): waits for the
  /// requests that use one. `lock` held; it is dropped while waiting. 0 or -errno.
  int unbind();

  /// Waits for the requests that use the object: all of them, or only the one that writes it.
  /// `lock` NOT held. deadline: absolute ns, sync::forever. 0 or -ETIME.
  int wait(bool all, uint64_t deadline);
  bool busy();

  /// What GEM_BUSY answers: the writer's class + 1 in the low 16 bits, a mask of the readers'
  /// classes in the high.
  uint32_t busy_mask();

  /// I915_MADV_*, or `purged`; `lock`. While it is not WILLNEED no new pages are got (-EFAULT).
  uint32_t madv = 0;
  static constexpr uint32_t purged = 0xffffffff;  ///< __I915_MADV_PURGED

  std::atomic<uint32_t> handles{0};  ///< in all files (kernel: handle_count); File counts them
  /// The last handle of it is gone (gem close, file close): called once, no lock held.
  virtual void handles_gone() {}

  /// The GPU may have written since the pages were got (kernel: obj->mm.dirty).
  std::atomic<bool> dirty{false};

 private:
  friend class Vm;
  friend class ExecBuffer;
  /// kernel: dma_resv_add_fence. `lock` held. WRITE or READ usage; what it makes superfluous goes.
  void add_fence(const std::shared_ptr<Fence>& f, bool write);
  std::vector<std::shared_ptr<Fence>> fences(bool all);

  std::vector<std::shared_ptr<Vma>> vmas_;  // `lock`; one for each address space it was ever in
  // The fences have a lock of their own, never held while sleeping: a notifier asks for them while
  // an execbuf holds `lock` (kernel: dma_resv is read under RCU).
  struct Usage {
    std::shared_ptr<Fence> fence;
    bool write;
  };
  static const sync::LockClass resv_lock_class;
  sync::SpinLock resv_lock_{resv_lock_class};
  std::vector<Usage> resv_;
};

}  // namespace i915u::soft
