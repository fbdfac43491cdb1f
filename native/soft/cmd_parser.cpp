// SPDX-License-Identifier: MIT
// The driver's algorithm: command by command to the first end or jump; which registers, and which
// jumps. Changed on purpose: what was checked is what runs, and not a copy of it.
#include "soft/cmd_parser.h"

#include <cerrno>
#include <vector>

namespace i915u::soft {
namespace {

constexpr uint32_t batch_end = 0x0a << 23, batch_start = 0x31;
constexpr uint32_t mi_client = 0, blit_client = 2;

// MI commands by opcode: of one length, or of one that `mask` of the first dword tells, less two.
struct Command {
  uint32_t opcode, length, mask;
  uint32_t reg, step;  // the dword of the first register, and how far the next is; 0: none
};
constexpr Command commands[] = {
    {0x00, 1, 0, 0, 0},      // NOOP
    {0x02, 1, 0, 0, 0},      // USER_INTERRUPT
    {0x03, 1, 0, 0, 0},      // WAIT_FOR_EVENT
    {0x04, 1, 0, 0, 0},      // FLUSH
    {0x05, 1, 0, 0, 0},      // ARB_CHECK
    {0x07, 1, 0, 0, 0},      // REPORT_HEAD
    {0x08, 1, 0, 0, 0},      // ARB_ON_OFF
    {0x0b, 1, 0, 0, 0},      // SUSPEND_FLUSH
    {0x12, 0, 0x3f, 0, 0},   // LOAD_SCAN_LINES_INCL
    {0x13, 0, 0x3f, 0, 0},   // LOAD_SCAN_LINES_EXCL
    {0x20, 0, 0x3ff, 0, 0},  // STORE_DWORD_IMM
    {0x22, 0, 0xff, 1, 2},   // LOAD_REGISTER_IMM
    {0x23, 0, 0x3ff, 0, 0},  // UPDATE_GTT
    {0x24, 4, 0, 1, 4},      // STORE_REGISTER_MEM
    {0x26, 0, 0x3f, 0, 0},   // FLUSH_DW
    {0x29, 4, 0, 1, 4},      // LOAD_REGISTER_MEM
    {0x2a, 0, 0xff, 1, 1},   // LOAD_REGISTER_REG
    {batch_start, 0, 0xff, 0, 0},
};

const Command* find(uint32_t header) {
  static constexpr Command other{0, 0, 0xff, 0, 0};
  const uint32_t client = header >> 29;
  if (client == mi_client)
    for (const Command& c : commands)
      if (c.opcode == header >> 23) return &c;
  return client == mi_client || client == blit_client ? &other : nullptr;
}

// kernel: gen9_blt_regs
bool allowed(uint32_t reg) {
  constexpr uint32_t render = 0x2000, bsd = 0x4000, blt = 0x22000;
  constexpr uint32_t timestamp = 0x358, ctx_timestamp = 0x3a8, swctrl = 0x200, gpr = 0x600;
  for (const uint32_t base : {render, bsd, blt})
    if (reg == base + timestamp || reg == base + timestamp + 4) return true;
  if (reg == blt + swctrl || reg == blt + ctx_timestamp) return true;
  return reg >= blt + gpr && reg < blt + gpr + 16 * 8;
}

}  // namespace

int check_commands(uint64_t addr, uint64_t length, const ReadDword& read) {
  const uint64_t end = length / 4;
  std::vector<bool> seen;  // where commands begin
  for (uint64_t at = 0;;) {
    uint32_t header, dword;
    if (!read(at, &header)) return -EFAULT;
    if (header == batch_end) return 0;
    const Command* c = find(header);
    if (!c) return -EINVAL;
    const uint32_t len = c->length ? c->length : (header & c->mask) + 2;
    if (end - at < len) return -EINVAL;
    if (c->reg)
      for (uint32_t i = c->reg; i < len; i += c->step) {
        if (!read(at + i, &dword)) return -EFAULT;
        if (!allowed(dword & 0x7ffffc)) return -EACCES;
      }
    if (c->opcode == batch_start && header >> 23 == batch_start) {
      constexpr uint32_t ppgtt_and_length = 1 << 8 | 1;
      if ((header & ((1 << 23) - 1)) != ppgtt_and_length) return -EACCES;
      uint32_t low, high;
      if (!read(at + 1, &low) || !read(at + 2, &high)) return -EFAULT;
      const uint64_t to = (uint64_t{high} << 32 | low) - addr;
      if (to >= length) return -EINVAL;
      return to / 4 == at || (to / 4 < seen.size() && seen[to / 4]) ? 0 : -EINVAL;
    }
    seen.resize(at + 1);
    seen[at] = true;
    at += len;
    if (at >= end) return -EINVAL;
  }
}

}  // namespace i915u::soft
