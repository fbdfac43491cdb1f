// SPDX-License-Identifier: MIT
// The notifier chain of 6.1's mm/mmu_notifier.c.
// The kernel's algorithm: the collision-retry scheme of the interval notifiers (invalidate_seq odd
// while a range with a subscriber is being invalidated; the tree is then left alone, and changes of
// it wait for the last invalidate's end), and the order: interval notifiers first, then the others.
// Changed on purpose: in place of SRCU each subscriber counts the walks of the list that have it.
// The lockdep map is not held in invalidate_range_end, where nobody waits for the calls any more: a
// lock that is held from start to end would be reported for that alone.
// Left out: the _young and change_pte calls, invalidate_range (i915 has none of them), and RELEASE,
// since a process cannot model its own exit.
#include "soft/mm/notifier_chain.h"

#include <cerrno>
#include <optional>
#include <utility>

namespace i915u::soft {

using sync::Op;

namespace {

const sync::LockClass subscriptions_class{"notifier_subscriptions.lock"};
const sync::LockClass start_class{"mmu_notifier_invalidate_range_start"};

}  // namespace

NotifierChain::NotifierChain() : start_map_(start_class), lock_(subscriptions_class) {}

int NotifierChain::invalidate_range_start(const InvalidateRange& range) {
  invalidates_.fetch_add(1, std::memory_order_relaxed);
  const sync::Guard in_start(start_map_);
  uint64_t cur_seq;
  bool hit;
  Walk walk;
  {
    sync::Guard g(lock_);
    active_invalidate_ranges_++;
    hit = itree_.overlaps(range.start, range.end);
    if (hit) invalidate_seq_ |= 1;
    cur_seq = invalidate_seq_;
    walk = begin_walk();
  }
  int err = 0;
  std::optional<sync::lockdep::NonBlock> section;  // the calls (kernel: 5.4, ba170f76b69d)
  section.emplace(!range.blockable);
  // The tree does not change while the sequence is odd, so no lock is held around the calls.
  if (hit && !itree_.for_each(range.start, range.end, [&](IntervalNotifier& n) {
        return n.invalidate(range, cur_seq) || range.blockable;
      }))
    err = -EAGAIN;
  if (!err && !walk.empty()) {
    std::vector<MmuNotifier*> started;
    for (const auto& s : walk) {
      if (int e = s->notifier->invalidate_range_start(range))
        err = e;
      else
        started.push_back(s->notifier);
    }
    // Who could not block does not call invalidate_range_end().
    if (err)
      for (MmuNotifier* n : started) n->invalidate_range_end(range);
  }
  section.reset();
  end_walk(walk);
  if (!err) return 0;
  std::vector<std::unique_ptr<IntervalNotifier>> unused;  // destroyed without the lock
  sync::Guard g(lock_);
  itree_end(&unused);
  return err;
}

void NotifierChain::invalidate_range_end(const InvalidateRange& range) {
  Walk walk;
  {
    std::vector<std::unique_ptr<IntervalNotifier>> unused;
    sync::Guard g(lock_);
    itree_end(&unused);
    walk = begin_walk();
  }
  for (const auto& s : walk) s->notifier->invalidate_range_end(range);
  end_walk(walk);
}

void NotifierChain::itree_end(std::vector<std::unique_ptr<IntervalNotifier>>* unused) {
  if (--active_invalidate_ranges_ || !(invalidate_seq_ & 1)) return;
  invalidate_seq_++;
  for (IntervalNotifier* n : deferred_) {
    const bool joins = n->place_ == IntervalNotifier::joining;
    if (joins)
      itree_.insert(*n);
    else
      itree_.erase(*n);
    n->place_ = joins ? IntervalNotifier::in : IntervalNotifier::out;
  }
  deferred_.clear();
  unused->swap(dropped_);
  wq_.wake_all();
}

bool NotifierChain::quiet() {
  sync::Guard g(lock_);
  return active_invalidate_ranges_ == 0;
}

// --- subscribers of the whole mm

void NotifierChain::Subscriber::step(Op::Act act) const {
  if (sync::scheduler && object)
    sync::scheduler->step({act, object, "subscriber", sync::Where::current()}, nullptr, nullptr);
}

NotifierChain::Walk NotifierChain::begin_walk() {
  if (subscribers_.empty()) return {};
  for (const auto& s : subscribers_) {
    s->step(Op::store);
    s->running++;
  }
  return {subscribers_.begin(), subscribers_.end()};
}

// As srcu_read_unlock(), without a lock. Either unsubscribe() sees that nothing is running, or this
// that it waits.
void NotifierChain::end_walk(const Walk& walk) {
  for (const auto& s : walk) {
    s->step(Op::store);
    if (--s->running) continue;
    s->step(Op::load);
    if (!s->gone) continue;
    sync::Guard g(lock_);
    wq_.wake_all();
  }
}

void NotifierChain::subscribe(MmuNotifier& n, Leaves leaves) {
  const uint32_t object = leaves == Leaves::any_time ? sync::new_object("subscriber") : 0;
  sync::Guard g(lock_);
  subscribers_.push_front(std::make_shared<Subscriber>(n, object));
}

void NotifierChain::unsubscribe(MmuNotifier& n) {
  start_map_.wait();
  sync::Guard g(lock_);
  for (auto it = subscribers_.begin(); it != subscribers_.end(); ++it) {
    if ((*it)->notifier != &n) continue;
    const auto s = *it;
    s->step(Op::store);
    s->gone = true;
    subscribers_.erase(it);
    wq_.wait(lock_, [&] {
      s->step(Op::load);
      return s->running == 0;
    });
    return;
  }
}

// --- interval notifiers

void NotifierChain::interval_insert(IntervalNotifier& n, uint64_t start, uint64_t len) {
  n.start = start;
  n.end = start + len;
  sync::Guard g(lock_);
  if (active_invalidate_ranges_ == 0) {
    n.place_ = IntervalNotifier::in;
    itree_.insert(n);
    n.seq_.store(invalidate_seq_ - 1);
    return;
  }
  if (invalidate_seq_ & 1) {
    n.place_ = IntervalNotifier::joining;
    deferred_.push_back(&n);
  } else {
    invalidate_seq_ |= 1;
    n.place_ = IntervalNotifier::in;
    itree_.insert(n);
  }
  // It may be its own range that is being invalidated: readers collide until that has ended.
  n.seq_.store(invalidate_seq_);
}

bool NotifierChain::remove(IntervalNotifier& n) {
  if (n.place_ == IntervalNotifier::out) return false;
  if (!(invalidate_seq_ & 1)) {
    itree_.erase(n);
  } else if (n.place_ == IntervalNotifier::joining) {
    std::erase(deferred_, &n);
  } else {
    n.place_ = IntervalNotifier::leaving;
    deferred_.push_back(&n);
    return true;
  }
  n.place_ = IntervalNotifier::out;
  return false;
}

void NotifierChain::interval_remove(IntervalNotifier& n) {
  {
    sync::Guard g(lock_);
    if (n.place_ == IntervalNotifier::out) return;  // dropped, and perhaps by a call
  }
  start_map_.wait();
  sync::Guard g(lock_);
  if (!remove(n)) return;
  const uint64_t seq = invalidate_seq_;
  wq_.wait(lock_, [&] { return invalidate_seq_ != seq; });
}

void NotifierChain::interval_drop(std::unique_ptr<IntervalNotifier> n) {
  sync::Guard g(lock_);
  if (remove(*n)) dropped_.push_back(std::move(n));
}

uint64_t NotifierChain::read_begin(IntervalNotifier& n) {
  start_map_.wait();
  sync::Guard g(lock_);
  const uint64_t seq = n.seq_.load();
  wq_.wait(lock_, [&] { return invalidate_seq_ != seq; });
  return seq;
}

bool NotifierChain::read_retry(IntervalNotifier& n, uint64_t seq) {
  return n.seq_.load() != seq;
}

void NotifierChain::set_seq(IntervalNotifier& n, uint64_t cur_seq) {
  n.seq_.store(cur_seq);
}

}  // namespace i915u::soft
