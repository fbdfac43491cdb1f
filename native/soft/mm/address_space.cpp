// SPDX-License-Identifier: MIT
// Every change of a mapping as 6.1's mm makes it: mmap_lock, invalidate_range_start for each range,
// the change, invalidate_range_end.
// The kernel's way: which calls invalidate at all, with which event and over which range, and the
// mode of mmap_lock. mlock, populate and the advices that only set flags do not invalidate.
// Changed on purpose:
// - The change is one real syscall, so its ranges are all started before it and all ended after it,
//   where the kernel goes through them one after the other. A range that it walks twice is started
//   once (mremap's source: move_page_tables, then do_munmap; truncate: twice for COW races).
// - mprotect's range is the mappings whose protection changes, present or not (the kernel: from the
//   first pmd that is not empty). Ranges that the kernel splits at mappings are whole: DONTNEED,
//   FREE, fork.
// - munmap keeps mmap_lock for writing (the kernel downgrades it before it zaps the pages).
// - Truncation takes no lock on the file; a mapping of it made at the same moment may be missed.
// - A range where nothing is mapped is invalidated by munmap all the same.
// Not modelled, since user space does not see them happen: page faults that break COW, reclaim,
// KSM, khugepaged, NUMA balancing.
#include "soft/mm/address_space.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "soft/mm/impl.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace i915u::soft {
namespace {

const sync::LockClass mmap_lock_class{"mmap_lock"};
const sync::LockClass pages_class{"page_table_lock"};

constexpr uint64_t pmd_size = 2u << 20;

std::atomic<AddressSpace*> mm;
std::atomic<uint64_t> generation;  // forks between the first process and this one

DirectMemory& kernel() {
  return DirectMemory::instance();
}

// One change: invalidates while it lasts, and takes the pages that it takes from those who hold
// them. Its order: invalidate(), take(), run(); the destructor ends the invalidates.
class Change {
 public:
  explicit Change(AddressSpaceImpl& impl) : mm_(impl) {}
  ~Change() {
    for (const auto& r : ranges_) mm_.notifiers.invalidate_range_end(r);
  }

  void invalidate(InvalidateEvent event, uint64_t start, uint64_t end) {
    if (start >= end) return;
    ranges_.push_back({start, end, event, true});
    mm_.notifiers.invalidate_range_start(ranges_.back());
  }
  void take(uint64_t start, uint64_t end, Fate fate) {
    if (start < end) takes_.push_back({start, end, fate});
  }
  void invalidate_and_take(InvalidateEvent event, uint64_t start, uint64_t end, Fate fate) {
    invalidate(event, start, end);
    take(start, end, fate);
  }

  /// The syscall; `after` runs when it has succeeded, before the next page lookup can begin.
  template <class Call, class After>
  auto run(Call call, After after) {
    sync::Guard g(mm_.pages_lock);
    std::vector<AddressSpaceImpl::Taken> taken;
    for (const auto& t : takes_) mm_.take(t.start, t.end, t.fate, &taken);
    const auto r = call();
    if (r < 0)
      mm_.give_back(taken);
    else
      after(r);
    return r;
  }
  /// One that takes nothing excludes no page lookup either, however long it lasts.
  template <class Call>
  auto run(Call call) {
    return takes_.empty() ? call() : run(call, [](auto) {});
  }

 private:
  struct Take {
    uint64_t start, end;
    Fate fate;
  };
  AddressSpaceImpl& mm_;
  std::vector<InvalidateRange> ranges_;
  std::vector<Take> takes_;
};

// The pins of some pages stand still while mremap moves the pages, and then go along.
class Moving {
 public:
  Moving(AddressSpaceImpl& impl, uint64_t start, uint64_t end) : mm_(impl) {
    for (Piece* p : mm_.pieces_in(start, end)) {
      PinnedPagesImpl& pin = *p->pin;
      // pages_lock is held: nobody else has two of them.
      if (pins_.insert(&pin).second) pin.lock.down_write_nest(&mm_.pages_lock);
      const uint64_t from = p->off + std::max(start, p->start) - p->start;
      const uint64_t to = p->off + std::min(end, p->end) - p->start;
      Piece& moved = pin.split(from);
      if (to < moved.off + (moved.end - moved.start)) pin.split(to);
      pieces_.push_back(&moved);
    }
  }
  ~Moving() {
    for (auto* pin : pins_) pin->lock.up_write();
  }
  void by(uint64_t delta) {
    for (Piece* p : pieces_) {
      mm_.pieces.erase(*p);
      p->start += delta;
      p->end += delta;
      mm_.pieces.insert(*p);
    }
  }

