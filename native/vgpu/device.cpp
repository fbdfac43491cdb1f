// SPDX-License-Identifier: MIT
#include "vgpu/device.h"

#include <cstring>

namespace i915u::vgpu {

namespace {

constexpr uint64_t low_bytes(unsigned size) {
  return size >= 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
}

}  // namespace

Device::Device(const Options& options)
    : hw(options), engines_(hw), reset_(hw, engines_), mmio_(hw, engines_, reset_) {}

uint64_t Device::read(unsigned bar, uint64_t offset, unsigned size) {
  if (bar == 0 && offset < register_bytes && size <= register_bytes - offset)
    return read_registers(static_cast<uint32_t>(offset), size);
  if (bar == 0 && offset >= register_bytes && offset % size == 0 && size >= 4 &&
      offset + size <= bar0_bytes)
    return hw.ggtt.read(offset - register_bytes, size);
  if (bar == 2 && offset < bar2_bytes) {
    uint64_t value = 0;
    if (const uint8_t* p = aperture(offset, size, false)) memcpy(&value, p, size);
    return value;
  }
  if (bar != 4)
    hw.stats.mistake(Statistics::bad_bar_access, "read of BAR %u at 0x%llx, %u bytes", bar,
                     static_cast<unsigned long long>(offset), size);
  return 0;
}

void Device::write(unsigned bar, uint64_t offset, uint64_t value, unsigned size) {
  if (bar == 0 && offset < register_bytes && size <= register_bytes - offset) {
    write_registers(static_cast<uint32_t>(offset), value, size);
  } else if (bar == 0 && offset >= register_bytes && offset % size == 0 && size >= 4 &&
             offset + size <= bar0_bytes) {
    count(hw.stats.ggtt_writes);
    hw.ggtt.write(offset - register_bytes, value, size);
  } else if (bar == 2 && offset < bar2_bytes) {
    if (uint8_t* p = aperture(offset, size, true)) memcpy(p, &value, size);
  } else if (bar != 4) {
    hw.stats.mistake(Statistics::bad_bar_access, "write of BAR %u at 0x%llx, %u bytes", bar,
                     static_cast<unsigned long long>(offset), size);
  }
}

uint64_t Device::read_registers(uint32_t offset, unsigned size) {
  const uint32_t at = offset & ~3u;
  uint64_t value = mmio_.read(at);
  const unsigned skip = offset - at;
  if (skip + size > 4) value |= uint64_t{mmio_.read((at + 4) & (register_bytes - 1))} << 32;
  return value >> 8 * skip & low_bytes(size);
}

void Device::write_registers(uint32_t offset, uint64_t value, unsigned size) {
  uint32_t at = offset & ~3u;
  unsigned skip = offset - at;
  // Narrower writes carry the rest of the dword along, as the bus does not say it should not.
  while (size) {
    const unsigned n = size < 4 - skip ? size : 4 - skip;
    auto dword = static_cast<uint32_t>(value);
    if (n < 4) {
      const auto mask = static_cast<uint32_t>(low_bytes(n) << 8 * skip);
      dword = (hw.registers.get(at) & ~mask) | (dword << 8 * skip & mask);
    }
    mmio_.write(at, dword);
    value = n < 8 ? value >> 8 * n : 0;
    size -= n;
    skip = 0;
    at += 4;
  }
}

/// The CPU's window on the first 256 MiB of the GGTT. Tiling by fence registers is not done.
uint8_t* Device::aperture(uint64_t offset, unsigned size, bool write) {
  count(hw.stats.aperture_accesses);
  Translation t;
  if (hw.ggtt.translate(offset, &t) && (offset & 4095) + size <= 4096)
    if (uint8_t* p = hw.memory.at(t.gpa | (offset & 4095), size, write)) return p;
  hw.stats.mistake(Statistics::bad_bar_access, "nothing at 0x%llx of the aperture",
                   static_cast<unsigned long long>(offset));
  return nullptr;
}

int Device::map(int fd, uint64_t file_offset, uint64_t gpa, uint64_t size, bool writable) {
  Pause pause(engines_);
  count(hw.stats.dma_maps);
  return hw.memory.map(fd, file_offset, gpa, size, writable);
}

int Device::unmap(uint64_t gpa, uint64_t size) {
  Pause pause(engines_);
  count(hw.stats.dma_unmaps);
  return hw.memory.unmap(gpa, size);
}

void Device::unmap_all() {
  Pause pause(engines_);
  hw.memory.unmap_all();
}

void Device::reset() {
  reset_.device();
  config.reset();
}

}  // namespace i915u::vgpu
