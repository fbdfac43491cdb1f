// SPDX-License-Identifier: MIT
// Every way in which a process changes its mappings, as one interface, so that the same stressor
// runs straight on the kernel (DirectMemory) or through the software mm, which calls its notifiers
// around the same syscalls (soft::AddressSpace).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace i915u {

/// Each call is one syscall with the kernel's arguments, returns what it returns, or -errno.
/// Addresses and lengths are bytes. Nothing is retried.
class Memory {
 public:
  virtual ~Memory() = default;

  virtual int64_t mmap(uint64_t addr, uint64_t len, int prot, int flags, int fd, int64_t off) = 0;
  virtual int munmap(uint64_t addr, uint64_t len) = 0;
  virtual int mprotect(uint64_t addr, uint64_t len, int prot) = 0;
  virtual int64_t mremap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
                         uint64_t new_addr) = 0;
  virtual int madvise(uint64_t addr, uint64_t len, int advice) = 0;
  virtual int mlock(uint64_t addr, uint64_t len) = 0;
  virtual int munlock(uint64_t addr, uint64_t len) = 0;
  /// nodes may be null (then status tells where the pages are); `flags` are MPOL_MF_*.
  virtual int64_t move_pages(uint64_t count, const uint64_t* pages, const int* nodes, int* status,
                             int flags) = 0;
  /// On a file that may be mapped: the pages that leave it are unmapped from every mapping of it.
  virtual int ftruncate(int fd, int64_t len) = 0;
  virtual int fallocate(int fd, int mode, int64_t off, int64_t len) = 0;
  /// 0 in the child. The child may only touch memory, make syscalls and _exit().
  virtual pid_t fork() = 0;
};

/// The plain syscalls.
class DirectMemory : public Memory {
 public:
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

  static DirectMemory& instance();
};

}  // namespace i915u
