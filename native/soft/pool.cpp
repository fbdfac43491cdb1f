// SPDX-License-Identifier: MIT
#include "soft/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "mem/uaccess.h"
#include "soft/gem_object.h"
#include "soft/mm/address_space.h"

namespace i915u::soft {

namespace {

const sync::LockClass pool_class{"pool"};
constexpr uint64_t page = 4096;

struct Mapping {
  uint64_t start, end, offset;
  int prot;
};

// This process's shared mappings of the file.
std::vector<Mapping> mappings_of(int fd) {
  std::vector<Mapping> found;
  struct stat st;
  FILE* f = fopen("/proc/self/maps", "re");
  if (!f || fstat(fd, &st) != 0) {
    if (f) fclose(f);
    return found;
  }
  char line[512];
  bool continued = false;  // a path longer than `line`
  while (fgets(line, sizeof(line), f)) {
    unsigned long start, end, off, ino;
    unsigned major, minor;
    char perm[5];
    const bool head = !continued;
    continued = !strchr(line, '\n');
    if (!head || sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, perm, &off, &major, &minor,
                        &ino) != 7)
      continue;
    if (ino != st.st_ino || major != gnu_dev_major(st.st_dev) || minor != gnu_dev_minor(st.st_dev))
      continue;
    found.push_back({start, end, off,
                     (perm[0] == 'r' ? PROT_READ : 0) | (perm[1] == 'w' ? PROT_WRITE : 0) |
                         (perm[2] == 'x' ? PROT_EXEC : 0)});
  }
  fclose(f);
  return found;
}

bool aligned(uint64_t off, size_t len) {
  return (len == 8 || len == 4) && off % len == 0;
}

}  // namespace

// ---- PoolPages

PoolPages::PoolPages(std::shared_ptr<Pool> pool, uint64_t o, uint64_t s)
    : offset(o), size(s), pool_(std::move(pool)), at_(pool_->view_ + o) {}

PoolPages::~PoolPages() {
  if (own_fd_ >= 0) {
    if (mmap(at_, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, pool_->fd_,
             static_cast<off_t>(offset)) == MAP_FAILED)
      return;  // the view still shows the other file: the extent must not be used again
    close(own_fd_);
    own_fd_ = -1;
    pool_->free(offset, size, Pool::Content::unknown);  // whoever maps it maps the other file
    return;
  }
  if (leaked_) return;
  if (mapped_) {
    pool_->free(offset, size, Pool::Content::maybe_mapped);
    return;
  }
  if (size > Pool::max_warm_pages * page) {
    pool_->free(offset, size, Pool::Content::unknown);
    return;
  }
  for (uint64_t t = touched_; t; t &= t - 1) memset(at_ + std::countr_zero(t) * page, 0, page);
  pool_->free(offset, size, Pool::Content::zero);
}

// Before it is written, by whatever writes it but a user's mapping.
void PoolPages::touch(uint64_t off, uint64_t len) {
  if (size > Pool::max_warm_pages * page || !len) return;
  const uint64_t first = off / page, last = (off + len - 1) / page;
  const uint64_t bits = (~0ull >> (63 - (last - first))) << first;
  if (bits & ~touched_.load(std::memory_order_relaxed))
    touched_.fetch_or(bits, std::memory_order_relaxed);
}

bool PoolPages::read(uint64_t off, void* dst, size_t len) {
  if (off > size || len > size - off) return false;
  const char* p = at_ + off;
  if (aligned(off, len)) {
    if (len == 8) {
      const uint64_t v = __atomic_load_n(reinterpret_cast<const uint64_t*>(p), __ATOMIC_RELAXED);
      memcpy(dst, &v, 8);
    } else {
      const uint32_t v = __atomic_load_n(reinterpret_cast<const uint32_t*>(p), __ATOMIC_RELAXED);
      memcpy(dst, &v, 4);
    }
    return true;
  }
  return user_copy(dst, p, len) == 0;
}

