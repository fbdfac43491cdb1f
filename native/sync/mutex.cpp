// SPDX-License-Identifier: MIT
#include "sync/mutex.h"

namespace i915u::sync {

void Mutex::scheduled_lock(Where w) {
  scheduler->step(
      {Op::lock, id_, cls_->name, w},
      [](const void* m) { return !static_cast<const Mutex*>(m)->held_; }, this);
  held_ = true;
  scheduler->taken(id_, cls_->name, false);
}

bool Mutex::scheduled_try_lock(Where w) {
  scheduler->step({Op::try_lock, id_, cls_->name, w}, nullptr, nullptr);
  if (held_) return false;
  scheduler->taken(id_, cls_->name, false);
  return held_ = true;
}

void Mutex::scheduled_unlock() {
  held_ = false;
  scheduler->touch(id_);
  scheduler->released(id_);
}

}  // namespace i915u::sync
