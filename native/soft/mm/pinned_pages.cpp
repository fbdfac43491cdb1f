// SPDX-License-Identifier: MIT
// Page lookup and what becomes of the pages that were looked up. Changed on purpose throughout: the
// kernel's pin holds struct pages, which user space does not have. Here a pin is an address range,
// and its accesses go there while the process has the page there. A change that takes the page away
// redirects them first: to a copy that is the old page from then on, to another mapping of the same
// shared memory, along with mremap. If no GPU is at work on the pin the content goes nowhere: the
// driver has to look the pages up again, and one that does not (a fault switch) reads poison.
//
// Lookup: pin_user_pages as pin_user_pages_fast, first without mmap_lock when all pages are there,
// else with it; what is missing is then faulted in without, as the kernel drops it for a fault that
// waits (userfaultfd). Pages that a change takes while the lookup still waits for a later one count
// as looked up, those after the missing one do not. pin_remote keeps mmap_lock throughout, as 4.16
// does, which therefore cannot wait for userfaultfd (-EFAULT there, here it waits). pin_fast_only
// takes the pages that mincore(2) sees; a page table entry that is read-only or not there yet it
// cannot see, and fills. Differences: two pins of one page that both outlive their mapping have a
// copy each; MADV_FREE leaves a pinned page alone, which the kernel cannot free either.
#include "soft/mm/pinned_pages.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "mem/uaccess.h"
#include "soft/mm/impl.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace i915u::soft {
namespace {

const sync::LockClass pin_class{"userptr.pvec"};
const sync::LockClass written_class{"userptr.written"};

constexpr uint32_t poison = 0xdeadbeef;

void* ptr(uint64_t addr) {
  return reinterpret_cast<void*>(addr);
}

bool plain_access(uint64_t addr, void* buf, uint64_t n, bool write) {
  if (addr % n == 0 && (n == 4 || n == 8)) {
    if (n == 4) {
      uint32_t v;
      memcpy(&v, buf, 4);
      if (write) return store_user_u32(addr, v) == 0;
      if (load_user_u32(addr, &v)) return false;
      memcpy(buf, &v, 4);
    } else {
      uint64_t v;
      memcpy(&v, buf, 8);
      if (write) return store_user_u64(addr, v) == 0;
      if (load_user_u64(addr, &v)) return false;
      memcpy(buf, &v, 8);
    }
    return true;
  }
  return (write ? copy_to_user(addr, buf, n) : copy_from_user(buf, addr, n)) == 0;
}

// How many bytes of the range, from its start, are there without a fault. A page that mincore(2)
// will not tell about (another user's file) counts as there.
uint64_t present(uint64_t start, uint64_t len) {
  unsigned char vec[1024];
  for (uint64_t off = 0; off < len; off += sizeof(vec) * page_size) {
    const uint64_t n = std::min<uint64_t>(sizeof(vec), (len - off) / page_size);
    memset(vec, 0, n);  // a hole ends the call early
    mincore(ptr(start + off), n * page_size, vec);
    for (uint64_t i = 0; i < n; i++)
      if (!(vec[i] & 1)) return off + i * page_size;
  }
  return len;
}

// 0 or -EFAULT. Waits as long as the fault handlers do.
int fault_in(uint64_t start, uint64_t len, bool write) {
  const int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
  while (madvise(ptr(start), len, advice)) {
    if (errno == EINTR || errno == EAGAIN) continue;
    // Before 5.14 the advice is unknown for an empty range too.
    if (errno != EINVAL || madvise(nullptr, 0, advice) == 0) return -EFAULT;
    for (uint64_t a = start; a < start + len; a += page_size) {
      uint32_t v;
      if (write ? touch_user_write(a) : load_user_u32(a, &v)) return -EFAULT;
    }
    return 0;
  }
  return 0;
}

uint64_t anonymous(uint64_t len) {
  void* p = mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? 0 : reinterpret_cast<uint64_t>(p);
}

}  // namespace

// --- the pieces of one pin

PinnedPagesImpl::PinnedPagesImpl(AddressSpaceImpl& m, uint64_t s, uint64_t l)
    : mm(m), start(s), len(l), lock(pin_class), written_lock(written_class) {}

Piece& PinnedPagesImpl::at(uint64_t off) {
  return std::prev(pieces.upper_bound(off))->second;
}