 private:
  AddressSpaceImpl& mm_;
  std::set<PinnedPagesImpl*> pins_;
  std::vector<Piece*> pieces_;
};

bool pinned(AddressSpaceImpl& mm, uint64_t start, uint64_t end) {
  sync::Guard g(mm.pages_lock);
  return mm.pieces.overlaps(start, end);
}

// What page-out unmaps: resident pages, and of the private ones only those that nobody pins
// (reclaim keeps those before it unmaps them, shared ones after) and that have a swap to go to.
// Neighbours are one range, where the kernel goes page by page.
std::vector<ByteRange> reclaimable(AddressSpaceImpl& mm, uint64_t start, uint64_t end) {
  struct sysinfo info {};
  sysinfo(&info);
  const auto shared = mm.mappings.shared(start, end);
  std::vector<ByteRange> found;
  auto is_shared = shared.begin();
  unsigned char vec[512];
  for (uint64_t chunk = start; chunk < end; chunk += sizeof(vec) * page_size) {
    const uint64_t n = std::min<uint64_t>(sizeof(vec), (end - chunk) / page_size);
    std::fill_n(vec, n, 0);  // a hole ends the call early
    mincore(reinterpret_cast<void*>(chunk), n * page_size, vec);
    for (uint64_t i = 0; i < n; i++) {
      const uint64_t page = chunk + i * page_size;
      if (!(vec[i] & 1)) continue;
      while (is_shared != shared.end() && is_shared->end <= page) ++is_shared;
      if (!(is_shared != shared.end() && is_shared->start <= page) &&
          (info.totalswap == 0 || pinned(mm, page, page + page_size)))
        continue;
      if (!found.empty() && found.back().end == page)
        found.back().end += page_size;
      else
        found.push_back({page, page + page_size});
    }
  }
  return found;
}

bool is_file(int fd, struct stat* st) {
  return fstat(fd, st) == 0 && S_ISREG(st->st_mode);
}

}  // namespace

AddressSpaceImpl::AddressSpaceImpl()
    : id(generation << 32 | static_cast<uint32_t>(getpid())),
      mmap_lock(mmap_lock_class),
      pages_lock(pages_class) {}

AddressSpace::AddressSpace() : impl_(std::make_unique<AddressSpaceImpl>()) {}
AddressSpace::~AddressSpace() = default;

AddressSpace& AddressSpace::current() {
  if (AddressSpace* now = mm.load(std::memory_order_acquire)) return *now;
  return create();
}

AddressSpace& AddressSpace::create() {
  // However the fork came about, the child is another process with another mm; its parent's locks
  // may be held by threads that it does not have, so that nothing of the old one is ever touched.
  static const int atfork = pthread_atfork(nullptr, nullptr, [] {
    generation++;
    mm = nullptr;
  });
  static_cast<void>(atfork);
  auto* made = new AddressSpace;
  AddressSpace* none = nullptr;
  if (mm.compare_exchange_strong(none, made)) return *made;
  delete made;
  return *none;
}

uint64_t AddressSpace::id() const {
  return impl_->id;
}
NotifierChain& AddressSpace::notifiers() {
  return impl_->notifiers;
}
sync::RwSemaphore& AddressSpace::mmap_lock() {
  return impl_->mmap_lock;
}

