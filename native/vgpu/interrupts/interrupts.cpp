// SPDX-License-Identifier: MIT
#include "vgpu/interrupts/interrupts.h"

#include <unistd.h>

#include <chrono>

#include "vgpu/clock.h"

namespace i915u::vgpu {

namespace {

constexpr uint32_t imr = 4, iir = 8, ier = 12;
constexpr uint32_t master_enable = 1u << 31;
constexpr uint32_t power_bank = 2, power_master_bit = 4;
constexpr size_t max_due = 256;

constexpr uint32_t bank(unsigned n) {
  return reg::gt_irq + 16 * n;
}

}  // namespace

Interrupts::Interrupts(RegisterFile& registers, Statistics& stats, const Options& options)
    : registers_(registers),
      stats_(stats),
      delay_ns_(options.irq_delay_ns),
      lose_(options.irq_lose) {
  if (delay_ns_) late_ = std::thread([this] { deliver_late(); });
}

Interrupts::~Interrupts() {
  {
    std::lock_guard g(lock_);
    stop_ = true;
  }
  due_changed_.notify_all();
  if (late_.joinable()) late_.join();
  if (eventfd_ >= 0) close(eventfd_);
}

uint32_t Interrupts::pending() const {
  uint32_t bits = 0;
  for (const EngineInfo& e : engine_info) {
    const uint32_t b = bank(e.irq_bank);
    if ((registers_.get(b + iir) & registers_.get(b + ier)) >> e.irq_shift & 0xffff)
      bits |= 1u << e.master_bit;
  }
  const uint32_t b = bank(power_bank);
  if (registers_.get(b + iir) & registers_.get(b + ier)) bits |= 1u << power_master_bit;
  return bits;
}

uint32_t Interrupts::read(uint32_t offset) const {
  const uint32_t value = registers_.get(offset);
  return offset == reg::master_irq ? (value & master_enable) | pending() : value;
}

void Interrupts::write(uint32_t offset, uint32_t value) {
  std::lock_guard g(lock_);
  if (offset == reg::master_irq)
    registers_.set(offset, value & master_enable);
  else if ((offset & 15) == iir)
    clear(offset, value);
  else
    registers_.set(offset, value);
  evaluate();
}

void Interrupts::clear(uint32_t offset, uint32_t bits) {
  uint32_t& second = second_[(offset - reg::gt_irq) / 16];
  const uint32_t now = registers_.get(offset);
  registers_.set(offset, (now & ~bits) | (now & bits & second));
  second &= ~bits;
}

uint32_t Interrupts::unmasked(EngineId engine, uint32_t events) const {
  const EngineInfo& e = engine_info[engine];
  // The ring's own mask has its bits where the bank has them.
  return events << e.irq_shift & ~registers_.get(e.base + ring::imr) &
         ~registers_.get(bank(e.irq_bank) + imr);
}

void Interrupts::raise(EngineId engine, uint32_t events) {
  const EngineInfo& e = engine_info[engine];
  const uint32_t b = bank(e.irq_bank);
  std::lock_guard g(lock_);
  const uint32_t bits = unmasked(engine, events);
  if (!bits) return;
  second_[e.irq_bank] |= bits & registers_.get(b + iir);
  registers_.set_bits(b + iir, bits);
  evaluate();
}

void Interrupts::evaluate() {
  const bool now = (registers_.get(reg::master_irq) & master_enable) && pending();
  if (now && !line_) {
    edges_++;
    if (lose_ && edges_ % lose_ == 0) {
      count(stats_.msi_lost);
    } else if (delay_ns_ && due_.size() < max_due) {
      due_.push_back(now_ns() + delay_ns_);
      due_changed_.notify_all();
    } else {
      send();
    }
  }
  line_ = now;
}

void Interrupts::send() {
  if (eventfd_ < 0) {
    count(stats_.msi_masked);
    return;
  }
  const uint64_t one = 1;
  if (::write(eventfd_, &one, sizeof one) == sizeof one) count(stats_.msi_sent);
}

void Interrupts::deliver_late() {
  std::unique_lock l(lock_);
  while (!stop_) {
    if (due_.empty()) {
      due_changed_.wait(l);
      continue;
    }
    const uint64_t now = now_ns(), due = due_.front();
    if (now < due) {
      due_changed_.wait_for(l, std::chrono::nanoseconds(due - now));
      continue;
    }
    due_.pop_front();
    send();
  }
}

void Interrupts::reset() {
  std::lock_guard g(lock_);
  line_ = false;
  for (uint32_t& s : second_) s = 0;
  due_.clear();
}

void Interrupts::set_eventfd(int fd) {
  std::lock_guard g(lock_);
  if (eventfd_ >= 0) close(eventfd_);
  eventfd_ = fd;
  // What came while MSI was off is not lost.
  if (fd >= 0 && line_) send();
}

}  // namespace i915u::vgpu
