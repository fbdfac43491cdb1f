// SPDX-License-Identifier: MIT
#include "sync/rwsem.h"

namespace i915u::sync {

std::unique_lock<std::mutex> RwSemaphore::own() {
  return scheduler ? std::unique_lock<std::mutex>() : std::unique_lock(m_);
}

void RwSemaphore::step(Op::Act act, Where w) {
  if (scheduler) scheduler->step({act, id_, cls_->name, w}, nullptr, nullptr);
}

void RwSemaphore::taken(bool read) {
  if (scheduler) scheduler->taken(id_, cls_->name, read);
}

void RwSemaphore::released(bool read) {
  if (!scheduler) return;
  scheduler->touch(id_, read);
  scheduler->released(id_);
}

void RwSemaphore::leave_line(const Waiter* me) {
  for (Waiter** at = &first_; *at; at = &(*at)->next)
    if (*at == me) {
      *at = me->next;
      return;
    }
}

void RwSemaphore::stand_in_line(std::unique_lock<std::mutex>& l, bool writer, Where w) {
  Waiter me{writer};
  Waiter** end = &first_;
  while (*end) end = &(*end)->next;
  *end = &me;
  if (!scheduler) {
    me.cv.wait(l, [&] { return me.granted; });
    return;
  }
  struct Leave {  // where the wait is given up; a granted waiter is in no line
    RwSemaphore& s;
    const Waiter* me;
    ~Leave() { s.leave_line(me); }
  } leave{*this, &me};
  scheduler->step(
      {Op::wait, id_, cls_->name, w},
      [](const void* p) { return static_cast<const Waiter*>(p)->granted; }, &me);
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

void RwSemaphore::down_read(Where w) {
  if (sleeps_) lockdep::might_sleep(w);
  lockdep::acquire(*cls_, this, lockdep::Mode::read, false, w);
  step(Op::lock_read, w);
  auto l = own();
  if (!writer_ && !first_)
    readers_++;
  else
    stand_in_line(l, false, w);
  taken(true);
}

bool RwSemaphore::down_read_trylock(Where w) {
  step(Op::try_lock_read, w);
  {
    const auto l = own();
    if (writer_ || first_) return false;
    readers_++;
  }
  taken(true);
  lockdep::acquire(*cls_, this, lockdep::Mode::read, true, w);
  return true;
}

void RwSemaphore::up_read() {
  lockdep::release(*cls_, this);
  const auto l = own();
  if (--readers_ == 0) grant();
  released(true);
}

void RwSemaphore::down_write_nest(const void* nest, Where w) {
  if (sleeps_) lockdep::might_sleep(w);
  lockdep::acquire(*cls_, this, lockdep::Mode::write, false, w, 0, nest);
  step(Op::lock, w);
  auto l = own();
  if (!writer_ && !readers_ && !first_)
    writer_ = true;
  else
    stand_in_line(l, true, w);
  taken(false);
}

bool RwSemaphore::down_write_trylock(Where w) {
  step(Op::try_lock, w);
  {
    const auto l = own();
    if (writer_ || readers_ || first_) return false;
    writer_ = true;
  }
  taken(false);
  lockdep::acquire(*cls_, this, lockdep::Mode::write, true, w);
  return true;
}

void RwSemaphore::up_write() {
  lockdep::release(*cls_, this);
  const auto l = own();
  writer_ = false;
  grant();
  released(false);
}

}  // namespace i915u::sync
