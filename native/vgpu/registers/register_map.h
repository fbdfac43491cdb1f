// SPDX-License-Identifier: MIT
// The registers as data. Names are those of i915's headers and of Intel's manuals for Skylake
// (volume 2c, "Command Reference: Registers").
#pragma once

#include <cstddef>
#include <cstdint>

namespace i915u::vgpu {

constexpr uint32_t register_bytes = 8 << 20;

enum class Behaviour : uint8_t {
  plain,      ///< reads back what was written; also what is in no table
  masked,     ///< the upper half says which bits of the lower one are written
  read_only,  ///< keeps its reset value
  write_one_clears,
  forcewake,       ///< masked; `arg` is the register that acknowledges
  power_well,      ///< each request bit (odd) is copied to its state bit
  pcode_mailbox,   ///< done at once, with success
  timestamp,       ///< 12 MHz; `arg` 32: the upper half
  rc6_residency,   ///< counts while no engine runs, 1.28 us each
  interrupt,       ///< GT interrupt banks and the master, see interrupts/
  engine_imr,      ///< plain; takes effect in interrupts/
  submit_port,     ///< ELSP
  status_pointer,  ///< of the context status buffer
  mode,            ///< MI_MODE: masked, stops the ring
  reset_control,   ///< masked; request is answered by ready
  domain_reset,    ///< GDRST
  tlb_invalidate,  ///< `arg` is the mask of engines
  ggtt_flush,
};

struct Register {
  uint32_t offset;
  const char* name;
  Behaviour behaviour = Behaviour::plain;
  uint32_t reset = 0;
  uint32_t arg = 0;
  uint16_t count = 1;  ///< of a row of them, 4 bytes each
};

struct RegisterTable {
  const Register* registers;
  size_t size;
};
RegisterTable shared_registers();
/// By offset from the engine's base.
RegisterTable engine_registers();

/// Those that the device's own code uses.
namespace ring {
constexpr uint32_t tail = 0x30, head = 0x34, start = 0x38, ctl = 0x3c;
constexpr uint32_t acthd_udw = 0x5c, ipehr = 0x68, acthd = 0x74, hws_pga = 0x80;
constexpr uint32_t mi_mode = 0x9c, imr = 0xa8, eir = 0xb0, emr = 0xb4;
constexpr uint32_t reset_ctl = 0xd0, bbaddr = 0x140, bbaddr_udw = 0x168;
constexpr uint32_t elsp = 0x230, execlist_status_lo = 0x234, execlist_status_hi = 0x238;
constexpr uint32_t context_status = 0x370, context_status_ptr = 0x3a0;
}  // namespace ring

namespace reg {
constexpr uint32_t ring_fault = 0x4094, fault_data0 = 0x4b10, fault_data1 = 0x4b14;
constexpr uint32_t master_irq = 0x44200;
constexpr uint32_t gt_irq = 0x44300;  ///< ISR, IMR, IIR, IER of bank 0; the next 16 bytes on
}  // namespace reg

constexpr uint32_t mode_stop_ring = 1u << 8, mode_idle = 1u << 9;

}  // namespace i915u::vgpu
