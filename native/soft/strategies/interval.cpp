// SPDX-License-Identifier: MIT
// Userptr as i915 has it since 5.13 (i915_gem_userptr.c of 6.1): pages are pinned at submission,
// with no lock held, and the sequence number of the object's interval notifier tells whether an
// invalidate came between; it is checked once more under notifier_lock, right before the request is
// visible. Before 6.8 the notifier waits for all requests of the object; since then pages stay
// pinned and are let go at the next submission.
// The driver's algorithm: submit_init, submit_done, invalidate, release. Changed on purpose: the
// notifier refers to its object weakly, so that an object may die inside an invalidate (the kernel
// frees objects from a worker); no special case for an exiting process, which cannot be seen here.
#include "soft/strategies/interval.h"

#include <cerrno>
#include <climits>

#include "drm/uapi.h"
#include "soft/device_impl.h"
#include "soft/mm/mappings.h"
#include "soft/userptr.h"

namespace i915u::soft {
namespace {

class Notifier final : public IntervalNotifier {
 public:
  Notifier(UserptrObject& obj, bool wait)
      : dev_(obj.dev), object_(obj.weak_from_this()), wait_(wait) {}

  bool invalidate(const InvalidateRange& range, uint64_t cur_seq) override {
    if (!range.blockable) return false;
    {
      sync::WriteGuard w(dev_.notifier_lock());
      AddressSpace::current().set_seq(*this, cur_seq);
    }
    const auto held = object_.lock();
    if (!held) return true;
    auto& obj = static_cast<UserptrObject&>(*held);
    if (!wait_ || obj.deaf) return true;
    if (gpu_of(dev_).faults & fault_lock_over_gup) sync::Guard g(obj.lock);
    if (dev_.fault(fault_no_wait)) {
      sync::Guard g(obj.lock);
      obj.put_pages();
      return true;
    }
    obj.wait(true, sync::forever);
    return true;
  }

 private:
  SoftDevice& dev_;
  const std::weak_ptr<Object> object_;
  const bool wait_;
};

class Interval final : public Strategy {
 public:
  Interval(SoftDevice& dev, bool wait) : dev_(dev), wait_(wait) {}

  const char* name() const override { return wait_ ? "interval" : "interval-nowait"; }

  int create(UserptrObject& obj) override {
    obj.notifier = std::make_unique<Notifier>(obj, wait_);
    const uint64_t forgotten = dev_.fault(fault_short_range) ? page_size : 0;
    AddressSpace::current().interval_insert(*obj.notifier, obj.ptr, obj.size - forgotten);
    return 0;
  }

  void release(UserptrObject& obj) override {
    if (AddressSpace::current().id() == obj.mm)
      AddressSpace::current().interval_drop(std::move(obj.notifier));
    else
      static_cast<void>(obj.notifier.release());  // it stands in the lists of the parent's mm
  }

  int submit_init(UserptrObject& obj) override {
    AddressSpace& mm = AddressSpace::current();
    if (mm.id() != obj.mm) return -EFAULT;
    const uint64_t seq = mm.read_begin(*obj.notifier);
    {
      sync::Guard g(obj.lock);
      obj.skip_retry = dev_.fault(fault_skip_retry);
      if ((obj.looked_up && seq == obj.notifier_seq) || (obj.pages && obj.skip_retry)) return 0;
      if (int err = obj.unbind()) return err;
      obj.put_pages();
    }
    constexpr uint64_t most = INT_MAX / sizeof(void*);  // kvmalloc_array of struct page *
    if (obj.size / page_size > most) return -ENOMEM;

    const bool write = !obj.read_only && !dev_.fault(fault_no_foll_write);
    std::shared_ptr<PinnedPages> pages;  // what is not installed is unpinned without the lock
    int err;
    if (dev_.fault(fault_lock_over_gup)) {
      sync::Guard g(obj.lock);
      pages = mm.pin_user_pages(obj.ptr, obj.size, write, &err);
      return pages ? install(mm, obj, pages, seq) : err;
    }
    pages = mm.pin_user_pages(obj.ptr, obj.size, write, &err);
    if (!pages) return err;
    sync::Guard g(obj.lock);
    return install(mm, obj, pages, seq);
  }

  int submit_done(UserptrObject& obj) override {
    if (obj.skip_retry) return 0;
    return AddressSpace::current().read_retry(*obj.notifier, obj.notifier_seq) ? -EAGAIN : 0;
  }

 private:
  // With obj.lock held. Another submission may have been first; its pages then have to be of now.
  int install(AddressSpace& mm, UserptrObject& obj, std::shared_ptr<PinnedPages>& pages,
              uint64_t seq) {
    const uint64_t looked_up = obj.pages ? obj.notifier_seq : seq;
    if (!obj.skip_retry && mm.read_retry(*obj.notifier, looked_up)) return -EAGAIN;
    if (obj.pages) return 0;
    obj.notifier_seq = seq;
    obj.looked_up = true;
    if (obj.madv != uapi::I915_MADV_WILLNEED) return -EFAULT;  // ____i915_gem_object_get_pages
    if (gpu_of(dev_).faults & fault_lose_dirty) pages->track_writes();
    obj.pages = std::move(pages);
    return 0;
  }

  SoftDevice& dev_;
  const bool wait_;
};

}  // namespace

std::unique_ptr<Strategy> make_interval(SoftDevice& dev) {
  return std::make_unique<Interval>(dev, true);
}

std::unique_ptr<Strategy> make_interval_nowait(SoftDevice& dev) {
  return std::make_unique<Interval>(dev, false);
}

}  // namespace i915u::soft
