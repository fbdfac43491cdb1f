// SPDX-License-Identifier: MIT
// The command streamer: jumps, waits, preemption and rings; and what is wrong, endless or cut off
// ends bounded.
#include <cerrno>

#include "test/gpu_machine.h"

using namespace i915u::gpu;
using namespace i915u::test;

TEST(gpu_batch_start_chains_and_calls) {
  for (Gen gen : all_gens) {
    Machine m(gen);
    Emit second(gen);
    second.store_dword(data_at + 4, 2);
    second.batch_end();
    m.bus.load(second.dwords(), other_at);

    Emit e(gen);
    e.store_dword(data_at, 1);
    const int at = e.batch_start(other_at);
    CHECK_EQ(e.dwords()[at], other_at);
    e.store_dword(data_at + 8, 3);
    CHECK_STOP(m.run(e), StopReason::batch_end);
    CHECK_EQ(m.bus.get(data_at + 4), 2u);
    CHECK_EQ(m.bus.get(data_at + 8), 0u);

    Emit call(gen);
    const int result = call.batch_start(other_at, true);
    if (gen < gen7_5) {
      CHECK_EQ(result, -EOPNOTSUPP);
      CHECK(call.dwords().empty());
      continue;
    }
    call.store_dword(data_at + 8, 3);
    CHECK_STOP(m.run(call), StopReason::batch_end);
    CHECK_EQ(m.bus.get(data_at + 8), 3u);
  }
}

TEST(gpu_second_level_batches_nest_to_their_limit) {
  // Each level stores its number, calls the next and stores again; beyond the limit a call is a
  // jump, so that the caller's second store does not happen.
  for (Gen gen : {gen9, gen12}) {
    Machine m(gen);
    for (unsigned level = 0; level < 5; level++) {
      Emit e(gen);
      e.store_dword(data_at + 4 * level, level + 1);
      if (level < 4) e.batch_start(batch_at + 0x1000 * (level + 1), true);
      e.store_dword(other_at + 4 * level, level + 1);
      e.batch_end();
      m.bus.load(e.dwords(), batch_at + 0x1000 * level);
    }
    m.cs.start_batch(Space::ppgtt, batch_at);
    CHECK_STOP(m.cs.run(1000), StopReason::batch_end);
    const unsigned limit = gen == gen12 ? 3 : 2;
    for (unsigned level = 0; level < 5; level++) {
      CHECK_EQ(m.bus.get(data_at + 4 * level), level + 1);
      const bool returns = level + 1 < limit || level == 4;
      CHECK_EQ(m.bus.get(other_at + 4 * level), returns ? level + 1 : 0);
    }
  }
}

TEST(gpu_semaphore_blocks_until_memory_satisfies_it) {
  struct {
    Compare op;
    uint32_t blocked, passes;
  } const cases[] = {{Compare::gt, 5, 6},  {Compare::gte, 4, 5}, {Compare::lt, 5, 4},
                     {Compare::lte, 6, 5}, {Compare::eq, 4, 5},  {Compare::neq, 5, 4}};
  for (Gen gen : all_gens)
    for (const auto& c : cases) {
      Machine m(gen);
      Emit e(gen);
      const int at = e.semaphore_wait(data_at, c.op, 5);
      if (gen < gen8) {
        CHECK_EQ(at, -EOPNOTSUPP);
        continue;
      }
      CHECK_EQ(e.dwords()[at], data_at);
      e.store_dword(data_at + 4, 1);
      m.bus.set(data_at, c.blocked);
      const Stop stop = m.run(e);
      CHECK_STOP(stop, StopReason::semaphore);
      CHECK_EQ(stop.address, data_at);
      CHECK_STOP(m.cs.run(10), StopReason::semaphore);
      CHECK_EQ(m.bus.get(data_at + 4), 0u);
      m.bus.set(data_at, c.passes);
      CHECK_STOP(m.cs.run(10), StopReason::batch_end);
      CHECK_EQ(m.bus.get(data_at + 4), 1u);
      CHECK(contains(decode(e), "MI_SEMAPHORE_WAIT value=0x5 address=0x110000"));
    }
}

