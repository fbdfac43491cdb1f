// SPDX-License-Identifier: MIT
// The lock checker: finds from the order in which locks are taken that they can deadlock, without
// the deadlock having to happen (kernel: lockdep; with cross-release, which the kernel had for a
// while in 2017). Always on; I915_USERPTR_LOCKDEP=0 in the environment turns it off.
//
// What is checked
// - Each acquisition against the locks that its task holds: "possible recursive locking" where one
//   of them is of the same class, "possible circular locking dependency" where the new lock comes
//   before one of them on a path of earlier acquisitions. An edge of the graph of classes knows how
//   its ends were held. Mode::read is that of RwSemaphore and RwLock: a new reader stands behind a
//   waiting writer, so that it blocks, and is blocked by, readers too. Only Mode::read_recursive
//   passes by other readers, and a path that enters a class so and leaves it as a reader is none.
// - A trylock waits for nobody: it comes after nothing, but what comes after it does.
// - What is waited for besides locks: Map, for work (running an item is an acquisition of the
//   queue's class and of the work's, flushing it another), and Event, for completions and fences.
// - A thread that ends, or a call that returns to user space, with a lock held.
// - Whoever may sleep between NonBlock's begin and end, whether it has to or not: "sleeping
// function
//   called from invalid context". A SpinLock and a RwLock do not sleep (kernel: non_block_start,
//   might_sleep).
//
// Cross-release: an Event is not held by anyone, so the other side has to be looked up in history.
// When it is completed, all that the completing task acquired since the event was begun had to be
// got before a waiter could go on: edges from the event's class to those. Waiting for it is an
// acquisition under all that the waiter holds. The history keeps of each class the last
// acquisition; events are stamped by a counter that goes up with each beginning.
// - Not tracked: joining a thread; conditions on a WaitQueue without an Event; instances (two
//   events or locks of one class are one), so no edge from an event to its own class; what the task
//   acquired before the event began, or only tried.
// - False positives are kept out by cutting the history where a context begins that owes nothing to
//   what ran before it on the same task: at each work item and at each ioctl (kernel: system call).
//   An event counts as waited for from begin() on, or its construction; one whose maker locks
//   something before others can see it calls begin() again when they can.
//
// Cost: a chain of held locks that has been seen is found by its hash in a lock-free table; only a
// new one takes the global lock. No allocation but in a report. The tables are bounded: when one is
// full, lockdep says so and is off from then on, as after its first report.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "sync/class.h"

namespace i915u::sync::lockdep {

enum class Mode : uint8_t { write, read, read_recursive };

constexpr uint32_t max_classes = 256;  ///< with subclasses, and without number 0
constexpr uint32_t max_held = 48;      ///< by a task (kernel: MAX_LOCK_DEPTH)

/// Who holds locks: a thread has one by itself, a fiber brings its own. About 20 KiB, of which
/// little is touched.
struct Task {
  explicit Task(const char* task_name);
  ~Task() { end(); }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// It has come to its end; one that holds locks is reported. It may begin again.
  void end();
  /// It was given up where it stood, with whatever it held.
  void forget();

  // --- lockdep's own
  struct Held {
    const void* lock;
    const void* nest;
    uint64_t chain_before;
    Where where;
    uint16_t id;
    Mode mode;
    bool trylock;
    uint32_t more;  ///< locks of the class taken under `nest` beside this one
  };
  struct Acquisition {
    uint64_t stamp;
    Where where;
  };
  static constexpr uint32_t history_words = 2 * max_classes / 64;

