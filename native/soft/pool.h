// SPDX-License-Identifier: MIT
// The memory of ordinary GEM objects (kernel: a shmem file for each object). Changed on purpose:
// one sparse memfd for all objects of a GPU, an extent of it for each, so that making an object
// costs no system call. All of it is mapped once, for the model's own accesses; what a user maps
// is the same file. An object that is exported moves to a memfd of its own.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "soft/extents.h"
#include "soft/pages.h"
#include "sync/mutex.h"

namespace i915u::soft {

class GemObject;
class Pool;

/// The memory of one object: zero at first, and free again with the last reference.
class PoolPages final : public Pages {
 public:
  PoolPages(std::shared_ptr<Pool> pool, uint64_t offset, uint64_t size);
  ~PoolPages() override;

  bool read(uint64_t off, void* dst, size_t len) override;
  bool write(uint64_t off, const void* src, size_t len) override;

  /// pread and pwrite: 0 or -EFAULT, then part of it may have been copied. off + len <= size.
  int copy_to_user(uint64_t user, uint64_t off, uint64_t len);
  int copy_from_user(uint64_t off, uint64_t user, uint64_t len);

  /// mmap(2) of bytes [off, off + len), through the software mm: an address or -errno.
  int64_t map(uint64_t addr, uint64_t len, int prot, int flags, uint64_t off);
  /// The content is thrown away; it reads as zero (kernel: shmem_truncate_range).
  void discard();
  /// Moves to a memfd of its own, which is then *fd (still owned here). No one may access the
  /// pages meanwhile but mappings, whose writes can get lost. 0 or -errno.
  int make_own_file(int* fd);

  const uint64_t offset, size;  ///< bytes; offset is in the pool's file

 private:
  friend class Pool;
  int replace_mappings();
  void touch(uint64_t off, uint64_t len);
  const std::shared_ptr<Pool> pool_;
  char* const at_;
  std::atomic<uint64_t> touched_{0};  // a bit a page, if there are no more than 64
  int own_fd_ = -1;
  std::atomic<bool> mapped_{false};  // was it ever?
  bool leaked_ = false;
};

class Pool : public std::enable_shared_from_this<Pool> {
 public:
  /// Null with *err when there is no memfd or no room for it in the address space.
  static std::shared_ptr<Pool> make(int* err);
  ~Pool();

  /// Null when no extent is large enough.
  std::shared_ptr<PoolPages> alloc(uint64_t size);

  /// Keeps the memory until the pool goes (fault_leak_object).
  static void leak(std::shared_ptr<PoolPages> pages);

  /// Which object a fake mmap offset belongs to: the extent's own offset leads to it.
  void publish(uint64_t offset, std::weak_ptr<GemObject> obj);
  void withdraw(uint64_t offset);
  /// The object that has the byte at `offset`, and where it starts; null: none that is published.
  std::shared_ptr<GemObject> published(uint64_t offset, uint64_t* start);

 private:
  friend class PoolPages;
  Pool(int fd, char* view, uint64_t size);
  struct Freed {
    uint64_t offset, size;
  };
  enum class Content { zero, unknown, maybe_mapped };
  void free(uint64_t offset, uint64_t size, Content content);
  bool take_warm(uint64_t size, uint64_t* offset);
  void chill();
  void reclaim_unmapped();
  bool punch(uint64_t offset, uint64_t size);
  bool own_view(uint64_t addr) const;

  const int fd_;
  char* const view_;
  const uint64_t size_;

  sync::Mutex lock_;
  Extents extents_;
  // Freed small ones, zeroed, with the pages they had: the next of that size costs no page fault.
  static constexpr uint64_t max_warm_pages = 64, max_warm_bytes = 64ull << 20;
  std::array<std::vector<uint64_t>, max_warm_pages + 1> warm_;  // offsets, by pages
  uint64_t warm_bytes_ = 0;
  std::map<uint64_t, std::weak_ptr<GemObject>> published_;
  // Freed, but perhaps still mapped by the user, whose mapping keeps them as they are: they are
  // free for others when /proc/self/maps no longer has them.
  std::vector<Freed> quarantine_;
  uint64_t quarantine_bytes_ = 0, scan_at_bytes_ = min_scan_bytes;
  size_t scan_at_count_ = min_scan_count;
  static constexpr uint64_t min_scan_bytes = 64ull << 20;
  static constexpr size_t min_scan_count = 64;
};

}  // namespace i915u::soft