TEST(gpu_user_batches_write_only_user_registers) {
  Machine m(gen9);
  Emit e(gen9);
  e.load_register_imm(0x2358, 1);  // the timestamp: allowed
  CHECK_STOP(m.run(e), StopReason::batch_end);
  CHECK_EQ(m.bus.register_offset, 0x2358u);
  Emit bad(gen9);
  bad.load_register_imm(0x2080, 0xdead);  // HWS_PGA
  bad.load_register_imm(0x22600, 1);      // another engine's GPR
  CHECK_STOP(m.run(bad), StopReason::batch_end);
  CHECK_EQ(m.bus.register_offset, 0x2358u);
  CHECK_EQ(m.cs.counters().dropped, 2u);
  m.bus.load(bad.dwords());
  m.cs.start_batch(Space::ppgtt, batch_at, true);
  CHECK_STOP(m.cs.run(100), StopReason::batch_end);
  CHECK_EQ(m.bus.register_offset, 0x22600u);
}

TEST(gpu_user_batches_cannot_reach_the_ggtt) {
  Machine m(gen9);
  const std::vector<uint32_t> store = {mi::header(mi::store_data_imm) | use_ggtt | 2, data_at, 0, 7,
                                       spinner_end};
  CHECK_STOP(m.run(store), StopReason::batch_end);
  CHECK_EQ(m.bus.get(data_at, Space::ggtt), 0u);
  CHECK_EQ(m.bus.get(data_at, Space::ppgtt), 7u);
  // Nor by a jump without the PPGTT bit: it stays where it is, and finds the end there.
  m.bus.load(store, other_at, Space::ggtt);
  m.bus.set(other_at, spinner_end, Space::ppgtt);
  m.bus.set(data_at, 0u, Space::ppgtt);
  CHECK_STOP(m.run({mi::header(mi::batch_buffer_start) | 1, other_at, 0}), StopReason::batch_end);
  CHECK_EQ(m.bus.get(data_at, Space::ggtt), 0u);
  CHECK_EQ(m.bus.get(data_at, Space::ppgtt), 0u);
}

TEST(gpu_large_blit_is_sliced_and_survives_save_and_restore) {
  Emit e(gen9);
  CHECK(e.xy_color_blt({data_at, 8192}, 2000, 10, 0xa5a5a5a5) >= 0);
  Machine whole(gen9, Engine::copy), parts(gen9, Engine::copy);
  CHECK_STOP(whole.run(e), StopReason::batch_end);
  CHECK(whole.cs.counters().commands >= 20);
  parts.bus.load(e.dwords());
  parts.cs.start_batch(Space::ppgtt, batch_at);
  int stops = 0;
  while (parts.cs.run(1).reason == StopReason::budget) {
    const CommandStreamer::State state = parts.cs.state();
    CommandStreamer other(gen9, Engine::copy, parts.bus);
    other.restore(state);
    parts.cs.restore(other.state());
    CHECK(++stops < 1000);
  }
  CHECK(stops >= 20);
  CHECK(parts.bus.memory[1] == whole.bus.memory[1]);
}

TEST(gpu_conditional_end_ends_when_memory_is_not_greater) {
  for (Gen gen : {gen7_5, gen9})
    for (uint32_t value : {4u, 5u, 6u}) {
      Machine m(gen);
      Emit e(gen);
      e.raw(mi::header(mi::conditional_batch_buffer_end) | compare_semaphore |
            (gen < gen8 ? 1 : 2));
      e.raw(5);
      e.raw(data_at);
      if (gen >= gen8) e.raw(0);
      e.store_dword(data_at + 4, 1);
      m.bus.set(data_at, value);
      CHECK_STOP(m.run(e), StopReason::batch_end);
      CHECK_EQ(m.bus.get(data_at + 4), value > 5 ? 1u : 0u);
    }
}

