// SPDX-License-Identifier: MIT
// The vfio-user protocol's messages, as its specification (libvfio-user, docs/vfio-user.rst) has
// them and QEMU 11.1 sends them. All little endian, and so is this host.
#pragma once

#include <cstdint>

namespace i915u::vgpu::vfio {

enum Command : uint16_t {
  version = 1,
  dma_map = 2,
  dma_unmap = 3,
  device_get_info = 4,
  device_get_region_info = 5,
  device_get_irq_info = 7,
  device_set_irqs = 8,
  region_read = 9,
  region_write = 10,
  device_reset = 13,
  region_write_multi = 15,
};

struct Header {
  uint16_t id, command;
  uint32_t size;  ///< of the message, with this
  uint32_t flags;
  uint32_t error;
};
constexpr uint32_t flag_type = 0xf, flag_reply = 1, flag_no_reply = 0x10, flag_error = 0x20;

struct Version {
  uint16_t major, minor;
};

struct DmaMap {
  uint32_t argsz, flags;
  uint64_t offset, address, size;
};
constexpr uint32_t dma_readable = 1, dma_writable = 2;

struct DmaUnmap {
  uint32_t argsz, flags;
  uint64_t address, size;
};
constexpr uint32_t unmap_all = 2;

struct DeviceInfo {
  uint32_t argsz, flags, regions, irqs;
};
constexpr uint32_t device_resets = 1, device_pci = 2;

struct RegionInfo {
  uint32_t argsz, flags, index, cap_offset;
  uint64_t size, offset;
};
constexpr uint32_t region_readable = 1, region_writable = 2;
constexpr uint32_t config_region = 7, num_regions = 9;

struct IrqInfo {
  uint32_t argsz, flags, index, count;
};
constexpr uint32_t irq_eventfd = 1, irq_no_resize = 8;
constexpr uint32_t intx_index = 0, msi_index = 1, num_irqs = 5;

struct SetIrqs {
  uint32_t argsz, flags, index, start, count;
};
constexpr uint32_t set_data_eventfd = 4, set_action_trigger = 0x20;

struct RegionAccess {
  uint64_t offset;
  uint32_t region, count;
};

struct MultiWrite {
  uint64_t offset;
  uint32_t region, count;
  uint8_t data[8];
};

static_assert(sizeof(Header) == 16 && sizeof(DmaMap) == 32 && sizeof(DmaUnmap) == 24);
static_assert(sizeof(RegionInfo) == 32 && sizeof(SetIrqs) == 20 && sizeof(RegionAccess) == 16);
static_assert(sizeof(MultiWrite) == 24);

}  // namespace i915u::vgpu::vfio
