// SPDX-License-Identifier: MIT
// What gpu::Emit writes is decoded and executed, on every generation that has it.
#include <cerrno>
#include <iterator>

#include "test/gpu_machine.h"

using namespace i915u::gpu;
using namespace i915u::test;

TEST(gpu_stores_reach_memory_on_every_generation) {
  for (Gen gen : all_gens) {
    Machine m(gen);
    Emit e(gen);
    const int dword = e.store_dword(data_at, 0xc0ffee);
    const int qword = e.store_qword(data_at + 8, 0x1122334455667788);
    CHECK_EQ(e.dwords()[dword], data_at);
    CHECK_EQ(e.dwords()[qword], data_at + 8);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK_EQ(m.bus.get(data_at), 0xc0ffeeu);
    CHECK_EQ(m.bus.get<uint64_t>(data_at + 8), 0x1122334455667788u);
    CHECK_EQ(m.cs.counters().commands, 3u);
    CHECK_EQ(m.cs.counters().batches, 1u);
    CHECK(contains(decode(e), "MI_STORE_DATA_IMM"));
    CHECK(contains(decode(e), "address=0x110000 data=0xc0ffee\n"));
    CHECK(!contains(decode(e), "(data)"));
    CHECK_STOP(m.cs.run(10), StopReason::idle);
  }
}

TEST(gpu_registers_load_and_store) {
  for (Gen gen : all_gens) {
    Machine m(gen);
    Emit e(gen);
    m.bus.set(data_at, 0x1234u);
    CHECK(e.load_register_imm(m.gpr(0), 0xabcd) >= 0);
    CHECK(e.store_register_mem(m.gpr(0), data_at + 4) >= 0);
    CHECK_EQ(e.load_register_mem(m.gpr(1), data_at) >= 0, gen >= gen7);
    CHECK_EQ(e.load_register_reg(m.gpr(1), m.gpr(2)) >= 0, gen >= gen7_5);
    CHECK(e.store_register_mem(m.gpr(2), data_at + 8) >= 0);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK_EQ(m.bus.get(data_at + 4), 0xabcdu);
    CHECK_EQ(m.bus.get(data_at + 8), gen >= gen7_5 ? 0x1234u : 0u);
  }
}

TEST(gpu_flush_dw_writes_after_the_flush) {
  for (Gen gen : all_gens) {
    Machine m(gen, Engine::copy);
    Emit e(gen);
    CHECK(e.flush_dw() >= 0);
    const int at = e.flush_dw(PostSync::write_immediate, data_at, 0x8877665544332211);
    CHECK_EQ(e.dwords()[at], data_at);
    CHECK(e.flush_dw(PostSync::write_timestamp, data_at + 8) >= 0);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK_EQ(m.bus.get<uint64_t>(data_at), 0x8877665544332211u);
    CHECK_EQ(m.bus.get<uint64_t>(data_at + 8), m.bus.ticks);
    Machine render(gen, Engine::render);
    CHECK_STOP(render.run(e), StopReason::illegal);
  }
}

TEST(gpu_pipe_control_writes_after_the_flush) {
  for (Gen gen : all_gens) {
    Machine m(gen);
    Emit e(gen);
    CHECK(e.pipe_control(pipe_control_cs_stall | pipe_control_stall_at_scoreboard) >= 0);
    const int at = e.pipe_control(pipe_control_cs_stall | 1u << 8, PostSync::write_immediate,
                                  data_at, 0x8877665544332211);
    CHECK_EQ(e.dwords()[at], data_at);
    CHECK(e.pipe_control(pipe_control_cs_stall, PostSync::write_timestamp, data_at + 8) >= 0);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK_EQ(m.bus.get<uint64_t>(data_at), 0x8877665544332211u);
    CHECK_EQ(m.bus.get<uint64_t>(data_at + 8), m.bus.ticks);
    CHECK_EQ(m.bus.flushes, 1);
    Machine copy(gen, Engine::copy);
    CHECK_STOP(copy.run(e), StopReason::illegal);
  }
}

