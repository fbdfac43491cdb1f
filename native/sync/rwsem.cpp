// SPDX-License-Identifier: MIT
#include "sync/rwsem.h"

namespace i915u::sync {

void RwSemaphore::wait(std::unique_lock<std::mutex>& l, bool writer) {
  Waiter me{writer};
  Waiter** end = &first_;
  while (*end) end = &(*end)->next;
  *end = &me;
  me.cv.wait(l, [&] { return me.granted; });
}

// Notified under the lock: a waiter's node is gone as soon as it may run.
void RwSemaphore::grant() {
  if (writer_ || !first_) return;
  if (first_->writer) {
    if (readers_) return;
    Waiter* w = first_;
    first_ = w->next;
    writer_ = w->granted = true;
    w->cv.notify_one();
    return;
  }
  for (Waiter** at = &first_; *at;) {
    Waiter* w = *at;
    if (w->writer) {
      at = &w->next;
      continue;
    }
    *at = w->next;
    readers_++;
    w->granted = true;
    w->cv.notify_one();
  }
}

void RwSemaphore::down_read(Where) {
  std::unique_lock l(m_);
  if (!writer_ && !first_)
    readers_++;
  else
    wait(l, false);
}

bool RwSemaphore::down_read_trylock(Where) {
  std::lock_guard l(m_);
  if (writer_ || first_) return false;
  readers_++;
  return true;
}

void RwSemaphore::up_read() {
  std::lock_guard l(m_);
  if (--readers_ == 0) grant();
}

void RwSemaphore::down_write(Where) {
  std::unique_lock l(m_);
  if (!writer_ && !readers_ && !first_)
    writer_ = true;
  else
    wait(l, true);
}

bool RwSemaphore::down_write_trylock(Where) {
  std::lock_guard l(m_);
  if (writer_ || readers_ || first_) return false;
  writer_ = true;
  return true;
}

void RwSemaphore::up_write() {
  std::lock_guard l(m_);
  writer_ = false;
  grant();
}

}  // namespace i915u::sync
