// SPDX-License-Identifier: MIT
#include "vgpu/pci/config_space.h"

namespace i915u::vgpu {

void ConfigSpace::set(uint32_t offset, uint32_t value, unsigned size, uint32_t writable) {
  for (unsigned i = 0; i < size; i++) {
    space_[offset + i] = static_cast<uint8_t>(value >> 8 * i);
    writable_[offset + i] = static_cast<uint8_t>(writable >> 8 * i);
  }
}

void ConfigSpace::reset() {
  constexpr uint32_t msi = 0xac;
  space_.fill(0);
  writable_.fill(0);
  set(0x00, 0x8086, 2);
  set(0x02, 0x1912, 2);
  set(0x04, 0, 2, 0x0407);  // command: I/O, memory, bus master, INTx disable
  set(0x06, 0x0010, 2);     // status: has capabilities
  set(0x08, 0x06, 1);
  set(0x0a, 0x0300, 2);  // VGA compatible display controller
  set(0x0c, 0, 1, 0xff);
  set(0x10, 0, 4, static_cast<uint32_t>(~(bar0_bytes - 1)));
  set(0x18, 0x8, 4, static_cast<uint32_t>(~(bar2_bytes - 1)));  // prefetchable
  set(0x20, 0x1, 4, static_cast<uint32_t>(~(bar4_bytes - 1)));
  set(0x2c, 0x8086, 2);
  set(0x2e, 0x2015, 2);
  set(0x34, msi, 1);
  set(0x3c, 0, 1, 0xff);  // interrupt line; the pin is 0, there is MSI only
  set(0x50, 3 << 6, 2);   // GGC: 8 MiB of GGTT entries, no stolen memory
  set(msi, 0x0005, 2);
  set(msi + 2, 0, 2, 0x0001);  // one vector, 32-bit address
  set(msi + 4, 0, 4, 0xfffffffc);
  set(msi + 8, 0, 2, 0xffff);
}

void ConfigSpace::write(uint32_t offset, uint8_t value) {
  if (offset >= bytes) return;
  const uint8_t mask = writable_[offset];
  space_[offset] = static_cast<uint8_t>((space_[offset] & ~mask) | (value & mask));
}

}  // namespace i915u::vgpu
