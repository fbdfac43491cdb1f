// SPDX-License-Identifier: MIT
// What an engine's command streamer is attached to: the guest's memory through the engine's MMU,
// the device's registers, and the interrupts.
#pragma once

#include "gpu/command_streamer.h"
#include "vgpu/engine/engine_info.h"
#include "vgpu/gtt/mmu.h"
#include "vgpu/hardware.h"

namespace i915u::vgpu {

class EngineBus final : public gpu::Bus {
 public:
  EngineBus(EngineId id, Hardware& hw);

  Mmu mmu;
  /// GGTT address of the running context's status page.
  uint64_t status_page = 0;
  /// Interrupt events since the engine last looked.
  uint32_t events = 0;

  bool read(gpu::Space space, uint64_t addr, void* to, size_t len) override;
  bool write(gpu::Space space, uint64_t addr, const void* from, size_t len) override;
  uint64_t timestamp() override;
  Exchange compare_exchange(gpu::Space space, uint64_t addr, uint64_t* expected, uint64_t desired,
                            size_t len) override;
  uint32_t read_register(uint32_t offset) override;
  void write_register(uint32_t offset, uint32_t value) override;
  bool write_status(uint32_t offset, const void* from, size_t len) override;
  void user_interrupt() override { events |= user_event; }
  void flush_interrupt() override { events |= flush_event; }
  void invalidate_tlb() override;

 private:
  template <class Copy>
  bool access(gpu::Space space, uint64_t addr, size_t len, bool write, Copy copy);
  void report_fault(gpu::Space space, uint64_t addr);

  const EngineId id_;
  Hardware& hw_;
};

}  // namespace i915u::vgpu
