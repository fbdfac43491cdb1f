// SPDX-License-Identifier: MIT
// The driver's algorithm: the ioctl's checks in its order, and when pages are given back. Left out:
// the check for a GPU without snooping, which Skylake is not. Dirtying and accessed marks are those
// of real memory, but for fault_lose_dirty.
#include "soft/userptr.h"

#include <cerrno>
#include <climits>

#include "drm/uapi.h"
#include "soft/device_impl.h"
#include "soft/mm/address_space.h"
#include "soft/mm/mappings.h"
#include "sync/clock.h"

namespace i915u::soft {

UserptrObject::UserptrObject(SoftDevice& d, uint64_t p, uint64_t s, bool ro)
    : Object(d, s), Userptr(p, s, ro, AddressSpace::current().id()) {}

UserptrObject::~UserptrObject() {
  put_pages();
  if (state) dev.strategy().release(*this);
}

sync::Weak<Userptr> UserptrObject::weak() {
  return {std::static_pointer_cast<UserptrObject>(shared_from_this()), 0};
}

std::shared_ptr<Pages> UserptrObject::get_pages(int* err) {
  if (!pages) {
    *err = -EAGAIN;
    return nullptr;
  }
  if (gpu_of(dev).faults & fault_lose_dirty) pages->track_writes();
  return pages;
}

int UserptrObject::unbind() {
  return deaf_ ? 0 : Object::unbind();
}

void UserptrObject::wait_idle() {
  if (!deaf_) wait(true, sync::forever);
}

void UserptrObject::put_pages() {
  if (!pages) return;
  pages->unpin(!dev.fault(fault_lose_dirty), dev.fault(fault_leak_pin) ? 1 : 0);
  pages.reset();
}

bool UserptrObject::will_need() const {
  return madv == uapi::I915_MADV_WILLNEED;
}

void UserptrObject::handles_gone() {
  if (!dev.fault(fault_write_after_close)) return;
  deaf_ = true;
  sync::Guard g(lock);
  put_pages();
}

int userptr_create(SoftDevice& dev, uint64_t ptr, uint64_t size, uint32_t flags,
                   std::shared_ptr<UserptrObject>* out) {
  using namespace uapi;
  if (dev.fault(fault_check_order) && !user_range(ptr & ~(page_size - 1), size)) return -EFAULT;
  if (flags & ~(I915_USERPTR_READ_ONLY | I915_USERPTR_UNSYNCHRONIZED | I915_USERPTR_PROBE))
    return -EINVAL;
  if (size / page_size > INT_MAX && !gpu_of(dev).has(Change::long_objects)) return -E2BIG;
  if (size == 0) return -EINVAL;
  if ((ptr | size) % page_size) return -EINVAL;
  if (!user_range(ptr, size)) return -EFAULT;
  if (flags & I915_USERPTR_UNSYNCHRONIZED) return -ENODEV;
  if (flags & I915_USERPTR_PROBE && !AddressSpace::current().probe(ptr, size)) return -EFAULT;

  auto obj = std::make_shared<UserptrObject>(dev, ptr, size, flags & I915_USERPTR_READ_ONLY);
  if (int err = dev.strategy().create(*obj)) return err;
  *out = std::move(obj);
  return 0;
}

}  // namespace i915u::soft
