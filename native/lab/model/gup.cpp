// SPDX-License-Identifier: MIT
// Page lookup (kernel: mm/gup.c and the faults that it makes, mm/memory.c).
#include <cerrno>

#include "lab/model/mm.h"
#include "lab/model/step.h"

namespace i915u::lab {

using soft::InvalidateEvent;
using soft::UserPages;
using sync::Op;

/// Frames that a device holds.
class LabPages final : public UserPages {
 public:
  LabPages(LabMm& mm, std::vector<int> frames) : mm_(mm), frames(std::move(frames)) {}
  ~LabPages() override { unpin(false); }
  bool read(uint64_t, void*, size_t) override { return false; }
  bool write(uint64_t, const void*, size_t) override { return false; }
  void track_writes() override {}
  void unpin(bool dirty, uint64_t leak = 0) override {
    for (size_t i = held_ ? leak : frames.size(); i < frames.size(); i++)
      mm_.unpin(frames[i], dirty);
    held_ = false;
  }

 private:
  LabMm& mm_;
  bool held_ = true;

 public:
  const std::vector<int> frames;
};

const std::vector<int>& frames_of(const UserPages& pages) {
  return static_cast<const LabPages&>(pages).frames;
}

static int page_of(uint64_t addr) {
  return static_cast<int>((addr - LabMm::base) / page_size);
}

std::shared_ptr<UserPages> LabMm::hold(int, std::vector<int> frames) {
  return std::make_shared<LabPages>(*this, std::move(frames));
}

// A store, for the pin is one.
int LabMm::pin_fast(int page, bool write) {
  step(Op::store, pages_[page].object, page_label(Act::look_up, page));
  const Pte& pte = pages_[page].pte;
  if (pte.kind != Pte::present || (write && !pte.write)) return -1;
  pin(pte.frame);
  return pte.frame;
}

// follow_page_mask and, where that fails, handle_mm_fault, until the page is there.
int LabMm::fault_in(int page, bool write, bool take) {
  Page& p = pages_[page];
  for (;;) {
    if (!p.mapped || (write && !p.writable)) return -EFAULT;
    step(Op::store, p.object, page_label(Act::fault, page));
    const Pte old = p.pte;
    switch (old.kind) {
      case Pte::migration: {
        const uint64_t seen = p.migrated;
        wait_more(p.object, page_label(Act::fault, page),
                  [&p, seen] { return p.migrated != seen; });
        continue;
      }
      case Pte::none:
        map(page, new_frame(page, 0), p.writable);
        break;
      case Pte::swap:
        if (old.frame >= 0) {
          frames_[old.frame].swap_cache = false;
          map(page, old.frame, old.write);
        } else {
          map(page, new_frame(page, old.content), old.write);
        }
        continue;  // it may have been read-only
      case Pte::present:
        if (!write || old.write) break;
        if (frames_[old.frame].maps == 1) {  // do_wp_page: nobody else has it
          p.pte.write = true;
          break;
        }
        // wp_page_copy
        const auto r = range(page, 1, InvalidateEvent::clear);
        const int copy = new_frame(page, frames_[old.frame].content);
        frames_[copy].dirty = true;
        start(r, "COW break");
        step(Op::store, p.object, page_label(Act::change, page));
        if (p.pte.kind == Pte::present && p.pte.frame == old.frame) {
          frames_[copy].content = frames_[old.frame].content;
          unmap(p);
          map(page, copy, true);
        } else {
          put(copy);
        }
        end(r);
        continue;
    }
    if (take) pin(p.pte.frame);
    return p.pte.frame;
  }
}

// mmap_lock held. What was pinned before the error is given back.
int LabMm::pin_slow(int page, int n, bool write, std::vector<int>* frames) {
  for (int p = page + static_cast<int>(frames->size()); p < page + n; p++) {
    const int frame = fault_in(p, write, true);
    if (frame < 0) {
      for (int f : *frames) unpin(f, false);
      frames->clear();
      return frame;
    }
    frames->push_back(frame);
  }
  return 0;
}

std::shared_ptr<UserPages> LabMm::pin_fast_only(uint64_t start, uint64_t len, bool write) {
  const int page = page_of(start), n = static_cast<int>(len / page_size);
  std::vector<int> frames;
  for (int p = page; p < page + n; p++) {
    const int frame = pin_fast(p, write);
    if (frame < 0) {
      for (int f : frames) unpin(f, false);
      return nullptr;
    }
    frames.push_back(frame);
  }
  return hold(page, std::move(frames));
}

std::shared_ptr<UserPages> LabMm::pin_remote(uint64_t start, uint64_t len, bool write, int* err) {
  const int page = page_of(start), n = static_cast<int>(len / page_size);
  std::vector<int> frames;
  *err = -EFAULT;
  if (!mmget_not_zero()) return nullptr;
  {
    sync::ReadGuard g(mmap_lock_);
    *err = pin_slow(page, n, write, &frames);
  }
  mmput();
  return *err ? nullptr : hold(page, std::move(frames));
}

std::shared_ptr<UserPages> LabMm::pin_user_pages(uint64_t start, uint64_t len, bool write,
                                                 int* err) {
  const int page = page_of(start), n = static_cast<int>(len / page_size);
  std::vector<int> frames;
  *err = 0;
  for (int p = page; p < page + n; p++) {
    const int frame = pin_fast(p, write);
    if (frame < 0) break;
    frames.push_back(frame);
  }
  if (static_cast<int>(frames.size()) < n) {
    sync::ReadGuard g(mmap_lock_);
    *err = pin_slow(page, n, write, &frames);
  }
  return *err ? nullptr : hold(page, std::move(frames));
}

}  // namespace i915u::lab
