// SPDX-License-Identifier: MIT
// The process's mm: its notifiers, and every change of a mapping with the notifier calls that the
// kernel makes around it. The change itself is the real syscall. What is the kernel's way and what
// is not: address_space.cpp.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "mem/memory.h"
#include "soft/mm/mm.h"
#include "soft/mm/pinned_pages.h"

namespace i915u::soft {

struct AddressSpaceImpl;

class AddressSpace final : public Memory, public Mm {
 public:
  /// The one of this process. After a fork the child has its own, with no notifiers.
  static AddressSpace& current();

  // --- Memory. The cost beside the syscall is a few uncontended locks and a note of what stands
  // where; it is kept from the first call on, since a notifier may come at any time.
  int64_t mmap(uint64_t addr, uint64_t len, int prot, int flags, int fd, int64_t off) override;
  int munmap(uint64_t addr, uint64_t len) override;
  int mprotect(uint64_t addr, uint64_t len, int prot) override;
  int64_t mremap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
                 uint64_t new_addr) override;
  int madvise(uint64_t addr, uint64_t len, int advice) override;
  int mlock(uint64_t addr, uint64_t len) override;
  int munlock(uint64_t addr, uint64_t len) override;
  int64_t move_pages(uint64_t count, const uint64_t* pages, const int* nodes, int* status,
                     int flags) override;
  int ftruncate(int fd, int64_t len) override;
  int fallocate(int fd, int mode, int64_t off, int64_t len) override;
  pid_t fork() override;

  // --- Mm
  /// Which process this is the mm of: a forked child's differs (kernel: current->mm).
  uint64_t id() const override;
  NotifierChain& notifiers() override;
  sync::RwSemaphore& mmap_lock() override;
  std::shared_ptr<UserPages> pin_fast_only(uint64_t start, uint64_t len, bool write) override;
  std::shared_ptr<UserPages> pin_remote(uint64_t start, uint64_t len, bool write,
                                        int* err) override;
  std::shared_ptr<UserPages> pin_user_pages(uint64_t start, uint64_t len, bool write,
                                            int* err) override;

  /// pin_user_pages, for who wants the pages as what they are.
  std::shared_ptr<PinnedPages> pin(uint64_t start, uint64_t len, bool write, int* err);
  /// Is every page of the range mapped, and to memory that has struct pages? Faults nothing in.
  bool probe(uint64_t start, uint64_t len) const;
  /// A mapping that has no struct pages (VM_PFNMAP): page lookup refuses it. For GEM mmaps.
  void add_pfnmap(uint64_t start, uint64_t len);

  /// Pins taken and given back since the process began, in pages (/proc/vmstat nr_foll_pin_*).
  uint64_t pins_acquired() const;
  uint64_t pins_released() const;

 private:
  AddressSpace();
  ~AddressSpace() override;
  static AddressSpace& create();
  std::shared_ptr<PinnedPages> new_pin(uint64_t start, uint64_t len);  ///< null: -EFAULT
  std::unique_ptr<AddressSpaceImpl> impl_;
};

}  // namespace i915u::soft
