// SPDX-License-Identifier: MIT
// The GPU as the link sees it: regions, the memory it may reach, its interrupt, its reset. One
// thread at a time may call it; engines run on their own.
#pragma once

#include <cstdint>

#include "vgpu/engine/engines.h"
#include "vgpu/hardware.h"
#include "vgpu/pci/config_space.h"
#include "vgpu/registers/mmio.h"
#include "vgpu/reset/reset.h"

namespace i915u::vgpu {

class Device {
 public:
  explicit Device(const Options& options);

  Hardware hw;
  ConfigSpace config;

  /// 1, 2, 4 or 8 bytes of BAR 0, 2 or 4, anywhere; what is not there reads as zero.
  uint64_t read(unsigned bar, uint64_t offset, unsigned size);
  void write(unsigned bar, uint64_t offset, uint64_t value, unsigned size);

  int map(int fd, uint64_t file_offset, uint64_t gpa, uint64_t size, bool writable);
  int unmap(uint64_t gpa, uint64_t size);
  void unmap_all();
  void set_msi(int eventfd) { hw.interrupts.set_eventfd(eventfd); }
  void reset();

  Engine& engine(int id) { return engines_[id]; }

 private:
  uint64_t read_registers(uint32_t offset, unsigned size);
  void write_registers(uint32_t offset, uint64_t value, unsigned size);
  uint8_t* aperture(uint64_t offset, unsigned size, bool write);

  Engines engines_;
  Reset reset_;
  Mmio mmio_;
};

}  // namespace i915u::vgpu
