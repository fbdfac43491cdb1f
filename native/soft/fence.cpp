// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>

#include "soft/request.h"

namespace i915u::soft {

const sync::LockClass Fence::lock_class{"fence->lock"};
const sync::LockClass Fence::event_class{"dma_fence_map"};
const sync::LockClass Syncobj::lock_class{"syncobj->lock"};

void Fence::signal(int error, bool wake) {
  std::vector<std::shared_ptr<FenceCallback>> callbacks;
  event_.complete();
  {
    sync::Guard g(lock_);
    if (signalled()) return;
    callbacks.swap(callbacks_);
    // Ordered before the look at the sleepers, as a sleeper's count is before its look at the
    // state.
    state_.store(error, std::memory_order_seq_cst);
    if (wake && sleepers_.load(std::memory_order_seq_cst)) queue_.wake_all();
  }
  for (auto& cb : callbacks) cb->fence_signalled(*this);
}

int Fence::wait(uint64_t deadline) {
  // A short batch is over sooner than a sleep and a wake take.
  constexpr uint64_t spin_ns = 15000;
  if (deadline) event_.wait();
  if (signalled()) return 0;
  const uint64_t begin = sync::now_ns();
  if (deadline <= begin) return -ETIME;
  for (uint64_t now = begin; now < begin + spin_ns && now < deadline; now = sync::now_ns()) {
    sync::yield();
    if (signalled()) return 0;
  }
  sync::Guard g(lock_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  const bool done = queue_.wait(lock_, deadline, [&] { return signalled(); });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return done ? 0 : -ETIME;
}

bool Fence::add_callback(std::shared_ptr<FenceCallback> cb) {
  sync::Guard g(lock_);
  if (signalled()) return false;
  callbacks_.push_back(std::move(cb));
  return true;
}

std::shared_ptr<Fence> signalled_fence() {
  static const std::shared_ptr<Fence> stub = [] {
    auto f = std::make_shared<Fence>();
    f->signal(0);
    return f;
  }();
  return stub;
}

std::shared_ptr<Fence> AllOf::make(const std::vector<std::shared_ptr<Fence>>& fences) {
  if (fences.empty()) return signalled_fence();
  if (fences.size() == 1) return fences[0];
  auto all = std::make_shared<AllOf>();
  all->wait_for(fences);
  return all;
}

void AllOf::wait_for(const std::vector<std::shared_ptr<Fence>>& fences) {
  const auto self = std::static_pointer_cast<AllOf>(shared_from_this());
  for (const auto& f : fences) {
    pending_++;
    if (!f->add_callback(self)) fence_signalled(*f);
  }
  done();
}

void AllOf::fence_signalled(Fence& f) {
  int none = 0;
  if (f.error()) error_.compare_exchange_strong(none, f.error());
  done();
}

void AllOf::done() {
  if (--pending_ == 0) signal(error_);
}

struct Syncobj::Chain final : AllOf {
  explicit Chain(std::vector<Point> p) : points(std::move(p)) {}
  const std::vector<Point> points;
};

Syncobj::Syncobj(bool signalled) {
  if (signalled) points_.push_back({0, signalled_fence()});
}

std::shared_ptr<Fence> Syncobj::fence() {
  sync::Guard g(lock_);
  return points_.empty() ? nullptr : points_.back().fence;
}

void Syncobj::replace(std::shared_ptr<Fence> f) {
  std::vector<Point> old;
  {
    sync::Guard g(lock_);
    old.swap(points_);
    if (const auto* chain = dynamic_cast<const Chain*>(f.get()))
      points_ = chain->points;
    else if (f)
      points_.push_back({0, std::move(f)});
    changed_.wake_all();
  }
  call_waiting();
}

// What has signalled says nothing more, but for the last, whose number does.
void Syncobj::prune() {
  while (points_.size() > 1 && points_.front().fence->signalled()) points_.erase(points_.begin());
}

void Syncobj::add_point(uint64_t point, std::shared_ptr<Fence> f) {
  {
    sync::Guard g(lock_);
    prune();
    if (!points_.empty() && points_.back().point > point) point = points_.back().point;
    points_.push_back({point, std::move(f)});
    changed_.wake_all();
  }
  call_waiting();
}

bool Syncobj::available(uint64_t point) const {
  return !points_.empty() && points_.back().point >= point;
}

int Syncobj::find(uint64_t point, std::vector<std::shared_ptr<Fence>>* out) {
  sync::Guard g(lock_);
  if (!available(point)) return -EINVAL;
  find_locked(point, out);
  return 0;
}

void Syncobj::find_locked(uint64_t point, std::vector<std::shared_ptr<Fence>>* out) const {
  for (const Point& p : points_) {
    if (!p.fence->signalled()) out->push_back(p.fence);
    if (point && p.point >= point) break;
  }
}

std::shared_ptr<Fence> Syncobj::chain(uint64_t point) {
  std::vector<Point> points;
  std::vector<std::shared_ptr<Fence>> fences;
  {
    sync::Guard g(lock_);
    prune();
    if (points_.empty() || !points_.back().point) return nullptr;
    for (const Point& p : points_) {
      points.push_back(p);
      if (point && p.point >= point) break;
    }
    // Of what has signalled, only the end of the timeline is still there to be asked for.
    const bool end = points.size() == points_.size();
    find_locked(point, &fences);
    if (fences.empty() && !end) return nullptr;
  }
  auto chain = std::make_shared<Chain>(std::move(points));
  chain->wait_for(fences);
  return chain;
}

void Syncobj::when_available(uint64_t point, Then then) {
  {
    sync::Guard g(lock_);
    waiting_.push_back({point, std::move(then)});
  }
  call_waiting();
}

void Syncobj::call_waiting() {
  for (;;) {
    std::vector<std::shared_ptr<Fence>> fences;
    Then then;
    {
      sync::Guard g(lock_);
      const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                                   [&](const Waiting& w) { return available(w.point); });
      if (it == waiting_.end()) return;
      find_locked(it->point, &fences);
      then = std::move(it->then);
      waiting_.erase(it);
    }
    then(fences);
  }
}

uint64_t Syncobj::signalled_point() {
  sync::Guard g(lock_);
  prune();
  if (points_.empty()) return 0;
  // Between the last signalled point and the first unsignalled one all count as signalled.
  const Point& first = points_.front();
  return first.fence->signalled() ? first.point : first.point ? first.point - 1 : 0;
}

uint64_t Syncobj::last_point() {
  sync::Guard g(lock_);
  return points_.empty() ? 0 : points_.back().point;
}

int Syncobj::wait_available(uint64_t point, uint64_t deadline) {
  sync::Guard g(lock_);
  return changed_.wait(lock_, deadline, [&] { return available(point); }) ? 0 : -ETIME;
}

}  // namespace i915u::soft
