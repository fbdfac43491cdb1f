// SPDX-License-Identifier: MIT
#include "soft/engine.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>

#include "soft/batch_runner.h"
#include "soft/context.h"
#include "soft/request.h"

namespace i915u::soft {

const EngineInfo engine_info[num_engines] = {
    {"rcs0", gpu::Engine::render, 0, 0, 0x2000},
    {"bcs0", gpu::Engine::copy, 1, 0, 0x22000},
    {"vcs0", gpu::Engine::video, 2, 0, 0x12000},
    {"vecs0", gpu::Engine::video_enhance, 3, 0, 0x1a000},
};

const sync::LockClass Engine::lock_class{"sched_engine->lock"};
const sync::LockClass Engine::retire_lock_class{"engine->retire"};

namespace {

constexpr uint64_t timeslice_ns = 1000000;  // sysfs: timeslice_duration_ms
constexpr uint64_t commands_a_run = 512;    // between two looks at the clock

}  // namespace

Engine::Engine(Gpu& g, EngineId i) : gpu(g), id(i) {}

Engine::~Engine() {
  stop();
  join();
  retire();
}

uint64_t Engine::timestamp() {
  return sync::now_ns() * 12 / 1000;
}

void Engine::queue(std::shared_ptr<Request> rq) {
  sync::Guard g(lock_);
  if (!started_) {
    started_ = true;
    thread_ = sync::Thread(std::string("i915-") + info().name, [this] { run(); });
  }
  ContextEngine& ce = *rq->ce;
  if (ce.queue_.empty()) contexts_.splice(contexts_.end(), ce.contexts_node_);
  ce.queue_.push_back(std::move(rq));
  load_.fetch_add(1, std::memory_order_relaxed);
}

void Engine::ready(Request& rq) {
  {
    sync::Guard g(lock_);
    if (rq.taken_) return;  // cancelled with the engine
    if (rq.ce->queue_.front().get() != &rq) return;
    make_runnable(*rq.ce);
  }
  kick();
}

// `lock_` held. Behind the others of its priority.
void Engine::make_runnable(ContextEngine& ce) {
  if (ce.runnable_node_.empty()) return;
  auto& list = runnable_[ce.queue_.front()->priority];
  list.splice(list.end(), ce.runnable_node_);
}

// `lock_` held. The first request of a context that is not among the runnable ones is over.
void Engine::dequeue(ContextEngine& ce) {
  ce.queue_.pop_front();
  load_.fetch_sub(1, std::memory_order_relaxed);
  if (ce.queue_.empty())
    ce.contexts_node_.splice(ce.contexts_node_.end(), contexts_, ce.in_contexts_);
  else if (ce.queue_.front()->ready())
    make_runnable(ce);
}

void Engine::kick() {
  kicks_.fetch_add(1, std::memory_order_seq_cst);
  if (!sleeping_.load(std::memory_order_seq_cst)) return;
  sync::Guard g(lock_);
  work_.wake_all();
}

bool Engine::idle() {
  sync::Guard g(lock_);
  return contexts_.empty();
}

void Engine::stop() {
  stop_.store(true);
  kick();
}

void Engine::join() {
  thread_.join();
}

void Engine::retire() {
  if (!any_retired_.load(std::memory_order_acquire)) return;
  std::vector<std::shared_ptr<Request>> done;
  {
    sync::Guard g(retire_lock_);
    done.swap(retired_);
    any_retired_.store(false, std::memory_order_relaxed);
  }
  for (auto& rq : done) {
    rq->bindings = {};
    rq->ce = nullptr;
  }
}

// `lock_` held. The first of the highest priority; at the end, any.
ContextEngine* Engine::pick() {
  for (auto it = runnable_.begin(); it != runnable_.end(); ++it) {
    auto& list = it->second;
    if (list.empty()) continue;
    ContextEngine* ce = list.front();
    ce->runnable_node_.splice(ce->runnable_node_.end(), list, list.begin());
    // Most have the default priority; its list stays.
    if (list.empty() && it->first) runnable_.erase(it);
    return ce;
  }
  return stop_.load(std::memory_order_relaxed) && !contexts_.empty() ? contexts_.front() : nullptr;
}

void Engine::run() {
  prctl(PR_SET_TIMERSLACK, 1000);  // rests are short
  uint64_t idle_since = 0;
  lock_.lock();
  for (;;) {
    ContextEngine* ce = pick();
    if (!ce) {
      if (stop_.load() && contexts_.empty()) break;
      if (!idle_since) idle_since = sync::now_ns();
      sleep(idle_since);
      continue;
    }
    if (idle_since) {
      const uint64_t idle = std::min<uint64_t>(sync::now_ns() - idle_since, timeslice_ns);
      usual_idle_ns_ = (usual_idle_ns_ * 7 + idle) / 8;
      idle_since = 0;
    }
    std::shared_ptr<Request> rq = ce->queue_.front();
    rq->taken_ = true;
    lock_.unlock();
    const Outcome outcome = execute(*ce, *rq);
    BatchRunner* runner = ce->runner_.get();
    lock_.lock();
    if (outcome == Outcome::preempted) {
      make_runnable(*ce);
      continue;
    }
    dequeue(*ce);
    lock_.unlock();
    finish(std::move(rq), runner);
    lock_.lock();
  }
  lock_.unlock();
}

// `lock_` held, and dropped meanwhile. Where pauses are short, waiting awake is cheaper for both
// sides than a sleep and a wake.
void Engine::sleep(uint64_t idle_since) {
  constexpr uint64_t awake_ns = 50000;
  const uint64_t seen = kicks_.load(std::memory_order_seq_cst);
  if (usual_idle_ns_ < awake_ns) {
    lock_.unlock();
    while (kicks_.load(std::memory_order_acquire) == seen && sync::now_ns() - idle_since < awake_ns)
      sync::yield();
    lock_.lock();
    if (kicks_.load(std::memory_order_acquire) != seen) return;
  }
  if (any_retired_.load(std::memory_order_relaxed)) gpu.queue_retire();
  sleeping_.store(true, std::memory_order_seq_cst);
  work_.wait(lock_, [&] { return kicks_.load(std::memory_order_seq_cst) != seen; });
  sleeping_.store(false, std::memory_order_relaxed);
}

// Sleeps for `ns` or until somebody kicks.
void Engine::rest(uint64_t seen, uint64_t ns) {
  sync::Guard g(lock_);
  sleeping_.store(true, std::memory_order_seq_cst);
  work_.wait(lock_, sync::now_ns() + ns,
             [&] { return kicks_.load(std::memory_order_seq_cst) != seen; });
  sleeping_.store(false, std::memory_order_relaxed);
}

// Does another context want the engine more, or as much and its turn has come?
bool Engine::preempting(const Request& rq, bool slice_over) {
  sync::Guard g(lock_);
  for (const auto& [priority, list] : runnable_)
    if (!list.empty()) return priority > rq.priority || (slice_over && priority == rq.priority);
  return false;
}

Engine::Outcome Engine::execute(ContextEngine& ce, Request& rq) {
  if (!rq.begun_) {
    rq.begun_ = true;
    rq.begin();
    if (ce.banned.load() || stop_.load()) rq.set_error(-EIO);
    if (!rq.has_batch || rq.fatal_error()) return Outcome::done;
    if (gpu.options.batch_delay_ns) {
      const uint64_t until = sync::now_ns() + gpu.options.batch_delay_ns;
      for (uint64_t now; (now = sync::now_ns()) < until && !ce.banned.load() && !stop_.load();)
        rest(kicks_.load(), until - now);
    }
    if (!ce.runner_) ce.runner_ = std::make_unique<BatchRunner>(*this);
    rq.hold_last_ = gpu.fault(fault_early_signal);
    ce.runner_->attach(rq, rq.hold_last_);
    gpu.counters.batches.fetch_add(1, std::memory_order_relaxed);
  }
  gpu::CommandStreamer& cs = ce.runner_->cs;

  uint64_t seen = kicks_.load();
  gpu::Stop stop = cs.run(commands_a_run);
  if (stop.reason == gpu::StopReason::batch_end) return Outcome::done;

  const uint64_t slice_begin = sync::now_ns();
  uint64_t alive = slice_begin;  // when it last showed that it can be preempted
  uint64_t rests = 0;
  for (;; stop = cs.run(commands_a_run)) {
    if (stop.reason == gpu::StopReason::batch_end) return Outcome::done;
    if (ce.banned.load() || stop_.load()) {  // cancelled: preempted to idle, or else reset
      rq.set_error(-EIO);
      return Outcome::done;
    }
    const uint64_t now = sync::now_ns();
    if (stop.reason == gpu::StopReason::arbitration) alive = now;
    if (now - alive > gpu.options.hang_ns) {
      reset(ce, rq);
      return Outcome::done;
    }
    const bool waiting = stop.reason == gpu::StopReason::semaphore;
    const bool want = preempting(rq, waiting || now - slice_begin > timeslice_ns);
    if (stop.reason == gpu::StopReason::arbitration && want) return Outcome::preempted;
    // The heartbeat asks as well, half-way to the verdict.
    if (want || now - alive > gpu.options.hang_ns / 2)
      cs.request_preempt();
    else
      cs.cancel_preempt();

    if (stop.reason == gpu::StopReason::budget || stop.reason == gpu::StopReason::arbitration) {
      rests = 0;
      continue;
    }
    // Waiting, spinning, or stuck in what is no command. The first polls come at once, then ever
    // rarer; what others submit is looked at without delay.
    uint64_t ns = rests++ < 20 ? 0 : std::min<uint64_t>(rests, 50) * 1000;
    if (stop.reason == gpu::StopReason::illegal) ns = gpu.options.hang_ns / 4;
    if (ns)
      rest(seen, ns);
    else
      sync::yield();
    seen = kicks_.load();
  }
}

// kernel: __i915_request_reset of the guilty one.
void Engine::reset(ContextEngine& ce, Request& rq) {
  gpu.counters.resets.fetch_add(1, std::memory_order_relaxed);
  rq.set_error(-EIO);
  ce.runner_->cs.restore({});  // the context image is the default one again
  auto ctx = ce.context.lock();
  // Nobody is left to be told, and nothing may come any more.
  if (ce.closed.load() || !ctx || ctx->mark_guilty()) ce.banned.store(true);
}

void Engine::finish(std::shared_ptr<Request> rq, BatchRunner* runner) {
  if (runner) {
    const uint64_t commands = runner->cs.counters().commands;
    gpu.counters.commands.fetch_add(commands - runner->counted, std::memory_order_relaxed);
    runner->counted = commands;
    runner->detach();
  }
  rq->deactivate();
  gpu.counters.fences.fetch_sub(1, std::memory_order_relaxed);
  const int error = rq->error_.load();
  const bool wake = !gpu.fault(fault_lost_wakeup);
  if (runner && rq->hold_last_) {
    constexpr uint64_t late_ns = 300000;
    rq->signal(error, wake);
    sync::sleep_ns(late_ns);
    runner->flush_held();
  }
  {
    // From here on the context may go, and the runner with it.
    sync::Guard g(retire_lock_);
    retired_.push_back(rq);
    any_retired_.store(true, std::memory_order_release);
  }
  rq->signal(error, wake);
}

}  // namespace i915u::soft
