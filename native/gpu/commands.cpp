// SPDX-License-Identifier: MIT
#include "gpu/commands.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace i915u::gpu {

namespace {

constexpr uint8_t rcs = engine_mask(Engine::render);
constexpr uint8_t bcs = engine_mask(Engine::copy);
constexpr uint8_t vcs = engine_mask(Engine::video);
constexpr uint8_t vecs = engine_mask(Engine::video_enhance);
constexpr uint8_t ccs = engine_mask(Engine::compute);
constexpr uint8_t shaders = rcs | ccs;
constexpr uint8_t no_shaders = bcs | vcs | vecs;
constexpr Gen gen_first = gen6, gen_last = gen12_5;

constexpr Client M = Client::mi, B = Client::blt, G = Client::gfx;

// Kinds of operands: A address (two dwords from gen8 on), x hexadecimal, r register, p pair of
// 16-bit coordinates "x,y", d decimal, - must be zero. After * the rest repeats to the end of the
// command. MI lengths have 8 bits from gen8 on, 6 before, but where the manuals say otherwise.
constexpr Command table[] = {
    {M, mi::noop, any_engine, gen_first, gen_last, 0, 1, "MI_NOOP", ""},
    {M, mi::set_predicate, shaders, gen7_5, gen_last, 0, 1, "MI_SET_PREDICATE", ""},
    {M, mi::user_interrupt, any_engine, gen_first, gen_last, 0, 1, "MI_USER_INTERRUPT", ""},
    {M, mi::wait_for_event, any_engine, gen_first, gen_last, 0, 1, "MI_WAIT_FOR_EVENT", ""},
    {M, mi::flush, rcs, gen_first, gen7_5, 0, 1, "MI_FLUSH", ""},
    {M, mi::arb_check, any_engine, gen_first, gen_last, 0, 1, "MI_ARB_CHECK", ""},
    {M, mi::rs_control, rcs, gen7_5, gen_last, 0, 1, "MI_RS_CONTROL", ""},
    {M, mi::report_head, any_engine, gen_first, gen_last, 0, 1, "MI_REPORT_HEAD", ""},
    {M, mi::arb_on_off, any_engine, gen_first, gen_last, 0, 1, "MI_ARB_ON_OFF", ""},
    {M, mi::urb_atomic_alloc, rcs, gen7_5, gen_last, 0, 1, "MI_URB_ATOMIC_ALLOC", ""},
    {M, mi::batch_buffer_end, any_engine, gen_first, gen_last, 0, 1, "MI_BATCH_BUFFER_END", ""},
    {M, mi::suspend_flush, any_engine, gen_first, gen_last, 0, 1, "MI_SUSPEND_FLUSH", ""},
    {M, mi::predicate, shaders, gen7, gen_last, 0, 1, "MI_PREDICATE", ""},
    {M, mi::topology_filter, shaders, gen7, gen_last, 0, 1, "MI_TOPOLOGY_FILTER", ""},
    {M, mi::set_appid, any_engine, gen7, gen_last, 0, 1, "MI_SET_APPID", ""},
    {M, mi::rs_context, rcs, gen7_5, gen_last, 0, 1, "MI_RS_CONTEXT", ""},
    {M, mi::load_scan_lines_incl, rcs | bcs, gen_first, gen_last, 0x3f, 2,
     "MI_LOAD_SCAN_LINES_INCL", "x:lines"},
    {M, mi::load_scan_lines_excl, rcs | bcs, gen_first, gen_last, 0x3f, 2,
     "MI_LOAD_SCAN_LINES_EXCL", "x:lines"},
    {M, mi::display_flip, rcs | bcs, gen_first, gen_last, 0xff, 3, "MI_DISPLAY_FLIP",
     "x:pitch x:base"},
    {M, mi::semaphore_mbox, any_engine, gen_first, gen7_5, 0xff, 3, "MI_SEMAPHORE_MBOX",
     "x:value x:address"},
    {M, mi::set_context, rcs, gen_first, gen7_5, 0xff, 2, "MI_SET_CONTEXT", "x:ccid"},
    {M, mi::urb_clear, rcs, gen_first, gen_last, 0xff, 2, "MI_URB_CLEAR", "x:offset"},
    {M, mi::math, any_engine, gen7_5, gen_last, 0xff, 2, "MI_MATH", "*x:alu"},
    {M, mi::semaphore_signal, any_engine, gen8, gen_last, 0xff, 2, "MI_SEMAPHORE_SIGNAL",
     "x:context"},
    {M, mi::semaphore_wait, any_engine, gen8, gen_last, 0xff, 4, "MI_SEMAPHORE_WAIT",
     "x:value A:address x:token"},
    {M, mi::force_wakeup, any_engine, gen11, gen_last, 0xff, 2, "MI_FORCE_WAKEUP", "x:mask"},
    {M, mi::store_data_imm, any_engine, gen_first, gen7_5, 0x3f, 4, "MI_STORE_DATA_IMM",
     "-:0 A:address *x:data"},
    {M, mi::store_data_imm, any_engine, gen8, gen_last, 0x3ff, 4, "MI_STORE_DATA_IMM",
     "A:address *x:data"},
    {M, mi::store_data_index, any_engine, gen_first, gen_last, 0xff, 3, "MI_STORE_DATA_INDEX",
     "x:offset *x:data"},
    {M, mi::load_register_imm, any_engine, gen_first, gen_last, 0xff, 3, "MI_LOAD_REGISTER_IMM",
     "*r:register x:value"},
    {M, mi::update_gtt, any_engine, gen_first, gen_last, 0x3ff, 3, "MI_UPDATE_GTT",
     "x:address *x:entry"},
    {M, mi::store_register_mem, any_engine, gen_first, gen7_5, 0xff, 3, "MI_STORE_REGISTER_MEM",
     "r:register A:address"},
    {M, mi::store_register_mem, any_engine, gen8, gen_last, 0xff, 4, "MI_STORE_REGISTER_MEM",
     "r:register A:address"},
    {M, mi::flush_dw, no_shaders, gen_first, gen7_5, 0x3f, 3, "MI_FLUSH_DW",
     "A:address x:data x:data"},
    {M, mi::flush_dw, no_shaders, gen8, gen_last, 0x3f, 3, "MI_FLUSH_DW",
     "A:address x:data x:data"},
    {M, mi::clflush, rcs, gen7, gen_last, 0x3ff, 3, "MI_CLFLUSH", "x:address x:address"},
    {M, mi::report_perf_count, rcs, gen_first, gen_last, 0x3f, 3, "MI_REPORT_PERF_COUNT",
     "A:address x:id"},
    {M, mi::load_register_mem, any_engine, gen7, gen7_5, 0xff, 3, "MI_LOAD_REGISTER_MEM",
     "r:register A:address"},
    {M, mi::load_register_mem, any_engine, gen8, gen_last, 0xff, 4, "MI_LOAD_REGISTER_MEM",
     "r:register A:address"},
    {M, mi::load_register_reg, any_engine, gen7_5, gen_last, 0xff, 3, "MI_LOAD_REGISTER_REG",
     "r:from r:to"},
    {M, mi::rs_store_data_imm, rcs, gen7_5, gen_last, 0xff, 4, "MI_RS_STORE_DATA_IMM",
     "x:address x:0 x:data"},
    {M, mi::load_urb_mem, rcs, gen7_5, gen_last, 0xff, 3, "MI_LOAD_URB_MEM", "x:urb A:address"},
    {M, mi::store_urb_mem, rcs, gen7_5, gen_last, 0xff, 3, "MI_STORE_URB_MEM", "x:urb A:address"},
    {M, mi::copy_mem_mem, any_engine, gen8, gen_last, 0xff, 5, "MI_COPY_MEM_MEM", "A:to A:from"},
    {M, mi::atomic, any_engine, gen7_5, gen7_5, 0xff, 2, "MI_ATOMIC", "A:address *x:operand"},
    {M, mi::atomic, any_engine, gen8, gen_last, 0xff, 3, "MI_ATOMIC", "A:address *x:operand"},
    {M, mi::batch_buffer_start, any_engine, gen_first, gen7_5, 0xff, 2, "MI_BATCH_BUFFER_START",
     "A:address"},
    {M, mi::batch_buffer_start, any_engine, gen8, gen_last, 0xff, 3, "MI_BATCH_BUFFER_START",
     "A:address"},
    {M, mi::conditional_batch_buffer_end, any_engine, gen_first, gen7_5, 0xff, 3,
     "MI_CONDITIONAL_BATCH_BUFFER_END", "x:value A:address"},
    {M, mi::conditional_batch_buffer_end, any_engine, gen8, gen_last, 0xff, 4,
     "MI_CONDITIONAL_BATCH_BUFFER_END", "x:value A:address"},

    {B, 0x01, bcs, gen_first, gen12, 0xff, 2, "XY_SETUP_BLT", "*x"},
    {B, 0x03, bcs, gen_first, gen12, 0xff, 2, "XY_SETUP_CLIP_BLT", "*x"},
    {B, 0x11, bcs, gen_first, gen12, 0xff, 2, "XY_SETUP_MONO_PATTERN_SL_BLT", "*x"},
    {B, 0x24, bcs, gen_first, gen12, 0xff, 2, "XY_PIXEL_BLT", "p:at"},
    {B, 0x25, bcs, gen_first, gen12, 0xff, 2, "XY_SCANLINES_BLT", "p:from p:to"},
    {B, 0x26, bcs, gen_first, gen12, 0xff, 2, "XY_TEXT_BLT", "*x"},
    {B, 0x31, bcs, gen_first, gen12, 0xff, 2, "XY_TEXT_IMMEDIATE_BLT", "*x"},
    {B, blt::color, bcs, gen_first, gen7_5, 0xff, 5, "COLOR_BLT",
     "x:br13 p:bytes,rows A:dst x:color"},
    {B, blt::color, bcs, gen8, gen12, 0xff, 6, "COLOR_BLT", "x:br13 p:bytes,rows A:dst x:color"},
    {B, 0x41, bcs, gen12, gen_last, 0xff, 2, "XY_BLOCK_COPY_BLT", "*x"},
    {B, blt::xy_fast_copy, bcs, gen9, gen_last, 0xff, 10, "XY_FAST_COPY_BLT",
     "x:br13 p:from p:to A:dst p:src d:pitch A:src"},
    {B, blt::src_copy, bcs, gen_first, gen7_5, 0xff, 6, "SRC_COPY_BLT",
     "x:br13 p:bytes,rows A:dst d:pitch A:src"},
    {B, blt::src_copy, bcs, gen8, gen12, 0xff, 8, "SRC_COPY_BLT",
     "x:br13 p:bytes,rows A:dst d:pitch A:src"},
    {B, blt::xy_fast_color, bcs, gen12_5, gen_last, 0xff, 11, "XY_FAST_COLOR_BLT",
     "x:pitch p:from p:to A:dst x:offset *x:color"},
    {B, 0x48, bcs, gen12, gen_last, 0xff, 2, "XY_CTRL_SURF_COPY_BLT", "*x"},
    {B, blt::xy_color, bcs, gen_first, gen7_5, 0xff, 6, "XY_COLOR_BLT",
     "x:br13 p:from p:to A:dst x:color"},
    {B, blt::xy_color, bcs, gen8, gen12, 0xff, 7, "XY_COLOR_BLT",
     "x:br13 p:from p:to A:dst x:color"},
    {B, 0x51, bcs, gen_first, gen12, 0xff, 2, "XY_PAT_BLT", "*x"},
    {B, 0x52, bcs, gen_first, gen12, 0xff, 2, "XY_MONO_PAT_BLT", "*x"},
    {B, blt::xy_src_copy, bcs, gen_first, gen7_5, 0xff, 8, "XY_SRC_COPY_BLT",
     "x:br13 p:from p:to A:dst p:src d:pitch A:src"},
    {B, blt::xy_src_copy, bcs, gen8, gen12, 0xff, 10, "XY_SRC_COPY_BLT",
     "x:br13 p:from p:to A:dst p:src d:pitch A:src"},
    {B, 0x54, bcs, gen_first, gen12, 0xff, 2, "XY_MONO_SRC_COPY_BLT", "*x"},
    {B, 0x55, bcs, gen_first, gen12, 0xff, 2, "XY_FULL_BLT", "*x"},
    {B, 0x56, bcs, gen_first, gen12, 0xff, 2, "XY_FULL_MONO_SRC_BLT", "*x"},
    {B, 0x57, bcs, gen_first, gen12, 0xff, 2, "XY_FULL_MONO_PATTERN_BLT", "*x"},
    {B, 0x58, bcs, gen_first, gen12, 0xff, 2, "XY_FULL_MONO_PATTERN_MONO_SRC_BLT", "*x"},
    {B, 0x59, bcs, gen_first, gen12, 0xff, 2, "XY_MONO_PAT_FIXED_BLT", "*x"},
    {B, 0x71, bcs, gen_first, gen12, 0xff, 2, "XY_MONO_SRC_COPY_IMMEDIATE_BLT", "*x"},
    {B, 0x72, bcs, gen_first, gen12, 0xff, 2, "XY_PAT_BLT_IMMEDIATE", "*x"},
    {B, 0x73, bcs, gen_first, gen12, 0xff, 2, "XY_SRC_COPY_CHROMA_BLT", "*x"},
    {B, 0x74, bcs, gen_first, gen12, 0xff, 2, "XY_FULL_IMMEDIATE_PATTERN_BLT", "*x"},
    {B, 0x75, bcs, gen_first, gen12, 0xff, 2, "XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT", "*x"},
    {B, 0x76, bcs, gen_first, gen12, 0xff, 2, "XY_PAT_CHROMA_BLT", "*x"},
    {B, 0x77, bcs, gen_first, gen12, 0xff, 2, "XY_PAT_CHROMA_BLT_IMMEDIATE", "*x"},

    {G, 0x0101, shaders, gen_first, gen_last, 0xff, 2, "STATE_BASE_ADDRESS", "*x"},
    {G, 0x0102, shaders, gen_first, gen_last, 0xff, 2, "STATE_SIP", "*x"},
    {G, 0x0904, shaders, gen_first, gen_last, 0, 1, "PIPELINE_SELECT", ""},
    {G, 0x080b, rcs, gen_first, gen_last, 0, 1, "3DSTATE_VF_STATISTICS", ""},
    {G, 0x1000, shaders, gen_first, gen_last, 0xffff, 2, "MEDIA_VFE_STATE", "*x"},
    {G, 0x1001, shaders, gen_first, gen_last, 0xffff, 2, "MEDIA_CURBE_LOAD", "*x"},
    {G, 0x1002, shaders, gen_first, gen_last, 0xffff, 2, "MEDIA_INTERFACE_DESCRIPTOR_LOAD", "*x"},
    {G, 0x1004, shaders, gen_first, gen_last, 0xffff, 2, "MEDIA_STATE_FLUSH", "*x"},
    {G, 0x1100, shaders, gen_first, gen_last, 0xffff, 2, "MEDIA_OBJECT", "*x"},
    {G, 0x1104, shaders, gen_first, gen_last, 0xff, 2, "GPGPU_OBJECT", "*x"},
    {G, 0x1105, shaders, gen7, gen_last, 0xff, 2, "GPGPU_WALKER", "*x"},
    {G, gfx::pipe_control, rcs, gen_first, gen7_5, 0xff, 4, "PIPE_CONTROL",
     "x:flags A:address x:data x:data"},
    {G, gfx::pipe_control, shaders, gen8, gen_last, 0xff, 6, "PIPE_CONTROL",
     "x:flags A:address x:data x:data"},
    {G, 0x1839, rcs, gen7_5, gen_last, 0x7ff, 2, "3DSTATE_DX9_CONSTANTF_VS", "*x"},
    {G, 0x183a, rcs, gen7_5, gen_last, 0x7ff, 2, "3DSTATE_DX9_CONSTANTF_PS", "*x"},
    {G, 0x1843, rcs, gen7_5, gen_last, 0x1ff, 2, "3DSTATE_BINDING_TABLE_EDIT_VS", "*x"},
    {G, 0x1844, rcs, gen7_5, gen_last, 0x1ff, 2, "3DSTATE_BINDING_TABLE_EDIT_GS", "*x"},
    {G, 0x1845, rcs, gen7_5, gen_last, 0x1ff, 2, "3DSTATE_BINDING_TABLE_EDIT_HS", "*x"},
    {G, 0x1846, rcs, gen7_5, gen_last, 0x1ff, 2, "3DSTATE_BINDING_TABLE_EDIT_DS", "*x"},
    {G, 0x1847, rcs, gen7_5, gen_last, 0x1ff, 2, "3DSTATE_BINDING_TABLE_EDIT_PS", "*x"},
    {G, 0x1917, rcs, gen_first, gen_last, 0x1ff, 2, "3DSTATE_SO_DECL_LIST", "*x"},
    {G, 0x1b00, rcs, gen_first, gen_last, 0xff, 2, "3DPRIMITIVE", "*x"},
};

// What is not named above, by bits 28:27 of the header: the length rules of their opcode ranges.
constexpr Command rest_of_gfx[] = {
    {G, 0x0000, shaders, gen_first, gen_last, 0xff, 2, "GFX_COMMON", "*x"},
    {G, 0x0800, any_engine & ~bcs, gen_first, gen_last, 0, 1, "GFX_SINGLE_DWORD", ""},
    {G, 0x1000, shaders, gen_first, gen_last, 0xffff, 2, "GFX_MEDIA", "*x"},
    {G, 0x1800, rcs, gen_first, gen_last, 0xff, 2, "3DSTATE", "*x"},
};
// MFX, HCP and VEBOX commands; those of opcode 6 have the whole 16 bits.
constexpr Command video{G, 0x1000, vcs | vecs, gen_first, gen_last, 0xfff, 2, "MFX", "*x"};
constexpr Command video_long{G, 0x1600, vcs | vecs, gen_first, gen_last, 0xffff, 2, "MFX", "*x"};

constexpr Gen gens[] = {gen6, gen7, gen7_5, gen8, gen9, gen11, gen12, gen12_5};
/// The place in `gens` of a generation, by its number / 5: it is asked for each command.
constexpr auto place_of = [] {
  std::array<uint8_t, gen_last / 5 + 1> place{};
  for (size_t i = 0; i < std::size(gens); i++) place[gens[i] / 5] = static_cast<uint8_t>(i);
  return place;
}();

/// For each generation, the index in the table of each MI (0 to 63) and blitter (64 to 191)
/// command; the executing loop looks one up for each header.
constexpr uint8_t none = 0xff;
constexpr auto index_of = [] {
  std::array<std::array<uint8_t, 192>, std::size(gens)> index{};
  for (size_t g = 0; g < std::size(gens); g++) {
    index[g].fill(none);
    for (size_t i = 0; i < std::size(table); i++) {
      const Command& c = table[i];
      if (c.client != Client::gfx && c.first <= gens[g] && gens[g] <= c.last)
        index[g][c.opcode + (c.client == Client::blt ? 64 : 0)] = static_cast<uint8_t>(i);
    }
  }
  return index;
}();
static_assert(std::size(table) < none);

const Command* find_gfx(Gen gen, uint8_t engines, uint32_t header) {
  const uint16_t opcode = header >> 16 & 0x1fff;
  for (const Command& c : table)
    if (c.client == Client::gfx && c.opcode == opcode && c.first <= gen && gen <= c.last &&
        (c.engines & engines))
      return &c;
  const Command& c = rest_of_gfx[opcode >> 11];
  if (c.engines & engines) return &c;
  if (opcode >> 11 == 2 && (engines & (vcs | vecs)))
    return (opcode >> 8 & 7) == 6 ? &video_long : &video;
  return nullptr;
}

void put(std::string* out, const char* format, auto... args) {
  char text[64];
  snprintf(text, sizeof text, format, args...);
  *out += text;
}

/// The operands after the header of a command that is all there.
void put_operands(std::string* out, Gen gen, const Command& c, const uint32_t* dw, uint32_t len) {
  const char* at = c.operands;
  const char* again = nullptr;
  for (uint32_t i = 1; i < len;) {
    while (*at == ' ') at++;
    if (!*at) {
      if (!again) break;
      at = again;
    }
    if (*at == '*') again = ++at;
    const char kind = *at++;
    if (*at == ':') at++;
    const size_t name = strcspn(at, " ");
    *out += ' ';
    if (name) put(out, "%.*s=", static_cast<int>(name), at);
    at += name;
    switch (kind) {
      case 'A': {
        uint64_t addr = dw[i];
        if (gen >= gen8 && i + 1 < len) addr |= static_cast<uint64_t>(dw[++i]) << 32;
        put(out, "0x%llx", static_cast<unsigned long long>(addr));
        break;
      }
      case 'p':
        put(out, "%d,%d", static_cast<int16_t>(dw[i] & 0xffff), static_cast<int16_t>(dw[i] >> 16));
        break;
      case 'd':
        put(out, "%d", static_cast<int32_t>(dw[i]));
        break;
      case 'r':
        put(out, "0x%x", dw[i] & 0x7ffffc);
        break;
      default:
        put(out, "0x%x", dw[i]);
    }
    i++;
  }
}

}  // namespace

