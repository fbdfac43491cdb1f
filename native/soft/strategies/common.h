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

  const sync::Weak<Userptr> object;
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

/// A notifier that marks the objects which a change hits, and then waits for the GPU.
class TreeNotifier : public MmuNotifier {
 public:
  int invalidate_range_start(const InvalidateRange&) final;
  bool attach(ObjectNode& n) {  // false: it is attached
    sync::Guard g(lock_);
    return objects_.attach(n);
  }
  void detach(ObjectNode& n) {
    sync::Guard g(lock_);
    objects_.detach(n);
  }

 protected:
  TreeNotifier(StrategyHost& host, const sync::LockClass& cls) : host_(host), lock_(cls) {}
  /// With lock_ held.
  virtual void mark(const InvalidateRange&, const std::vector<ObjectNode*>& hit) = 0;

  StrategyHost& host_;
  sync::SpinLock lock_;

 private:
  ObjectTree objects_;
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

/// Pins the object's pages with no lock held. `before_install` comes when that is done; `install`
/// has object_lock, and leaves in its argument what it does not want. Returns what install does, or
/// -errno.
template <class Before, class Install>
int pin_and_install(StrategyHost& host, Userptr& obj, Before before_install, Install install) {
  const bool write = !obj.read_only && !host.fault(fault_no_foll_write);
  int err;
  std::shared_ptr<UserPages> pages;  // what is not installed is unpinned without the lock
  const auto pin = [&] {
    pages = host.mm().pin_user_pages(obj.ptr, obj.size, write, &err);
    return pages != nullptr;
  };
  if (host.fault(fault_lock_over_gup)) {
    sync::Guard g(obj.object_lock());
    return pin() ? install(pages) : err;
  }
  if (!pin()) return err;
  before_install();
  sync::Guard g(obj.object_lock());
  return install(pages);
}

/// Ends the object's state, which `detach` takes out of the tree. A child that fork() made leaves
/// alone what stands in the tree of its parent's mm.
template <class Detach>
void release_state(StrategyHost& host, Userptr& obj, Detach detach) {
  if (host.mm().id() == obj.mm) {
    detach();
    obj.state.reset();
  } else {
    static_cast<void>(obj.state.release());
  }
}

/// Bytes at the object's end that are not registered: fault_short_range.
uint64_t forgotten(StrategyHost&);
/// Objects that are in the tree of their mm's notifier from create() on, but with
/// fault_late_insert. `State`, an ObjectNode, is made of the object, forgotten() and the notifier,
/// and has that as `mn`.
template <class Notifier, class State>
class TreeStrategy : public Strategy {
 public:
  explicit TreeStrategy(StrategyHost& host) : host_(host), notifiers_(host) {}

  int create(Userptr& obj) final {
    Notifier& mn =
        notifiers_.of(host_.mm(), [](StrategyHost& h) { return std::make_unique<Notifier>(h); });
    obj.state = std::make_unique<State>(obj, forgotten(host_), mn);
    if (!host_.fault(fault_late_insert)) mn.attach(state_of(obj));
    return 0;
  }
  void release(Userptr& obj) final {
    release_state(host_, obj, [&] { state_of(obj).mn.detach(state_of(obj)); });
  }

 protected:
  static State& state_of(Userptr& obj) { return static_cast<State&>(*obj.state); }

  StrategyHost& host_;

 private:
  PerMm<Notifier> notifiers_;
};

/// In a notifier of a strategy that waits: no GPU uses the object's pages any more. No lock held.
void wait_for_gpu(StrategyHost&, Userptr&);
/// Those of `hit` that are not being freed.
std::vector<std::shared_ptr<Userptr>> hold(const std::vector<ObjectNode*>& hit);
/// The object can be looked up at all, and by this process. 0, -EFAULT, -ENOMEM.
int check_object(StrategyHost&, const Userptr&);

}  // namespace i915u::soft
