// SPDX-License-Identifier: MIT
// The commands of the command streamer as data: opcode, name, length rule and operands of each, per
// generation. Sources: Intel's programmer's reference manuals (volume 2, "Command Reference:
// Instructions") for Sandy Bridge to Tiger Lake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace i915u::gpu {

/// Graphics version * 10, as the kernel's GRAPHICS_VER and GRAPHICS_VER_FULL count it.
enum Gen : uint16_t {
  gen6 = 60,     ///< Sandy Bridge
  gen7 = 70,     ///< Ivy Bridge, Bay Trail
  gen7_5 = 75,   ///< Haswell
  gen8 = 80,     ///< Broadwell, Cherryview: 48-bit addresses
  gen9 = 90,     ///< Skylake to Comet Lake
  gen11 = 110,   ///< Ice Lake, Jasper Lake
  gen12 = 120,   ///< Tiger Lake to Raptor Lake, DG1
  gen12_5 = 125  ///< DG2, Meteor Lake: no XY_SRC_COPY_BLT and its family
};

/// The generation of a whole graphics version (6 to 9, 11, 12); false for any other.
bool gen_of_version(unsigned version, Gen* gen);

/// In the order of the uAPI's I915_ENGINE_CLASS_*.
enum class Engine : uint8_t { render, copy, video, video_enhance, compute };

/// Bits 31:29 of a header.
enum class Client : uint8_t { mi = 0, blt = 2, gfx = 3 };

/// Bits 28:23 of an MI header.
namespace mi {
enum Opcode : uint8_t {
  noop = 0x00,
  set_predicate = 0x01,
  user_interrupt = 0x02,
  wait_for_event = 0x03,
  flush = 0x04,
  arb_check = 0x05,
  rs_control = 0x06,
  report_head = 0x07,
  arb_on_off = 0x08,
  urb_atomic_alloc = 0x09,
  batch_buffer_end = 0x0a,
  suspend_flush = 0x0b,
  predicate = 0x0c,
  topology_filter = 0x0d,
  set_appid = 0x0e,
  rs_context = 0x0f,
  load_scan_lines_incl = 0x12,
  load_scan_lines_excl = 0x13,
  display_flip = 0x14,
  semaphore_mbox = 0x16,
  set_context = 0x18,
  urb_clear = 0x19,
  math = 0x1a,
  semaphore_signal = 0x1b,
  semaphore_wait = 0x1c,
  force_wakeup = 0x1d,
  store_data_imm = 0x20,
  store_data_index = 0x21,
  load_register_imm = 0x22,
  update_gtt = 0x23,
  store_register_mem = 0x24,
  flush_dw = 0x26,
  clflush = 0x27,
  report_perf_count = 0x28,
  load_register_mem = 0x29,
  load_register_reg = 0x2a,
  rs_store_data_imm = 0x2b,
  load_urb_mem = 0x2c,
  store_urb_mem = 0x2d,
  copy_mem_mem = 0x2e,
  atomic = 0x2f,
  batch_buffer_start = 0x31,
  conditional_batch_buffer_end = 0x36,
};
constexpr uint32_t header(Opcode op) {
  return static_cast<uint32_t>(op) << 23;
}
}  // namespace mi

/// Bits 28:22 of a blitter header.
namespace blt {
enum Opcode : uint8_t {
  color = 0x40,
  xy_fast_copy = 0x42,
  src_copy = 0x43,
  xy_fast_color = 0x44,
  xy_color = 0x50,
  xy_src_copy = 0x53,
};
constexpr uint32_t header(Opcode op) {
  return 2u << 29 | static_cast<uint32_t>(op) << 22;
}
}  // namespace blt

/// Bits 28:16 of a 3D, media or GPGPU header.
namespace gfx {
constexpr uint16_t pipe_control = 0x1a00;
constexpr uint32_t header(uint16_t op) {
  return 3u << 29 | static_cast<uint32_t>(op) << 16;
}
}  // namespace gfx

constexpr uint32_t use_ggtt = 1u << 22;      ///< of most MI headers that hold an address
constexpr uint32_t store_qwords = 1u << 21;  ///< MI_STORE_DATA_IMM
constexpr uint32_t second_level = 1u << 22;  ///< MI_BATCH_BUFFER_START
constexpr uint32_t batch_ppgtt = 1u << 8;    ///< MI_BATCH_BUFFER_START: in the PPGTT, unprivileged
constexpr uint32_t semaphore_poll = 1u << 15;
constexpr uint32_t compare_semaphore = 1u << 21;  ///< MI_CONDITIONAL_BATCH_BUFFER_END

/// Bits 14:12 of MI_SEMAPHORE_WAIT: go on when memory OP the command's value.
enum class Compare : uint8_t { gt, gte, lt, lte, eq, neq };

struct Command {
  Client client;
  uint16_t opcode;       ///< in the bits of its client, see above
  uint8_t engines;       ///< mask of 1 << Engine
  Gen first, last;       ///< generations that have it, both included
  uint16_t length_mask;  ///< bits of the header that hold the length minus 2; 0: one dword
  uint16_t min_dwords;   ///< fewer cannot hold its operands
  const char* name;      ///< as the manuals write it
  const char* operands;  ///< for disassemble(): "kind:name" for each dword after the header

  uint32_t length(uint32_t header) const { return length_mask ? (header & length_mask) + 2 : 1; }
};

constexpr uint8_t any_engine = 0xff;
constexpr uint8_t engine_mask(Engine e) {
  return static_cast<uint8_t>(1u << static_cast<int>(e));
}

/// The command of a header; null where the engine of that generation has none. `engines` is a mask;
/// one of them is enough.
const Command* find_command(Gen gen, uint8_t engines, uint32_t header);

/// Names, lengths and operands of the `n` dwords at `dw`, a line for each command, "address:
/// header  NAME operands". What is not a command is shown as data and passed by a dword at a time;
/// a command cut off by the end says so.
std::string disassemble(Gen gen, const uint32_t* dw, size_t n, uint64_t addr);

}  // namespace i915u::gpu
