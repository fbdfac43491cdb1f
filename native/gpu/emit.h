// SPDX-License-Identifier: MIT
// Writes commands in the encoding of a generation.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "gpu/commands.h"

namespace i915u::gpu {

/// Where a blit reads or writes. Bytes between rows may be at most 32767.
struct Surface {
  uint64_t addr = 0;
  uint32_t pitch = 0;     ///< bytes
  uint16_t x = 0, y = 0;  ///< of the rectangle's first pixel
};

/// Bits 15:14 of PIPE_CONTROL's flags and of MI_FLUSH_DW.
enum class PostSync : uint8_t { none = 0, write_immediate = 1, write_timestamp = 3 };

/// Bits of PIPE_CONTROL's flags, those that do no harm on any generation.
constexpr uint32_t pipe_control_cs_stall = 1u << 20;
constexpr uint32_t pipe_control_render_target_flush = 1u << 12;
constexpr uint32_t pipe_control_stall_at_scoreboard = 1u << 1;

/// What emit_spinner() wrote; indices of dwords, negative when there is none.
struct Spinner {
  int started = -1;    ///< low dword of the address of the "started" store
  int jump = -1;       ///< low dword of the address of the jump back; it is base + 4 * loop
  int condition = -1;  ///< gen8+: low dword of the address that is looked at, base + 4 * end
  int loop = -1;
  int end = -1;  ///< write spinner_end here, and the spinner ends
};
constexpr uint32_t spinner_end = mi::header(mi::batch_buffer_end);

/// Appends commands to dwords(). Each method answers the index of the dword that holds the low half
/// of its (first) address operand, where a relocation may point at 4 times that; for commands
/// without one, the index of the header. Nothing is appended on an error:
///   -EOPNOTSUPP  the generation lacks the command, or a form of it
///   -EINVAL      an operand does not fit: address (32 bits before gen8, 48 bits or canonical from
///                then on; alignment), register, pitch, size, depth
class Emit {
 public:
  explicit Emit(Gen gen) : gen_(gen) {}

  Gen gen() const { return gen_; }
  std::vector<uint32_t>& dwords() { return dw_; }
  const std::vector<uint32_t>& dwords() const { return dw_; }
  int size() const { return static_cast<int>(dw_.size()); }

  /// Any dword, unchecked.
  int raw(uint32_t dw);
  int noop();
  /// Appends MI_NOOP until size() is a multiple of `dwords`, a power of two. A batch's length must
  /// be a multiple of 2 dwords.
  int align(unsigned dwords);
  int arb_check();
  int batch_end();
  /// A jump within the unprivileged batch; `second_level` (gen7.5+): returns after it.
  int batch_start(uint64_t addr, bool second_level = false);
  int store_dword(uint64_t addr, uint32_t value);
  /// Address aligned to 8 bytes.
  int store_qword(uint64_t addr, uint64_t value);
  /// Gen8+. Goes on when *addr OP value; five dwords from gen12 on.
  int semaphore_wait(uint64_t addr, Compare op, uint32_t value);
  int load_register_imm(uint32_t reg, uint32_t value);
  /// Gen7.5+.
  int load_register_reg(uint32_t from, uint32_t to);
  /// Gen7+.
  int load_register_mem(uint32_t reg, uint64_t addr);
  int store_register_mem(uint32_t reg, uint64_t addr);
  /// All engines but render. `value` is a qword, address aligned to 8 bytes.
  int flush_dw(PostSync op = PostSync::none, uint64_t addr = 0, uint64_t value = 0);
  /// Render and compute. `flags` is the command's second dword without the post-sync operation.
  int pipe_control(uint32_t flags, PostSync op = PostSync::none, uint64_t addr = 0,
                   uint64_t value = 0);
  /// Up to gen12, the copy engine, 8, 16 or 32 bits a pixel; width and height in pixels.
  int xy_color_blt(const Surface& dst, unsigned width, unsigned height, uint32_t color,
                   unsigned bpp = 32);
  /// Up to gen12. The index of the source address is left in *src_index.
  int xy_src_copy_blt(const Surface& dst, const Surface& src, unsigned width, unsigned height,
                      unsigned bpp = 32, int* src_index = nullptr);
  /// Gen9+; also 64 and 128 bits a pixel. Addresses and pitches aligned to 16 bytes.
  int xy_fast_copy_blt(const Surface& dst, const Surface& src, unsigned width, unsigned height,
                       unsigned bpp = 32, int* src_index = nullptr);

  /// Runs until the CPU writes spinner_end to the dword `end`: MI_ARB_CHECK, `pad` MI_NOOPs, and a
  /// jump back, so that it can be preempted (gen8+). `base` is the GPU address of dwords()[0]. From
  /// gen8 on `end` is data, by MI_CONDITIONAL_BATCH_BUFFER_END: where i915 has a command parser
  /// (gen9's copy engine), a copy of the batch runs, and what is written to its commands is not
  /// seen. With `started`, the dword at that address becomes 1 first. 0 or an error.
  int spinner(uint64_t base, Spinner* out, const uint64_t* started = nullptr, unsigned pad = 16);

 private:
  int append(std::initializer_list<uint32_t> dw, int index);
  bool address_ok(uint64_t addr, unsigned align) const;
  int copy(uint32_t header, uint32_t br13, const Surface& dst, const Surface& src, unsigned width,
           unsigned height, int* src_index);

  Gen gen_;
  std::vector<uint32_t> dw_;
};

}  // namespace i915u::gpu
