// SPDX-License-Identifier: MIT
// The lab's mm: a few pages, their page table and frames, mmap_lock and a notifier chain. Each
// operation holds mmap_lock as the kernel does and calls the notifiers where the kernel does; the
// table below says so for each. Frames have numbers that are never used twice, so that a write to
// a freed one is always seen.
//
// Steps. All that belongs to one page (its entry, its frames, their pins and contents, whether an
// invalidate of it is in progress) is one object to the scheduler, and each access under the page
// table lock is one step of it:
//   - the lockless lookup reads the entry, takes a reference and reads the entry again: one step,
//     the one of the last read, since a reference that is dropped again has no other effect here
//   - a fault looks, allocates, and looks again: one step, the last look
//   - what is read and written with mmap_lock held in the mode that it needs (the VMAs) is no step
//
// As the kernel, 6.1 unless it says else. Left out: munmap's downgrade of mmap_lock (5.0 and
// later), per-VMA locks (6.4), pages that fork() copies at once because they are pinned (5.11), the
// TLB, that nobody faults in what the OOM reaper took (MMF_UNSTABLE), and charging, counting and
// LRU lists.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "soft/mm/notifier_chain.h"
#include "soft/strategies/strategy.h"

namespace i915u::lab {

constexpr uint64_t page_size = 4096;

/// A page of memory, whoever maps it.
struct Frame {
  int page;        ///< the virtual page that it was made for; its steps are that page's
  int maps = 0;    ///< entries that map it
  int others = 0;  ///< how many of them are another mm's
  int pins = 0;    ///< FOLL_PIN references
  bool swap_cache = false;
  bool dirty = false;  ///< differs from what is in swap
  int content = 0;     ///< the tag of who wrote last
  int swapped = 0;     ///< content as it is in swap
  bool freed = false;
};

struct Pte {
  enum Kind : uint8_t { none, present, migration, swap } kind = none;
  bool write = false;
  int frame = -1;   ///< of present, migration and, while it is in the swap cache, swap
  int content = 0;  ///< of swap
};

class LabMm final : public soft::Mm {
 public:
  static constexpr int max_pages = 4;
  static constexpr uint64_t base = 0x100000;  ///< where page 0 stands
  static constexpr uint64_t addr(int page) { return base + uint64_t(page) * page_size; }

  /// `waits`: StrategyName::waits.
  LabMm(int pages, bool waits);

  // --- before the threads run; no steps
  void populate(int page);    ///< written, and as swap has it
  void unpopulate(int page);  ///< never touched
  void share(int page);       ///< as fork() leaves it: a child maps it too, and it is read-only
  void will_exit();           ///< exit() is going to be called, so users are counted

  // --- operations                         mmap_lock  notifiers
  void munmap(int page, int n = 1);     // write      UNMAP
  void munmap_huge(int page, int n);    // write      UNMAP; CLEAR of the huge page inside of it
  void mmap(int page, int n = 1);       // write
  void mprotect(int page, bool write);  // write      PROTECTION_VMA
  void mremap(int from, int to);        // write      UNMAP
  void fork();                          // write      PROTECTION_PAGE, of all pages
  void dontneed(int page, int n = 1);   // read       CLEAR
  void access(int page, bool write);    // read       CLEAR, if it breaks COW; by the process itself
  void migrate(int page);               // none       MIGRATE, or CLEAR before 5.10
  void swap_out(int page, bool blockable = true);  // none  CLEAR; by reclaim, whatever it holds
  void collapse(int page, int n);  // write      CLEAR; a huge page in place of small ones
  void punch_hole(int page);       // none       CLEAR; of a file's page, through its rmap
  void split(int page, int n);     // none       CLEAR; the entries change, not the frames
  void ksm_merge(int page);        // read       CLEAR twice
  void oom_reap(int page);         // read, if nobody is in the way  UNMAP; it may not block
  /// The process lets go of its mm; whoever is the last user unmaps it (mmput, exit_mmap).
  void exit();  // none       RELEASE

  /// What the process reads there. A step.
  int content(int page);

  // --- Mm
  uint64_t id() const override { return 1; }
  soft::NotifierChain& notifiers() override { return chain_; }
  sync::RwSemaphore& mmap_lock() override { return mmap_lock_; }
  std::shared_ptr<soft::UserPages> pin_fast_only(uint64_t start, uint64_t len, bool write) override;
  std::shared_ptr<soft::UserPages> pin_remote(uint64_t start, uint64_t len, bool write,
                                              int* err) override;
  std::shared_ptr<soft::UserPages> pin_user_pages(uint64_t start, uint64_t len, bool write,
                                                  int* err) override;

  // --- what must hold; see device.h
  /// What a request may write to. It stays where it is from establish() to retire().
  struct Use {
    int page, frame;
    uint64_t since = 0;  ///< when the request became visible
  };
  uint32_t object(int page) const { return pages_[page].object; }
  bool waits() const { return waits_; }
  /// In a step of the page: the GPU may use the frame from now on.
  void establish(Use&, bool write);
  /// In a step of the page.
  void gpu_write(const Use&, int tag);
  void retire(const Use&);
  /// At the end: nothing is pinned, no frame is lost.
  void check() const;

  /// One line a page and one a frame that nobody maps, for the lanes.
  std::string show() const;

 private:
  friend class LabPages;
  struct Page {
    uint32_t object;
    Pte pte;
    bool mapped = false, writable = false;  ///< the VMA; mmap_lock
    int inside = 0;       ///< invalidates between the return of their start and their end
    const char* by = "";  ///< the last of them
    std::vector<const Use*> uses;
    uint64_t migrated = 0;  ///< migrations ever ended
  };

  using Event = soft::InvalidateEvent;
  soft::InvalidateRange range(int page, int n, Event, bool blockable = true) const;
  bool start(const soft::InvalidateRange&, const char* by);
  void end(const soft::InvalidateRange&);
  void check_start(int page, uint64_t begun) const;

  int new_frame(int page, int content);
  void map(int page, int frame, bool write);
  void unmap(Page&);
  void zap(int page, int n);
  void put(int frame);  ///< frees it if nobody is left
  void pin(int frame) { frames_[frame].pins++; }
  void unpin(int frame, bool dirty);

  int pin_fast(int page, bool write);             ///< a frame, pinned, or -1
  int fault_in(int page, bool write, bool take);  ///< a frame, or -errno; mmap_lock held
  int pin_slow(int page, int n, bool write, std::vector<int>* frames);
  std::shared_ptr<soft::UserPages> hold(int page, std::vector<int> frames);
  bool mmget_not_zero();
  void mmput();
  void exit_mmap();

  const int n_;
  const bool waits_;
  sync::RwSemaphore mmap_lock_;
  soft::NotifierChain chain_;
  std::vector<Page> pages_;
  std::vector<Frame> frames_;
  uint64_t clock_ = 0;  ///< for a violation's text, which of two was first
  bool exits_ = false;
  int users_ = 1;  ///< mm_users
  const uint32_t users_object_;
};

}  // namespace i915u::lab
