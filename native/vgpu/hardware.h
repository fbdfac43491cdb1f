// SPDX-License-Identifier: MIT
// The parts that all engines share.
#pragma once

#include <atomic>

#include "vgpu/gtt/page_tables.h"
#include "vgpu/interrupts/interrupts.h"
#include "vgpu/link/dma_map.h"
#include "vgpu/options.h"
#include "vgpu/registers/register_file.h"
#include "vgpu/trace/statistics.h"
#include "vgpu/trace/trace.h"

namespace i915u::vgpu {

struct Hardware {
  explicit Hardware(const Options& o) : options(o), interrupts(registers, stats, o) {}

  const Options& options;
  Statistics stats;
  Trace trace;
  DmaMap memory;
  Ggtt ggtt;
  RegisterFile registers;
  Interrupts interrupts;

  /// The page tables of the driver's own contexts, which are the first to run after a reset: what
  /// the harness asks for (delays, hangs) is only for batches under others. i915 gives each engine
  /// about 200 ms when it probes, and gives the device up if that is not enough.
  std::atomic<uint64_t> kernel_pml4{0};
  /// Engines that have a context loaded.
  std::atomic<int> busy_engines{0};
};

}  // namespace i915u::vgpu
