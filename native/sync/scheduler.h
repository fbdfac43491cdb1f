// SPDX-License-Identifier: MIT
// What stands behind the primitives of this folder when the interleaving is chosen and not left to
// chance: a scheduler that runs one of its threads at a time. A thread belongs to a scheduler from
// its start to its end; on any other thread `scheduler` is null and the primitives are the real
// ones.
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
    lock,       ///< takes it for itself
    lock_read,  ///< takes it beside other readers
    try_lock,   ///< takes it or not; never waits
    wait,       ///< for a wake
    load,       ///< reads a shared value
    store,      ///< writes it, or reads and writes it at once
    join,       ///< waits for a thread's end
    begin,      ///< of a thread
  } act;
  uint32_t object;   ///< Scheduler::new_object
  const char* what;  ///< the lock class's name, or what the value is
  Where where;
  bool read() const { return act == load; }
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// A number for a primitive, the same in each run with the same choices.
  virtual uint32_t new_object(const char* name) = 0;

  /// A point where any thread may be chosen instead. Returns when the calling thread has been
  /// chosen while ready(arg) was true, which is asked as often as need be and must have no effect;
  /// null is always ready. What follows, up to the next step, happens at once.
  virtual void step(const Op&, bool (*ready)(const void*), const void* arg) = 0;

  /// In the middle of a step: the object was changed as well, and who waits for it may go on (an
  /// unlock, a wake).
  virtual void touch(uint32_t object) = 0;

  /// A further thread, which can be chosen from now on. Returns its number, which is never 0.
  virtual uint32_t spawn(std::string name, std::function<void()> body) = 0;
  virtual void join(uint32_t thread, Where) = 0;
};

/// Of the calling thread.
inline thread_local Scheduler* scheduler = nullptr;

/// The number of a primitive that is being made: 0 outside of any scheduler.
inline uint32_t new_object(const char* name) {
  return scheduler ? scheduler->new_object(name) : 0;
}

}  // namespace i915u::sync
