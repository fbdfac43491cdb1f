// SPDX-License-Identifier: MIT
// What stands behind the primitives of this folder when the interleaving is chosen and not left to
// chance: a scheduler that runs one of its threads at a time. A thread belongs to a scheduler from
// its start to its end; on any other thread `scheduler` is null and the primitives are the real
// ones.
//
// An execution may be given up in its middle (a deadlock, a violation, a branch that need not be
// followed). Its threads are then unwound by an exception, Cancelled, children before parents:
// step() throws it where a thread stands, and returns at once, whatever ready() says, while the
// thread unwinds. So a primitive must leave nothing behind when step() throws, and must end when it
// returns unready. A destructor that calls step() holds an Uncancelled: it cannot let an exception
// out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sync/class.h"

namespace i915u::sync {

/// What a thread is about to do. Two steps of different threads commute unless they are of the same
/// object and one of them is no read.
struct Op {
  enum Act : uint8_t {
    lock,           ///< takes it for itself; with a ready(): once nobody has it
    lock_read,      ///< takes it beside other readers, or stands in line
    try_lock,       ///< takes it or not; never waits
    try_lock_read,  ///< the same beside other readers
    wait,           ///< for a wake: once ready, it stays so. Without a ready(): or for a deadline
    load,           ///< reads a shared value
    store,          ///< writes it, or reads and writes it at once
    join,           ///< waits for a thread's end
    begin,          ///< of a thread
    yield,          ///< see Scheduler::step
    sleep,          ///< for a time, of which there is none
  } act;
  uint32_t object;   ///< Scheduler::new_object; of join, the thread
  const char* what;  ///< the lock class's name, or what the value is
  Where where;
  /// The readers' side of a lock commutes with itself: who stands in line beside another reader
  /// goes together with it.
  bool read() const { return act == load || act == lock_read || act == try_lock_read; }
};

/// What unwinds a thread whose execution is given up. Not to be caught but by `catch (...)` that
/// throws it on.
struct Cancelled {};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// A number for a primitive, the same in each run with the same choices.
  virtual uint32_t new_object(const char* name) = 0;

  /// A point where any thread may be chosen instead. Returns when the calling thread has been
  /// chosen while ready(arg) was true, which is asked as often as need be, depends on the object
  /// alone and must have no effect; null is always ready. What follows, up to the next step,
  /// happens at once.
  ///
  /// A thread that yields says: what I have tried since I last yielded came to nothing, and there
  /// is no use in trying again until what I looked at has changed. It is not chosen before another
  /// thread has made a step that does not commute with one of these; nor, where no other thread can
  /// go on, kept any longer. So a loop that retries does not make the executions infinite.
  virtual void step(const Op&, bool (*ready)(const void*), const void* arg) = 0;

  /// In the middle of a step: the object was changed as well, and who waits for it may go on (an
  /// unlock, a wake). With `read`, the change commutes with those of other readers.
  virtual void touch(uint32_t object, bool read = false) = 0;

  /// The calling thread has taken the lock, or has let it go: before release(), the touch() that
  /// goes with it. For who looks on: a deadlock's report, the lanes.
  virtual void taken(uint32_t object, const char* what, bool read) = 0;
  virtual void released(uint32_t object) = 0;

  /// A further thread, which can be chosen from now on. Returns its number, which is never 0.
  virtual uint32_t spawn(std::string name, std::function<void()> body) = 0;
  virtual void join(uint32_t thread, Where) = 0;

  /// The calling thread is not to be unwound, by +1, or may be again, by -1.
  virtual void uncancelled(int by) = 0;
};

/// Of the calling thread.
inline thread_local Scheduler* scheduler = nullptr;

/// The number of a primitive that is being made: 0 outside of any scheduler.
inline uint32_t new_object(const char* name) {
  return scheduler ? scheduler->new_object(name) : 0;
}

/// Until the end of its scope step() returns instead of throwing Cancelled.
class Uncancelled {
 public:
  Uncancelled() : s_(scheduler) {
    if (s_) s_->uncancelled(1);
  }
  ~Uncancelled() {
    if (s_) s_->uncancelled(-1);
  }
  Uncancelled(const Uncancelled&) = delete;
  Uncancelled& operator=(const Uncancelled&) = delete;

 private:
  Scheduler* s_;
};

}  // namespace i915u::sync
