// SPDX-License-Identifier: MIT
// One command each, in the encoding of a generation. Addresses that a command holds are answered by
// where they stand, so that the batch that it goes into can point a relocation at them.
#include <cerrno>

#include "addon/call.h"
#include "drm/chipset.h"
#include "gpu/commands.h"
#include "gpu/emit.h"

namespace i915u::addon {
namespace {

/// Dwords, and which of them hold the low halves of addresses: of the (destination) operand, of a
/// copy's source; -1 for none.
struct Fragment {
  std::vector<uint32_t> dwords;
  int32_t address = -1, source = -1;
};
napi_value uint32_array(napi_env env, const std::vector<uint32_t>& dwords) {
  Napi::Uint32Array array = Napi::Uint32Array::New(env, dwords.size());
  std::copy(dwords.begin(), dwords.end(), array.Data());
  return array;
}
napi_value to_js(napi_env env, const Fragment& f) {
  Napi::Object o(env,
                 object_js(env, std::pair{"address", f.address}, std::pair{"source", f.source}));
  o.Set("dwords", Napi::Value(env, uint32_array(env, f.dwords)));
  return o;
}

gpu::Emit emitter(Call& c) {
  const uint32_t gen = c.u32(0);
  for (const gpu::Gen g : {gpu::gen6, gpu::gen7, gpu::gen7_5, gpu::gen8, gpu::gen9, gpu::gen11,
                           gpu::gen12, gpu::gen12_5})
    if (gen == g) return gpu::Emit(g);
  c.bad(0, "a graphics version times 10: 60, 70, 75, 80, 90, 110, 120 or 125");
}

/// `index` is what the emitter answered; it names an address only where the command has one.
napi_value fragment(Call& c, gpu::Emit& emit, int index, bool has_address = true, int source = -1) {
  if (index < 0) c.fail(index);
  return to_js(c.env(), Fragment{std::move(emit.dwords()), has_address ? index : -1, source});
}

gpu::PostSync post_sync(Call& c, size_t i) {
  const uint32_t op = c.u32(i);
  if (op == 2 || op > 3) c.bad(i, "0 (none), 1 (immediate) or 3 (timestamp)");
  return static_cast<gpu::PostSync>(op);
}

uint16_t u16(Call& c, size_t i) {
  const uint32_t value = c.u32(i);
  if (value > UINT16_MAX) c.bad(i, "an integer, 0 to 65535");
  return static_cast<uint16_t>(value);
}

napi_value noop(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.noop(), false);
}
napi_value arb_check(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.arb_check(), false);
}
napi_value batch_end(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.batch_end(), false);
}
napi_value batch_start(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.batch_start(c.u64(1), c.boolean(2)));
}
napi_value store_dword(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.store_dword(c.u64(1), c.u32(2)));
}
napi_value store_qword(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.store_qword(c.u64(1), c.u64(2)));
}
napi_value semaphore_wait(Call& c) {
  auto e = emitter(c);
  const uint32_t op = c.u32(2);
  if (op > static_cast<uint32_t>(gpu::Compare::neq)) c.bad(2, "a comparison, 0 to 5");
  return fragment(c, e, e.semaphore_wait(c.u64(1), static_cast<gpu::Compare>(op), c.u32(3)));
}
napi_value load_register_imm(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.load_register_imm(c.u32(1), c.u32(2)), false);
}
napi_value load_register_reg(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.load_register_reg(c.u32(1), c.u32(2)), false);
}
napi_value load_register_mem(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.load_register_mem(c.u32(1), c.u64(2)));
}
napi_value store_register_mem(Call& c) {
  auto e = emitter(c);
  return fragment(c, e, e.store_register_mem(c.u32(1), c.u64(2)));
}
napi_value flush_dw(Call& c) {
  auto e = emitter(c);
  const gpu::PostSync op = post_sync(c, 1);
  return fragment(c, e, e.flush_dw(op, c.u64(2), c.u64(3)), op != gpu::PostSync::none);
}
napi_value pipe_control(Call& c) {
  auto e = emitter(c);
  const gpu::PostSync op = post_sync(c, 2);
  return fragment(c, e, e.pipe_control(c.u32(1), op, c.u64(3), c.u64(4)),
                  op != gpu::PostSync::none);
}
napi_value color_blt(Call& c) {
  auto e = emitter(c);
  const gpu::Surface dst{c.u64(1), c.u32(2), u16(c, 3), u16(c, 4)};
  return fragment(c, e, e.xy_color_blt(dst, c.u32(5), c.u32(6), c.u32(7), c.u32(8)));
}

template <int (gpu::Emit::*copy)(const gpu::Surface&, const gpu::Surface&, unsigned, unsigned,
                                 unsigned, int*)>