TEST(gpu_spinner_spins_until_the_cpu_ends_it) {
  for (Gen gen : all_gens) {
    Machine m(gen);
    Emit e(gen);
    Spinner s;
    const uint64_t started = data_at;
    CHECK_EQ(e.spinner(batch_at, &s, &started), 0);
    CHECK_EQ(e.dwords()[s.started], data_at);
    CHECK_EQ(e.dwords()[s.jump], batch_at + 4 * s.loop);
    CHECK_EQ(s.condition >= 0, gen >= gen8);
    if (s.condition >= 0) CHECK_EQ(e.dwords()[s.condition], batch_at + 4 * s.end);
    CHECK_STOP(m.run(e), StopReason::spin);
    CHECK_EQ(m.bus.get(data_at), 1u);
    const uint64_t before = m.cs.counters().commands;
    for (int i = 0; i < 10; i++) CHECK_STOP(m.cs.run(100000), StopReason::spin);
    CHECK(m.cs.counters().commands - before < 1000);
    m.cs.request_preempt();
    CHECK_STOP(m.cs.run(100000), StopReason::arbitration);
    const CommandStreamer::State state = m.cs.state();
    m.bus.set(batch_at + 4 * s.end, spinner_end);
    CommandStreamer other(gen, Engine::render, m.bus);
    other.restore(state);
    CHECK_STOP(other.run(100000), StopReason::batch_end);
  }
}

TEST(gpu_loops_that_make_progress_are_not_spinning) {
  // R0 counts down from 1000, and the jump is skipped at 0: predicate result 1 comes from R0.
  Machine m(gen9);
  Emit e(gen9);
  e.load_register_imm(m.gpr(0), 1000);
  e.load_register_imm(m.gpr(1), 1);
  const int loop = e.size();
  e.raw(mi::header(mi::math) | 3);
  e.raw(alu(0x080, 0x20, 0));
  e.raw(alu(0x080, 0x21, 1));
  e.raw(alu(0x101));
  e.raw(alu(0x180, 0, 0x31));
  e.store_register_mem(m.gpr(0), data_at);
  e.raw(mi::header(mi::conditional_batch_buffer_end) | compare_semaphore | 2);
  e.raw(0);
  e.raw(data_at);
  e.raw(0);
  e.batch_start(batch_at + 4 * loop);
  CHECK_STOP(m.run(e), StopReason::batch_end);
  CHECK_EQ(m.bus.get(data_at), 0u);

  // One that writes the same each lap is.
  Emit same(gen9);
  same.store_dword(data_at, 1);
  same.batch_start(batch_at);
  CHECK_STOP(m.run(same), StopReason::spin);

  // So is one of two jumps.
  Emit two(gen9), back(gen9);
  two.batch_start(other_at);
  back.batch_start(batch_at);
  m.bus.load(back.dwords(), other_at);
  CHECK_STOP(m.run(two), StopReason::spin);
}

TEST(gpu_preempts_only_where_and_while_it_may) {
  Machine m(gen9);
  Emit e(gen9);
  e.noop();
  e.raw(mi::header(mi::arb_on_off));
  e.arb_check();
  e.raw(mi::header(mi::arb_on_off) | 1);
  e.noop();
  e.arb_check();
  e.semaphore_wait(data_at, Compare::eq, 1);
  e.batch_end();
  m.bus.load(e.dwords());
  m.cs.start_batch(Space::ppgtt, batch_at);
  m.cs.request_preempt();
  Stop stop = m.cs.run(100);
  CHECK_STOP(stop, StopReason::arbitration);
  CHECK_EQ(stop.address, batch_at + 6 * 4);
  CHECK_STOP(m.cs.run(100), StopReason::semaphore);
  m.cs.request_preempt();
  CHECK_STOP(m.cs.run(100), StopReason::arbitration);
  CHECK_STOP(m.cs.run(100), StopReason::semaphore);
  m.cs.request_preempt();
  m.cs.cancel_preempt();
  CHECK_STOP(m.cs.run(100), StopReason::semaphore);
}

