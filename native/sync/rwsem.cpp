// SPDX-License-Identifier: MIT
#include "sync/rwsem.h"

namespace i915u::sync {

void RwSemaphore::down_read(Where) {
  std::unique_lock l(m_);
  readers_cv_.wait(l, [&] { return !writer_ && writers_waiting_ == 0; });
  readers_++;
}

bool RwSemaphore::down_read_trylock(Where) {
  std::lock_guard l(m_);
  if (writer_ || writers_waiting_) return false;
  readers_++;
  return true;
}

void RwSemaphore::up_read() {
  std::lock_guard l(m_);
  if (--readers_ == 0 && writers_waiting_) writers_cv_.notify_one();
}

void RwSemaphore::down_write(Where) {
  std::unique_lock l(m_);
  writers_waiting_++;
  writers_cv_.wait(l, [&] { return !writer_ && readers_ == 0; });
  writers_waiting_--;
  writer_ = true;
}

bool RwSemaphore::down_write_trylock(Where) {
  std::lock_guard l(m_);
  if (writer_ || readers_) return false;
  writer_ = true;
  return true;
}

void RwSemaphore::up_write() {
  std::lock_guard l(m_);
  writer_ = false;
  if (writers_waiting_)
    writers_cv_.notify_one();
  else
    readers_cv_.notify_all();
}

}  // namespace i915u::sync
