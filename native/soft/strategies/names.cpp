// SPDX-License-Identifier: MIT
#include <cstring>

#include "soft/strategies/strategies.h"

namespace i915u::soft {

const StrategyName strategy_names[] = {
    {"interval",
     "mmu_interval_notifier with a sequence number; the notifier waits for the GPU (5.13 to 6.8)",
     make_interval, true,
     "A submission reads the sequence number of the object's interval, which waits while an "
     "invalidate of it is in progress, and pins the pages with no lock held. The number is "
     "compared "
     "when the pages are installed and, under notifier_lock, right before the request is visible: "
     "-EAGAIN if it has moved. An invalidate sets the number under that lock and waits for all "
     "requests of the object.",
     "i915 of 5.13 to 6.8; the helpers are in mm/mmu_notifier.c since 5.5.",
     "An invalidate waits for as long as a batch runs, in munmap as in reclaim.",
     "Commits ed29c2691188 (drm/i915: Fix userptr so we do not have to worry about obj->mm.lock, "
     "v7), b4b9731b02c3 (drm/i915: Simplify userptr locking), and for the helpers 99cb252f5e68 "
     "(mm/mmu_notifier: add an interval tree notifier)."},
    {"interval-nowait",
     "as interval, but the notifier does not wait; the next submission unbinds (6.9 and later)",
     make_interval_nowait, false,
     "As interval, but the notifier only sets the sequence number, and takes no lock for that: "
     "there is no notifier_lock any more. The pages stay pinned, so that what requests still write "
     "goes to pages that nobody else gets; the next submission finds the number moved, unbinds, "
     "and "
     "looks the pages up anew. It sleeps for nothing, so that an invalidate which may not block is "
     "done like any other.",
     "i915 of 6.9 and later.",
     "The GPU may write to a page after mprotect(PROT_READ) has returned, until the requests then "
     "in flight are done; with them goes one that has passed its last check and is not visible "
     "yet. "
     "Pages stay pinned for as long as the object is not used, without being accounted (Dave "
     "Airlie, dri-devel, 16 February 2024).",
     "Commit 86ceaaaec597 (drm/i915/gem: Atomically invalidate userptr on mmu-notifier), in the "
     "first drm-intel-gt-next pull request for 6.9 (dri-devel, 15 February 2024)."},
    {"none", "invalidates cancel what is in a tree, lookups know nothing of them (4.16)", make_none,
     true,
     "Objects are in an interval tree from when their pages are asked for. invalidate_range_start "
     "takes those that overlap out of the tree, queues work for each (wait for rendering, take the "
     "lock, unbind, put the pages) and flushes the queue. get_pages runs under the lock: the "
     "lockless gup, or a worker that installs what it has found if no invalidate has cancelled it, "
     "-EAGAIN meanwhile.",
     "i915 of 4.16.",
     "Nothing happens at invalidate_range_end: a lookup between start and end finds the pages that "
     "are about to go, and the GPU has them afterwards. The fast path puts the object into the "
     "tree "
     "when it has looked its pages up, so that an invalidate between is missed. An invalidate does "
     "not wait for the work that another one has queued for its object. A lookup that failed is "
     "told for ever.",
     "drivers/gpu/drm/i915/i915_gem_userptr.c; commit 380996aa (drm/i915: Use a task to cancel the "
     "userptr on invalidate_range, 2015)."},
    {"rwsem",
     "as none, with a semaphore over each invalidate and each lookup (patch of March 2018)",
     make_rwsem, true,
     "As none. The notifier of the mm has a rw_semaphore: invalidates hold it for writing from "
     "invalidate_range_start to invalidate_range_end, the worker and the fast path for reading "
     "around their gup.",
     "None; proposed for i915 in March 2018.",
     "Deadlocks: a lookup takes mmap_sem inside the semaphore, munmap the semaphore inside "
     "mmap_sem. gup that breaks COW calls the notifier, which waits for the reader that called it; "
     "an invalidate within an invalidate waits for itself. The flush waits, with the semaphore, "
     "for "
     "work that needs the lock under which get_pages waits for the semaphore. The window between "
     "the fast path's gup and the tree remains.",
     "The patch at the root of this project and the discussion under it (intel-gfx, March 2018), "
     "as "
     "this project's first design tells them; the mails were not found again."},
    {"ban",
     "as none, but an object has no pages any more after its first invalidate (proposed 2018)",
     make_ban, true,
     "As none, with objects in the tree from their creation on. An invalidate that overlaps an "
     "object bans it: -EFAULT from then on, also to a lookup that is on its way.",
     "None; proposed in March 2018.",
     "Innocent invalidates (mprotect and back, huge pages, migration, swap-out, KSM, fork) take "
     "nothing from the process, and the object is lost all the same. Two invalidates at once: as "
     "none.",
     "The discussion of March 2018 (intel-gfx), at second hand: see rwsem."},
    {"ban-late", "as ban, but invalidates see an object only once it has pages (proposed 2018)",
     make_ban_late, true, "As ban, with an object in the tree only once its pages are installed.",
     "None; the open question of the proposal of March 2018.",
     "An invalidate that comes while the object gets its first pages is missed, and they are taken "
     "for current. Else as ban.",
     "The discussion of March 2018 (intel-gfx), at second hand: see rwsem."},
    {"ranges", "a list of the ranges that are being invalidated, which lookups of them wait for",
     make_ranges, true,
     "The notifier keeps the range of each invalidate while it is in progress, and counts for each "
     "object those that hit it. A lookup waits until none of them overlaps its object, looks the "
     "pages up with no lock held, and is in vain if the count has moved; it is compared once more "
     "right before the request is visible. invalidate_range_start waits for all requests of what "
     "it "
     "hits.",
     "None as such; mmu_interval_notifier (5.5) has a sequence in place of the list.",
     "A list for each mm, which each lookup walks.",
     "Proposed in the discussion of March 2018 (at second hand: see rwsem), with helpers for all "
     "drivers in HMM."},
    {"seqcount", "one count and one sequence of invalidates for the mm, checked under a lock (KVM)",
     make_seqcount, true,
     "A lookup reads the sequence, looks the pages up with no lock held, and installs them under a "
     "lock if no invalidate is in progress and the sequence has not moved; else -EAGAIN. Start "
     "raises the count and marks what it hits, under the lock, and waits for the GPU; end raises "
     "the "
     "sequence and lowers the count. The mark is looked at right before the request is visible.",
     "KVM (mmu_notifier_count, mmu_notifier_seq, mmu_notifier_retry; renamed by 20ec3ebd707c, KVM: "
     "Rename mmu_notifier_* to mmu_invalidate_*).",
     "Any change of the mm makes every lookup go round again, whatever its range. Lookups spin "
     "while an invalidate is in progress.",
     "include/linux/kvm_host.h (mmu_notifier_retry) and virt/kvm/kvm_main.c "
     "(kvm_mmu_notifier_invalidate_range_start)."},
    {},
};

const StrategyName* find_strategy(const char* name) {
  for (const StrategyName* s = strategy_names; s->name; s++)
    if (!strcmp(s->name, name)) return s;
  return nullptr;
}

}  // namespace i915u::soft