TEST(gpu_faults_and_garbage_stop_with_their_address) {
  Machine m(gen9);
  Emit e(gen9);
  e.store_dword(0x5000, 1);
  Stop stop = m.run(e);
  CHECK_STOP(stop, StopReason::fault);
  CHECK(stop.write);
  CHECK_EQ(stop.address, 0x5000u);
  CHECK_EQ(stop.header >> 23, uint32_t{mi::store_data_imm});
  CHECK_STOP(m.cs.run(5), StopReason::fault);

  // A jump outside.
  Emit away(gen9);
  away.batch_start(0x7000);
  stop = m.run(away);
  CHECK_STOP(stop, StopReason::fault);
  CHECK_EQ(stop.address, 0x7000u);
  CHECK(!stop.write);

  // No end: it runs out of the mapping, the last command cut off.
  m.bus.set(memory_at + memory_size - 4, mi::header(mi::store_data_imm) | 2);
  m.cs.start_batch(Space::ppgtt, memory_at + memory_size - 64);
  stop = m.cs.run(100);
  CHECK_STOP(stop, StopReason::fault);
  CHECK_EQ(stop.address, memory_at + memory_size);

  // Not a client, not an opcode, not this engine's, too short.
  for (uint32_t header : {0xffffffffu, 0x20000000u, mi::header(static_cast<mi::Opcode>(0x3f)),
                          blt::header(blt::xy_color) | 5, mi::header(mi::store_data_imm) | 0}) {
    stop = m.run({header, 0, 0, 0});
    CHECK_STOP(stop, StopReason::illegal);
    CHECK_EQ(stop.header, header);
    CHECK_EQ(stop.address, batch_at);
  }
  // MI_SEMAPHORE_WAIT is gen8's.
  Machine old(gen7);
  CHECK_STOP(old.run({mi::header(mi::semaphore_wait) | 2, 0, 0, 0}), StopReason::illegal);
}

TEST(gpu_skips_what_it_does_not_model_by_length) {
  Machine m(gen9);
  Emit e(gen9);
  e.raw(gfx::header(0x1b00) | 5);  // 3DPRIMITIVE
  for (int i = 0; i < 6; i++) e.raw(0xffffffff);
  e.raw(gfx::header(0x0904) | 0x301);  // PIPELINE_SELECT
  e.raw(gfx::header(0x1105) | 13);     // GPGPU_WALKER
  for (int i = 0; i < 14; i++) e.raw(0xffffffff);
  e.store_dword(data_at, 1);
  CHECK_STOP(m.run(e), StopReason::batch_end);
  CHECK_EQ(m.bus.get(data_at), 1u);
  CHECK_EQ(m.cs.counters().skipped, 3u);
  // The longest of all: it is passed without reading what it holds.
  CHECK_STOP(m.run({gfx::header(0x1100) | 0xffff}), StopReason::fault);
}

TEST(gpu_self_modifying_batches_see_their_own_writes) {
  // The store turns the command after it into the end.
  Machine m(gen9);
  Emit e(gen9);
  const uint64_t patched = batch_at + 4 * 4;
  e.store_dword(patched, spinner_end);
  e.raw(0xffffffff);
  CHECK_STOP(m.run(e), StopReason::batch_end);
}