Piece& PinnedPagesImpl::split(uint64_t off) {
  Piece& low = at(off);
  if (low.off == off) return low;
  if (low.kind == Piece::mapped) mm.pieces.erase(low);
  const uint64_t cut = low.start + (off - low.off);
  Piece& high =
      pieces.emplace(off, Piece{low.kind, cut, low.end, {}, this, off, low.alias}).first->second;
  low.end = cut;
  if (low.kind == Piece::mapped) {
    mm.pieces.insert(low);
    mm.pieces.insert(high);
  }
  return high;
}

uint64_t PinnedPagesImpl::progress() const {
  return looking_up ? present(start, len) : len;
}

bool PinnedPagesImpl::access_piece(const Piece& p, uint64_t off, void* buf, uint64_t n,
                                   bool write) {
  if (p.kind == Piece::poison) {
    for (uint64_t i = 0; i < n && !write; i++)
      static_cast<char*>(buf)[i] = static_cast<char>(poison >> 8 * ((off + i) % 4));
    return true;
  }
  const uint64_t addr = p.start + (off - p.off);
  if (write && track_writes && p.kind == Piece::mapped) keep_content(off, n);
  // The device holds the page whatever the mapping's protection has become.
  return plain_access(addr, buf, n, write) || mm.forced_access(addr, buf, n, write);
}

bool PinnedPagesImpl::access(uint64_t off, void* buf, uint64_t n, bool write) {
  if (off > len || n > len - off) return false;
  if (n == 0) return true;
  if (pinned.load(std::memory_order_acquire)) {
    sync::ReadGuard r(lock);
    if (!pieces.empty()) {
      while (n) {
        const Piece& p = at(off);
        const uint64_t m = std::min(n, p.off + (p.end - p.start) - off);
        if (!access_piece(p, off, buf, m, write)) return false;
        off += m, n -= m, buf = static_cast<char*>(buf) + m;
      }
      return true;
    }
  }
  return plain_access(start + off, buf, n, write);
}

void PinnedPagesImpl::keep_content(uint64_t off, uint64_t n) {
  sync::Guard g(written_lock);
  for (uint64_t page = off & ~(page_size - 1); page < off + n; page += page_size) {
    auto& before = written[page];
    if (before) continue;
    before = std::make_unique<char[]>(page_size);
    const Piece& p = at(page);
    copy_from_user(before.get(), p.start + (page - p.off), page_size);
  }
}

// The process loses the page, the device at work keeps it: `p` becomes memory of our own, or, where
// a file has the page, another mapping of it, which what happens to the file concerns like any
// other. No memory for it: poison, which the oracles then report, rather than a write into what
// comes after.
void PinnedPagesImpl::set_apart(Piece& p, const std::vector<ByteRange>& shared) {
  const uint64_t old = p.start, n = p.end - p.start;
  for (const ByteRange& r : shared) {
    if (r.start > old || p.end > r.end) continue;
    // A length of 0 asks for a second mapping of the same shared pages.
    void* alias = mremap(ptr(old), 0, n, MREMAP_MAYMOVE);
    uint64_t base;
    Mapping m;
    if (alias == MAP_FAILED || !mm.mappings.find(old, &base, &m)) continue;
    p.start = reinterpret_cast<uint64_t>(alias);
    p.end = p.start + n;
    p.alias = true;
    m.off += old - base;
    m.end = p.end;
    mm.mappings.insert(p.start, m);
    mm.pieces.insert(p);
    return;
  }
  const uint64_t now = anonymous(n);
  if (now) {
    for (uint64_t i = 0; i < n; i += page_size) {
      const size_t left = user_copy(ptr(now + i), ptr(old + i), page_size);
      const uint64_t done = page_size - left;
      if (left) mm.forced_access(old + i + done, ptr(now + i + done), left, false);
    }
  }
  p.kind = now ? Piece::apart : Piece::poison;
  if (now) p.start = now, p.end = now + n;
}

void PinnedPagesImpl::free_pieces() {
  for (auto& [off, p] : pieces) {
    if (p.kind == Piece::mapped) mm.pieces.erase(p);
    if (p.kind == Piece::apart) munmap(ptr(p.start), p.end - p.start);
    if (p.alias) mm.unmap_alias(p.start, p.end);
  }
  pieces.clear();
}

void AddressSpaceImpl::unmap_alias(uint64_t start, uint64_t end) {
  mappings.erase(start, end);
  munmap(ptr(start), end - start);
}

// --- what a change does to all of them

