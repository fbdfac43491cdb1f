// SPDX-License-Identifier: MIT
// A strategy: how a driver keeps page lookups apart from invalidates. One file each in this folder.
// It sees a mm, objects and a device through the classes below, behind which stand the soft i915 on
// the process's own memory, or the lab's model, where every interleaving is tried.
#pragma once

#include <cstdint>
#include <memory>

#include "soft/faults.h"
#include "soft/mm/mm.h"
#include "sync/mutex.h"
#include "sync/rwsem.h"
#include "sync/weak.h"

namespace i915u::soft {

/// A userptr object as a strategy sees it. Its owner keeps it in a shared_ptr.
class Userptr {
 public:
  Userptr(uint64_t p, uint64_t n, bool ro, uint64_t m) : ptr(p), size(n), read_only(ro), mm(m) {}
  virtual ~Userptr() = default;

  const uint64_t ptr, size;  ///< bytes
  const bool read_only;
  const uint64_t mm;  ///< Mm::id() of its creator

  /// kernel: struct_mutex and obj->mm.lock in 4.16, later the object's resv. Guards `pages` and
  /// the bindings.
  virtual sync::Mutex& object_lock() = 0;
  virtual sync::Weak<Userptr> weak() = 0;
  /// Removes every binding: waits for the requests that use one. object_lock held, and dropped
  /// while waiting. 0 or -errno.
  virtual int unbind() = 0;
  /// Waits for all requests that use it. object_lock not held.
  virtual void wait_idle() = 0;
  /// Gives the pages back; object_lock held. Whoever still uses them has stale ones.
  virtual void put_pages() = 0;
  virtual bool will_need() const = 0;  ///< madvise says so; else no new pages. object_lock

  std::shared_ptr<UserPages> pages;  ///< object_lock

  /// What the strategy keeps of it, from create() to release().
  struct State {
    virtual ~State() = default;
  };
  std::unique_ptr<State> state;
};

/// The device.
class StrategyHost {
 public:
  virtual ~StrategyHost() = default;
  virtual Mm& mm() = 0;  ///< of the calling process
  /// kernel: i915->mm.notifier_lock, of 5.13 to 6.8. Readers: the last check of a submission;
  /// writers: notifiers.
  virtual sync::RwLock& notifier_lock() = 0;
  /// Does the fault strike now?
  virtual bool fault(Fault) = 0;
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual const char* name() const = 0;
  /// At GEM_USERPTR: subscribe to changes of the object's range. 0 or -errno.
  virtual int create(Userptr&) = 0;
  /// The last reference is gone. What create() made is undone; the object gives its pages back
  /// itself.
  virtual void release(Userptr&) = 0;
  /// Before a submission, no lock held: the object has pages of now, or
  /// -EFAULT, -EAGAIN (collided with an invalidate; try the ioctl again).
  virtual int submit_init(Userptr&) = 0;
  /// The last check: called with StrategyHost::notifier_lock held for reading (but for kernels that
  /// have none), after the request was made a fence of the object, and right before it becomes
  /// visible to the GPU. 0 or -EAGAIN.
  virtual int submit_done(Userptr&) = 0;
};

struct StrategyName {
  const char* name;
  const char* what;  ///< one sentence, and which kernels have it
  std::unique_ptr<Strategy> (*make)(StrategyHost&);
  bool waits;  ///< is the GPU done with the pages when invalidate_range_start() has returned?
  // For `lab explain`; plain text.
  const char* does;     ///< the algorithm in some sentences
  const char* kernels;  ///< which had it
  const char* against;  ///< what is known against it
  const char* sources;  ///< commits, mails, files
};

/// All of them, ended by a null name. The first is the default.
extern const StrategyName strategy_names[];
/// Null: there is none of that name.
const StrategyName* find_strategy(const char* name);

}  // namespace i915u::soft