int64_t AddressSpace::mmap(uint64_t addr, uint64_t len, int prot, int flags, int fd, int64_t off) {
  const auto place = [&](int more) {
    return kernel().mmap(addr, len, prot, flags | more, fd, off);
  };
  uint64_t page = page_size;
  if (flags & MAP_HUGETLB) {
    const int shift = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
    page = uint64_t{1} << (shift ? shift : 21);
  }
  const auto note = [&](int64_t at) {
    Mapping m{.end = static_cast<uint64_t>(at) + (len + page - 1) / page * page,
              .prot = prot,
              .shared = (flags & MAP_TYPE) != MAP_PRIVATE,
              .pfnmap = false,
              .dev = 0,
              .ino = 0,
              .off = static_cast<uint64_t>(off)};
    struct stat st;
    if (flags & MAP_ANONYMOUS) {
      m.off = 0;
      if (m.shared) m.ino = impl_->mappings.new_anon_file();
    } else if (fstat(fd, &st) == 0) {
      m.dev = st.st_dev;
      m.ino = st.st_ino;
    }
    impl_->mappings.insert(static_cast<uint64_t>(at), m);
  };

  sync::WriteGuard w(impl_->mmap_lock);
  if (flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE)) {
    // Only a mapping that is replaced is unmapped, and so invalidated. Known ones are not tried.
    int64_t r = -EEXIST;
    if (!impl_->mappings.any(addr, addr + len)) r = place(MAP_FIXED_NOREPLACE);
    if (r == -EEXIST && user_range(addr, len)) {
      Change c(*impl_);
      c.invalidate_and_take(InvalidateEvent::unmap, addr, addr + page_align(len), fate_unmapped);
      return c.run([&] { return place(0); }, note);
    }
    if (r != -EEXIST) {
      if (r >= 0) note(r);
      return r;
    }
  }
  const int64_t r = place(0);
  if (r >= 0) note(r);
  return r;
}

int AddressSpace::munmap(uint64_t addr, uint64_t len) {
  if (len == 0 || !user_range(addr, page_align(len)) || len > page_align(len))
    return kernel().munmap(addr, len);
  const uint64_t end = addr + page_align(len);
  sync::WriteGuard w(impl_->mmap_lock);
  Change c(*impl_);
  c.invalidate_and_take(InvalidateEvent::unmap, addr, end, fate_unmapped);
  return c.run([&] { return kernel().munmap(addr, len); },
               [&](int) { impl_->mappings.erase(addr, end); });
}