std::vector<Piece*> AddressSpaceImpl::pieces_in(uint64_t start, uint64_t end) {
  std::vector<Piece*> found;
  pieces.for_each(start, end, [&](Piece& p) {
    found.push_back(&p);
    return true;
  });
  return found;
}

void AddressSpaceImpl::take(uint64_t start, uint64_t end, Fate fate, std::vector<Taken>* taken) {
  if (fate.of_private == Fate::apart)
    unclean.erase(unclean.lower_bound(start), unclean.lower_bound(end));
  const auto found = pieces_in(start, end);
  if (found.empty()) return;
  const auto shared = mappings.shared(start, end);
  for (Piece* piece : found) {
    PinnedPagesImpl& pin = *piece->pin;
    const bool busy = pin.busy != 0;
    if (!busy && fate.of_private == Fate::stays && fate.of_shared == Fate::alias) continue;
    sync::WriteGuard w(pin.lock);
    uint64_t off = piece->off + std::max(start, piece->start) - piece->start;
    uint64_t to = piece->off + std::min(end, piece->end) - piece->start;
    to = std::min(to, pin.progress());
    // By stretches of one kind of mapping, each with its fate.
    for (uint64_t next; off < to; off = next) {
      Piece& p = pin.split(off);
      next = to;
      bool is_shared = false;
      for (const ByteRange& r : shared) {
        if (r.start <= p.start && p.start < r.end) {
          is_shared = true;
          next = std::min(next, off + (r.end - p.start));
          break;
        }
        if (r.start > p.start) {
          next = std::min(next, off + (r.start - p.start));
          break;
        }
      }
      const Fate::What what = is_shared ? fate.of_shared : fate.of_private;
      if (what == Fate::stays) continue;
      if (next < p.off + (p.end - p.start)) pin.split(next);
      taken->push_back({&pin, off, p.start});
      pieces.erase(p);
      const ByteRange old{p.start, p.end};
      const bool was_alias = p.alias;
      p.alias = false;
      if (busy)
        pin.set_apart(p, what == Fate::alias ? shared : std::vector<ByteRange>{});
      else
        p.kind = Piece::poison;
      if (was_alias) unmap_alias(old.start, old.end);
    }
  }
}

void AddressSpaceImpl::give_back(const std::vector<Taken>& taken) {
  for (const Taken& t : taken) {
    uint32_t v;
    if (load_user_u32(t.address, &v)) continue;  // it failed, but not without taking the page
    sync::WriteGuard w(t.pin->lock);
    Piece& p = t.pin->at(t.off);
    const uint64_t n = p.end - p.start;
    if (p.kind == Piece::apart) {
      user_copy(ptr(t.address), ptr(p.start), n);  // what the device wrote meanwhile
      munmap(ptr(p.start), n);
    } else if (p.kind == Piece::mapped) {
      pieces.erase(p);
      unmap_alias(p.start, p.end);
      p.alias = false;
    }
    p.kind = Piece::mapped;
    p.start = t.address;
    p.end = t.address + n;
    pieces.insert(p);
  }
}

void AddressSpaceImpl::page_out(uint64_t start, uint64_t end) {
  auto it = unclean.lower_bound(start);
  while (it != unclean.end() && it->first < end) {
    char now[page_size];
    // A CPU store since then has made the page dirty again.
    if (!copy_from_user(now, it->first, page_size) && !memcmp(now, it->second.now.get(), page_size))
      copy_to_user(it->first, it->second.old.get(), page_size);
    it = unclean.erase(it);
  }
}

bool AddressSpaceImpl::forced_access(uint64_t addr, void* buf, uint64_t n, bool write) {
  int fd = proc_mem;
  if (fd < 0) {
    fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    int none = -1;
    if (fd >= 0 && !proc_mem.compare_exchange_strong(none, fd)) {
      ::close(fd);
      fd = none;
    }
  }
  const auto at = static_cast<off_t>(addr);
  return static_cast<ssize_t>(n) == (write ? pwrite(fd, buf, n, at) : pread(fd, buf, n, at));
}

// --- lookup

std::shared_ptr<PinnedPages> AddressSpace::new_pin(uint64_t start, uint64_t len) {
  if (len == 0 || len % page_size || !user_range(start, len)) return nullptr;
  if (impl_->mappings.any_pfnmap(start, start + len)) return nullptr;
  return std::shared_ptr<PinnedPages>(
      new PinnedPages(std::make_unique<PinnedPagesImpl>(*impl_, start, len)));
}

