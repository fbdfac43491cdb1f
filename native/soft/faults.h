// SPDX-License-Identifier: MIT
// Bugs that the model can be told to have, to prove that an oracle finds them.
#pragma once

#include <cstdint>

namespace i915u::soft {

/// One bit each. The comment says what the driver would look like, and what a user would see.
enum Fault : uint32_t {
  /// submit_init and submit_done take the pages although an invalidate came between: later batches
  /// write to pages that the process no longer has (lost writes).
  fault_skip_retry = 1u << 0,
  /// invalidate_range_start returns while batches run, and the pages are given back: a batch writes
  /// into pages that were freed and stand under the same address again (stale writes).
  fault_no_wait = 1u << 1,
  /// The object is registered one page short: a change of its last page alone is never seen.
  fault_short_range = 1u << 2,
  /// Pages written by the GPU are given back clean: page-out loses what was written.
  fault_lose_dirty = 1u << 3,
  /// One page in some releases is not unpinned.
  fault_leak_pin = 1u << 4,
  /// The lock that the notifier takes is held while pages are looked up: ABBA with mmap_lock.
  fault_lock_over_gup = 1u << 5,
  /// Closing the handle takes a busy object's notifier away and gives its pages back at once.
  fault_write_after_close = 1u << 6,
  /// The page lookup asks for read access only (FOLL_WRITE dropped): the GPU writes to pages that
  /// are read-only.
  fault_no_foll_write = 1u << 7,
  /// The notifier's wait covers the writers of an object but the batch's last store lands late:
  /// a request signals before its last dword is written.
  fault_early_signal = 1u << 8,
  /// A signalled request's waiter is not woken, sometimes.
  fault_lost_wakeup = 1u << 9,
  /// Freed GEM objects keep their memory.
  fault_leak_object = 1u << 10,
  /// rwsem: page lookups do not take the semaphore, so that they run in the middle of an
  /// invalidate.
  fault_no_read_lock = 1u << 11,
  /// The object is registered once it has its first pages: what is invalidated while they are
  /// looked up is not seen, and the pages are taken for current.
  fault_late_insert = 1u << 12,
  /// An invalidate leaves the sequence number as it is, so that no lookup sees that it came
  /// between.
  fault_no_seq = 1u << 13,
  /// A store of the GPU to the last dword of a page never lands.
  fault_lost_write = 1u << 14,
  /// GEM_CLOSE of a handle that is none: ENOENT, not EINVAL.
  fault_wrong_errno = 1u << 15,
  /// GEM_USERPTR looks at whose address it is before it looks at the flags: where both are wrong,
  /// EFAULT, not EINVAL.
  fault_check_order = 1u << 16,
};

struct FaultName {
  const char* name;  ///< as on the command line: "skip-retry", ...
  Fault bit;
  const char* what;  ///< one sentence: what the model then does wrong
};

/// All of them, ended by a null name.
extern const FaultName fault_names[];

}  // namespace i915u::soft
