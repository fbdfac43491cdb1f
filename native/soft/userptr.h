// SPDX-License-Identifier: MIT
// A userptr object (kernel 6.1: i915_gem_userptr.c): the ioctl's checks and the object. What keeps
// its page lookups apart from invalidates is the strategy's: strategies/.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "soft/mm/address_space.h"
#include "soft/object.h"

namespace i915u::soft {

class UserptrObject final : public Object {
 public:
  UserptrObject(SoftDevice& dev, uint64_t ptr, uint64_t size, bool read_only);
  ~UserptrObject() override;

  const uint64_t ptr;
  const bool read_only;
  const uint64_t mm;  ///< AddressSpace::id() of its creator

  bool is_userptr() const override { return true; }
  bool is_readonly() const override { return read_only; }
  std::shared_ptr<Pages> get_pages(int* err) override;
  void handles_gone() override;

  /// Gives the pages back; `lock` held. Whoever still uses them has stale ones.
  void put_pages();

  // Of the strategy, with `lock` held.
  std::shared_ptr<PinnedPages> pages;
  uint64_t notifier_seq = UINT64_MAX;
  /// The driver's pvec is there. Without pages it is where they were looked up and then not wanted
  /// (DONTNEED): submissions get EAGAIN until the next invalidate, in 6.1 at least.
  bool looked_up = false;
  bool skip_retry = false;  ///< fault_skip_retry strikes this submission

  /// From create() to the destructor.
  std::unique_ptr<IntervalNotifier> notifier;
  std::atomic<bool> deaf{false};  ///< fault_write_after_close: the notifier does nothing any more
};

/// GEM_USERPTR but for the handle. 0 or -errno.
int userptr_create(SoftDevice& dev, uint64_t ptr, uint64_t size, uint32_t flags,
                   std::shared_ptr<UserptrObject>* out);

}  // namespace i915u::soft
