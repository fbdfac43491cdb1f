// SPDX-License-Identifier: MIT
// A mm as a driver sees it: the process's own (address_space.h), or the lab's model.
#pragma once

#include <cstdint>
#include <memory>

#include "soft/mm/notifier_chain.h"
#include "soft/pages.h"
#include "sync/rwsem.h"

namespace i915u::soft {

/// Pages that a device holds (kernel: what pin_user_pages returned). The last reference to them
/// gives them back, if unpin() has not.
class UserPages : public Pages {
 public:
  /// kernel: unpin_user_pages. `dirty`: those that were written are marked dirty. `leak`: so many
  /// are not given back (fault_leak_pin).
  virtual void unpin(bool dirty, uint64_t leak = 0) = 0;
  /// Before the first write, where unpin(false) may follow (fault_lose_dirty).
  virtual void track_writes() {}
};

class Mm {
 public:
  virtual ~Mm() = default;
  virtual uint64_t id() const = 0;
  virtual NotifierChain& notifiers() = 0;
  virtual sync::RwSemaphore& mmap_lock() = 0;

  // Page lookups over [start, start + len), page-aligned, for writing if `write`. Null with
  // *err = -EFAULT: a hole, no permission, a device mapping.

  /// kernel 4.16: __get_user_pages_fast. Takes no lock, never sleeps and faults nothing in: every
  /// page of the range, or null.
  virtual std::shared_ptr<UserPages> pin_fast_only(uint64_t start, uint64_t len, bool write) = 0;
  /// kernel 4.16: get_user_pages_remote under mmap_sem, taken for reading. Faults missing pages in
  /// and breaks COW, which calls notifiers.
  virtual std::shared_ptr<UserPages> pin_remote(uint64_t start, uint64_t len, bool write,
                                                int* err) = 0;
  /// kernel 6.1: pin_user_pages_fast. Without mmap_lock where every page is there, else as
  /// pin_remote.
  virtual std::shared_ptr<UserPages> pin_user_pages(uint64_t start, uint64_t len, bool write,
                                                    int* err) = 0;
};

}  // namespace i915u::soft
