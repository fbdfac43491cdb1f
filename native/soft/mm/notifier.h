// SPDX-License-Identifier: MIT
// The notifier chain of one mm (kernel: include/linux/mmu_notifier.h, mm/mmu_notifier.c).
// Same contract and, for the interval notifiers, the same sequence protocol as the kernel's; what
// stands in for SRCU is said in notifier.cpp.
#pragma once

#include <atomic>
#include <cstdint>

#include "soft/mm/interval_tree.h"

namespace i915u::soft {

class AddressSpace;

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

/// A subscriber of one range (kernel: mmu_interval_notifier). Insert with
/// AddressSpace::interval_insert; the sequence calls are AddressSpace's.
class IntervalNotifier {
 public:
  virtual ~IntervalNotifier() = default;
  /// Called for each invalidate that overlaps [start, end). It must call
  /// AddressSpace::set_seq(*this, cur_seq) under the lock that its readers' retry check takes.
  /// Returns false when it would have to sleep and may not.
  virtual bool invalidate(const InvalidateRange&, uint64_t cur_seq) = 0;

  uint64_t start = 0, end = 0;   ///< bytes; set by interval_insert
  std::atomic<uint64_t> seq{0};  ///< invalidate_seq: set_seq writes it

  // Of AddressSpace alone, under its lock of the subscriptions.
  IntervalLinks<IntervalNotifier> links;
  enum { out, in, joining, leaving } place = out;
};

}  // namespace i915u::soft
