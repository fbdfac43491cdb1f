// SPDX-License-Identifier: MIT
// Userptr as i915 has it since 5.13 (i915_gem_userptr.c of 6.1): pages are pinned at submission,
// with no lock held, and the sequence number of the object's interval notifier tells whether an
// invalidate came between; it is checked once more under notifier_lock, right before the request is
// visible. Before 6.9 the notifier waits for all requests of the object. Since then it sets the
// number, without notifier_lock, and sleeps for nothing, so that it may be called where it must not
// block; pages stay pinned and are let go at the next submission.
// The driver's algorithm: submit_init, submit_done, invalidate, release. Changed on purpose: the
// notifier refers to its object weakly, so that an object may die inside an invalidate (the kernel
// frees objects from a worker); no special case for an exiting process, which cannot be seen here.
#include <cerrno>

#include "soft/strategies/common.h"
#include "soft/strategies/strategies.h"

namespace i915u::soft {
namespace {

class Notifier final : public IntervalNotifier {
 public:
  Notifier(StrategyHost& host, Userptr& obj, bool wait)
      : host_(host), chain_(host.mm().notifiers()), object_(obj.weak()), wait_(wait) {}

  bool invalidate(const InvalidateRange& range, uint64_t cur_seq) override {
    if (!wait_) {
      set_seq(cur_seq);
      return true;
    }
    if (!range.blockable) return false;
    {
      sync::WriteGuard w(host_.notifier_lock());
      set_seq(cur_seq);
    }
    if (const auto obj = object_.lock()) wait_for_gpu(host_, *obj);
    return true;
  }

 private:
  void set_seq(uint64_t cur_seq) {
    if (!host_.fault(fault_no_seq)) chain_.set_seq(*this, cur_seq);
  }

  StrategyHost& host_;
  NotifierChain& chain_;
  const sync::Weak<Userptr> object_;
  const bool wait_;
};

struct State final : Userptr::State {
  explicit State(std::unique_ptr<Notifier> n) : notifier(std::move(n)) {}

  std::unique_ptr<Notifier> notifier;
  bool inserted = false;  ///< only with fault_late_insert does this come later than create()
  // With object_lock held.
  uint64_t notifier_seq = UINT64_MAX;
  /// The driver's pvec is there. Without pages it is where they were looked up and then not wanted
  /// (DONTNEED): submissions get EAGAIN until the next invalidate, in 6.1 at least.
  bool looked_up = false;
  bool skip_retry = false;  ///< fault_skip_retry strikes this submission
};

State& state_of(Userptr& obj) {
  return static_cast<State&>(*obj.state);
}

class Interval final : public Strategy {
 public:
  Interval(StrategyHost& host, bool wait) : host_(host), wait_(wait) {}

  const char* name() const override { return wait_ ? "interval" : "interval-nowait"; }

  int create(Userptr& obj) override {
    obj.state = std::make_unique<State>(std::make_unique<Notifier>(host_, obj, wait_));
    if (!host_.fault(fault_late_insert)) insert(obj);
    return 0;
  }

  void release(Userptr& obj) override {
    auto& notifier = state_of(obj).notifier;
    if (host_.mm().id() == obj.mm)
      host_.mm().notifiers().interval_drop(std::move(notifier));
    else
      static_cast<void>(notifier.release());  // it stands in the lists of the parent's mm
    obj.state.reset();
  }

  int submit_init(Userptr& obj) override {
    Mm& mm = host_.mm();
    State& s = state_of(obj);
    if (int err = check_object(host_, obj)) return err;
    uint64_t seq = mm.notifiers().read_begin(*s.notifier);
    {
      sync::Guard g(obj.object_lock());
      s.skip_retry = host_.fault(fault_skip_retry);
      if ((s.looked_up && seq == s.notifier_seq) || (obj.pages && s.skip_retry)) return 0;
      if (int err = obj.unbind()) return err;
      obj.put_pages();
      s.looked_up = false;
    }
    return pin_and_install(
        host_, obj,
        [&] {
          if (!s.inserted && insert_late(obj)) seq = mm.notifiers().read_begin(*s.notifier);
        },
        [&](auto& pages) { return install(obj, pages, seq); });
  }

  int submit_done(Userptr& obj) override {
    State& s = state_of(obj);
    if (s.skip_retry) return 0;
    return host_.mm().notifiers().read_retry(*s.notifier, s.notifier_seq) ? -EAGAIN : 0;
  }

 private:
  void insert(Userptr& obj) {
    state_of(obj).inserted = true;
    host_.mm().notifiers().interval_insert(*state_of(obj).notifier, obj.ptr,
                                           obj.size - forgotten(host_));
  }

  // fault_late_insert: only now that there are pages.
  bool insert_late(Userptr& obj) {
    sync::Guard g(obj.object_lock());
    if (state_of(obj).inserted) return false;
    insert(obj);
    return true;
  }

  // With object_lock held. Another submission may have been first; its pages then have to be of
  // now.
  int install(Userptr& obj, std::shared_ptr<UserPages>& pages, uint64_t seq) {
    State& s = state_of(obj);
    const uint64_t looked_up = obj.pages ? s.notifier_seq : seq;
    if (!s.skip_retry && host_.mm().notifiers().read_retry(*s.notifier, looked_up)) return -EAGAIN;
    if (obj.pages) return 0;
    s.notifier_seq = seq;
    s.looked_up = true;
    if (!obj.will_need()) return -EFAULT;  // ____i915_gem_object_get_pages
    obj.pages = std::move(pages);
    return 0;
  }

  StrategyHost& host_;
  const bool wait_;
};

}  // namespace

std::unique_ptr<Strategy> make_interval(StrategyHost& host) {
  return std::make_unique<Interval>(host, true);
}

std::unique_ptr<Strategy> make_interval_nowait(StrategyHost& host) {
  return std::make_unique<Interval>(host, false);
}

}  // namespace i915u::soft
