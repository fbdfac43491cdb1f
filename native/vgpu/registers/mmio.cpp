// SPDX-License-Identifier: MIT
#include "vgpu/registers/mmio.h"

#include "vgpu/clock.h"

namespace i915u::vgpu {

namespace {

constexpr uint32_t requests = 0xaaaaaaaa;  // of power wells: the odd bits
constexpr uint32_t pcode_ready = 1u << 31, pcode_error = 0xff;

}  // namespace

Mmio::Mmio(Hardware& hw, Engines& engines, Reset& reset)
    : hw_(hw), engines_(engines), reset_(reset), start_(now_ns()) {}

uint32_t Mmio::read(uint32_t offset) {
  count(hw_.stats.register_reads);
  const RegisterFile::Known* k = hw_.registers.find(offset);
  uint32_t value;
  switch (k ? k->r.behaviour : Behaviour::plain) {
    case Behaviour::timestamp:
      value = static_cast<uint32_t>(timestamp_ticks() >> k->r.arg);
      break;
    case Behaviour::interrupt:
      value = hw_.interrupts.read(offset);
      break;
    case Behaviour::rc6_residency:
      value = residency();
      break;
    default:
      value = hw_.registers.get(offset);
  }
  if (hw_.trace.on()) hw_.trace.access(false, hw_.registers.name(offset), value);
  return value;
}

void Mmio::write(uint32_t offset, uint32_t value) {
  count(hw_.stats.register_writes);
  RegisterFile& r = hw_.registers;
  const RegisterFile::Known* k = r.find(offset);
  if (hw_.trace.on()) hw_.trace.access(true, r.name(offset), value);
  switch (k ? k->r.behaviour : Behaviour::plain) {
    case Behaviour::plain:
      r.set(offset, value);
      break;
    case Behaviour::engine_imr:
      r.set(offset, value);
      engines_[k->engine].mask_changed();
      break;
    case Behaviour::masked:
      r.set_masked(offset, value);
      break;
    case Behaviour::read_only:
    case Behaviour::timestamp:
    case Behaviour::rc6_residency:
      break;
    case Behaviour::write_one_clears:
      r.clear_bits(offset, value);
      break;
    case Behaviour::forcewake:
      r.set_masked(offset, value);
      r.set(k->r.arg, r.get(offset));
      break;
    case Behaviour::power_well:
      r.set(offset, (value & requests) | (value & requests) >> 1);
      break;
    case Behaviour::pcode_mailbox:
      r.set(offset, value & ~(pcode_ready | pcode_error));
      break;
    case Behaviour::interrupt:
      hw_.interrupts.write(offset, value);
      break;
    case Behaviour::submit_port:
      engines_[k->engine].write_port(value);
      break;
    case Behaviour::status_pointer:
      engines_[k->engine].write_status_pointer(value);
      break;
    case Behaviour::mode:
      r.set_masked(offset, value & ~(mode_idle << 16));
      engines_[k->engine].mode_changed();
      break;
    case Behaviour::reset_control:
      reset_.control(offset, value);
      break;
    case Behaviour::domain_reset:
      reset_.domains(offset, value);
      break;
    case Behaviour::tlb_invalidate: {
      // Done means that no access goes on with what was looked up before.
      count(hw_.stats.tlb_invalidations);
      Pause pause(engines_, k->r.arg);
      for (int i = 0; i < num_engines; i++)
        if (k->r.arg >> i & 1) engines_[i].invalidate_tlb();
      r.set(offset, 0);
      break;
    }
    case Behaviour::ggtt_flush:
      if (hw_.options.stale_tlb) {
        Pause pause(engines_);
        for (int i = 0; i < num_engines; i++) engines_[i].invalidate_tlb();
      }
      r.set(offset, 0);
      break;
  }
}

/// RC6 is never entered; what the driver wants to see is a counter that moves while all is idle.
uint32_t Mmio::residency() {
  if (hw_.busy_engines.load() == 0)
    hw_.registers.set(0x138108, static_cast<uint32_t>((now_ns() - start_) / 1280));
  return hw_.registers.get(0x138108);
}

}  // namespace i915u::vgpu