int AddressSpace::mprotect(uint64_t addr, uint64_t len, int prot) {
  if (len == 0 || !user_range(addr, page_align(len)) || len > page_align(len))
    return kernel().mprotect(addr, len, prot);
  const uint64_t end = addr + page_align(len);
  sync::WriteGuard w(impl_->mmap_lock);
  const ByteRange changes = impl_->mappings.not_protected(addr, end, prot);
  Change c(*impl_);
  c.invalidate(InvalidateEvent::protection_vma, changes.start, changes.end);
  if ((prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
    c.take(changes.start, changes.end, fate_protected);
  return c.run([&] { return kernel().mprotect(addr, len, prot); },
               [&](int) { impl_->mappings.protect(addr, end, prot); });
}

int64_t AddressSpace::mremap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
                             uint64_t new_addr) {
  const auto call = [&](int f) { return kernel().mremap(old_addr, old_len, new_len, f, new_addr); };
  const uint64_t from = page_align(old_len), to = page_align(new_len);
  const bool fixed = flags & MREMAP_FIXED, stays = flags & MREMAP_DONTUNMAP;
  if (from < old_len || to < new_len || to == 0 || !user_range(old_addr, from) ||
      !user_range(fixed ? new_addr : 0, to))
    return call(flags);
  const uint64_t old_end = old_addr + from;
  Mappings& known = impl_->mappings;

  sync::WriteGuard w(impl_->mmap_lock);
  uint64_t base;
  Mapping source;
  const bool found = known.find(old_addr, &base, &source);
  if (found) source.off += old_addr - base;
  const auto note = [&](uint64_t at) {
    known.erase(at, at + to);
    if (!found) return;
    Mapping m = source;
    m.end = at + to;
    known.insert(at, m);
  };

  if (!fixed && !stays && from >= to) {
    Change c(*impl_);
    c.invalidate_and_take(InvalidateEvent::unmap, old_addr + to, old_end, fate_unmapped);
    return c.run([&] { return call(flags); },
                 [&](int64_t) { known.erase(old_addr + to, old_end); });
  }
  if (!fixed && !stays && from) {  // to grow where it stands moves nothing
    const int64_t r = call(flags & ~MREMAP_MAYMOVE);
    if (r >= 0) note(old_addr);
    if (r != -ENOMEM || !(flags & MREMAP_MAYMOVE)) return r;
  }

  const uint64_t moved = std::min(from, to);
  Change c(*impl_);
  if (fixed) c.invalidate_and_take(InvalidateEvent::unmap, new_addr, new_addr + to, fate_unmapped);
  c.invalidate_and_take(InvalidateEvent::unmap, old_addr + moved, old_end, fate_unmapped);
  c.invalidate(InvalidateEvent::unmap, old_addr, old_addr + moved);
  std::unique_ptr<Moving> pins;
  return c.run(
      [&] {
        pins = std::make_unique<Moving>(*impl_, old_addr, old_addr + moved);
        const int64_t r = call(flags);
        if (r >= 0) pins->by(static_cast<uint64_t>(r) - old_addr);
        pins.reset();
        return r;
      },
      [&](int64_t r) {
        auto& unclean = impl_->unclean;
        unclean.erase(unclean.lower_bound(old_addr), unclean.lower_bound(old_end));
        if (!stays) known.erase(old_addr, old_end);
        note(static_cast<uint64_t>(r));
      });
}

int AddressSpace::madvise(uint64_t addr, uint64_t len, int advice) {
  const auto call = [&] { return kernel().madvise(addr, len, advice); };
  if (len == 0 || !user_range(addr, page_align(len)) || len > page_align(len)) return call();
  const uint64_t end = addr + page_align(len);

  switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED: {
      sync::ReadGuard r(impl_->mmap_lock);
      Change c(*impl_);
      c.invalidate_and_take(InvalidateEvent::clear, addr, end, fate_zapped);
      return c.run(call);
    }
    case MADV_FREE: {
      sync::ReadGuard r(impl_->mmap_lock);
      Change c(*impl_);
      c.invalidate(InvalidateEvent::clear, addr, end);
      return c.run(call);
    }
    case MADV_REMOVE: {  // punches a hole; mmap_lock is dropped for it
      Change c(*impl_);
      for (const auto& f : impl_->mappings.files_in(addr, end))
        for (const auto& r : impl_->mappings.of_file(f.dev, f.ino, f.off, f.end))
          c.invalidate_and_take(InvalidateEvent::clear, r.start, r.end, fate_punched);
      return c.run(call);
    }
    case MADV_PAGEOUT: {
      sync::ReadGuard r(impl_->mmap_lock);
      Change c(*impl_);
      for (const auto& r : reclaimable(*impl_, addr, end))
        c.invalidate(InvalidateEvent::clear, r.start, r.end);
      return c.run(call, [&](int) { impl_->page_out(addr, end); });
    }
    case MADV_COLLAPSE: {
      sync::WriteGuard w(impl_->mmap_lock);
      Change c(*impl_);
      for (uint64_t pmd = (addr + pmd_size - 1) & ~(pmd_size - 1); pmd + pmd_size <= end;
           pmd += pmd_size)
        if (!pinned(*impl_, pmd, pmd + pmd_size))
          c.invalidate(InvalidateEvent::clear, pmd, pmd + pmd_size);
      return c.run(call);
    }
    default:
      return call();
  }
}

int AddressSpace::mlock(uint64_t addr, uint64_t len) {
  return kernel().mlock(addr, len);
}

