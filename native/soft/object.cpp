// SPDX-License-Identifier: MIT
// The driver's algorithm: dma_resv's usages (a writer excludes all, readers do not exclude readers)
// and what GEM_BUSY makes of them. Changed on purpose: an object's lock is a plain mutex, and who
// needs several takes them in the order of their addresses instead of backing off (ww_mutex).
#include "soft/object.h"

#include <cerrno>

#include "soft/device_impl.h"
#include "soft/engine.h"
#include "soft/request.h"
#include "soft/vm.h"

namespace i915u::soft {

const sync::LockClass object_lock_class{"obj->base.resv"};
const sync::LockClass Object::resv_lock_class{"dma_resv fences"};

Object::Object(SoftDevice& d, uint64_t s) : dev(d), size(s) {
  GpuCounters& c = gpu_of(dev).counters;
  c.objects.fetch_add(1, std::memory_order_relaxed);
  c.object_bytes.fetch_add(size, std::memory_order_relaxed);
}

// No request holds it: every binding is idle, or is about to be.
Object::~Object() {
  for (auto& vma : vmas_) {
    auto vm = vma->vm.lock();
    if (!vm) continue;
    std::shared_ptr<Pages> pages;
    sync::Guard g(vm->lock);
    pages = vm->remove(*vma);
  }
  GpuCounters& c = gpu_of(dev).counters;
  c.objects.fetch_sub(1, std::memory_order_relaxed);
  c.object_bytes.fetch_sub(size, std::memory_order_relaxed);
}

int Object::unbind() {
  std::vector<std::shared_ptr<Pages>> gone;  // let go without a lock of an address space
  for (;;) {
    bool busy_vma = false;
    for (auto& vma : vmas_) {
      auto vm = vma->vm.lock();
      if (!vm) continue;
      sync::Guard g(vm->lock);
      if (vma->active.load(std::memory_order_acquire))
        busy_vma = true;
      else
        gone.push_back(vm->remove(*vma));
    }
    if (!busy_vma) return 0;
    lock.unlock();
    wait(true, sync::forever);
    sync::yield();
    lock.lock();
  }
}

void Object::add_fence(const std::shared_ptr<Fence>& f, bool write) {
  std::vector<Usage> gone;  // freed without the lock
  sync::Guard g(resv_lock_);
  for (size_t i = 0; i < resv_.size();) {
    Usage& u = resv_[i];
    const bool stronger = write || !u.write;
    if (u.fence->signalled() || (u.fence->timeline == f->timeline && stronger)) {
      gone.push_back(std::move(u));
      u = std::move(resv_.back());
      resv_.pop_back();
    } else {
      i++;
    }
  }
  resv_.push_back({f, write});
}

std::vector<std::shared_ptr<Fence>> Object::fences(bool all) {
  std::vector<std::shared_ptr<Fence>> out;
  sync::Guard g(resv_lock_);
  for (const Usage& u : resv_)
    if ((all || u.write) && !u.fence->signalled()) out.push_back(u.fence);
  return out;
}

int Object::wait(bool all, uint64_t deadline) {
  for (const auto& f : fences(all))
    if (int err = f->wait(deadline)) return err;
  return 0;
}

bool Object::busy() {
  return !fences(true).empty();
}

uint32_t Object::busy_mask() {
  uint32_t mask = 0;
  sync::Guard g(resv_lock_);
  for (const Usage& u : resv_) {
    if (u.fence->signalled() || !u.fence->signaller()) continue;
    const uint32_t cls = u.fence->signaller()->info().uabi_class;
    mask |= 0x10000u << cls | (u.write ? cls + 1 : 0);
  }
  return mask;
}

}  // namespace i915u::soft
