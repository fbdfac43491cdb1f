// SPDX-License-Identifier: MIT
// The copy engine's fills and copies. Each is done in slices of a part of one row, within one page
// of the destination, so that none takes unbounded time.
#include <algorithm>
#include <cstring>

#include "gpu/command_streamer.h"

namespace i915u::gpu {

namespace {

constexpr size_t slice_bytes = 4096;
constexpr uint8_t rop_source_copy = 0xcc, rop_pattern_copy = 0xf0;

/// A ternary raster operation: bit (pattern << 2 | source << 1 | destination) of the code is the
/// result.
uint32_t raster(uint8_t rop, uint32_t pattern, uint32_t source, uint32_t destination) {
  uint32_t out = 0;
  for (unsigned i = 0; i < 8; i++)
    if (rop >> i & 1)
      out |= (i & 4 ? pattern : ~pattern) & (i & 2 ? source : ~source) &
             (i & 1 ? destination : ~destination);
  return out;
}

/// `value`, a pattern of 4 bytes, as it stands `at` bytes into a row.
uint32_t rotate(uint32_t value, uint64_t at) {
  const unsigned shift = at % 4 * 8;
  return shift ? value >> shift | value << (32 - shift) : value;
}

constexpr int64_t low(uint32_t dw) {
  return static_cast<int16_t>(dw & 0xffff);
}
constexpr int64_t high(uint32_t dw) {
  return static_cast<int16_t>(dw >> 16);
}

/// Bits 25:24 of the second dword: 8, 16 (565), 16 (1555), 32 bits.
constexpr unsigned pixel_bytes(uint32_t br13) {
  const unsigned depth = br13 >> 24 & 3;
  return depth == 3 ? 4 : depth ? 2 : 1;
}

/// XY_FAST_COPY_BLT's, bits 26:24.
constexpr unsigned fast_pixel_bytes(uint32_t br13) {
  const unsigned depth = br13 >> 24 & 7;
  return depth >= 5 ? 16 : depth == 4 ? 8 : depth == 3 ? 4 : depth ? 2 : 1;
}

uint32_t repeat(uint32_t color, unsigned bytes) {
  switch (bytes) {
    case 1:
      return (color & 0xff) * 0x01010101u;
    case 2:
      return (color & 0xffff) * 0x00010001u;
  }
  return color;
}

/// Bits 21:20 of the header, alpha and color; only 32-bit pixels have them.
uint32_t channel_mask(uint32_t header, unsigned bytes) {
  if (bytes != 4) return UINT32_MAX;
  return (header >> 20 & 1 ? 0x00ffffff : 0) | (header >> 21 & 1 ? 0xff000000 : 0);
}

}  // namespace

CommandStreamer::Step CommandStreamer::execute_blt(uint32_t header, uint32_t len,
                                                   const uint32_t* dw) {
  const uint32_t wide = gen_ >= gen8 ? 1 : 0;  // one dword more for each address
  const uint32_t br13 = dw[1];
  const unsigned bytes = pixel_bytes(br13);
  Blit b;
  b.rop = br13 >> 16 & 0xff;
  b.dst_pitch = low(br13);
  b.mask = channel_mask(header, bytes);

  // The rectangle of the XY_ commands, from dword 2 and 3; its right and lower edges are outside.
  int64_t x = 0, y = 0;
  const auto rectangle = [&](unsigned pixel) {
    x = low(dw[2]);
    y = high(dw[2]);
    b.row_bytes = static_cast<uint64_t>(std::max<int64_t>(0, low(dw[3]) - x)) * pixel;
    b.rows = static_cast<uint64_t>(std::max<int64_t>(0, high(dw[3]) - y));
  };
  const auto at = [&](uint64_t surface, int64_t pitch, int64_t px, int64_t py, unsigned pixel) {
    return mask_address(surface + static_cast<uint64_t>(py * pitch + px * pixel));
  };
  // The pitch of a tiled surface counts dwords.
  const auto tiled = [&](bool is, int64_t* pitch) {
    if (!is) return;
    *pitch *= 4;
    counters_.approximated++;
  };

  switch (static_cast<blt::Opcode>(header >> 22 & 0x7f)) {
    case blt::color:
      b.row_bytes = dw[2] & 0xffff;
      b.rows = dw[2] >> 16;
      b.dst = address_of(dw + 3);
      b.color = repeat(dw[4 + wide], bytes);
      break;
    case blt::src_copy:
      b.row_bytes = dw[2] & 0xffff;
      b.rows = dw[2] >> 16;
      b.dst = address_of(dw + 3);
      b.src_pitch = low(dw[4 + wide]);
      b.src = address_of(dw + 5 + wide);
      b.copy = true;
      break;
    case blt::xy_color:
      tiled(header & 1u << 11, &b.dst_pitch);
      if (br13 & 1u << 30) counters_.approximated++;
      rectangle(bytes);
      b.dst = at(address_of(dw + 4), b.dst_pitch, x, y, bytes);
      b.color = repeat(dw[5 + wide], bytes);
      break;
    case blt::xy_src_copy:
      b.src_pitch = low(dw[6 + wide]);
      tiled(header & 1u << 11, &b.dst_pitch);
      tiled(header & 1u << 15, &b.src_pitch);
      if (br13 & 1u << 30) counters_.approximated++;
      rectangle(bytes);
      b.dst = at(address_of(dw + 4), b.dst_pitch, x, y, bytes);
      b.src =
          at(address_of(dw + 7 + wide), b.src_pitch, low(dw[5 + wide]), high(dw[5 + wide]), bytes);
      b.copy = true;
      break;
    case blt::xy_fast_copy: {
      const unsigned pixel = fast_pixel_bytes(br13);
      b.src_pitch = low(dw[7]);
      tiled(header & 3u << 13, &b.dst_pitch);
      tiled(header & 3u << 20, &b.src_pitch);
      rectangle(pixel);
      b.dst = at(address_of(dw + 4), b.dst_pitch, x, y, pixel);
      b.src = at(address_of(dw + 8), b.src_pitch, low(dw[6]), high(dw[6]), pixel);
      b.mask = UINT32_MAX;
      b.rop = rop_source_copy;
      b.copy = true;
      break;
    }
    case blt::xy_fast_color: {
      const unsigned pixel = 1u << std::min(header >> 19 & 7, 4u);
      if (pixel > 4 || br13 >> 30) counters_.approximated++;
      b.dst_pitch = static_cast<int64_t>(br13 & 0x3ffff) + 1;
      rectangle(pixel);
      b.dst = at(address_of(dw + 4), b.dst_pitch, x, y, pixel);
      b.color = repeat(dw[7], pixel);
      b.mask = UINT32_MAX;
      b.rop = rop_pattern_copy;
      break;
    }
    default:
      counters_.skipped++;
      return Step::next;
  }
  return start_blit(b, len);
}

CommandStreamer::Step CommandStreamer::start_blit(Blit b, uint32_t len) {
  if (!b.rows || !b.row_bytes) return Step::next;
  // As memmove does. Where the pitches differ, no order is right for every overlap.
  b.columns_backward = b.copy && b.dst > b.src;
  b.rows_backward = b.copy && b.columns_backward == (b.dst_pitch > 0);
  const auto pitch = static_cast<int64_t>(b.row_bytes);
  if (b.dst_pitch == pitch && (!b.copy || b.src_pitch == pitch)) {
    b.row_bytes *= b.rows;
    b.rows = 1;
  }
  b.dwords = len;
  b.active = true;
  state_.blit = b;
  return blit_slice();
}

CommandStreamer::Step CommandStreamer::blit_slice() {
  Blit& b = state_.blit;
  const auto row = static_cast<int64_t>(b.rows_backward ? b.rows - 1 - b.row : b.row);
  const uint64_t dst_row = b.dst + static_cast<uint64_t>(row * b.dst_pitch);
  uint64_t column, len;
  const uint64_t left = b.row_bytes - b.column;
  if (b.columns_backward) {
    len = std::min(left, (dst_row + left - 1) % slice_bytes + 1);
    column = left - len;
  } else {
    len = std::min(left, slice_bytes - (dst_row + b.column) % slice_bytes);
    column = b.column;
  }
  const uint64_t dst = mask_address(dst_row + column);
  const uint64_t src = mask_address(b.src + static_cast<uint64_t>(row * b.src_pitch) + column);

  uint32_t source[slice_bytes / 4], out[slice_bytes / 4];
  const size_t words = (len + 3) / 4;
  const uint32_t* data = out;
  if (b.copy && !read(Space::ppgtt, src, source, len)) return Step::stop;
  if (b.copy && b.rop == rop_source_copy && b.mask == UINT32_MAX) {
    data = source;
  } else if (!b.copy && b.rop == rop_pattern_copy && b.mask == UINT32_MAX) {
    std::fill_n(out, words, rotate(b.color, column));
  } else {
    if (!read(Space::ppgtt, dst, out, len)) return Step::stop;
    const uint32_t color = rotate(b.color, column), mask = rotate(b.mask, column);
    for (size_t i = 0; i < words; i++)
      out[i] = (raster(b.rop, color, b.copy ? source[i] : 0, out[i]) & mask) | (out[i] & ~mask);
  }
  if (!write(Space::ppgtt, dst, data, len)) return Step::stop;

  b.column += len;
  if (b.column < b.row_bytes) return Step::stay;
  b.column = 0;
  if (++b.row < b.rows) return Step::stay;
  b.active = false;
  return Step::next;
}

}  // namespace i915u::gpu
