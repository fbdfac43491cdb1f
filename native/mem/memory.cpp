// SPDX-License-Identifier: MIT
#include "mem/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace i915u {
namespace {

int64_t answer(int64_t r) {
  return r == -1 ? -errno : r;
}
// An address above INT64_MAX cannot be returned by the kernel, so -1 is MAP_FAILED alone.
int64_t answer(void* p) {
  return answer(reinterpret_cast<int64_t>(p));
}
void* at(uint64_t addr) {
  return reinterpret_cast<void*>(addr);
}

}  // namespace

DirectMemory& DirectMemory::instance() {
  static DirectMemory m;
  return m;
}

int64_t DirectMemory::mmap(uint64_t addr, uint64_t len, int prot, int flags, int fd, int64_t off) {
  return answer(::mmap(at(addr), len, prot, flags, fd, off));
}

int DirectMemory::munmap(uint64_t addr, uint64_t len) {
  return static_cast<int>(answer(::munmap(at(addr), len)));
}

int DirectMemory::mprotect(uint64_t addr, uint64_t len, int prot) {
  return static_cast<int>(answer(::mprotect(at(addr), len, prot)));
}

int64_t DirectMemory::mremap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
                             uint64_t new_addr) {
  return answer(::mremap(at(old_addr), old_len, new_len, flags, at(new_addr)));
}

int DirectMemory::madvise(uint64_t addr, uint64_t len, int advice) {
  return static_cast<int>(answer(::madvise(at(addr), len, advice)));
}

int DirectMemory::mlock(uint64_t addr, uint64_t len) {
  return static_cast<int>(answer(::mlock(at(addr), len)));
}

int DirectMemory::munlock(uint64_t addr, uint64_t len) {
  return static_cast<int>(answer(::munlock(at(addr), len)));
}

int64_t DirectMemory::move_pages(uint64_t count, const uint64_t* pages, const int* nodes,
                                 int* status, int flags) {
  return answer(syscall(SYS_move_pages, 0, count, pages, nodes, status, flags));
}

int DirectMemory::ftruncate(int fd, int64_t len) {
  return static_cast<int>(answer(::ftruncate(fd, len)));
}

int DirectMemory::fallocate(int fd, int mode, int64_t off, int64_t len) {
  return static_cast<int>(answer(::fallocate(fd, mode, off, len)));
}

pid_t DirectMemory::fork() {
  return static_cast<pid_t>(answer(::fork()));
}

}  // namespace i915u
