// SPDX-License-Identifier: MIT
#include "sync/workqueue.h"

namespace i915u::sync {

WorkQueue::WorkQueue(std::string name, const LockClass& cls)
    : m_(cls, Mutex::untracked), map_(cls), thread_(std::move(name), [this] { run(); }) {}

WorkQueue::~WorkQueue() {
  const Uncancelled whole;
  {
    Guard g(m_);
    stop_ = true;
    work_.wake_all();
  }
  thread_.join();
}

bool WorkQueue::queue(std::shared_ptr<Work> w) {
  Guard g(m_);
  if (w->state_ == Work::queued || w->state_ == Work::running_queued) return false;
  w->state_ = w->state_ == Work::running ? Work::running_queued : Work::queued;
  in_++;
  q_.push_back(std::move(w));
  work_.wake_one();
  return true;
}

void WorkQueue::flush(const std::shared_ptr<Work>& w, Where where) {
  map_.wait(where);  // items run in order: it waits for those before it, too
  if (w->map_) w->map_->wait(where);
  Guard g(m_, where);
  done_.wait(
      m_, [&] { return w->state_ == Work::idle; }, where);
}

void WorkQueue::flush_all(Where where) {
  map_.wait(where);
  Guard g(m_, where);
  const uint64_t until = in_;
  done_.wait(
      m_, [&] { return out_ >= until; }, where);
}

// An item owes nothing to those before it.
void WorkQueue::run(Work& w) {
  lockdep::cut_history();
  map_.lock();
  if (w.map_) w.map_->lock();
  w.fn_();
  if (w.map_) w.map_->unlock();
  map_.unlock();
}

void WorkQueue::run() {
  m_.lock();
  for (;;) {
    work_.wait(m_, [&] { return stop_ || !q_.empty(); });
    if (q_.empty()) break;
    auto w = std::move(q_.front());
    q_.pop_front();
    w->state_ = Work::running;
    m_.unlock();
    run(*w);
    m_.lock();
    w->state_ = w->state_ == Work::running_queued ? Work::queued : Work::idle;
    out_++;
    done_.wake_all();
  }
  m_.unlock();
}

}  // namespace i915u::sync