TEST(gpu_color_blt_fills_a_rectangle) {
  for (Gen gen : all_gens)
    for (unsigned bpp : {8u, 16u, 32u}) {
      Machine m(gen, Engine::copy);
      Emit e(gen);
      const unsigned bytes = bpp / 8;
      const Surface dst{data_at, 256, 3, 2};
      const int at = e.xy_color_blt(dst, 10, 5, 0x44332211, bpp);
      if (gen > gen12) {
        CHECK_EQ(at, -EOPNOTSUPP);
        continue;
      }
      CHECK_EQ(e.dwords()[at], data_at);
      CHECK_STOP(m.run(e), StopReason::batch_end);
      for (unsigned y = 0; y < 8; y++)
        for (unsigned x = 0; x < 256; x++) {
          const bool in = y >= 2 && y < 7 && x >= 3 * bytes && x < 13 * bytes;
          const uint8_t want = in ? 0x11 * (1 + (x - 3 * bytes) % bytes) : 0;
          CHECK_EQ(int{m.bus.get<uint8_t>(data_at + y * 256 + x)}, int{want});
        }
    }
}

TEST(gpu_copy_blts_move_rectangles) {
  for (Gen gen : all_gens)
    for (bool fast : {false, true}) {
      Machine m(gen, Engine::copy);
      for (unsigned i = 0; i < 0x10000; i++) m.bus.set<uint8_t>(data_at + i, i * 7 + (i >> 8));
      Emit e(gen);
      int src_at = -1;
      const Surface dst{other_at, 512, 1, 3}, src{data_at, 256, 2, 1};
      const int at = fast ? e.xy_fast_copy_blt(dst, src, 40, 9, 32, &src_at)
                          : e.xy_src_copy_blt(dst, src, 40, 9, 32, &src_at);
      if (fast ? gen < gen9 : gen > gen12) {
        CHECK_EQ(at, -EOPNOTSUPP);
        continue;
      }
      CHECK_EQ(e.dwords()[at], other_at);
      CHECK_EQ(e.dwords()[src_at], data_at);
      CHECK_STOP(m.run(e), StopReason::batch_end);
      for (unsigned y = 0; y < 9; y++)
        for (unsigned x = 0; x < 160; x++)
          CHECK_EQ(int{m.bus.get<uint8_t>(other_at + (y + 3) * 512 + 4 + x)},
                   int{m.bus.get<uint8_t>(data_at + (y + 1) * 256 + 8 + x)});
      CHECK_EQ(m.bus.get(other_at + 3 * 512), 0u);
      CHECK_EQ(m.bus.get(other_at + 3 * 512 + 4 + 160), 0u);
    }
}

TEST(gpu_overlapping_copies_are_as_memmove) {
  // Rows of 6000 bytes, so that each takes several slices.
  for (int64_t shift : {-5000, -64, -4, 0, 4, 64, 5000}) {
    Machine m(gen9, Engine::copy);
    std::vector<uint8_t> want(0x20000);
    for (size_t i = 0; i < want.size(); i++) want[i] = static_cast<uint8_t>(i * 31 + (i >> 9));
    m.bus.write(Space::ppgtt, data_at, want.data(), want.size());
    const uint64_t src = 0x4000, dst = src + shift;
    std::vector<uint8_t> before = want;
    for (unsigned y = 0; y < 8; y++) memcpy(&want[dst + y * 8192], &before[src + y * 8192], 6000);
    Emit e(gen9);
    CHECK(e.xy_src_copy_blt({data_at + dst, 8192}, {data_at + src, 8192}, 1500, 8) >= 0);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK(!memcmp(m.bus.find(Space::ppgtt, data_at, want.size()), want.data(), want.size()));
  }
}