TEST(gpu_ring_runs_from_head_to_tail_and_wraps) {
  // | store 3 | ...        | start batch, store 2 (wraps: its first half is at the ring's end) |
  Machine m(gen9, Engine::copy);
  Emit batch(gen9);
  batch.store_dword(data_at, 1);
  batch.batch_end();
  m.bus.load(batch.dwords());
  std::vector<uint32_t> ring(1024);
  uint32_t at = 1024 - 5;
  const auto put = [&](std::initializer_list<uint32_t> dw) {
    for (uint32_t v : dw) ring[at++ % 1024] = v;
  };
  const uint32_t head = at * 4;
  put({mi::header(mi::batch_buffer_start) | batch_ppgtt | 1, batch_at, 0});
  put({mi::header(mi::store_data_imm) | use_ggtt | 2, data_at + 4, 0, 2});
  put({mi::header(mi::store_data_index) | 1, 0x40, 3});
  put({mi::header(mi::user_interrupt)});
  const uint32_t tail = at % 1024 * 4;
  m.bus.load(ring, other_at, Space::ggtt);
  m.cs.set_ring({other_at, 4096, head, tail});
  CHECK_STOP(m.cs.run(100), StopReason::idle);
  CHECK_EQ(m.bus.get(data_at), 1u);
  CHECK_EQ(m.bus.get(data_at + 4, Space::ggtt), 2u);
  CHECK_EQ(m.bus.get(data_at + 4, Space::ppgtt), 0u);
  uint32_t status;
  memcpy(&status, m.bus.status + 0x40, 4);
  CHECK_EQ(status, 3u);
  CHECK_EQ(m.bus.interrupts, 1);
  CHECK_EQ(m.cs.counters().batches, 1u);
  CHECK_EQ(m.cs.state().ring.head, tail);

  // A tail in the middle of a command, and rings that cannot be.
  m.cs.set_ring({other_at, 4096, head, (head + 4) % 4096});
  CHECK_STOP(m.cs.run(100), StopReason::illegal);
  for (const CommandStreamer::Ring& bad :
       {CommandStreamer::Ring{other_at, 100, 0, 8}, CommandStreamer::Ring{other_at, 4096, 4096, 8},
        CommandStreamer::Ring{other_at, 4096, 2, 8}, CommandStreamer::Ring{4, 4096, 0, 8}}) {
    m.cs.set_ring(bad);
    CHECK_STOP(m.cs.run(100), StopReason::illegal);
  }
}

TEST(gpu_random_batches_end_bounded) {
  // xorshift64*, so that a failure is the same everywhere.
  uint64_t seed = 0x9e3779b97f4a7c15;
  const auto random = [&] {
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1d;
  };
  constexpr int batches = 100000, dwords = 48;
  int reasons[8] = {};
  std::vector<Machine*> machines;
  for (Gen gen : all_gens)
    for (Engine engine : {Engine::render, Engine::copy, Engine::video})
      machines.push_back(new Machine(gen, engine));
  std::vector<uint32_t> dw(dwords);
  for (int i = 0; i < batches; i++) {
    Machine& m = *machines[random() % machines.size()];
    for (uint32_t& v : dw) {
      switch (random() % 8) {
        case 0:
        case 1:  // an MI header
          v = static_cast<uint32_t>(random() % 64 << 23 | (random() & 0x7fff00) | random() % 16);
          break;
        case 2:
          v = static_cast<uint32_t>(2u << 29 | (0x40 + random() % 32) << 22 |
                                    (random() & 0x3fff00) | (4 + random() % 16));
          break;
        case 3:
          v = static_cast<uint32_t>(3u << 29 | (random() & 0x1fff0000) | random() % 16);
          break;
        case 4:
          v = static_cast<uint32_t>(batch_at + random() % 64 * 4);
          break;
        case 5:
          v = static_cast<uint32_t>(memory_at + random() % memory_size);
          break;
        case 6:
          v = 0;
          break;
        default:
          v = static_cast<uint32_t>(random());
      }
    }
    m.bus.load(dw);
    m.cs.start_batch(Space::ppgtt, batch_at);
    if (random() % 4 == 0) m.cs.request_preempt();
    const uint64_t before = m.cs.counters().commands;
    for (int turn = 0; turn < 4; turn++) {
      const Stop stop = m.cs.run(50);
      CHECK(m.cs.state().depth <= CommandStreamer::max_depth);
      reasons[static_cast<int>(stop.reason)]++;
      if (stop.reason == StopReason::batch_end) break;
      if (turn == 1) {
        const CommandStreamer::State state = m.cs.state();
        m.cs.restore(state);
      }
    }
    m.cs.cancel_preempt();
    CHECK(m.cs.counters().commands - before <= 200);
    if (i % 16 == 0) {
      const std::string text = disassemble(m.cs.gen(), dw.data(), dw.size(), batch_at);
      CHECK(!text.empty());
    }
  }
  for (Machine* m : machines) delete m;
  // Every reason but an empty ring is met.
  for (int r = 0; r < 8; r++)
    if (r != static_cast<int>(StopReason::idle)) CHECK(reasons[r] > 0);
}