int AddressSpace::munlock(uint64_t addr, uint64_t len) {
  return kernel().munlock(addr, len);
}

int64_t AddressSpace::move_pages(uint64_t count, const uint64_t* pages, const int* nodes,
                                 int* status, int flags) {
  const auto call = [&] { return kernel().move_pages(count, pages, nodes, status, flags); };
  if (!nodes) return call();
  Change c(*impl_);  // migration itself runs without mmap_lock
  // A page that is on its node already is left alone, also by its notifiers.
  int now[512];
  for (uint64_t i = 0; i < count; i += std::size(now)) {
    const uint64_t n = std::min<uint64_t>(std::size(now), count - i);
    if (kernel().move_pages(n, pages + i, nullptr, now, 0)) break;
    for (uint64_t j = 0; j < n; j++) {
      const uint64_t page = pages[i + j] & ~(page_size - 1);
      if (now[j] >= 0 && now[j] != nodes[i + j])
        c.invalidate(InvalidateEvent::clear, page, page + page_size);
    }
  }
  return c.run(call);
}

int AddressSpace::ftruncate(int fd, int64_t len) {
  const auto call = [&] { return kernel().ftruncate(fd, len); };
  struct stat st;
  if (len < 0 || !is_file(fd, &st) || len >= st.st_size) return call();
  Change c(*impl_);
  for (const auto& r : impl_->mappings.of_file(st.st_dev, st.st_ino,
                                               page_align(static_cast<uint64_t>(len)), UINT64_MAX))
    c.invalidate_and_take(InvalidateEvent::clear, r.start, page_align(r.end), fate_truncated);
  return c.run(call);
}

int AddressSpace::fallocate(int fd, int mode, int64_t off, int64_t len) {
  const auto call = [&] { return kernel().fallocate(fd, mode, off, len); };
  const bool shifts = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE);
  struct stat st;
  if (off < 0 || len <= 0 || len > INT64_MAX - off || !is_file(fd, &st) ||
      !(shifts || mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
    return call();
  // Whole pages leave the file, and what stands behind them if they close up.
  const uint64_t from = page_align(static_cast<uint64_t>(off));
  const uint64_t to = shifts ? UINT64_MAX : static_cast<uint64_t>(off + len) & ~(page_size - 1);
  Change c(*impl_);
  if (from < to)
    for (const auto& r : impl_->mappings.of_file(st.st_dev, st.st_ino, from, to))
      c.invalidate_and_take(InvalidateEvent::clear, r.start, r.end,
                            shifts ? fate_truncated : fate_punched);
  return c.run(call);
}

pid_t AddressSpace::fork() {
  impl_->mmap_lock.down_write();
  // What is not shared is copied on write, which takes the parent's write permission away.
  std::vector<InvalidateRange> ranges;
  const auto copy = [&](uint64_t start, uint64_t end) {
    if (start >= end) return;
    ranges.push_back({start, end, InvalidateEvent::protection_page, true});
    impl_->notifiers.invalidate_range_start(ranges.back());
  };
  uint64_t at = 0;
  for (const auto& r : impl_->mappings.shared(0, task_size)) {
    copy(at, r.start);
    at = r.end;
  }
  copy(at, task_size);
  const pid_t pid = kernel().fork();
  if (pid == 0) return 0;  // these locks are the parent's
  for (const auto& r : ranges) impl_->notifiers.invalidate_range_end(r);
  impl_->mmap_lock.up_write();
  return pid;
}

bool AddressSpace::probe(uint64_t start, uint64_t len) const {
  // msync that does nothing still looks for holes, at the cost of a walk over the mappings.
  return user_range(start, len) && !msync(reinterpret_cast<void*>(start), len, MS_ASYNC) &&
         !impl_->mappings.any_pfnmap(start, start + len);
}

void AddressSpace::add_pfnmap(uint64_t start, uint64_t len) {
  impl_->mappings.set_pfnmap(start, start + len);
}

}  // namespace i915u::soft
