// SPDX-License-Identifier: MIT
// Each invalidate against each lookup: the range of an invalidate is kept while it is in progress.
// A lookup waits for those that overlap its object, and is in vain if one that does began while it
// ran; those of other ranges do not concern it. What interval notifiers do with one sequence for
// the mm and a tree of their own, done with a list.
// An invalidate raises the number of each object that it hits, and then waits for the GPU. Pages
// are of now as long as the number is what it was before their lookup, which is looked at once more
// when the request is about to be visible: it is a fence of the object by then, so that an
// invalidate either was before the look or waits for the request.
#include <algorithm>
#include <cerrno>
#include <list>

#include "soft/strategies/common.h"
#include "soft/strategies/strategies.h"
#include "sync/wait_queue.h"

namespace i915u::soft {
namespace {

const sync::LockClass lock_class{"mn->lock"};

class Notifier;

struct State final : ObjectNode {
  State(Userptr& obj, uint64_t forgotten, Notifier& n) : ObjectNode(obj, forgotten), mn(n) {}

  Notifier& mn;
  uint64_t invalidates = 0;  ///< that have hit it; Notifier's lock
  // With object_lock held.
  uint64_t looked_up = UINT64_MAX;  ///< `invalidates` before the lookup of its pages
  bool skip_retry = false;          ///< fault_skip_retry strikes this submission
};

class Notifier final : public TreeNotifier {
 public:
  explicit Notifier(StrategyHost& host) : TreeNotifier(host, lock_class) {}

  void invalidate_range_end(const InvalidateRange& range) override {
    sync::Guard g(lock_);
    in_progress_.erase(std::find_if(
        in_progress_.begin(), in_progress_.end(),
        [&](const InvalidateRange& r) { return r.start == range.start && r.end == range.end; }));
    ended_.wake_all();
  }

  /// Waits while the object's range is being invalidated. Returns the number for retry().
  uint64_t begin(const State& s, const Userptr& obj) {
    sync::Guard g(lock_);
    ended_.wait(lock_, [&] {
      return std::none_of(in_progress_.begin(), in_progress_.end(), [&](const InvalidateRange& r) {
        return r.start < obj.ptr + obj.size && r.end > obj.ptr;
      });
    });
    return s.invalidates;
  }
  bool retry(const State& s, uint64_t begun) {
    sync::Guard g(lock_);
    return s.invalidates != begun;
  }

 private:
  void mark(const InvalidateRange& range, const std::vector<ObjectNode*>& hit) override {
    in_progress_.push_back(range);
    for (ObjectNode* n : hit)
      if (!host_.fault(fault_no_seq)) static_cast<State*>(n)->invalidates++;
  }

  sync::WaitQueue ended_;
  std::list<InvalidateRange> in_progress_;
};

class Ranges final : public TreeStrategy<Notifier, State> {
 public:
  using TreeStrategy::TreeStrategy;

  const char* name() const override { return "ranges"; }

  int submit_init(Userptr& obj) override {
    if (int err = check_object(host_, obj)) return err;
    State& s = state_of(obj);
    uint64_t begun = s.mn.begin(s, obj);
    {
      sync::Guard g(obj.object_lock());
      s.skip_retry = host_.fault(fault_skip_retry);
      if (obj.pages && (s.looked_up == begun || s.skip_retry)) return 0;
      if (int err = obj.unbind()) return err;
      obj.put_pages();
    }
    return pin_and_install(
        host_, obj,
        [&] {
          if (host_.fault(fault_late_insert) && s.mn.attach(s)) begun = s.mn.begin(s, obj);
        },
        [&](auto& pages) { return install(obj, pages, begun); });
  }

  int submit_done(Userptr& obj) override {
    State& s = state_of(obj);
    return !s.skip_retry && s.mn.retry(s, s.looked_up) ? -EAGAIN : 0;
  }

 private:
  // With object_lock held. Another submission may have been first; its pages then have to be of
  // now.
  int install(Userptr& obj, std::shared_ptr<UserPages>& pages, uint64_t begun) {
    State& s = state_of(obj);
    if (!s.skip_retry && s.mn.retry(s, obj.pages ? s.looked_up : begun)) return -EAGAIN;
    if (obj.pages) return 0;
    if (!obj.will_need()) return -EFAULT;
    s.looked_up = begun;
    obj.pages = std::move(pages);
    return 0;
  }
};

}  // namespace

std::unique_ptr<Strategy> make_ranges(StrategyHost& host) {
  return std::make_unique<Ranges>(host);
}

}  // namespace i915u::soft
