// SPDX-License-Identifier: MIT
#include "vgpu/engine/engine.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "vgpu/clock.h"

namespace i915u::vgpu {

namespace {

using gpu::Space;
using gpu::StopReason;

constexpr uint64_t commands_a_slice = 512;
constexpr unsigned max_gather_apart = 255;
constexpr uint64_t lap_ns = 50000;  // a batch that only jumps in circles: one lap

// A descriptor in the port.
constexpr uint64_t descriptor_valid = 1u << 0;

// Events in the status buffer.
constexpr uint32_t idle_to_active = 1u << 0, preempted = 1u << 1, element_switch = 1u << 2,
                   active_to_idle = 1u << 3, complete_event = 1u << 4, lite_restore = 1u << 15;
constexpr uint32_t status_entries = 6;
constexpr uint32_t status_after_reset = 5;
// In the hardware status page.
constexpr uint32_t hwsp_status = 0x40, hwsp_status_write = 0x1f * 4;

constexpr uint32_t error_instruction = 1u << 0;

}  // namespace

Engine::Engine(EngineId id, Hardware& hw)
    : id_(id),
      info_(engine_info[id]),
      hw_(hw),
      bus_(id, hw),
      cs_(gpu::Gen::gen9, info_.engine, bus_, info_.base) {
  if (hw.options.threads) thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
  quit_.store(true);
  kick();
  if (thread_.joinable()) thread_.join();
}

void Engine::write_port(uint32_t value) {
  {
    std::lock_guard g(port_lock_);
    fifo_[fifo_used_++] = value;
    if (fifo_used_ < 4) return;
    fifo_used_ = 0;
    // The second port comes first, and of each the upper half.
    arrived_ =
        Submission{{uint64_t{fifo_[2]} << 32 | fifo_[3], uint64_t{fifo_[0]} << 32 | fifo_[1]}};
    any_arrived_.store(true);
  }
  count(hw_.stats.submissions);
  run_inline();
}

void Engine::run_inline() {
  if (hw_.options.inline_commands) {
    std::unique_lock l(lock_, std::try_to_lock);
    if (l && advance(hw_.options.inline_commands) == Next::idle) return;
  }
  kick();
}

void Engine::mask_changed() {
  if (begin_at_.load()) run_inline();
}

void Engine::write_status_pointer(uint32_t value) {
  hold();
  hw_.registers.set_masked(info_.base + ring::context_status_ptr, value);
  if (value >> 16 & 7) status_write_ = (value & 7) % status_entries;
  release();
}

void Engine::mode_changed() {
  hold();
  publish();
  release();
  kick();
}

void Engine::hold() {
  holders_.fetch_add(1);
  lock_.lock();
}

void Engine::release() {
  lock_.unlock();
  if (holders_.fetch_sub(1) == 1) kick();
}

void Engine::kick() {
  {
    std::lock_guard g(sleep_lock_);
    kicks_++;
  }
  awake_.notify_one();
}

void Engine::reset() {
  {
    std::lock_guard g(port_lock_);
    fifo_used_ = 0;
    arrived_.reset();
    any_arrived_.store(false);
  }
  pending_.reset();
  running_ = {};
  if (loaded_) hw_.busy_engines.fetch_sub(1);
  loaded_ = hung_ = waiting_ = false;
  delay_until_ = rests_ = 0;
  begin_at_ = 0;
  gather_in_ = gather_apart_ = 0;
  status_write_ = status_after_reset;
  cs_.restore({});
  cs_.cancel_preempt();
  bus_.events = 0;
  bus_.mmu.invalidate();
  hw_.registers.reset_engine(info_.base);
}

void Engine::run() {
  prctl(PR_SET_TIMERSLACK, 1000);  // rests are short
  pthread_setname_np(pthread_self(), info_.name);
  uint64_t seen = 0;
  while (!quit_.load()) {
    // Who holds the engine must not starve: a mutex is not fair.
    const Next next = holders_.load() ? Next::idle : slice(commands_a_slice);
    if (next == Next::again) continue;
    std::unique_lock l(sleep_lock_);
    const auto kicked = [&] { return kicks_ != seen; };
    if (next == Next::rest) {
      const uint64_t begin = begin_at_.load(), now = begin ? now_ns() : 0;
      const uint64_t ns = begin > now ? begin - now : lap_ns;
      awake_.wait_for(l, std::chrono::nanoseconds(ns), kicked);
    } else
      awake_.wait(l, kicked);
    seen = kicks_;
  }
}

Engine::Next Engine::slice(uint64_t commands) {
  std::lock_guard g(lock_);
  return advance(commands);
}

Engine::Next Engine::advance(uint64_t commands) {
  const Next next = step(commands);
  publish();
  // All of a slice at once, when what it wrote is there: a short batch begins and ends within one,
  // and an interrupt for each of its events costs the guest three round trips more.
  if (bus_.events) hw_.interrupts.raise(id_, std::exchange(bus_.events, 0));
  return next;
}

Engine::Next Engine::step(uint64_t commands) {
  take_submission();
  if (!loaded_ || hung_) return begin_at_.load() ? Next::rest : Next::idle;
  if (hw_.registers.get(info_.base + ring::mi_mode) & mode_stop_ring) return Next::idle;
  if (delay_until_) {
    if (now_ns() < delay_until_) return Next::rest;
    delay_until_ = 0;
  }
  if (pending_)
    cs_.request_preempt();
  else
    cs_.cancel_preempt();
  const gpu::Stop stop = execute(commands);
  const Next next = stopped(stop);

  const gpu::Counters& c = cs_.counters();
  Statistics& s = hw_.stats;
  count(s.batches, c.batches - counted_.batches);
  count(s.commands, c.commands - counted_.commands);
  count(s.commands_skipped, c.skipped - counted_.skipped);
  count(s.commands_unknown, c.unknown - counted_.unknown);
  count(s.commands_dropped, c.dropped - counted_.dropped);
  count(s.commands_approximated, c.approximated - counted_.approximated);
  counted_ = c;
  return next;
}

/// Where batches are of interest, command by command, to see them begin.
gpu::Stop Engine::execute(uint64_t commands) {
  const Options& o = hw_.options;
  if (!o.batch_delay_ns && o.hang_engine != id_ && !hw_.trace.on()) return cs_.run(commands);
  for (uint64_t n = 0; n < commands; n++) {
    const bool outside = !cs_.state().depth;
    const gpu::Stop stop = cs_.run(1);
    if (stop.reason != StopReason::budget) return stop;
    if (outside && cs_.state().depth && batch_begins()) break;
  }
  return {StopReason::budget};
}

/// True: the engine should not go on with it now.
bool Engine::batch_begins() {
  if (hw_.trace.on()) trace_batch();
  if (bus_.mmu.root() == hw_.kernel_pml4.load(std::memory_order_relaxed)) return false;
  user_batches_++;
  count(hw_.stats.user_batches);
  const Options& o = hw_.options;
  if (o.hang_engine == id_ && user_batches_ % o.hang_every == 0) {
    count(hw_.stats.hangs_made);
    hung_ = true;
  }
  if (o.batch_delay_ns) delay_until_ = now_ns() + o.batch_delay_ns;
  return hung_ || delay_until_;
}

void Engine::trace_batch() {
  constexpr size_t window = 64, max_bytes = 1024;
  const auto& level = cs_.state().stack[0];
  uint32_t dw[max_bytes / 4];
  size_t n = 0;
  const uint64_t base = level.ip & ~uint64_t{window - 1};
  while (n < max_bytes && bus_.read(level.space, base + n, dw + n / 4, window)) n += window;
  const size_t first = (level.ip - base) / 4;
  size_t end = first;
  while (end < n / 4) {
    const gpu::Command* c = gpu::find_command(cs_.gen(), gpu::any_engine, dw[end]);
    if (dw[end] == gpu::mi::header(gpu::mi::batch_buffer_end) || !c) {
      end++;
      break;
    }
    end += c->length(dw[end]);
  }
  end = std::min(end, n / 4);
  if (end > first)
    hw_.trace.batch(info_.name, level.ip,
                    gpu::disassemble(cs_.gen(), dw + first, end - first, level.ip));
}

Engine::Next Engine::stopped(const gpu::Stop& stop) {
  const bool was_waiting = waiting_;
  waiting_ = false;
  switch (stop.reason) {
    case StopReason::budget:
      rests_ = 0;
      return hung_ ? Next::idle : delay_until_ ? Next::rest : Next::again;
    case StopReason::batch_end:
    case StopReason::idle:
      rests_ = 0;
      return complete();
    case StopReason::arbitration:
      if (pending_) {
        count(hw_.stats.preemptions);
        save_context();
        const uint64_t old = running_.port[0];
        const Submission to = *pending_;
        pending_.reset();
        status_event(preempted, old);
        switch_to(to);
      }
      return loaded_ ? Next::again : Next::idle;
    case StopReason::semaphore:
      waiting_ = true;
      if (!was_waiting) bus_.events |= semaphore_event;
      // The signal is often on its way.
      return rests_++ < 4 ? Next::again : Next::rest;
    case StopReason::spin:
      return Next::rest;
    case StopReason::fault:
      // A context without fault support (the only kind that i915 makes) hangs.
      hung_ = true;
      hw_.stats.mistake(Statistics::bad_context, "%s: page fault at %s 0x%llx", info_.name,
                        stop.space == Space::ggtt ? "GGTT" : "PPGTT",
                        static_cast<unsigned long long>(stop.address));
      return Next::idle;
    case StopReason::illegal:
      hung_ = true;
      hw_.stats.mistake(Statistics::illegal_command, "%s: 0x%08x at 0x%llx", info_.name,
                        stop.header, static_cast<unsigned long long>(stop.address));
      hw_.registers.set(info_.base + ring::ipehr, stop.header);
      if (!(hw_.registers.get(info_.base + ring::emr) & error_instruction)) {
        hw_.registers.set_bits(info_.base + ring::eir, error_instruction);
        bus_.events |= error_event;
      }
      return Next::idle;
  }
  return Next::idle;
}

/// i915 submits nothing more before it is told that the last submission has begun. While nobody
/// waits for what it has submitted, it costs fewer accesses to let it collect some. Who waits for
/// each batch only loses by it: each time that somebody came to wait, the next try is later; sooner
/// again where nobody came, which is also so when i915 parks an engine between two waits.
bool Engine::gathers() {
  if (!hw_.options.gather_ns) return false;
  const bool wanted = hw_.interrupts.unmasked(id_, user_event);
  const uint64_t now = now_ns(), begin = begin_at_.load();
  if (!begin) {
    if (wanted) return false;
    if (gather_in_) {
      gather_in_--;
      return false;
    }
    begin_at_ = now + hw_.options.gather_ns;
    return true;
  }
  if (!wanted && now < begin) return true;
  begin_at_ = 0;
  gather_apart_ =
      wanted ? std::min(2 * gather_apart_ + 1, max_gather_apart) : gather_apart_ * 3 / 4;
  gather_in_ = gather_apart_;
  return false;
}

void Engine::take_submission() {
  if (any_arrived_.load()) {
    std::lock_guard g(port_lock_);
    pending_ = arrived_;
    arrived_.reset();
    any_arrived_.store(false);
  }
  if (!pending_) return;
  if (!loaded_) {
    if (gathers()) return;
    const Submission to = *pending_;
    pending_.reset();
    if (!(to.port[0] & descriptor_valid)) return;
    status_event(idle_to_active, 0);
    switch_to(to);
  } else if ((pending_->port[0] & descriptor_valid) &&
             page_of(pending_->port[0]) == page_of(running_.port[0])) {
    // Lite restore: the running context goes on with its new tail, wherever it is.
    count(hw_.stats.lite_restores);
    const uint64_t old = running_.port[0];
    running_ = *pending_;
    pending_.reset();
    const uint64_t registers = page_of(running_.port[0]) + ContextImage::registers_offset;
    if (bus_.read(Space::ggtt, registers, image_.dw.data(), 64)) {
      const uint32_t tail = image_.tail();
      cs_.set_tail(tail);
      if (hw_.trace.on())
        hw_.trace.engine(info_.name, "lite_restore", running_.port[0], cs_.state().ring.head, tail);
    }
    status_event(preempted | lite_restore, old);
  }
}

/// The running context has nothing left to do.
Engine::Next Engine::complete() {
  save_context();
  const uint64_t old = running_.port[0];
  if (pending_) {
    const Submission to = *pending_;
    pending_.reset();
    status_event(preempted, old);
    switch_to(to);
  } else if (running_.port[1] & descriptor_valid) {
    status_event(complete_event | element_switch, old);
    switch_to({{running_.port[1], 0}});
  } else {
    status_event(complete_event | active_to_idle, old);
    running_ = {};
  }
  return loaded_ ? Next::again : Next::idle;
}

void Engine::switch_to(const Submission& to) {
  running_ = to;
  if (to.port[0] & descriptor_valid)
    load_context();
  else
    running_ = {};
}

void Engine::load_context() {
  count(hw_.stats.context_loads);
  bus_.status_page = page_of(running_.port[0]);
  loaded_ = true;
  hw_.busy_engines.fetch_add(1);
  loaded_at_ = timestamp_ticks();
  rests_ = 0;
  cs_.cancel_preempt();
  const uint64_t at = bus_.status_page + ContextImage::registers_offset;
  if (!bus_.read(Space::ggtt, at, image_.dw.data(), ContextImage::bytes)) {
    hw_.stats.mistake(Statistics::no_translation, "%s: context image at 0x%llx", info_.name,
                      static_cast<unsigned long long>(at));
    cs_.restore({});
    hung_ = true;
    return;
  }
  const gpu::CommandStreamer::State state = image_.load();
  cs_.restore(state);
  bus_.mmu.set_root(image_.pml4());
  uint64_t none = 0;
  hw_.kernel_pml4.compare_exchange_strong(none, image_.pml4());
  hw_.registers.set_masked(info_.base + ring::mi_mode, image_.mi_mode());
  if (hw_.trace.on())
    hw_.trace.engine(info_.name, "load", running_.port[0], state.ring.head, state.ring.tail);
}

/// The driver writes other parts of the image meanwhile (the tail): only what is the hardware's
/// goes back.
void Engine::save_context() {
  loaded_ = false;
  hw_.busy_engines.fetch_sub(1);
  const uint64_t at = bus_.status_page + ContextImage::registers_offset;
  if (!bus_.read(Space::ggtt, at, image_.dw.data(), ContextImage::bytes)) return;
  const auto before = image_.dw;
  image_.save(cs_.state(), static_cast<uint32_t>(timestamp_ticks() - loaded_at_));
  for (size_t i = 0; i < before.size(); i++)
    if (before[i] != image_.dw[i]) bus_.write(Space::ggtt, at + 4 * i, &image_.dw[i], 4);
  if (hw_.trace.on())
    hw_.trace.engine(info_.name, "save", running_.port[0], cs_.state().ring.head,
                     cs_.state().ring.tail);
}

void Engine::status_event(uint32_t event, uint64_t descriptor) {
  status_write_ = (status_write_ + 1) % status_entries;
  const auto context = static_cast<uint32_t>(descriptor >> 32);
  const uint64_t entry = uint64_t{context} << 32 | event;
  if (hw_.trace.on()) hw_.trace.status(info_.name, event, context);

  RegisterFile& r = hw_.registers;
  const uint64_t page = r.get(info_.base + ring::hws_pga) & ~4095u;
  // The entry before the pointer: the driver reads them in the other order.
  if (!bus_.write(Space::ggtt, page + hwsp_status + 8 * status_write_, &entry, sizeof entry) ||
      !bus_.write(Space::ggtt, page + hwsp_status_write, &status_write_, sizeof status_write_))
    hw_.stats.mistake(Statistics::no_translation, "%s: status page at 0x%llx", info_.name,
                      static_cast<unsigned long long>(page));
  r.set(info_.base + ring::context_status + 8 * status_write_, event);
  r.set(info_.base + ring::context_status + 8 * status_write_ + 4, context);
  r.set_masked(info_.base + ring::context_status_ptr, 7u << 16 | status_write_);
  bus_.events |= context_switch_event;
}

/// What the driver can see of the engine in its registers.
void Engine::publish() {
  RegisterFile& r = hw_.registers;
  const uint32_t b = info_.base;
  const gpu::CommandStreamer::State& s = cs_.state();
  const uint64_t at = cs_.address();
  r.set(b + ring::head, s.ring.head);
  r.set(b + ring::tail, s.ring.tail);
  r.set(b + ring::start, static_cast<uint32_t>(s.ring.start));
  r.set(b + ring::ctl, s.ring.size ? (s.ring.size - 4096) | 1 : 0);
  r.set(b + ring::acthd, s.depth ? static_cast<uint32_t>(at) : s.ring.head);
  r.set(b + ring::acthd_udw, s.depth ? static_cast<uint32_t>(at >> 32) : 0);
  r.set(b + ring::bbaddr, s.depth ? static_cast<uint32_t>(s.stack[0].ip) | 1 : 0);
  r.set(b + ring::bbaddr_udw, s.depth ? static_cast<uint32_t>(s.stack[0].ip >> 32) : 0);
  r.set(b + ring::execlist_status_lo,
        loaded_ ? static_cast<uint32_t>(page_of(running_.port[0])) | 1 : 0);
  r.set(b + ring::execlist_status_hi, loaded_ ? static_cast<uint32_t>(running_.port[0] >> 32) : 0);
  const uint32_t mode = r.get(b + ring::mi_mode);
  // A real engine that hangs does not become idle by STOP_RING either. But the driver waits for
  // that with interrupts off and by local_clock(), which stands still between ticks where the TSC
  // is unstable, as under TCG: the guest would hang, too.
  const bool idle = !loaded_ || (mode & mode_stop_ring);
  if (idle && !(mode & mode_idle)) r.set_bits(b + ring::mi_mode, mode_idle);
  if (!idle && (mode & mode_idle)) r.clear_bits(b + ring::mi_mode, mode_idle);
}

}  // namespace i915u::vgpu
