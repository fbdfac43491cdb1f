// SPDX-License-Identifier: MIT
#include "vgpu/engine/context_image.h"

namespace i915u::vgpu {

namespace {

// Places of values, in dwords.
constexpr size_t context_control = 0x03, ring_head = 0x05, ring_tail = 0x07, ring_start = 0x09,
                 ring_ctl = 0x0b;
constexpr size_t bb_addr_udw = 0x0d, bb_addr = 0x0f, bb_state = 0x11;
constexpr size_t sbb_addr_udw = 0x13, sbb_addr = 0x15, sbb_state = 0x17;
constexpr size_t ctx_timestamp = 0x23, pdp0_udw = 0x31, pdp0_ldw = 0x33;
constexpr size_t mi_mode_value = 0x55, predicate_result_1 = 0x67, gpr = 0x69;
// The manuals leave the rest of the page to the hardware.
constexpr size_t own = 0x200;
enum : size_t {
  own_head = own,
  own_predicate_mode,
  own_predicate_src0,
  own_predicate_src1 = own_predicate_src0 + 2,
  own_predicate_data = own_predicate_src1 + 2,
  own_predicate_result,
  own_predicate_result_2,
  own_nop_id,
};

constexpr uint32_t restore_inhibit = 1u << 0;
constexpr uint32_t valid = 1u << 0;        // of a batch address
constexpr uint32_t state_ppgtt = 1u << 5;  // of a batch state
constexpr uint32_t ctl_size = 0x1ff000;    // of RING_CTL: pages minus one
constexpr uint32_t offset_mask = 0x1ffffc;

}  // namespace

uint64_t ContextImage::pml4() const {
  return static_cast<uint64_t>(dw[pdp0_udw]) << 32 | dw[pdp0_ldw];
}
uint32_t ContextImage::mi_mode() const {
  return dw[mi_mode_value];
}
uint32_t ContextImage::timestamp() const {
  return dw[ctx_timestamp];
}
uint32_t ContextImage::tail() const {
  return dw[ring_tail] & offset_mask;
}

gpu::CommandStreamer::State ContextImage::load() const {
  gpu::CommandStreamer::State s;
  s.ring = {dw[ring_start] & ~4095u, (dw[ring_ctl] & ctl_size) + 4096, dw[ring_head] & offset_mask,
            tail()};
  if (dw[context_control] & restore_inhibit) return s;

  for (size_t i = 0; i < s.gpr.size(); i++)
    s.gpr[i] = dw[gpr + 4 * i] | static_cast<uint64_t>(dw[gpr + 4 * i + 2]) << 32;
  s.predicate_result_1 = dw[predicate_result_1];
  s.predicate_src0 = dw[own_predicate_src0] | static_cast<uint64_t>(dw[own_predicate_src0 + 1])
                                                  << 32;
  s.predicate_src1 = dw[own_predicate_src1] | static_cast<uint64_t>(dw[own_predicate_src1 + 1])
                                                  << 32;
  s.predicate_data = dw[own_predicate_data];
  s.predicate_result = dw[own_predicate_result];
  s.predicate_result_2 = dw[own_predicate_result_2];
  s.nop_id = dw[own_nop_id];

  const auto level = [&](size_t low, size_t high, size_t state) {
    if (!(dw[low] & valid)) return;
    const bool ppgtt = dw[state] & state_ppgtt;
    auto& to = s.stack[s.depth++];
    to.ip = (static_cast<uint64_t>(dw[high] & 0xffff) << 32 | dw[low]) & ~3ull;
    to.space = ppgtt ? gpu::Space::ppgtt : gpu::Space::ggtt;
    to.privileged = !ppgtt;
  };
  if (dw[own_head] == dw[ring_head] && (dw[bb_addr] & valid)) {
    level(bb_addr, bb_addr_udw, bb_state);
    level(sbb_addr, sbb_addr_udw, sbb_state);
    s.predicate_mode = dw[own_predicate_mode] & 0xf;
  }
  return s;
}

void ContextImage::save(const gpu::CommandStreamer::State& s, uint32_t ticks) {
  dw[context_control] &= ~restore_inhibit;
  dw[ring_head] = dw[own_head] = s.ring.head;
  dw[ctx_timestamp] += ticks;
  for (size_t i = 0; i < s.gpr.size(); i++) {
    dw[gpr + 4 * i] = static_cast<uint32_t>(s.gpr[i]);
    dw[gpr + 4 * i + 2] = static_cast<uint32_t>(s.gpr[i] >> 32);
  }
  dw[predicate_result_1] = s.predicate_result_1;
  dw[own_predicate_mode] = s.predicate_mode;
  dw[own_predicate_src0] = static_cast<uint32_t>(s.predicate_src0);
  dw[own_predicate_src0 + 1] = static_cast<uint32_t>(s.predicate_src0 >> 32);
  dw[own_predicate_src1] = static_cast<uint32_t>(s.predicate_src1);
  dw[own_predicate_src1 + 1] = static_cast<uint32_t>(s.predicate_src1 >> 32);
  dw[own_predicate_data] = s.predicate_data;
  dw[own_predicate_result] = s.predicate_result;
  dw[own_predicate_result_2] = s.predicate_result_2;
  dw[own_nop_id] = s.nop_id;

  const auto level = [&](unsigned n, size_t low, size_t high, size_t state) {
    const bool there = n < s.depth;
    dw[low] = there ? static_cast<uint32_t>(s.stack[n].ip) | valid : 0;
    dw[high] = there ? static_cast<uint32_t>(s.stack[n].ip >> 32) : 0;
    // i915 sets this one up for the first batch and expects it to stay.
    if (there) dw[state] = s.stack[n].space == gpu::Space::ppgtt ? state_ppgtt : 0;
  };
  level(0, bb_addr, bb_addr_udw, bb_state);
  level(1, sbb_addr, sbb_addr_udw, sbb_state);
}

}  // namespace i915u::vgpu
