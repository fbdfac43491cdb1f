// SPDX-License-Identifier: MIT
// The notifier chain of 6.1's mm/mmu_notifier.c.
// The kernel's algorithm: the collision-retry scheme of the interval notifiers (invalidate_seq odd
// while a range with a subscriber is being invalidated; the tree is then left alone, and changes of
// it wait for the last invalidate's end), and the order: interval notifiers first, then the others.
// Changed on purpose: in place of SRCU each subscriber counts the calls that run in it.
// Left out: the _young and change_pte calls, invalidate_range (i915 has none of them), and RELEASE,
// since a process cannot model its own exit.
#include <cerrno>

#include "soft/mm/impl.h"

namespace i915u::soft {

int AddressSpaceImpl::invalidate_range_start(const InvalidateRange& range) {
  invalidates.fetch_add(1, std::memory_order_relaxed);
  uint64_t cur_seq;
  bool hit;
  {
    sync::Guard g(subscriptions_lock);
    active_invalidate_ranges++;
    hit = itree.overlaps(range.start, range.end);
    if (hit) invalidate_seq |= 1;
    cur_seq = invalidate_seq;
  }
  // The tree does not change while the sequence is odd, so no lock is held around the calls.
  if (hit && !itree.for_each(range.start, range.end, [&](IntervalNotifier& n) {
        return n.invalidate(range, cur_seq) || range.blockable;
      })) {
    // Who could not block does not call invalidate_range_end().
    itree_end();
    return -EAGAIN;
  }
  const int err = call_subscribers([&](MmuNotifier& n) { return n.invalidate_range_start(range); });
  if (err) invalidate_range_end(range);  // for those that did start
  return err;
}

void AddressSpaceImpl::invalidate_range_end(const InvalidateRange& range) {
  itree_end();
  call_subscribers([&](MmuNotifier& n) {
    n.invalidate_range_end(range);
    return 0;
  });
}

void AddressSpaceImpl::itree_end() {
  std::vector<std::unique_ptr<IntervalNotifier>> unused;  // destroyed without the lock
  sync::Guard g(subscriptions_lock);
  if (--active_invalidate_ranges || !(invalidate_seq & 1)) return;
  invalidate_seq++;
  for (IntervalNotifier* n : deferred) {
    const bool joins = n->place == IntervalNotifier::joining;
    if (joins)
      itree.insert(*n);
    else
      itree.erase(*n);
    n->place = joins ? IntervalNotifier::in : IntervalNotifier::out;
  }
  deferred.clear();
  unused.swap(dropped);
  subscriptions_wq.wake_all();
}

template <class F>
int AddressSpaceImpl::call_subscribers(F call) {
  std::vector<std::shared_ptr<Subscriber>> now;
  {
    sync::Guard g(subscriptions_lock);
    if (subscribers.empty()) return 0;
    now.assign(subscribers.begin(), subscribers.end());
  }
  int err = 0;
  for (auto& s : now) {
    {
      sync::Guard g(subscriptions_lock);
      if (s->gone) continue;
      s->running++;
    }
    if (int e = call(*s->notifier)) err = e;
    sync::Guard g(subscriptions_lock);
    if (--s->running == 0 && s->gone) subscriptions_wq.wake_all();
  }
  return err;
}

void AddressSpace::notifier_register(MmuNotifier& n) {
  // mmap_lock: no change may have its start before the registration and its end after it.
  sync::WriteGuard w(impl_->mmap_lock);
  sync::Guard g(impl_->subscriptions_lock);
  impl_->subscribers.push_front(std::make_shared<Subscriber>(Subscriber{&n}));
}

void AddressSpace::notifier_unregister(MmuNotifier& n) {
  sync::Guard g(impl_->subscriptions_lock);
  auto& all = impl_->subscribers;
  for (auto it = all.begin(); it != all.end(); ++it) {
    if ((*it)->notifier != &n) continue;
    auto s = *it;
    s->gone = true;
    all.erase(it);
    impl_->subscriptions_wq.wait(impl_->subscriptions_lock, [&] { return s->running == 0; });
    return;
  }
}

void AddressSpace::interval_insert(IntervalNotifier& n, uint64_t start, uint64_t len) {
  n.start = start;
  n.end = start + len;
  sync::Guard g(impl_->subscriptions_lock);
  if (impl_->active_invalidate_ranges == 0) {
    n.seq = impl_->invalidate_seq - 1;
    n.place = IntervalNotifier::in;
    impl_->itree.insert(n);
    return;
  }
  if (impl_->invalidate_seq & 1) {
    n.place = IntervalNotifier::joining;
    impl_->deferred.push_back(&n);
  } else {
    impl_->invalidate_seq |= 1;
    n.place = IntervalNotifier::in;
    impl_->itree.insert(n);
  }
  // It may be its own range that is being invalidated: readers collide until that has ended.
  n.seq = impl_->invalidate_seq;
}

bool AddressSpaceImpl::remove(IntervalNotifier& n) {
  if (n.place == IntervalNotifier::out) return false;
  if (!(invalidate_seq & 1)) {
    itree.erase(n);
  } else if (n.place == IntervalNotifier::joining) {
    std::erase(deferred, &n);
  } else {
    n.place = IntervalNotifier::leaving;
    deferred.push_back(&n);
    return true;
  }
  n.place = IntervalNotifier::out;
  return false;
}

void AddressSpace::interval_remove(IntervalNotifier& n) {
  sync::Guard g(impl_->subscriptions_lock);
  if (!impl_->remove(n)) return;
  const uint64_t seq = impl_->invalidate_seq;
  impl_->subscriptions_wq.wait(impl_->subscriptions_lock,
                               [&] { return impl_->invalidate_seq != seq; });
}

void AddressSpace::interval_drop(std::unique_ptr<IntervalNotifier> n) {
  sync::Guard g(impl_->subscriptions_lock);
  if (impl_->remove(*n)) impl_->dropped.push_back(std::move(n));
}

uint64_t AddressSpace::read_begin(IntervalNotifier& n) {
  sync::Guard g(impl_->subscriptions_lock);
  const uint64_t seq = n.seq;
  impl_->subscriptions_wq.wait(impl_->subscriptions_lock,
                               [&] { return impl_->invalidate_seq != seq; });
  return seq;
}

bool AddressSpace::read_retry(IntervalNotifier& n, uint64_t seq) {
  return n.seq != seq;
}

void AddressSpace::set_seq(IntervalNotifier& n, uint64_t cur_seq) {
  n.seq = cur_seq;
}

uint64_t AddressSpace::invalidates() const {
  return impl_->invalidates.load(std::memory_order_relaxed);
}

}  // namespace i915u::soft
