// SPDX-License-Identifier: MIT
#include "soft/request.h"

#include <algorithm>
#include <cerrno>

#include "soft/context.h"
#include "soft/engine.h"
#include "soft/mm/pinned_pages.h"
#include "soft/object.h"
#include "soft/vm.h"

namespace i915u::soft {

const sync::LockClass Request::execution_lock_class{"request->execution"};

Request::Request(std::shared_ptr<ContextEngine> context_engine)
    : Fence(context_engine->id), engine(context_engine->engine), ce(std::move(context_engine)) {
  engine.gpu.counters.fences.fetch_add(1, std::memory_order_relaxed);
  engine.gpu.counters.requests.fetch_add(1, std::memory_order_relaxed);
}

void Request::set_error(int e) {
  int old = error_.load(std::memory_order_relaxed);
  // -EAGAIN is what an innocent request gets; anything may take its place.
  while ((old == 0 || old == -EAGAIN) && !error_.compare_exchange_weak(old, e)) {
  }
}

int Request::fatal_error() const {
  const int e = error_.load(std::memory_order_acquire);
  return e == -EAGAIN ? 0 : e;
}

void Request::await(const std::shared_ptr<Fence>& f) {
  if (!f || f->signalled() || f->timeline == timeline) return;
  pending_.fetch_add(1, std::memory_order_relaxed);
  if (!f->add_callback(std::static_pointer_cast<Request>(shared_from_this()))) {
    pending_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void Request::await_execution(const std::shared_ptr<Fence>& f) {
  if (!f || f->signalled()) return;
  auto* rq = f->signaller() ? static_cast<Request*>(f.get()) : nullptr;
  if (!rq) return await(f);
  std::shared_ptr<Fence> execution;
  {
    sync::Guard g(rq->execution_lock_);
    if (!rq->execution_) rq->execution_ = std::make_shared<Fence>();
    execution = rq->execution_;
  }
  await(execution);
}

void Request::begin() {
  std::shared_ptr<Fence> execution;
  {
    sync::Guard g(execution_lock_);
    if (!execution_) execution_ = signalled_fence();
    execution = execution_;
  }
  execution->signal(0);
}

void Request::activate() {
  std::sort(bindings.begin(), bindings.end(),
            [](const Binding& a, const Binding& b) { return a.vma->start < b.vma->start; });
  for (Binding& b : bindings) {
    b.vma->active.fetch_add(1, std::memory_order_relaxed);
    if (b.object->is_userptr()) static_cast<PinnedPages&>(*b.vma->pages).get_busy();
  }
  active_ = true;
}

void Request::deactivate() {
  if (!active_) return;
  active_ = false;
  for (Binding& b : bindings) {
    if (b.object->is_userptr()) static_cast<PinnedPages&>(*b.vma->pages).put_busy();
    b.vma->active.fetch_sub(1, std::memory_order_release);
  }
}

void Request::submit() {
  emitted_ns = sync::now_ns();
  engine.queue(std::static_pointer_cast<Request>(shared_from_this()));
  dependency_done();
}

void Request::fence_signalled(Fence& f) {
  // i915_sw_fence: what other engines' requests and foreign fences signal is waited for as a
  // dma_fence, whose error is taken over; the same engine's are only ordered.
  if (f.error() && f.signaller() != &engine) set_error(f.error());
  dependency_done();
}

void Request::dependency_done() {
  // A cancelled request does not wait for its dependencies, and its engine may be gone by now.
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1 && !signalled()) engine.ready(*this);
}

}  // namespace i915u::soft
