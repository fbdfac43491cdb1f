// SPDX-License-Identifier: MIT
// KVM's way: one count of the invalidates in progress and one sequence number for the whole mm. A
// lookup reads the sequence, looks pages up with no lock held, and installs them under a lock if no
// invalidate is in progress and none has ended since (kernel: mmu_notifier_retry under mmu_lock,
// 4.16 names). Which range it was does not matter, so that every change of the mm disturbs every
// lookup; nothing waits for anything, a lookup in vain is done again.
// What has pages is taken out by the invalidates that hit it, as KVM unmaps a range: they mark it,
// under the same lock, and then wait for the GPU. The mark is looked at once more when the request
// is about to be visible, and is a fence of the object already.
#include <cerrno>

#include "soft/strategies/common.h"
#include "soft/strategies/strategies.h"
#include "sync/atomic.h"

namespace i915u::soft {
namespace {

const sync::LockClass lock_class{"mmu_lock"};

class Notifier;

struct State final : ObjectNode {
  State(Userptr& obj, uint64_t forgotten, Notifier& n) : ObjectNode(obj, forgotten), mn(n) {}

  Notifier& mn;
  bool mapped = false;      ///< its pages are of now; Notifier's lock
  bool skip_retry = false;  ///< fault_skip_retry strikes this submission; object_lock
};

class Notifier final : public TreeNotifier {
 public:
  explicit Notifier(StrategyHost& host) : TreeNotifier(host, lock_class) {}

  void invalidate_range_end(const InvalidateRange&) override {
    sync::Guard g(lock_);
    if (!host_.fault(fault_no_seq)) seq_.fetch_add(1);
    count_--;
  }

  uint64_t seq() const { return seq_.load(); }
  bool mapped(const State& s) {
    sync::Guard g(lock_);
    return s.mapped;
  }
  /// The pages were looked up after seq() was `seq`. False: perhaps they are not of now.
  bool map(State& s, uint64_t seq, bool skip_retry) {
    sync::Guard g(lock_);
    if (!skip_retry && (count_ || seq_.load() != seq)) return false;
    s.mapped = true;
    return true;
  }

 private:
  void mark(const InvalidateRange&, const std::vector<ObjectNode*>& hit) override {
    count_++;
    for (ObjectNode* n : hit) static_cast<State*>(n)->mapped = false;
  }

  uint64_t count_ = 0;  ///< kernel: mmu_notifier_count
  sync::Atomic<uint64_t> seq_{"mmu_notifier_seq"};
};

class SeqCount final : public TreeStrategy<Notifier, State> {
 public:
  using TreeStrategy::TreeStrategy;

  const char* name() const override { return "seqcount"; }

  int submit_init(Userptr& obj) override {
    if (int err = check_object(host_, obj)) return err;
    State& s = state_of(obj);
    {
      sync::Guard g(obj.object_lock());
      s.skip_retry = host_.fault(fault_skip_retry);
      if (obj.pages && (s.skip_retry || s.mn.mapped(s))) return 0;
      if (int err = obj.unbind()) return err;
      obj.put_pages();
    }
    const uint64_t seq = s.mn.seq();
    return pin_and_install(
        host_, obj, [] {},
        [&](auto& pages) {
          const int err = install(obj, pages, seq);
          if (host_.fault(fault_late_insert)) s.mn.attach(s);
          return err;
        });
  }

  int submit_done(Userptr& obj) override {
    State& s = state_of(obj);
    return s.skip_retry || s.mn.mapped(s) ? 0 : -EAGAIN;
  }

 private:
  // With object_lock held. Another submission may have been first; its pages then have to be of
  // now.
  int install(Userptr& obj, std::shared_ptr<UserPages>& pages, uint64_t seq) {
    State& s = state_of(obj);
    if (obj.pages) return s.skip_retry || s.mn.mapped(s) ? 0 : -EAGAIN;
    if (!obj.will_need()) return -EFAULT;
    if (!s.mn.map(s, seq, s.skip_retry)) return -EAGAIN;
    obj.pages = std::move(pages);
    return 0;
  }
};

}  // namespace

std::unique_ptr<Strategy> make_seqcount(StrategyHost& host) {
  return std::make_unique<SeqCount>(host);
}

}  // namespace i915u::soft
