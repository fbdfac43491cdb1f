// SPDX-License-Identifier: MIT
// What several strategies need: one notifier for each mm, and the objects of a mm by their range.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "soft/strategies/strategy.h"
#include "sync/scheduler.h"

namespace i915u::soft {

constexpr uint64_t strategy_page_size = 4096;

/// Of an object that stands in an ObjectTree (kernel 4.16: i915_mmu_object).
struct ObjectNode : Userptr::State {
  /// `forgotten` bytes at the end are not registered: fault_short_range.
  ObjectNode(Userptr& o, uint64_t forgotten)
      : object(o.weak()), start(o.ptr), end(o.ptr + o.size - forgotten) {}

  const std::weak_ptr<Userptr> object;
  const uint64_t start, end;
  IntervalLinks<ObjectNode> links;
  bool attached = false;
};

/// The lock is its owner's.
class ObjectTree {
 public:
  bool empty() const { return tree_.empty(); }
  bool attach(ObjectNode& n) {  // false: it is attached
    if (n.attached) return false;
    tree_.insert(n);
    return n.attached = true;
  }
  void detach(ObjectNode& n) {
    if (n.attached) tree_.erase(n);
    n.attached = false;
  }
  /// Those that the range overlaps. A node stays valid under the lock.
  std::vector<ObjectNode*> hit(const InvalidateRange& r) const {
    std::vector<ObjectNode*> found;
    tree_.for_each(r.start, r.end, [&](ObjectNode& n) {
      found.push_back(&n);
      return true;
    });
    return found;
  }

 private:
  IntervalTree<ObjectNode> tree_;
};

/// One notifier for each mm, from the first object on to the end of the strategy (the kernel's goes
/// with the last object of the mm).
template <class Notifier>
class PerMm {
 public:
  explicit PerMm(StrategyHost& host) : host_(host) {}
  /// A child that fork() made leaves alone what stands in the lists of its parent's mm.
  ~PerMm() {
    const sync::Uncancelled whole;
    Mm& mm = host_.mm();
    for (auto& [id, n] : all_) {
      if (id == mm.id())
        mm.notifiers().unsubscribe(*n);
      else
        static_cast<void>(n.release());
    }
  }

  Notifier& of(Mm& mm, std::unique_ptr<Notifier> (*make)(StrategyHost&)) {
    {
      sync::Guard g(lock_);
      if (auto it = all_.find(mm.id()); it != all_.end()) return *it->second;
    }
    auto made = make(host_);
    // kernel: i915_mmu_notifier_find
    sync::WriteGuard w(mm.mmap_lock());
    sync::Guard g(lock_);
    auto& n = all_[mm.id()];
    if (!n) {
      n = std::move(made);
      mm.notifiers().subscribe(*n);
    }
    return *n;
  }

 private:
  static inline const sync::LockClass cls{"i915->mm_lock"};
  StrategyHost& host_;
  sync::Mutex lock_{cls};
  std::map<uint64_t, std::unique_ptr<Notifier>> all_;
};

/// In a notifier of a strategy that waits: no GPU uses the object's pages any more. No lock held.
void wait_for_gpu(StrategyHost&, Userptr&);
/// Those of `hit` that are not being freed.
std::vector<std::shared_ptr<Userptr>> hold(const std::vector<ObjectNode*>& hit);
/// The object can be looked up at all, and by this process. 0, -EFAULT, -ENOMEM.
int check_object(StrategyHost&, const Userptr&);

}  // namespace i915u::soft