TEST(gpu_raster_operations_and_channel_masks) {
  Machine m(gen9, Engine::copy);
  // XOR of source and destination (0x66), color channels only.
  m.bus.set(data_at, 0x12345678u);
  m.bus.set(other_at, 0xff00ff00u);
  const uint32_t copy = blt::header(blt::xy_src_copy) | 1u << 20 | 8;
  CHECK_STOP(m.run({copy, 3u << 24 | 0x66u << 16 | 64, 0, 1u << 16 | 1, other_at, 0, 0, 64, data_at,
                    0, spinner_end}),
             StopReason::batch_end);
  CHECK_EQ(m.bus.get(other_at), 0xff34a978u);
  // A negative source pitch walks upwards.
  m.bus.set(data_at + 64, 1u);
  m.bus.set(data_at, 2u);
  const uint32_t all = blt::header(blt::xy_src_copy) | 3u << 20 | 8;
  CHECK_STOP(m.run({all, 3u << 24 | 0xccu << 16 | 4, 0, 2u << 16 | 1, other_at, 0, 0, 0x10000 - 64,
                    data_at + 64, 0, spinner_end}),
             StopReason::batch_end);
  CHECK_EQ(m.bus.get(other_at), 1u);
  CHECK_EQ(m.bus.get(other_at + 4), 2u);
}

TEST(gpu_math_computes_on_gprs) {
  struct {
    unsigned op;
    uint64_t a, b, result;
    bool zero, carry;
  } const cases[] = {{0x100, 3, 4, 7, false, false},         {0x100, UINT64_MAX, 1, 0, true, true},
                     {0x101, 3, 4, UINT64_MAX, false, true}, {0x101, 4, 4, 0, true, false},
                     {0x102, 12, 10, 8, false, false},       {0x103, 12, 10, 14, false, false},
                     {0x104, 12, 12, 0, true, false}};
  for (const auto& c : cases) {
    Machine m(gen9);
    Emit e(gen9);
    for (unsigned half = 0; half < 2; half++) {
      e.load_register_imm(m.gpr(0) + 4 * half, static_cast<uint32_t>(c.a >> 32 * half));
      e.load_register_imm(m.gpr(1) + 4 * half, static_cast<uint32_t>(c.b >> 32 * half));
    }
    const uint32_t program[] = {alu(0x080, 0x20, 0), alu(0x080, 0x21, 1), alu(c.op),
                                alu(0x180, 2, 0x31), alu(0x180, 3, 0x32), alu(0x180, 4, 0x33),
                                alu(0x580, 5, 0x31)};
    e.raw(mi::header(mi::math) | (std::size(program) - 1));
    for (uint32_t dw : program) e.raw(dw);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    const auto& gpr = m.cs.state().gpr;
    CHECK_EQ(gpr[2], c.result);
    CHECK_EQ(gpr[3], c.zero ? UINT64_MAX : 0);
    CHECK_EQ(gpr[4], c.carry ? UINT64_MAX : 0);
    CHECK_EQ(gpr[5], ~c.result);
  }
}

TEST(gpu_atomics_change_memory_and_return_it) {
  struct {
    unsigned op;
    uint64_t old, one, two, result, returned;
  } const cases[] = {{0x1, 12, 10, 0, 8, 12},
                     {0x2, 12, 10, 0, 14, 12},
                     {0x3, 12, 10, 0, 6, 12},
                     {0x4, 12, 10, 0, 10, 12},
                     {0x5, 12, 0, 0, 13, 12},
                     {0x6, 12, 0, 0, 11, 12},
                     {0x7, 12, 10, 0, 22, 12},
                     {0x8, 12, 10, 0, 2, 12},
                     {0x9, 10, 12, 0, 2, 10},
                     {0xc, 12, 10, 0, 12, 12},
                     {0xd, 12, 10, 0, 10, 12},
                     {0xe, 12, 12, 99, 99, 12},
                     {0xe, 12, 11, 99, 12, 12},
                     {0xf, 12, 0, 0, 11, 11},
                     {0xa, UINT64_MAX, 1, 0, 1, UINT64_MAX},
                     {0xb, UINT64_MAX, 1, 0, UINT64_MAX, UINT64_MAX}};
  for (bool wide : {false, true})
    for (const auto& c : cases) {
      Machine m(gen9);
      const uint64_t ones = wide ? UINT64_MAX : UINT32_MAX;
      m.bus.set<uint64_t>(data_at, wide ? c.old : c.old & ones);
      const uint32_t header =
          mi::header(mi::atomic) | (c.op | (wide ? 0x20 : 0)) << 8 | 1u << 16 | 1u << 18 | 9;
      const auto half = [](uint64_t v, int n) { return static_cast<uint32_t>(v >> 32 * n); };
      CHECK_STOP(m.run({header, data_at, 0, half(c.one, 0), half(c.two, 0), half(c.one, 1),
                        half(c.two, 1), 0, 0, 0, 0, spinner_end}),
                 StopReason::batch_end);
      CHECK_EQ(m.bus.get<uint64_t>(data_at), c.result & ones);
      CHECK_EQ(m.cs.state().gpr[4], c.returned & ones);
    }
}