bool PoolPages::write(uint64_t off, const void* src, size_t len) {
  if (off > size || len > size - off) return false;
  touch(off, len);
  char* p = at_ + off;
  if (aligned(off, len)) {
    if (len == 8) {
      uint64_t v;
      memcpy(&v, src, 8);
      __atomic_store_n(reinterpret_cast<uint64_t*>(p), v, __ATOMIC_RELAXED);
    } else {
      uint32_t v;
      memcpy(&v, src, 4);
      __atomic_store_n(reinterpret_cast<uint32_t*>(p), v, __ATOMIC_RELAXED);
    }
    return true;
  }
  return user_copy(p, src, len) == 0;
}

int PoolPages::copy_to_user(uint64_t user, uint64_t off, uint64_t len) {
  return i915u::copy_to_user(user, at_ + off, len);
}

int PoolPages::copy_from_user(uint64_t off, uint64_t user, uint64_t len) {
  touch(off, len);
  return i915u::copy_from_user(at_ + off, user, len);
}

int64_t PoolPages::map(uint64_t addr, uint64_t len, int prot, int flags, uint64_t off) {
  mapped_ = true;
  const bool own = own_fd_ >= 0;
  return AddressSpace::current().mmap(addr, len, prot, flags, own ? own_fd_ : pool_->fd_,
                                      static_cast<int64_t>(own ? off : offset + off));
}

void PoolPages::discard() {
  madvise(at_, size, MADV_REMOVE);
}

