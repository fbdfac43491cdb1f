// SPDX-License-Identifier: MIT
// The page table and its operations; page lookup is in gup.cpp, the properties in check.cpp.
#include "lab/model/mm.h"

#include <algorithm>
#include <array>

#include "lab/model/step.h"

namespace i915u::lab {

using soft::InvalidateEvent;
using soft::InvalidateRange;
using sync::Op;

static const sync::LockClass mmap_lock_class{"mmap_lock"};

const char* page_label(Act act, int page) {
  constexpr int acts = 7;
  static const auto labels = [] {
    const char* verbs[acts] = {"look up", "fault",     "change", "end of invalidate",
                               "visible", "gpu write", "read"};
    std::array<std::array<std::string, LabMm::max_pages>, acts> all;
    for (int a = 0; a < acts; a++)
      for (int p = 0; p < LabMm::max_pages; p++)
        all[a][p] = "page " + std::to_string(p) + ": " + verbs[a];
    return all;
  }();
  return labels[static_cast<int>(act)][page].c_str();
}

LabMm::LabMm(int pages, bool waits)
    : n_(pages),
      waits_(waits),
      mmap_lock_(mmap_lock_class),
      users_object_(sync::new_object("mm_users")) {
  frames_.reserve(16);
  for (int p = 0; p < n_; p++) {
    Page page{};
    page.object = sync::new_object("page");
    pages_.push_back(page);
  }
}

// --- frames

int LabMm::new_frame(int page, int content) {
  Frame f{page};
  f.content = f.swapped = content;
  frames_.push_back(f);
  return static_cast<int>(frames_.size()) - 1;
}

void LabMm::map(int page, int frame, bool write) {
  frames_[frame].maps++;
  pages_[page].pte = {Pte::present, write, frame, 0};
}

void LabMm::unmap(Page& p) {
  const Pte old = p.pte;
  p.pte = {};
  if (old.frame < 0) return;
  Frame& f = frames_[old.frame];
  if (old.kind == Pte::present)
    f.maps--;
  else if (old.kind == Pte::swap)
    f.swap_cache = false;
  put(old.frame);
}

void LabMm::put(int frame) {
  Frame& f = frames_[frame];
  if (!f.maps && !f.pins && !f.swap_cache) f.freed = true;
}

void LabMm::unpin(int frame, bool dirty) {
  touch(pages_[frames_[frame].page].object);
  Frame& f = frames_[frame];
  if (dirty) f.dirty = true;
  f.pins--;
  // Its entry may be on its way to another frame; who migrates puts it back, or lets it go.
  const Pte& pte = pages_[f.page].pte;
  if (pte.kind != Pte::migration || pte.frame != frame) put(frame);
}

// --- before the threads run

void LabMm::populate(int page) {
  pages_[page].mapped = pages_[page].writable = true;
  map(page, new_frame(page, 0), true);
}

void LabMm::unpopulate(int page) {
  unmap(pages_[page]);
}

void LabMm::share(int page) {
  Pte& pte = pages_[page].pte;
  pte.write = false;
  frames_[pte.frame].maps++;
  frames_[pte.frame].others++;
}

void LabMm::will_exit() {
  exits_ = true;
}

// --- notifier calls

InvalidateRange LabMm::range(int page, int n, InvalidateEvent event, bool blockable) const {
  return {addr(page), addr(page + n), event, blockable};
}

// In the step in which the last notifier returns, and no later: from there on the rule holds.
bool LabMm::start(const InvalidateRange& r, const char* by) {
  const uint64_t begun = ++clock_;
  if (chain_.invalidate_range_start(r)) return false;
  for (int p = 0; p < n_; p++) {
    if (r.end <= addr(p) || r.start >= addr(p + 1)) continue;
    touch(pages_[p].object);
    pages_[p].inside++;
    pages_[p].by = by;
    check_start(p, begun);
  }
  return true;
}

// A step of its own, or nothing could come between the change and the end.
void LabMm::end(const InvalidateRange& r) {
  bool first = true;
  for (int p = 0; p < n_; p++) {
    if (r.end <= addr(p) || r.start >= addr(p + 1)) continue;
    if (first)
      step(Op::store, pages_[p].object, page_label(Act::end, p));
    else
      touch(pages_[p].object);
    first = false;
    pages_[p].inside--;
  }
  chain_.invalidate_range_end(r);
}

// zap_page_range: one page after the other.
void LabMm::zap(int page, int n) {
  for (int p = page; p < page + n; p++) {
    step(Op::store, pages_[p].object, page_label(Act::change, p));
    unmap(pages_[p]);
  }
}

// --- mmap_lock for writing

void LabMm::munmap(int page, int n) {
  sync::WriteGuard w(mmap_lock_);
  for (int p = page; p < page + n; p++) pages_[p].mapped = false;
  const auto r = range(page, n, InvalidateEvent::unmap);
  start(r, "munmap");
  zap(page, n);
  end(r);
}

// A part of a huge page goes, so zap_pmd_range splits it (__split_huge_pmd), whose notifier calls
// are of the whole of it. Here the huge page is all of the mm's, and so is the part's neighbour.
void LabMm::munmap_huge(int page, int n) {
  sync::WriteGuard w(mmap_lock_);
  for (int p = page; p < page + n; p++) pages_[p].mapped = false;
  const auto r = range(page, n, InvalidateEvent::unmap);
  start(r, "munmap");
  split(0, n_);
  zap(page, n);
  end(r);
}

void LabMm::mmap(int page, int n) {
  sync::WriteGuard w(mmap_lock_);
  for (int p = page; p < page + n; p++) pages_[p].mapped = pages_[p].writable = true;
}

void LabMm::mprotect(int page, bool write) {
  sync::WriteGuard w(mmap_lock_);
  pages_[page].writable = write;
  const auto r = range(page, 1, InvalidateEvent::protection_vma);
  start(r, "mprotect");
  step(Op::store, pages_[page].object, page_label(Act::change, page));
  Pte& pte = pages_[page].pte;
  // Back to writable: of a page that is nobody else's (can_change_pte_writable, or its fault).
  pte.write = write && pte.kind == Pte::present && frames_[pte.frame].maps == 1;
  end(r);
}

void LabMm::mremap(int from, int to) {
  sync::WriteGuard w(mmap_lock_);
  pages_[from].mapped = false;
  pages_[to].mapped = pages_[to].writable = true;
  const auto r = range(from, 1, InvalidateEvent::unmap);
  start(r, "mremap");
  step(Op::store, pages_[from].object, page_label(Act::change, from));
  touch(pages_[to].object);
  std::swap(pages_[from].pte, pages_[to].pte);
  if (pages_[to].pte.frame >= 0) frames_[pages_[to].pte.frame].page = to;
  end(r);
}

void LabMm::fork() {
  sync::WriteGuard w(mmap_lock_);
  const auto r = range(0, n_, InvalidateEvent::protection_page);
  start(r, "fork");
  for (int p = 0; p < n_; p++) {
    step(Op::store, pages_[p].object, page_label(Act::change, p));
    if (pages_[p].pte.kind == Pte::present) share(p);
  }
  end(r);
}

// The entries are none until the huge page is there: nobody faults them in, with mmap_lock held.
void LabMm::collapse(int page, int n) {
  sync::WriteGuard w(mmap_lock_);
  const auto r = range(page, n, InvalidateEvent::clear);
  start(r, "collapse");
  std::vector<Pte> old;
  for (int p = page; p < page + n; p++) {
    step(Op::store, pages_[p].object, page_label(Act::change, p));
    old.push_back(std::exchange(pages_[p].pte, Pte{}));
  }
  end(r);
  // __collapse_huge_page_isolate: one page with a reference too many, and all is put back.
  bool busy = false;
  for (int p = page; p < page + n; p++) {
    if (p == page)
      step(Op::store, pages_[p].object, page_label(Act::change, p));
    else
      touch(pages_[p].object);
    const Pte& o = old[p - page];
    if (o.kind != Pte::present || frames_[o.frame].pins || frames_[o.frame].maps != 1) busy = true;
  }
  for (int p = page; p < page + n; p++) {
    const Pte& o = old[p - page];
    if (busy) {
      pages_[p].pte = o;
      continue;
    }
    const int huge = new_frame(p, frames_[o.frame].content);
    frames_[huge].dirty = true;
    map(p, huge, o.write);
    frames_[o.frame].maps--;
    put(o.frame);
  }
}

// --- mmap_lock for reading

void LabMm::dontneed(int page, int n) {
  sync::ReadGuard g(mmap_lock_);
  const auto r = range(page, n, InvalidateEvent::clear);
  start(r, "madvise");
  zap(page, n);
  end(r);
}

void LabMm::access(int page, bool write) {
  sync::ReadGuard g(mmap_lock_);
  fault_in(page, write, false);
}

// write_protect_page, then replace_page. The other mm's copy is there already.
void LabMm::ksm_merge(int page) {
  sync::ReadGuard g(mmap_lock_);
  const auto r = range(page, 1, InvalidateEvent::clear);
  Page& p = pages_[page];
  start(r, "ksm");
  step(Op::store, p.object, page_label(Act::change, page));
  const Pte old = p.pte;
  const bool alone =
      old.kind == Pte::present && !frames_[old.frame].pins && frames_[old.frame].maps == 1;
  if (alone) p.pte.write = false;
  end(r);
  if (!alone) return;
  start(r, "ksm");
  step(Op::store, p.object, page_label(Act::change, page));
  if (p.pte.kind == Pte::present && p.pte.frame == old.frame && !p.pte.write) {
    const int shared = new_frame(page, frames_[old.frame].content);
    frames_[shared].maps = frames_[shared].others = 1;
    unmap(p);
    map(page, shared, false);
  }
  end(r);
}

// __oom_reap_task_mm: what it would have to wait for it leaves for later.
void LabMm::oom_reap(int page) {
  if (!mmap_lock_.down_read_trylock()) return;
  struct Unlock {
    sync::RwSemaphore& lock;
    ~Unlock() { lock.up_read(); }
  } unlock{mmap_lock_};
  const auto r = range(page, 1, InvalidateEvent::unmap, false);
  if (!start(r, "the OOM reaper")) return;
  zap(page, 1);
  end(r);
}

// --- without mmap_lock

// try_to_migrate_one, move_to_new_folio, remove_migration_ptes.
void LabMm::migrate(int page) {
  const auto r = range(page, 1, InvalidateEvent::clear);
  Page& p = pages_[page];
  if (!start(r, "migration")) return;
  step(Op::store, p.object, page_label(Act::change, page));
  const Pte old = p.pte;
  if (old.kind == Pte::present) {
    p.pte.kind = Pte::migration;
    frames_[old.frame].maps--;
  }
  end(r);
  if (old.kind != Pte::present) return;
  step(Op::store, p.object, page_label(Act::change, page));
  if (p.pte.kind != Pte::migration) {
    put(old.frame);  // unmapped meanwhile
  } else if (frames_[old.frame].pins) {
    map(page, old.frame, old.write);  // folio_expected_refs: it cannot be moved
  } else {
    const int moved = new_frame(page, frames_[old.frame].content);
    frames_[moved].dirty = frames_[old.frame].dirty;
    frames_[moved].swapped = frames_[old.frame].swapped;
    frames_[moved].others = frames_[old.frame].others;
    frames_[moved].maps = frames_[old.frame].maps;
    frames_[old.frame].maps = 0;
    map(page, moved, old.write);
    put(old.frame);
  }
  p.migrated++;
}

// add_to_swap, try_to_unmap_one, pageout, __remove_mapping.
void LabMm::swap_out(int page, bool blockable) {
  const auto r = range(page, 1, InvalidateEvent::clear, blockable);
  Page& p = pages_[page];
  if (!start(r, "swap-out")) return;
  step(Op::store, p.object, page_label(Act::change, page));
  const Pte old = p.pte;
  if (old.kind == Pte::present && frames_[old.frame].maps == 1) {
    frames_[old.frame].maps--;
    frames_[old.frame].swap_cache = true;
    p.pte = {Pte::swap, old.write, old.frame, 0};
  }
  end(r);
  step(Op::store, p.object, page_label(Act::change, page));
  // Whoever holds a reference keeps it in the swap cache, where the next fault finds it.
  if (p.pte.kind != Pte::swap || p.pte.frame < 0 || frames_[p.pte.frame].pins) return;
  Frame& f = frames_[p.pte.frame];
  p.pte.content = f.dirty ? f.content : f.swapped;
  f.swap_cache = false;
  put(p.pte.frame);
  p.pte.frame = -1;
}

void LabMm::punch_hole(int page) {
  const auto r = range(page, 1, InvalidateEvent::clear);
  start(r, "fallocate");
  step(Op::store, pages_[page].object, page_label(Act::change, page));
  unmap(pages_[page]);
  end(r);
}

void LabMm::split(int page, int n) {
  const auto r = range(page, n, InvalidateEvent::clear);
  start(r, "split");
  end(r);
}

// --- the end of a process

bool LabMm::mmget_not_zero() {
  if (!exits_) return true;
  step(Op::store, users_object_, "mm_users");
  if (!users_) return false;
  users_++;
  return true;
}

void LabMm::mmput() {
  if (!exits_) return;
  step(Op::store, users_object_, "mm_users");
  if (--users_ == 0) exit_mmap();
}

void LabMm::exit() {
  mmput();
}

void LabMm::exit_mmap() {
  const auto r = range(0, n_, InvalidateEvent::release);
  start(r, "exit");
  for (int p = 0; p < n_; p++) {
    step(Op::store, pages_[p].object, page_label(Act::change, p));
    pages_[p].mapped = false;
    unmap(pages_[p]);
  }
  end(r);
}

}  // namespace i915u::lab