void PinnedPagesImpl::begin() {
  sync::WriteGuard w(lock);
  Piece& all =
      pieces.emplace(0, Piece{Piece::mapped, start, start + len, {}, this, 0}).first->second;
  mm.pieces.insert(all);
  pinned = true;
  mm.pins_acquired.fetch_add(len / page_size, std::memory_order_relaxed);
}

std::shared_ptr<PinnedPages> AddressSpace::pin(uint64_t start, uint64_t len, bool write, int* err) {
  *err = -EFAULT;
  auto pages = new_pin(start, len);
  if (!pages) return nullptr;
  PinnedPagesImpl& pin = *pages->impl_;
  impl_->mmap_lock.might_read();  // as pin_user_pages_fast says it
  if (present(start, len) == len) {
    sync::Guard g(impl_->pages_lock);
    pin.begin();
  } else {
    sync::ReadGuard r(impl_->mmap_lock);
    sync::Guard g(impl_->pages_lock);
    pin.begin();
  }
  if (fault_in(start, len, write)) return nullptr;
  pin.looking_up = false;
  *err = 0;
  return pages;
}

std::shared_ptr<UserPages> AddressSpace::pin_user_pages(uint64_t start, uint64_t len, bool write,
                                                        int* err) {
  return pin(start, len, write, err);
}

std::shared_ptr<UserPages> AddressSpace::pin_remote(uint64_t start, uint64_t len, bool write,
                                                    int* err) {
  *err = -EFAULT;
  auto pages = new_pin(start, len);
  if (!pages) return nullptr;
  PinnedPagesImpl& pin = *pages->impl_;
  sync::ReadGuard r(impl_->mmap_lock);
  {
    sync::Guard g(impl_->pages_lock);
    pin.begin();
  }
  if (fault_in(start, len, write)) return nullptr;
  pin.looking_up = false;
  *err = 0;
  return pages;
}

// With pages_lock no page goes between the look and the touch, so that the touch waits for nobody.
std::shared_ptr<UserPages> AddressSpace::pin_fast_only(uint64_t start, uint64_t len, bool write) {
  auto pages = new_pin(start, len);
  if (!pages) return nullptr;
  PinnedPagesImpl& pin = *pages->impl_;
  sync::Guard g(impl_->pages_lock);
  if (present(start, len) < len || fault_in(start, len, write)) return nullptr;
  pin.looking_up = false;
  pin.begin();
  return pages;
}

uint64_t AddressSpace::pins_acquired() const {
  return impl_->pins_acquired;
}
uint64_t AddressSpace::pins_released() const {
  return impl_->pins_released;
}

// --- PinnedPages

PinnedPages::PinnedPages(std::unique_ptr<PinnedPagesImpl> impl) : impl_(std::move(impl)) {}

PinnedPages::~PinnedPages() {
  unpin(true);
}

bool PinnedPages::read(uint64_t off, void* dst, size_t len) {
  return impl_->access(off, dst, len, false);
}

bool PinnedPages::write(uint64_t off, const void* src, size_t len) {
  return impl_->access(off, const_cast<void*>(src), len, true);
}

uint64_t PinnedPages::start() const {
  return impl_->start;
}
uint64_t PinnedPages::len() const {
  return impl_->len;
}

void PinnedPages::unpin(bool dirty, uint64_t leak) {
  PinnedPagesImpl& pin = *impl_;
  AddressSpaceImpl& mm = pin.mm;
  sync::Guard g(mm.pages_lock);
  sync::WriteGuard w(pin.lock);
  if (!pin.pinned) return;
  if (!dirty) {
    for (auto& [off, before] : pin.written) {
      const Piece& p = pin.at(off);
      if (p.kind != Piece::mapped) continue;
      const uint64_t addr = p.start + (off - p.off);
      auto now = std::make_unique<char[]>(page_size);
      if (copy_from_user(now.get(), addr, page_size)) continue;
      mm.unclean[addr] = {std::move(before), std::move(now)};
    }
  }
  pin.free_pieces();
  pin.pinned.store(false, std::memory_order_release);
  const uint64_t n = pin.len / page_size;
  mm.pins_released.fetch_add(n - std::min(leak, n), std::memory_order_relaxed);
}

bool PinnedPages::pinned() const {
  return impl_->pinned;
}

void PinnedPages::track_writes() {
  sync::WriteGuard w(impl_->lock);
  impl_->track_writes = true;
}

void PinnedPages::get_busy() {
  impl_->busy++;
}

void PinnedPages::put_busy() {
  impl_->busy--;
}

}  // namespace i915u::soft
