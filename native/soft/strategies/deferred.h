// SPDX-License-Identifier: MIT
// Userptr as i915 4.16 has it (drivers/gpu/drm/i915/i915_gem_userptr.c), which the strategies none,
// rwsem and ban are variants of. get_pages runs under the object's lock: it tries the lockless gup
// and else defers to a worker; an invalidate has other work, of the notifier's queue, cancel what
// stands in its range, and flushes the queue.
#pragma once

#include <memory>

#include "soft/strategies/common.h"
#include "sync/workqueue.h"

namespace i915u::soft {

class DeferredNotifier;

/// kernel: i915_mmu_object, and obj->userptr of the object.
struct DeferredObject final : ObjectNode {
  DeferredObject(Userptr&, uint64_t forgotten, DeferredNotifier&);

  DeferredNotifier& mn;
  const std::shared_ptr<sync::WorkQueue::Work> cancel;
  // With mn.lock held.
  std::shared_ptr<Userptr> cancelling;  ///< `cancel` is queued and has not begun: work_pending()
  bool banned = false;                  ///< strategy ban: an invalidate has hit it
  // With object_lock held.
  uint64_t work = 0;  ///< serial number of the worker that may install pages; 0: none
  uint64_t works = 0;
  int error = 0;  ///< of the last worker, for the next get_pages
};

/// kernel: i915_mmu_notifier.
class DeferredNotifier : public MmuNotifier {
 public:
  DeferredNotifier(StrategyHost&, bool bans);

  int invalidate_range_start(const InvalidateRange&) override;
  /// Around each gup. Returns whether there is something to end.
  virtual bool begin_lookup() { return false; }
  virtual void end_lookup() {}

  /// kernel: __i915_gem_userptr_set_active
  void set_active(DeferredObject&, bool);
  bool banned(DeferredObject&);
  void cancel(DeferredObject&);

 protected:
  StrategyHost& host_;

 private:
  friend struct DeferredObject;
  const bool bans_;
  sync::SpinLock lock_;
  ObjectTree objects_;
  sync::WorkQueue wq_;
};

struct DeferredRules {
  const char* name;
  /// When an object comes into the tree of those that invalidates cancel: as it is made; when its
  /// pages are asked for (4.16: after a successful fast gup, before a worker's); or with its pages.
  enum { created, asked, installed } insert;
  bool bans;
  std::unique_ptr<DeferredNotifier> (*make_notifier)(StrategyHost&);
};

class Deferred final : public Strategy {
 public:
  Deferred(StrategyHost&, const DeferredRules&);

  const char* name() const override { return rules_.name; }
  int create(Userptr&) override;
  void release(Userptr&) override;
  int submit_init(Userptr&) override;
  /// The submission has held the object's lock since it had pages (struct_mutex), and a cancel
  /// needs that lock and then waits for the request.
  int submit_done(Userptr&) override { return 0; }

 private:
  int get_pages(Userptr&);
  std::shared_ptr<UserPages> look_up(Userptr&, DeferredNotifier&, Mm&, bool remote, int* err);
  void schedule(Userptr&);
  void worker(const std::shared_ptr<Userptr>&, Mm&, uint64_t serial);

  StrategyHost& host_;
  const DeferredRules& rules_;
  PerMm<DeferredNotifier> notifiers_;
  sync::WorkQueue wq_;  ///< kernel: i915->mm.userptr_wq
};

}  // namespace i915u::soft
