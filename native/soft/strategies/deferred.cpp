// SPDX-License-Identifier: MIT
// The driver's algorithm: who is in the tree when, who takes which lock, what is queued where and
// flushed by whom.
// Changed on purpose: struct_mutex and obj->mm.lock are one lock of the object. An error of the
// worker is told once (4.16 keeps it until an invalidate, which does not see the object any more,
// so that it never has pages again). execbuf's slow path repeats itself on -EAGAIN until a signal
// comes; here once, then user space does. In 4.16 a child could have its parent's pages looked up
// by the worker; here only the process itself can. The workqueues have one thread each.
#include "soft/strategies/deferred.h"

#include <cerrno>
#include <utility>

namespace i915u::soft {
namespace {

const sync::LockClass mn_lock_class{"mn->lock"};
const sync::LockClass mn_wq_class{"i915-userptr-release"};
const sync::LockClass userptr_wq_class{"i915-userptr-acquire"};
const sync::LockClass cancel_class{"mo->work"};
const sync::LockClass worker_class{"get_pages_work"};

DeferredObject& state_of(Userptr& obj) {
  return static_cast<DeferredObject&>(*obj.state);
}

}  // namespace

DeferredObject::DeferredObject(Userptr& o, uint64_t forgotten, DeferredNotifier& n)
    : ObjectNode(o, forgotten),
      mn(n),
      cancel(std::make_shared<sync::WorkQueue::Work>([this] { mn.cancel(*this); }, cancel_class)) {}

// --- the notifier

DeferredNotifier::DeferredNotifier(StrategyHost& host, bool bans)
    : host_(host), bans_(bans), lock_(mn_lock_class), wq_("userptr-release", mn_wq_class) {}

int DeferredNotifier::invalidate_range_start(const InvalidateRange& range) {
  {
    sync::Guard g(lock_);
    const auto hit = objects_.hit(range);
    if (hit.empty()) return 0;
    if (!range.blockable) return -EAGAIN;  // since 4.19; before, such calls were not made
    for (ObjectNode* node : hit) {
      auto& o = static_cast<DeferredObject&>(*node);
      if (bans_) o.banned = true;
      objects_.detach(o);
      // One that is being freed goes by itself.
      if (auto obj = o.object.lock()) {
        o.cancelling = std::move(obj);
        wq_.queue(o.cancel);
      }
    }
  }
  wq_.flush_all();
  return 0;
}

// kernel: cancel_userptr
void DeferredNotifier::cancel(DeferredObject& o) {
  std::shared_ptr<Userptr> obj;  // may be the last reference, and is let go with nothing locked
  {
    sync::Guard g(lock_);
    obj = std::move(o.cancelling);
  }
  const bool waits = !host_.fault(fault_no_wait);
  if (waits) obj->wait_idle();
  sync::Guard g(obj->object_lock());
  o.work = 0;
  if (waits && obj->unbind()) return;
  if (!obj->pages) return;
  obj->put_pages();
  set_active(o, false);
}

void DeferredNotifier::set_active(DeferredObject& o, bool active) {
  sync::Guard g(lock_);
  if (!active)
    objects_.detach(o);
  else if (!o.cancelling)  // what is about to be cancelled is not worth it
    objects_.attach(o);
}

bool DeferredNotifier::banned(DeferredObject& o) {
  if (!bans_) return false;
  sync::Guard g(lock_);
  return o.banned;
}

// --- the strategy

Deferred::Deferred(StrategyHost& host, const DeferredRules& rules)
    : host_(host), rules_(rules), notifiers_(host), wq_("userptr-acquire", userptr_wq_class) {}

int Deferred::create(Userptr& obj) {
  DeferredNotifier& mn = notifiers_.of(host_.mm(), rules_.make_notifier);
  obj.state = std::make_unique<DeferredObject>(obj, forgotten(host_), mn);
  if (rules_.insert == DeferredRules::created) mn.set_active(state_of(obj), true);
  return 0;
}

void Deferred::release(Userptr& obj) {
  release_state(host_, obj, [&] { state_of(obj).mn.set_active(state_of(obj), false); });
}

// kernel: i915_gem_execbuffer2, eb_relocate_slow
int Deferred::submit_init(Userptr& obj) {
  if (int err = check_object(host_, obj)) return err;
  int err;
  {
    sync::Guard g(obj.object_lock());
    err = get_pages(obj);
  }
  if (err != -EAGAIN) return err;
  wq_.flush_all();
  {
    sync::Guard g(obj.object_lock());
    err = get_pages(obj);
  }
  if (err == -EAGAIN) wq_.flush_all();
  return err;
}

// kernel: i915_gem_userptr_get_pages. object_lock held.
int Deferred::get_pages(Userptr& obj) {
  DeferredObject& o = state_of(obj);
  if (obj.pages) return 0;
  if (o.error) return std::exchange(o.error, 0);
  if (o.work) return -EAGAIN;
  if (!obj.will_need() || o.mn.banned(o)) return -EFAULT;
  int err = 0;
  auto pages = look_up(obj, o.mn, host_.mm(), host_.fault(fault_lock_over_gup), &err);
  if (err) return err;
  if (!pages) schedule(obj);
  if (pages ? rules_.insert != DeferredRules::created : rules_.insert == DeferredRules::asked)
    o.mn.set_active(o, true);
  if (!pages) return -EAGAIN;
  obj.pages = std::move(pages);
  return 0;
}

std::shared_ptr<UserPages> Deferred::look_up(Userptr& obj, DeferredNotifier& mn, Mm& mm,
                                             bool remote, int* err) {
  const bool write = !obj.read_only && !host_.fault(fault_no_foll_write);
  const bool begun = mn.begin_lookup();
  auto pages = remote ? mm.pin_remote(obj.ptr, obj.size, write, err)
                      : mm.pin_fast_only(obj.ptr, obj.size, write);
  if (begun) mn.end_lookup();
  return pages;
}

void Deferred::schedule(Userptr& obj) {
  const uint64_t serial = state_of(obj).work = ++state_of(obj).works;
  wq_.queue(std::make_shared<sync::WorkQueue::Work>(
      [this, held = obj.weak().lock(), &mm = host_.mm(), serial]() mutable {
        worker(held, mm, serial);
        held.reset();  // the last reference may be this one
      },
      worker_class));
}

// kernel: __i915_gem_userptr_get_pages_worker
void Deferred::worker(const std::shared_ptr<Userptr>& obj, Mm& mm, uint64_t serial) {
  DeferredObject& o = state_of(*obj);
  int err = 0;
  auto pages = look_up(*obj, o.mn, mm, true, &err);  // let go without the lock
  sync::Guard g(obj->object_lock());
  if (o.work != serial && (obj->pages || !host_.fault(fault_skip_retry))) return;
  o.work = 0;
  if (!err && o.mn.banned(o)) err = -EFAULT;
  if (err) {
    o.error = err;
    if (rules_.insert != DeferredRules::created) o.mn.set_active(o, false);
    return;
  }
  if (rules_.insert == DeferredRules::installed) o.mn.set_active(o, true);
  obj->pages = std::move(pages);
}

}  // namespace i915u::soft
