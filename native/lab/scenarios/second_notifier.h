// SPDX-License-Identifier: MIT
// Another driver's notifier on the same mm. It sleeps where its own page is concerned, for a lock
// that the driver holds while it allocates memory; what it never does under that lock is touch its
// own page. Lockdep does not know the lock: it would report this driver by itself, as the kernel's
// does since 5.4, for which any invalidate may be an allocation's.
#pragma once

#include "lab/model/mm.h"

namespace i915u::lab {

class SecondNotifier final : public soft::MmuNotifier {
 public:
  SecondNotifier(LabMm& mm, int page)
      : lock(lock_class, sync::Mutex::untracked), mm_(mm), page_(page) {
    mm_.notifiers().subscribe(*this);
  }
  ~SecondNotifier() override {
    sync::Uncancelled u;
    mm_.notifiers().unsubscribe(*this);
  }
  int invalidate_range_start(const soft::InvalidateRange& r) override {
    if (r.end <= LabMm::addr(page_) || r.start >= LabMm::addr(page_ + 1)) return 0;
    if (!r.blockable) return -11;  // EAGAIN
    sync::Guard g(lock);
    return 0;
  }

  sync::Mutex lock;

 private:
  static inline const sync::LockClass lock_class{"the other driver's lock"};
  LabMm& mm_;
  const int page_;
};

}  // namespace i915u::lab
