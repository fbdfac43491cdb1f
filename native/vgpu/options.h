// SPDX-License-Identifier: MIT
// What the harness may ask of the device.
#pragma once

#include <cstdint>
#include <string>

namespace i915u::vgpu {

struct Options {
  std::string socket;
  uint64_t accept_timeout_ms = 30000;
  uint64_t poll_us = 30;  ///< how long the link looks for the next message before it sleeps

  // Of user batches: those whose page tables are not the ones that the driver's own contexts have.
  uint64_t batch_delay_ns = 0;
  int hang_engine = -1;  ///< EngineId, or -1
  uint64_t hang_every = 1;

  bool stale_tlb = false;
  uint64_t irq_delay_ns = 0;
  uint64_t irq_lose = 0;  ///< each Nth MSI is never sent; 0: none
  bool reset_fails = false;

  /// Commands that a submission may run at once on the link's thread; 0: engine threads only.
  uint64_t inline_commands = 256;
  /// An idle engine begins so much later while the driver wants no user interrupt of it, so that
  /// what is submitted meanwhile comes in one submission. 0: at once.
  uint64_t gather_ns = 300000;
  bool threads = true;  ///< false: whoever made the device calls Engine::slice()

  std::string trace, stats;
};

}  // namespace i915u::vgpu
