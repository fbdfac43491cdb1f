// SPDX-License-Identifier: MIT
#include "gpu/registers.h"

#include "gpu/command_streamer.h"

namespace i915u::gpu {

namespace {

struct RegisterRange {
  uint32_t first, last;  ///< last is the last dword's offset
  bool relative;         ///< to the engine's base
  uint8_t engines;
};

constexpr uint8_t rcs = engine_mask(Engine::render) | engine_mask(Engine::compute);
constexpr RegisterRange user_registers[] = {
    {reg::gpr, reg::gpr_end - 4, true, any_engine},
    {reg::predicate_result_2, reg::predicate_result_2, true, rcs},
    {reg::predicate_src0, reg::predicate_result_1, true, rcs},
    {reg::timestamp, reg::timestamp_udw, true, any_engine},
    {0x2290, 0x2294, false, rcs},  // GPGPU_THREADS_DISPATCHED
    {0x2300, 0x2354, false, rcs},  // pipeline statistics: HS_INVOCATION_COUNT to PS_DEPTH_COUNT
    {0x2420, 0x2440, false, rcs},  // 3DPRIM_END_OFFSET to 3DPRIM_BASE_VERTEX
    {0x2500, 0x2508, false, rcs},  // GPGPU_DISPATCHDIMX to Z
    {0x5200, 0x525c, false, rcs},  // SO_NUM_PRIMS_WRITTEN, SO_PRIM_STORAGE_NEEDED
    {0x5280, 0x528c, false, rcs},  // SO_WRITE_OFFSET
    {0x22200, 0x22200, false, engine_mask(Engine::copy)},  // BCS_SWCTRL
};

}  // namespace

uint32_t engine_base(Gen gen, Engine engine) {
  switch (engine) {
    case Engine::render:
      return 0x2000;
    case Engine::copy:
      return 0x22000;
    case Engine::video:
      return gen >= gen11 ? 0x1c0000 : 0x12000;
    case Engine::video_enhance:
      return gen >= gen11 ? 0x1c8000 : 0x1a000;
    case Engine::compute:
      return 0x1a000;
  }
  return 0x2000;
}

uint32_t CommandStreamer::register_of(uint32_t offset, bool relative, bool remapped) const {
  offset &= 0x7ffffc;
  if (relative) return mmio_base_ + offset;
  if (remapped && offset >= 0x2000 && offset < 0x2800) return mmio_base_ + offset - 0x2000;
  return offset;
}

bool CommandStreamer::user_may_write(uint32_t mmio_base, Engine engine, uint32_t offset) {
  for (const RegisterRange& r : user_registers) {
    const uint32_t at = r.relative ? offset - mmio_base : offset;
    if ((r.engines & engine_mask(engine)) && at >= r.first && at <= r.last) return true;
  }
  return false;
}

void CommandStreamer::command_write_register(uint32_t offset, uint32_t value) {
  if (!privileged() && !user_may_write(mmio_base_, engine_, offset)) {
    counters_.dropped++;
    return;
  }
  changed(offset, value);
  write_register(offset, value);
}

bool CommandStreamer::access_state(uint32_t offset, bool write, uint32_t* value) {
  const uint32_t at = (offset - mmio_base_) & ~3u;
  uint64_t* wide = nullptr;
  uint32_t* narrow = nullptr;
  if (at >= reg::gpr && at < reg::gpr_end) {
    wide = &state_.gpr[(at - reg::gpr) / 8];
  } else {
    switch (at & ~4u) {
      case reg::predicate_src0:
        wide = &state_.predicate_src0;
        break;
      case reg::predicate_src1:
        wide = &state_.predicate_src1;
        break;
    }
    switch (at) {
      case reg::nopid:
        narrow = &state_.nop_id;
        break;
      case reg::predicate_data:
        narrow = &state_.predicate_data;
        break;
      case reg::predicate_result:
        narrow = &state_.predicate_result;
        break;
      case reg::predicate_result_1:
        narrow = &state_.predicate_result_1;
        break;
      case reg::predicate_result_2:
        narrow = &state_.predicate_result_2;
        break;
    }
  }
  if (wide) {
    const unsigned shift = at & 4 ? 32 : 0;
    if (write) {
      *wide = (*wide & ~(0xffffffffull << shift)) | static_cast<uint64_t>(*value) << shift;
    } else {
      *value = static_cast<uint32_t>(*wide >> shift);
    }
  } else if (narrow) {
    (write ? *narrow : *value) = write ? *value : *narrow;
  }
  return wide || narrow;
}

uint32_t CommandStreamer::read_register(uint32_t offset) {
  uint32_t value = 0;
  if (access_state(offset, false, &value)) return value;
  switch (offset - mmio_base_) {
    case reg::timestamp:
    case reg::ctx_timestamp:
      return static_cast<uint32_t>(bus_.timestamp());
    case reg::timestamp_udw:
      return static_cast<uint32_t>(bus_.timestamp() >> 32);
  }
  return bus_.read_register(offset);
}

void CommandStreamer::write_register(uint32_t offset, uint32_t value) {
  if (!access_state(offset, true, &value)) bus_.write_register(offset, value);
}

}  // namespace i915u::gpu