TEST(gpu_predicates_hold_commands_back) {
  for (bool equal : {false, true}) {
    Machine m(gen9);
    Emit e(gen9);
    e.load_register_imm(0x2400, 5);
    e.load_register_imm(0x2408, equal ? 5 : 6);
    e.raw(mi::header(mi::predicate) | 2u << 6 | 2);  // LOAD, SET, SRCS_EQUAL
    e.raw(mi::header(mi::set_predicate) | 3);        // MI_NOOP on result clear
    e.store_dword(data_at, 1);
    e.raw(mi::header(mi::set_predicate));
    e.store_dword(data_at + 4, 2);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK_EQ(m.bus.get(data_at), equal ? 1u : 0u);
    CHECK_EQ(m.bus.get(data_at + 4), 2u);
  }
}

TEST(gpu_store_data_imm_takes_many_dwords) {
  Machine m(gen9);
  Emit e(gen9);
  const unsigned n = 510;
  e.raw(mi::header(mi::store_data_imm) | store_qwords | (2 * n + 1));
  e.raw(data_at);
  e.raw(0);
  for (unsigned i = 0; i < 2 * n; i++) e.raw(i);
  CHECK_STOP(m.run(e), StopReason::batch_end);
  for (unsigned i = 0; i < 2 * n; i++) CHECK_EQ(m.bus.get(data_at + 4 * i), i);
}

TEST(gpu_emit_refuses_what_does_not_fit) {
  Emit old(gen7), e(gen9);
  CHECK_EQ(old.store_dword(1ull << 32, 0), -EINVAL);
  CHECK_EQ(e.store_dword(data_at + 2, 0), -EINVAL);
  CHECK_EQ(e.store_qword(data_at + 4, 0), -EINVAL);
  CHECK_EQ(e.store_dword(1ull << 48, 0), -EINVAL);
  CHECK_EQ(e.load_register_imm(0x2001, 0), -EINVAL);
  CHECK_EQ(e.load_register_imm(0x800000, 0), -EINVAL);
  CHECK_EQ(e.xy_color_blt({data_at, 32768}, 1, 1, 0), -EINVAL);
  CHECK_EQ(e.xy_color_blt({data_at, 64}, 0, 1, 0), -EINVAL);
  CHECK_EQ(e.xy_color_blt({data_at, 64}, 1, 1, 0, 24), -EINVAL);
  CHECK_EQ(e.xy_fast_copy_blt({data_at + 1, 64}, {other_at, 64}, 1, 1), -EINVAL);
  CHECK_EQ(e.align(3), -EINVAL);
  Spinner s;
  const uint64_t started = data_at;
  CHECK_EQ(old.spinner(0xfffffffc, &s, &started), -EINVAL);
  CHECK(e.dwords().empty());
  CHECK(old.dwords().empty());
  // Both forms of an address with bit 47 set become the canonical one.
  e.store_dword(0x800000000000, 1);
  e.store_dword(0xffff800000000000, 1);
  CHECK_EQ(e.dwords()[2], 0xffff8000u);
  CHECK_EQ(e.dwords()[6], 0xffff8000u);
}

TEST(gpu_disassembles_commands_and_garbage) {
  Emit e(gen9);
  e.load_register_imm(0x2600, 7);
  e.raw(0x3fu << 23);
  e.raw(mi::header(mi::store_data_imm) | 2);
  e.raw(1);
  const std::string text = decode(e);
  CHECK_EQ(text,
           "00100000: 11000001  MI_LOAD_REGISTER_IMM register=0x2600 value=0x7\n"
           "0010000c: 1f800000  (data)\n"
           "00100010: 10000002  MI_STORE_DATA_IMM (cut off: 2 of 4 dwords)\n");
}
