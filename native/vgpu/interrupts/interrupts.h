// SPDX-License-Identifier: MIT
// From an engine's event to the MSI: the ring's mask, the GT's banks (mask, identity, enable), the
// master (PRM volume 2c, "Graphics Interrupt Registers"). The MSI goes out when "master enabled
// and anything identified and enabled" becomes true.
//
// A bit of an identity register holds two events: one that comes between the handler's read and its
// clearing write makes it appear again. Without that, the event is lost until the driver happens to
// look (seen: 1.3 s, with two CPUs).
//
// Stub: the display's and the PCU's banks are silent.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "vgpu/engine/engine_info.h"
#include "vgpu/options.h"
#include "vgpu/registers/register_file.h"
#include "vgpu/trace/statistics.h"

namespace i915u::vgpu {

/// Bits of an engine's half of its bank.
enum Event : uint32_t {
  user_event = 1u << 0,
  error_event = 1u << 3,
  flush_event = 1u << 4,
  context_switch_event = 1u << 8,
  semaphore_event = 1u << 11,
};

class Interrupts {
 public:
  Interrupts(RegisterFile& registers, Statistics& stats, const Options& options);
  ~Interrupts();

  uint32_t read(uint32_t offset) const;
  void write(uint32_t offset, uint32_t value);
  void raise(EngineId engine, uint32_t events);
  /// Those of the events that the driver has not masked, as bits of the engine's bank.
  uint32_t unmasked(EngineId engine, uint32_t events) const;
  void reset();
  /// Takes the descriptor, which is written to for each MSI; -1: the guest has turned MSI off.
  void set_eventfd(int fd);

 private:
  uint32_t pending() const;
  void clear(uint32_t offset, uint32_t bits);
  void evaluate();
  void send();
  void deliver_late();

  RegisterFile& registers_;
  Statistics& stats_;
  const uint64_t delay_ns_, lose_;

  std::mutex lock_;
  static constexpr unsigned banks = 4;
  uint32_t second_[banks] = {};  // the events behind those in the identity registers
  int eventfd_ = -1;
  bool line_ = false;
  uint64_t edges_ = 0;

  // Only with a delay. Bounded by the edges that come while the first one waits.
  std::deque<uint64_t> due_;
  std::condition_variable due_changed_;
  bool stop_ = false;
  std::thread late_;
};

}  // namespace i915u::vgpu
