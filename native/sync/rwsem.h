// SPDX-License-Identifier: MIT
// Readers and writers. RwSemaphore is as fair as the kernel's: those who must wait stand in line,
// new readers behind a waiting writer; when a reader is at the head, all readers in the line go
// together. RwLock is the kernel's rwlock_t: short, never held while sleeping.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "sync/class.h"
#include "sync/lockdep.h"
#include "sync/scheduler.h"

namespace i915u::sync {

class RwSemaphore {
 public:
  explicit RwSemaphore(const LockClass& cls) : RwSemaphore(cls, true) {}
  RwSemaphore(const RwSemaphore&) = delete;
  RwSemaphore& operator=(const RwSemaphore&) = delete;

  void down_read(Where = Where::current());
  bool down_read_trylock(Where = Where::current());
  void up_read();
  void down_write(Where w = Where::current()) { down_write_nest(nullptr, w); }
  /// One of any number of the same class, whose order is seen to under `nest`, which is held.
  void down_write_nest(const void* nest, Where = Where::current());
  bool down_write_trylock(Where = Where::current());
  void up_write();
  /// Here it would be taken, were there need: lockdep sees it all the same (kernel:
  /// might_lock_read).
  void might_read(Where w = Where::current()) {
    if (sleeps_) lockdep::might_sleep(w);
    lockdep::acquire(*cls_, this, lockdep::Mode::read, false, w);
    lockdep::release(*cls_, this);
  }
  const LockClass& lock_class() const { return *cls_; }

 protected:
  RwSemaphore(const LockClass& cls, bool sleeps)
      : cls_(&cls), id_(new_object(cls.name)), sleeps_(sleeps) {}

 private:
  struct Waiter {
    bool writer;
    bool granted = false;
    std::condition_variable cv{};
    Waiter* next = nullptr;
  };
  void stand_in_line(std::unique_lock<std::mutex>& l, bool writer, Where);
  void grant();
  void leave_line(const Waiter*);
  /// Of the fields below. Under a scheduler nobody is in the way, and it is not taken.
  std::unique_lock<std::mutex> own();
  /// A step of the calling thread, which has not begun to stand in line.
  void step(Op::Act, Where);
  void taken(bool read);
  void released(bool read);

  const LockClass* cls_;
  const uint32_t id_;
  const bool sleeps_;
  std::mutex m_;
  Waiter* first_ = nullptr;  ///< the line; the nodes are on the waiters' stacks
  uint32_t readers_ = 0;     ///< readers that hold it
  bool writer_ = false;
};

class RwLock : public RwSemaphore {
 public:
  explicit RwLock(const LockClass& cls) : RwSemaphore(cls, false) {}
};

class ReadGuard {
 public:
  explicit ReadGuard(RwSemaphore& s, Where w = Where::current()) : s_(s) { s_.down_read(w); }
  ~ReadGuard() { s_.up_read(); }
  ReadGuard(const ReadGuard&) = delete;
  ReadGuard& operator=(const ReadGuard&) = delete;

 private:
  RwSemaphore& s_;
};

class WriteGuard {
 public:
  explicit WriteGuard(RwSemaphore& s, Where w = Where::current()) : s_(s) { s_.down_write(w); }
  ~WriteGuard() { s_.up_write(); }
  WriteGuard(const WriteGuard&) = delete;
  WriteGuard& operator=(const WriteGuard&) = delete;

 private:
  RwSemaphore& s_;
};

}  // namespace i915u::sync