int PoolPages::make_own_file(int* fd) {
  if (own_fd_ < 0) {
    const int own = memfd_create("i915", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (own < 0) return -errno;
    // Sealed in size: the user gets this file, and nobody may cut off what the view shows.
    int err = ftruncate(own, static_cast<off_t>(size)) != 0 ||
                      fcntl(own, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0
                  ? -errno
                  : 0;
    // Only what holds data, or a sparse object would get all of its pages.
    const off_t end = static_cast<off_t>(offset + size);
    for (off_t data = static_cast<off_t>(offset); !err && data < end;) {
      data = lseek(pool_->fd_, data, SEEK_DATA);
      if (data < 0 || data >= end) break;
      off_t hole = lseek(pool_->fd_, data, SEEK_HOLE);
      if (hole < 0 || hole > end) hole = end;
      while (!err && data < hole) {
        const ssize_t n = pwrite(own, pool_->view_ + data, static_cast<size_t>(hole - data),
                                 data - static_cast<off_t>(offset));
        if (n <= 0)
          err = n < 0 ? -errno : -ENOSPC;
        else
          data += n;
      }
    }
    if (!err && mmap(at_, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, own,
                     0) == MAP_FAILED)
      err = -errno;
    if (err) {
      close(own);
      return err;
    }
    own_fd_ = own;
    if (mapped_) replace_mappings();
    pool_->punch(offset, size);
  }
  *fd = own_fd_;
  return 0;
}

// A mapping that was made before the move shows the pool's file still: it gets the new one, at the
// same place. Straight by the system call: for the process nothing changes.
int PoolPages::replace_mappings() {
  for (const Mapping& m : mappings_of(pool_->fd_)) {
    const uint64_t from = std::max(m.offset, offset);
    const uint64_t to = std::min(m.offset + (m.end - m.start), offset + size);
    if (from >= to || pool_->own_view(m.start)) continue;
    const uint64_t addr = m.start + (from - m.offset);
    if (mmap(reinterpret_cast<void*>(addr), to - from, m.prot, MAP_SHARED | MAP_FIXED, own_fd_,
             static_cast<off_t>(from - offset)) == MAP_FAILED)
      return -errno;
  }
  return 0;
}

// ---- Pool

std::shared_ptr<Pool> Pool::make(int* err) {
  const int fd = memfd_create("i915-pool", MFD_CLOEXEC);
  if (fd < 0) {
    *err = -errno;
    return nullptr;
  }
  for (uint64_t size = 64ull << 30; size >= 1ull << 28; size /= 2) {
    if (ftruncate(fd, static_cast<off_t>(size)) != 0) continue;
    void* view = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (view == MAP_FAILED) continue;
    madvise(view, size, MADV_DONTDUMP);
    return std::shared_ptr<Pool>(new Pool(fd, static_cast<char*>(view), size));
  }
  *err = -ENOMEM;
  close(fd);
  return nullptr;
}

Pool::Pool(int fd, char* view, uint64_t size)
    : fd_(fd), view_(view), size_(size), lock_(pool_class), extents_(size / page) {}

Pool::~Pool() {
  munmap(view_, size_);
  close(fd_);
}

bool Pool::own_view(uint64_t addr) const {
  return addr - reinterpret_cast<uint64_t>(view_) < size_;
}

std::shared_ptr<PoolPages> Pool::alloc(uint64_t size) {
  uint64_t offset;
  {
    sync::Guard g(lock_);
    if (!take_warm(size, &offset)) {
      uint64_t at;
      if (!extents_.take(size / page, &at)) {
        chill();
        reclaim_unmapped();
        if (!extents_.take(size / page, &at)) return nullptr;
      }
      offset = at * page;
    }
  }
  return std::make_shared<PoolPages>(shared_from_this(), offset, size);
}

bool Pool::take_warm(uint64_t size, uint64_t* offset) {
  if (size > max_warm_pages * page || warm_[size / page].empty()) return false;
  *offset = warm_[size / page].back();
  warm_[size / page].pop_back();
  warm_bytes_ -= size;
  return true;
}

void Pool::chill() {
  for (uint64_t n = 1; n <= max_warm_pages; n++) {
    for (uint64_t offset : warm_[n])
      if (punch(offset, n * page)) extents_.give(offset / page, n);
    warm_[n].clear();
  }
  warm_bytes_ = 0;
}

bool Pool::punch(uint64_t offset, uint64_t size) {
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(size)) == 0;
}

void Pool::free(uint64_t offset, uint64_t size, Content content) {
  if (content == Content::zero) {
    sync::Guard g(lock_);
    if (warm_bytes_ + size <= max_warm_bytes) {
      warm_[size / page].push_back(offset);
      warm_bytes_ += size;
      return;
    }
  }
  // What cannot be made zero is never given out again.
  if (content != Content::maybe_mapped && !punch(offset, size)) return;
  sync::Guard g(lock_);
  if (content != Content::maybe_mapped) {
    extents_.give(offset / page, size / page);
    return;
  }
  quarantine_.push_back({offset, size});
  quarantine_bytes_ += size;
  if (quarantine_.size() >= scan_at_count_ || quarantine_bytes_ >= scan_at_bytes_)
    reclaim_unmapped();
}

// lock_ held. The next scan waits until there is twice as much: its cost stays a fixed share.
void Pool::reclaim_unmapped() {
  if (quarantine_.empty()) return;
  std::vector<Mapping> maps = mappings_of(fd_);
  std::erase_if(maps, [&](const Mapping& m) { return own_view(m.start); });
  std::erase_if(quarantine_, [&](const Freed& q) {
    for (const Mapping& m : maps)
      if (m.offset < q.offset + q.size && q.offset < m.offset + (m.end - m.start)) return false;
    if (!punch(q.offset, q.size)) return false;
    quarantine_bytes_ -= q.size;
    extents_.give(q.offset / page, q.size / page);
    return true;
  });
  scan_at_count_ = std::max(min_scan_count, 2 * quarantine_.size());
  scan_at_bytes_ = std::max(min_scan_bytes, 2 * quarantine_bytes_);
}

// The extent is forgotten; what is left of it ends with the file.
void Pool::leak(std::shared_ptr<PoolPages> pages) {
  pages->leaked_ = true;
}

void Pool::publish(uint64_t offset, std::weak_ptr<GemObject> obj) {
  sync::Guard g(lock_);
  published_.insert_or_assign(offset, std::move(obj));
}

void Pool::withdraw(uint64_t offset) {
  sync::Guard g(lock_);
  published_.erase(offset);
}

std::shared_ptr<GemObject> Pool::published(uint64_t offset, uint64_t* start) {
  sync::Guard g(lock_);
  const auto it = published_.upper_bound(offset);
  if (it == published_.begin()) return nullptr;
  const auto& [at, weak] = *std::prev(it);
  auto obj = weak.lock();
  *start = at;
  return obj && offset - at < obj->size ? obj : nullptr;
}

}  // namespace i915u::soft