  char name[24];
  uint32_t epoch = 0;
  uint32_t depth = 0;
  uint64_t chain = 0;
  uint32_t non_block = 0;                ///< depth of NonBlock
  uint64_t touched[history_words] = {};  ///< which of `history` are there
  Held held[max_held];
  Acquisition history[2 * max_classes];  ///< by number of the class; odd: read_recursive
};

/// Of the running thread or fiber; null while a thread ends.
Task* current();
/// For a scheduler of fibers, on each switch. Null: the thread's own. Returns the one before.
Task* switch_to(Task*);

struct Report {
  std::string title;  ///< "possible circular locking dependency detected"
  std::string text;   ///< all of it, as in the kernel's log
};
/// Called for the first report, on the task that made it, with lockdep off; it must not call this.
/// Empty: to stderr.
void on_report(std::function<void(const Report&)>);

/// Forgets all dependencies, and is on again after a report. Locks that are held then are not known
/// any more. Classes stay.
void reset();
/// Off, until told otherwise.
void enable(bool);
inline bool enabled();

/// The running context begins: what its task did before has nothing to do with it.
void cut_history();
/// A call returns to user space: nothing may be held, and the next one is a context of its own.
inline void return_to_user();

namespace detail {
/// Goes up with each reset; 0: off.
extern std::atomic<uint32_t> epoch;
inline bool on() {
  return epoch.load(std::memory_order_relaxed) != 0;
}
void acquire(const LockClass&, const void* lock, Mode, bool trylock, Where, unsigned subclass,
             const void* nest);
void release(const LockClass&, const void* lock);
void complete(const LockClass&, uint64_t since, Where);
void return_to_user();
extern std::atomic<uint64_t> stamp;
/// Sections of NonBlock in the process, most often none.
extern std::atomic<uint32_t> non_block;
void might_sleep(Where);
}  // namespace detail

inline bool enabled() {
  return detail::on();
}
inline void return_to_user() {
  if (detail::on()) detail::return_to_user();
}

/// Before the lock is waited for; with `trylock`, once it was taken. `subclass`: its level, where
/// locks of one class nest in levels. `nest`: a lock or Map that is held, and under which locks of
/// this class may be taken in any number (kernel: nest_lock).
inline void acquire(const LockClass& c, const void* lock, Mode m, bool trylock, Where w,
                    unsigned subclass = 0, const void* nest = nullptr) {
  if (detail::on()) detail::acquire(c, lock, m, trylock, w, subclass, nest);
}
/// In any order. A lock that is not known to be held is passed over.
inline void release(const LockClass& c, const void* lock) {
  if (detail::on()) detail::release(c, lock);
}

/// The caller may sleep here.
inline void might_sleep(Where w) {
  if (detail::non_block.load(std::memory_order_relaxed)) detail::might_sleep(w);
}

/// Until the end of its scope the running context may not sleep (kernel: non_block_start). `on`
/// false: it may.
class NonBlock {
 public:
  explicit NonBlock(bool on);
  ~NonBlock();
  NonBlock(const NonBlock&) = delete;
  NonBlock& operator=(const NonBlock&) = delete;

 private:
  Task* const task_;
};

/// What is held or waited for like a lock and is none (kernel: struct lockdep_map): the running of
/// work, a section that others wait out.
class Map {
 public:
  explicit Map(const LockClass& cls) : cls_(cls) {}
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  void lock(Where w = Where::current()) { acquire(cls_, this, Mode::write, false, w); }
  void unlock() { release(cls_, this); }
  /// Waits until nobody is in it.
  void wait(Where w = Where::current()) {
    lock(w);
    unlock();
  }

 private:
  const LockClass& cls_;
};

/// What some task brings about and others wait for.
class Event {
 public:
  explicit Event(const LockClass& cls) : cls_(cls) { begin(); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// From now on it can be waited for.
  void begin() {
    since_ = detail::on() ? detail::stamp.fetch_add(1, std::memory_order_relaxed) + 1 : 0;
  }
  /// Before the wait, whether or not it has happened already.
  void wait(Where w = Where::current()) {
    acquire(cls_, this, Mode::write, false, w);
    release(cls_, this);
  }
  void complete(Where w = Where::current()) {
    if (detail::on() && since_) detail::complete(cls_, since_, w);
  }

 private:
  const LockClass& cls_;
  uint64_t since_;
};

}  // namespace i915u::sync::lockdep
