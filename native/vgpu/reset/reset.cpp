// SPDX-License-Identifier: MIT
#include "vgpu/reset/reset.h"

namespace i915u::vgpu {

namespace {

constexpr uint32_t domain_full = 1u << 0;
constexpr uint32_t request_reset = 1u << 0, ready_for_reset = 1u << 1;

}  // namespace

void Reset::domains(uint32_t offset, uint32_t value) {
  uint32_t mask = 0;
  for (int i = 0; i < num_engines; i++)
    if (value & (domain_full | 1u << engine_info[i].reset_bit)) mask |= 1u << i;
  if (hw_.trace.on()) hw_.trace.note("reset");
  Pause pause(engines_, mask);
  if (hw_.options.reset_fails) {
    for (int i = 0; i < num_engines; i++) {
      if (!(mask >> i & 1) || !engines_[i].hung()) continue;
      hw_.registers.set(offset, value);
      return;
    }
  }
  if (mask) count(hw_.stats.resets);
  for (int i = 0; i < num_engines; i++)
    if (mask >> i & 1) engines_[i].reset();
  hw_.registers.set(offset, 0);
}

void Reset::control(uint32_t offset, uint32_t value) {
  hw_.registers.set_masked(offset, value);
  if (hw_.registers.get(offset) & request_reset)
    hw_.registers.set_bits(offset, ready_for_reset);
  else
    hw_.registers.clear_bits(offset, ready_for_reset);
}

void Reset::device() {
  count(hw_.stats.device_resets);
  if (hw_.trace.on()) hw_.trace.note("device_reset");
  Pause pause(engines_);
  for (int i = 0; i < num_engines; i++) engines_[i].reset();
  hw_.registers.reset();
  hw_.interrupts.reset();
  hw_.ggtt.reset();
  hw_.kernel_pml4.store(0);
}

}  // namespace i915u::vgpu
