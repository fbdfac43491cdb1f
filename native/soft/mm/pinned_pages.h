// SPDX-License-Identifier: MIT
// Pages that a device holds (kernel: what pin_user_pages returned). They keep their identity: after
// munmap and mmap at one address these are still the old pages, and the process has new ones.
#pragma once

#include <cstdint>
#include <memory>

#include "soft/mm/mm.h"

namespace i915u::soft {

class AddressSpace;
struct PinnedPagesImpl;

class PinnedPages final : public UserPages {
 public:
  ~PinnedPages() override;  ///< unpins what is still pinned
  bool read(uint64_t off, void* dst, size_t len) override;
  bool write(uint64_t off, const void* src, size_t len) override;

  uint64_t start() const;
  uint64_t len() const;

  /// Gives the pages back (kernel: unpin_user_pages). What still accesses them afterwards is a
  /// device with stale translations: the pages are free, and the model has them recycled in the
  /// worst way, as whatever stands at their old address now.
  /// `dirty`: the written pages are marked dirty (unpin_user_pages_dirty_lock); if not, page-out
  /// of such a page brings back its content from before the device wrote (fault_lose_dirty).
  /// `leak`: so many pages are not given back (fault_leak_pin).
  void unpin(bool dirty, uint64_t leak = 0) override;
  bool pinned() const;
  /// From now on the content of a page is kept before it is first written, as unpin(false) wants.
  void track_writes() override;

  /// The device is at work on these pages; a change of the mapping must keep their content apart.
  void get_busy();
  void put_busy();

 private:
  friend class AddressSpace;
  explicit PinnedPages(std::unique_ptr<PinnedPagesImpl>);
  std::unique_ptr<PinnedPagesImpl> impl_;
};

}  // namespace i915u::soft
