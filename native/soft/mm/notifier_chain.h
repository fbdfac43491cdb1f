// SPDX-License-Identifier: MIT
// The notifier chain of one mm (kernel: include/linux/mmu_notifier.h, mm/mmu_notifier.c), whatever
// the mm: the process's own, or the lab's model. Same contract and, for the interval notifiers, the
// same sequence protocol as the kernel's; what stands in for SRCU is said in notifier_chain.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "soft/mm/interval_tree.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/wait_queue.h"

namespace i915u::soft {

/// Why a range is invalidated (kernel: enum mmu_notifier_event).
enum class InvalidateEvent {
  unmap,
  clear,
  protection_vma,
  protection_page,
  soft_dirty,
  release,
  migrate,
  exclusive
};

/// Bytes [start, end).
struct InvalidateRange {
  uint64_t start, end;
  InvalidateEvent event;
  bool blockable;  ///< may the callee sleep (false: reclaim by the OOM reaper)
};

/// A subscriber of the whole mm (kernel: mmu_notifier_ops).
class MmuNotifier {
 public:
  virtual ~MmuNotifier() = default;
  /// Called before the change with mmap_lock held as the change holds it. 0 or -EAGAIN (only when
  /// the range is not blockable).
  virtual int invalidate_range_start(const InvalidateRange&) = 0;
  virtual void invalidate_range_end(const InvalidateRange&) {}
  virtual void release() {}  ///< the mm goes away
};

/// A subscriber of one range (kernel: mmu_interval_notifier).
class IntervalNotifier {
 public:
  virtual ~IntervalNotifier() = default;
  /// Called for each invalidate that overlaps [start, end). It must call
  /// NotifierChain::set_seq(*this, cur_seq), under the lock that its readers' retry check takes:
  /// who does without (i915 since 6.9) may see a reader go on that has just checked.
  /// Returns false when it would have to sleep and may not.
  virtual bool invalidate(const InvalidateRange&, uint64_t cur_seq) = 0;

  uint64_t start = 0, end = 0;  ///< bytes; set by interval_insert

 private:
  friend class NotifierChain;
  sync::Atomic<uint64_t> seq_{"interval_sub->invalidate_seq"};
  // Under the chain's lock.
  IntervalLinks<IntervalNotifier> links;
  enum { out, in, joining, leaving } place_ = out;
  template <class T>
  friend class IntervalTree;
};

class NotifierChain {
 public:
  NotifierChain();
  NotifierChain(const NotifierChain&) = delete;
  NotifierChain& operator=(const NotifierChain&) = delete;

  /// Under a scheduler: may it unsubscribe while something is being invalidated? Only then are a
  /// subscriber's coming and going steps of their own.
  enum class Leaves { in_quiet, any_time };
  /// kernel: __mmu_notifier_register. mmap_lock is held for writing: no change may have its start
  /// before the registration and its end after it.
  void subscribe(MmuNotifier&, Leaves = Leaves::in_quiet);
  /// kernel: mmu_notifier_unregister. Returns when no call to it is running. mmap_lock not held.
  void unsubscribe(MmuNotifier&);

  void interval_insert(IntervalNotifier&, uint64_t start, uint64_t len);
  /// Returns when no call to it is running.
  void interval_remove(IntervalNotifier&);
  /// Removes it without waiting, so that an invalidate may do it; it is destroyed when no call to
  /// it is running.
  void interval_drop(std::unique_ptr<IntervalNotifier>);
  /// kernel: mmu_interval_read_begin. Waits while an invalidate of this range is in progress.
  uint64_t read_begin(IntervalNotifier&);
  /// kernel: mmu_interval_read_retry. Under the lock that invalidate() takes around set_seq.
  bool read_retry(IntervalNotifier&, uint64_t seq);
  void set_seq(IntervalNotifier&, uint64_t cur_seq);

  /// Around a change. 0, or -EAGAIN where a subscriber would have to sleep and the range is not
  /// blockable: there is then no change, and no end to call.
  int invalidate_range_start(const InvalidateRange&);
  void invalidate_range_end(const InvalidateRange&);
  uint64_t invalidates() const { return invalidates_.load(std::memory_order_relaxed); }

  /// Is no range between its start and its end?
  bool quiet();

 private:
  struct Subscriber {
    Subscriber(MmuNotifier& n, uint32_t o) : notifier(&n), object(o) {}
    /// Before each access to the two below.
    void step(sync::Op::Act) const;

    MmuNotifier* notifier;
    const uint32_t object;             ///< Scheduler's, or 0
    std::atomic<uint32_t> running{0};  ///< walks of the list that have it
    std::atomic<bool> gone{false};
  };
  using Walk = std::vector<std::shared_ptr<Subscriber>>;

  void end_walk(const Walk&);
  // With lock_ held.
  Walk begin_walk();
  void itree_end(std::vector<std::unique_ptr<IntervalNotifier>>* unused);
  /// True: `n` is deferred, and the caller who wants it gone waits for invalidate_seq to move on.
  bool remove(IntervalNotifier& n);

  /// An invalidate is in progress (kernel: __mmu_notifier_invalidate_range_start_map). Held around
  /// the start's calls, waited for by who waits for an end: what is held there no call may take.
  sync::lockdep::Map start_map_;
  sync::SpinLock lock_;  // innermost
  sync::WaitQueue wq_;
  uint64_t invalidate_seq_ = 2, active_invalidate_ranges_ = 0;
  IntervalTree<IntervalNotifier> itree_;
  std::vector<IntervalNotifier*> deferred_;
  std::vector<std::unique_ptr<IntervalNotifier>> dropped_;
  std::list<std::shared_ptr<Subscriber>> subscribers_;
  std::atomic<uint64_t> invalidates_{0};  // a number to look at
};

}  // namespace i915u::soft
