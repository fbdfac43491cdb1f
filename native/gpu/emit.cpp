// SPDX-License-Identifier: MIT
#include "gpu/emit.h"

#include <cerrno>

namespace i915u::gpu {

namespace {

constexpr uint32_t lo(uint64_t v) {
  return static_cast<uint32_t>(v);
}
constexpr uint32_t hi(uint64_t v) {
  return static_cast<uint32_t>(v >> 32);
}

// The kernel writes relocations in canonical form (bit 47 repeated upwards) from gen8 on, and so do
// we, that a batch is the same with and without them.
constexpr uint64_t canonical(uint64_t addr) {
  return static_cast<uint64_t>(static_cast<int64_t>(addr << 16) >> 16);
}

// Bits of the second dword of a blit.
constexpr uint32_t rop_pattern_copy = 0xf0u << 16;
constexpr uint32_t rop_source_copy = 0xccu << 16;
// Bits 21:20 of a blit's header: which channels a 32-bit pixel has written.
constexpr uint32_t write_rgba = 3u << 20;

/// The color depth of XY_COLOR_BLT and XY_SRC_COPY_BLT, bits 25:24; negative where there is none.
int blt_depth(unsigned bpp) {
  switch (bpp) {
    case 8:
      return 0;
    case 16:
      return 1;
    case 32:
      return 3;
  }
  return -1;
}

/// That of XY_FAST_COPY_BLT, bits 26:24.
int fast_copy_depth(unsigned bpp) {
  switch (bpp) {
    case 64:
      return 4;
    case 128:
      return 5;
  }
  return blt_depth(bpp);
}

constexpr unsigned max_coordinate = 32767;

bool rectangle_ok(const Surface& s, unsigned width, unsigned height) {
  return width && height && s.pitch <= max_coordinate && width <= max_coordinate &&
         height <= max_coordinate && s.x + width <= max_coordinate &&
         s.y + height <= max_coordinate;
}

constexpr uint32_t corner(unsigned x, unsigned y) {
  return y << 16 | x;
}

bool register_ok(uint32_t reg) {
  return !(reg & ~0x7ffffcu);
}

}  // namespace

int Emit::append(std::initializer_list<uint32_t> dw, int index) {
  const int at = size() + index;
  dw_.insert(dw_.end(), dw);
  return at;
}

bool Emit::address_ok(uint64_t addr, unsigned align) const {
  if (addr & (align - 1)) return false;
  if (gen_ < gen8) return !hi(addr);
  return addr >> 48 == 0 || canonical(addr) == addr;
}

int Emit::raw(uint32_t dw) {
  return append({dw}, 0);
}

int Emit::noop() {
  return raw(mi::header(mi::noop));
}

int Emit::align(unsigned dwords) {
  if (!dwords || (dwords & (dwords - 1))) return -EINVAL;
  const int at = size();
  while (dw_.size() & (dwords - 1)) noop();
  return at;
}

int Emit::arb_check() {
  return raw(mi::header(mi::arb_check));
}

int Emit::batch_end() {
  return raw(mi::header(mi::batch_buffer_end));
}

int Emit::batch_start(uint64_t addr, bool second) {
  if (second && gen_ < gen7_5) return -EOPNOTSUPP;
  if (!address_ok(addr, 4)) return -EINVAL;
  const uint32_t header =
      mi::header(mi::batch_buffer_start) | batch_ppgtt | (second ? second_level : 0);
  if (gen_ < gen8) return append({header, lo(addr)}, 1);
  addr = canonical(addr);
  return append({header | 1, lo(addr), hi(addr)}, 1);
}

int Emit::store_dword(uint64_t addr, uint32_t value) {
  if (!address_ok(addr, 4)) return -EINVAL;
  const uint32_t header = mi::header(mi::store_data_imm) | 2;
  if (gen_ < gen8) return append({header, 0, lo(addr), value}, 2);
  addr = canonical(addr);
  return append({header, lo(addr), hi(addr), value}, 1);
}

int Emit::store_qword(uint64_t addr, uint64_t value) {
  if (!address_ok(addr, 8)) return -EINVAL;
  const uint32_t header = mi::header(mi::store_data_imm) | 3;
  if (gen_ < gen8) return append({header, 0, lo(addr), lo(value), hi(value)}, 2);
  addr = canonical(addr);
  return append({header | store_qwords, lo(addr), hi(addr), lo(value), hi(value)}, 1);
}

int Emit::semaphore_wait(uint64_t addr, Compare op, uint32_t value) {
  if (gen_ < gen8) return -EOPNOTSUPP;
  if (!address_ok(addr, 4) || op > Compare::neq) return -EINVAL;
  addr = canonical(addr);
  const uint32_t header =
      mi::header(mi::semaphore_wait) | semaphore_poll | static_cast<uint32_t>(op) << 12;
  if (gen_ < gen12) return append({header | 2, value, lo(addr), hi(addr)}, 2);
  return append({header | 3, value, lo(addr), hi(addr), 0}, 2);
}

int Emit::load_register_imm(uint32_t reg, uint32_t value) {
  if (!register_ok(reg)) return -EINVAL;
  return append({mi::header(mi::load_register_imm) | 1, reg, value}, 0);
}

int Emit::load_register_reg(uint32_t from, uint32_t to) {
  if (gen_ < gen7_5) return -EOPNOTSUPP;
  if (!register_ok(from) || !register_ok(to)) return -EINVAL;
  return append({mi::header(mi::load_register_reg) | 1, from, to}, 0);
}

int Emit::load_register_mem(uint32_t reg, uint64_t addr) {
  if (gen_ < gen7) return -EOPNOTSUPP;
  if (!register_ok(reg) || !address_ok(addr, 4)) return -EINVAL;
  const uint32_t header = mi::header(mi::load_register_mem);
  if (gen_ < gen8) return append({header | 1, reg, lo(addr)}, 2);
  addr = canonical(addr);
  return append({header | 2, reg, lo(addr), hi(addr)}, 2);
}

int Emit::store_register_mem(uint32_t reg, uint64_t addr) {
  if (!register_ok(reg) || !address_ok(addr, 4)) return -EINVAL;
  const uint32_t header = mi::header(mi::store_register_mem);
  if (gen_ < gen8) return append({header | 1, reg, lo(addr)}, 2);
  addr = canonical(addr);
  return append({header | 2, reg, lo(addr), hi(addr)}, 2);
}

int Emit::flush_dw(PostSync op, uint64_t addr, uint64_t value) {
  if (!address_ok(addr, 8)) return -EINVAL;
  const uint32_t header = mi::header(mi::flush_dw) | static_cast<uint32_t>(op) << 14;
  if (gen_ < gen8) return append({header | 2, lo(addr), lo(value), hi(value)}, 1);
  addr = canonical(addr);
  return append({header | 3, lo(addr), hi(addr), lo(value), hi(value)}, 1);
}

int Emit::pipe_control(uint32_t flags, PostSync op, uint64_t addr, uint64_t value) {
  if (!address_ok(addr, 8) || (flags & 3u << 14)) return -EINVAL;
  const uint32_t header = gfx::header(gfx::pipe_control);
  flags |= static_cast<uint32_t>(op) << 14;
  if (gen_ < gen8) return append({header | 3, flags, lo(addr), lo(value), hi(value)}, 2);
  addr = canonical(addr);
  return append({header | 4, flags, lo(addr), hi(addr), lo(value), hi(value)}, 2);
}

int Emit::xy_color_blt(const Surface& dst, unsigned width, unsigned height, uint32_t color,
                       unsigned bpp) {
  if (gen_ > gen12) return -EOPNOTSUPP;
  const int depth = blt_depth(bpp);
  if (depth < 0 || !address_ok(dst.addr, 1) || !rectangle_ok(dst, width, height)) return -EINVAL;
  const uint32_t header = blt::header(blt::xy_color) | (bpp == 32 ? write_rgba : 0);
  const uint32_t br13 = static_cast<uint32_t>(depth) << 24 | rop_pattern_copy | dst.pitch;
  const uint32_t from = corner(dst.x, dst.y), to = corner(dst.x + width, dst.y + height);
  if (gen_ < gen8) return append({header | 4, br13, from, to, lo(dst.addr), color}, 4);
  const uint64_t addr = canonical(dst.addr);
  return append({header | 5, br13, from, to, lo(addr), hi(addr), color}, 4);
}

int Emit::copy(uint32_t header, uint32_t br13, const Surface& dst, const Surface& src,
               unsigned width, unsigned height, int* src_index) {
  const uint32_t from = corner(dst.x, dst.y), to = corner(dst.x + width, dst.y + height);
  const uint32_t src_from = corner(src.x, src.y);
  if (src_index) *src_index = size() + (gen_ < gen8 ? 7 : 8);
  if (gen_ < gen8)
    return append({header | 6, br13, from, to, lo(dst.addr), src_from, src.pitch, lo(src.addr)}, 4);
  const uint64_t d = canonical(dst.addr), s = canonical(src.addr);
  return append({header | 8, br13, from, to, lo(d), hi(d), src_from, src.pitch, lo(s), hi(s)}, 4);
}

int Emit::xy_src_copy_blt(const Surface& dst, const Surface& src, unsigned width, unsigned height,
                          unsigned bpp, int* src_index) {
  if (gen_ > gen12) return -EOPNOTSUPP;
  const int depth = blt_depth(bpp);
  if (depth < 0 || !address_ok(dst.addr, 1) || !address_ok(src.addr, 1) ||
      !rectangle_ok(dst, width, height) || !rectangle_ok(src, width, height))
    return -EINVAL;
  const uint32_t header = blt::header(blt::xy_src_copy) | (bpp == 32 ? write_rgba : 0);
  const uint32_t br13 = static_cast<uint32_t>(depth) << 24 | rop_source_copy | dst.pitch;
  return copy(header, br13, dst, src, width, height, src_index);
}

int Emit::xy_fast_copy_blt(const Surface& dst, const Surface& src, unsigned width, unsigned height,
                           unsigned bpp, int* src_index) {
  if (gen_ < gen9) return -EOPNOTSUPP;
  const int depth = fast_copy_depth(bpp);
  if (depth < 0 || !address_ok(dst.addr, 16) || !address_ok(src.addr, 16) ||
      !rectangle_ok(dst, width, height) || !rectangle_ok(src, width, height) ||
      ((dst.pitch | src.pitch) & 15))
    return -EINVAL;
  return copy(blt::header(blt::xy_fast_copy), static_cast<uint32_t>(depth) << 24 | dst.pitch, dst,
              src, width, height, src_index);
}

int Emit::spinner(uint64_t base, Spinner* out, const uint64_t* started, unsigned pad) {
  if (!address_ok(base, 4) || (started && !address_ok(*started, 4)) || pad > 4096) return -EINVAL;
  const size_t before = dw_.size();
  Spinner s;
  if (started) s.started = store_dword(*started, 1);
  const auto at = [&](int index) { return base + 4u * static_cast<unsigned>(index); };
  // A cache line of its own for the dword that the CPU writes.
  align(16);
  s.loop = arb_check();
  if (gen_ >= gen8) {
    s.end = (s.loop + 4 + static_cast<int>(pad) + 3 + 1 + 15) / 16 * 16;
    const uint64_t end = canonical(at(s.end));
    s.condition = append({mi::header(mi::conditional_batch_buffer_end) | compare_semaphore | 2,
                          spinner_end, lo(end), hi(end)},
                         2);
  } else {
    s.end = s.loop;
  }
  dw_.resize(dw_.size() + pad, mi::header(mi::noop));
  s.jump = batch_start(at(s.loop));
  if (s.jump < 0) {  // the loop lies above 4 GiB
    dw_.resize(before);
    return s.jump;
  }
  align(2);
  if (s.condition >= 0) {
    align(16);
    raw(UINT32_MAX);
    align(2);
  }
  *out = s;
  return 0;
}

}  // namespace i915u::gpu