bool gen_of_version(unsigned version, Gen* gen) {
  switch (version) {
    case 6:
    case 7:
    case 8:
    case 9:
    case 11:
    case 12:
      *gen = static_cast<Gen>(version * 10);
      return true;
  }
  return false;
}

const Command* find_command(Gen gen, uint8_t engines, uint32_t header) {
  size_t slot;
  switch (static_cast<Client>(header >> 29)) {
    case Client::mi:
      slot = header >> 23 & 0x3f;
      break;
    case Client::blt:
      slot = 64 + (header >> 22 & 0x7f);
      break;
    case Client::gfx:
      return find_gfx(gen, engines, header);
    default:
      return nullptr;
  }
  const uint8_t i = index_of[place_of[gen / 5]][slot];
  return i != none && (table[i].engines & engines) ? &table[i] : nullptr;
}

std::string disassemble(Gen gen, const uint32_t* dw, size_t n, uint64_t addr) {
  std::string out;
  for (size_t i = 0; i < n;) {
    const Command* c = find_command(gen, any_engine, dw[i]);
    const uint32_t len = c ? c->length(dw[i]) : 1;
    put(&out, "%08llx: %08x  ", static_cast<unsigned long long>(addr + 4 * i), dw[i]);
    if (!c) {
      out += "(data)";
    } else {
      out += c->name;
      if (len < c->min_dwords) {
        put(&out, " (too short: %u dwords)", len);
      } else if (len > n - i) {
        put(&out, " (cut off: %zu of %u dwords)", n - i, len);
      } else {
        put_operands(&out, gen, *c, dw + i, len);
      }
    }
    out += '\n';
    i += len;
  }
  return out;
}

}  // namespace i915u::gpu