napi_value copy_blt(Call& c) {
  auto e = emitter(c);
  const gpu::Surface dst{c.u64(1), c.u32(2), u16(c, 3), u16(c, 4)};
  const gpu::Surface src{c.u64(5), c.u32(6), u16(c, 7), u16(c, 8)};
  int source = -1;
  const int index = (e.*copy)(dst, src, c.u32(9), c.u32(10), c.u32(11), &source);
  return fragment(c, e, index, true, source);
}

napi_value spinner(Call& c) {
  auto e = emitter(c);
  const uint64_t base = c.u64(1);
  const bool has_started = c.given(2);
  const uint64_t started = has_started ? c.u64(2) : 0;
  const uint32_t pad = c.u32(3);
  if (pad > 4096) c.bad(3, "at most 4096");
  gpu::Spinner s;
  const int ret = e.spinner(base, &s, has_started ? &started : nullptr, pad);
  if (ret < 0) c.fail(ret);
  Napi::Object o(c.env(), object_js(c.env(), std::pair{"started", s.started},
                                    std::pair{"jump", s.jump}, std::pair{"condition", s.condition},
                                    std::pair{"loop", s.loop}, std::pair{"end", s.end}));
  o.Set("dwords", Napi::Value(c.env(), uint32_array(c.env(), e.dwords())));
  return o;
}

napi_value disassemble(Call& c) {
  const gpu::Gen gen = emitter(c).gen();
  const auto dwords = c.array<uint32_t>(1);
  return addon::to_js(c.env(), gpu::disassemble(gen, dwords.data(), dwords.size(), c.u64(2)));
}

napi_value device_gen(Call& c) {
  const int gen = graphics_version(c.device(0));
  if (gen < 0) c.fail(gen);
  return addon::to_js(c.env(), int32_t{gen});
}

constexpr Function functions[] = {
    {"graphicsVersion", "DRM_IOCTL_I915_GETPARAM", {"device"}, device_gen, true},
    {"emitNoop", "MI_NOOP", {"gen"}, noop, true},
    {"emitArbCheck", "MI_ARB_CHECK", {"gen"}, arb_check, true},
    {"emitBatchEnd", "MI_BATCH_BUFFER_END", {"gen"}, batch_end, true},
    {"emitBatchStart",
     "MI_BATCH_BUFFER_START",
     {"gen", "address", "secondLevel"},
     batch_start,
     true},
    {"emitStoreDword", "MI_STORE_DWORD_IMM", {"gen", "address", "value"}, store_dword, true},
    {"emitStoreQword", "MI_STORE_DWORD_IMM", {"gen", "address", "value"}, store_qword, true},
    {"emitSemaphoreWait",
     "MI_SEMAPHORE_WAIT",
     {"gen", "address", "compare", "value"},
     semaphore_wait,
     true},
    {"emitLoadRegisterImm",
     "MI_LOAD_REGISTER_IMM",
     {"gen", "register", "value"},
     load_register_imm,
     true},
    {"emitLoadRegisterReg", "MI_LOAD_REGISTER_REG", {"gen", "from", "to"}, load_register_reg, true},
    {"emitLoadRegisterMem",
     "MI_LOAD_REGISTER_MEM",
     {"gen", "register", "address"},
     load_register_mem,
     true},
    {"emitStoreRegisterMem",
     "MI_STORE_REGISTER_MEM",
     {"gen", "register", "address"},
     store_register_mem,
     true},
    {"emitFlushDw", "MI_FLUSH_DW", {"gen", "postSync", "address", "value"}, flush_dw, true},
    {"emitPipeControl",
     "PIPE_CONTROL",
     {"gen", "flags", "postSync", "address", "value"},
     pipe_control,
     true},
    {"emitColorBlt",
     "XY_COLOR_BLT",
     {"gen", "address", "pitch", "x", "y", "width", "height", "color", "bpp"},
     color_blt,
     true},
    {"emitSrcCopyBlt",
     "XY_SRC_COPY_BLT",
     {"gen", "address", "pitch", "x", "y", "source", "sourcePitch", "sourceX", "sourceY", "width",
      "height", "bpp"},
     copy_blt<&gpu::Emit::xy_src_copy_blt>,
     true},
    {"emitFastCopyBlt",
     "XY_FAST_COPY_BLT",
     {"gen", "address", "pitch", "x", "y", "source", "sourcePitch", "sourceX", "sourceY", "width",
      "height", "bpp"},
     copy_blt<&gpu::Emit::xy_fast_copy_blt>,
     true},
    {"emitSpinner", "spinner", {"gen", "base", "started", "pad"}, spinner, true},
    {"disassemble", "disassemble", {"gen", "dwords", "address"}, disassemble, true},
};

}  // namespace

std::span<const Function> emit_functions() {
  return functions;
}

}  // namespace i915u::addon
