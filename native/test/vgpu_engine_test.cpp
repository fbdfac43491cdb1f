// SPDX-License-Identifier: MIT
// Execlists of the emulated GPU, as i915 relies on them.
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "test/harness.h"
#include "test/vgpu_machine.h"

using namespace i915u;
using namespace i915u::vgpu;
namespace mi = gpu::mi;
using gpu::batch_ppgtt;
using gpu::semaphore_poll;
using vgpu::test::Machine;
using vgpu::test::without_threads;

namespace {

constexpr uint64_t batch = 0x100000000, data = 0x200000000;
constexpr uint32_t end = mi::header(mi::batch_buffer_end), arb = mi::header(mi::arb_check);
constexpr uint64_t idle_to_active = 1, preempted = 2, lite = 0x8002, switched = 0x14, done = 0x18;

uint64_t event(uint64_t what, uint32_t id) {
  return uint64_t{id} << 32 | what;
}

/// One context with a page for a batch and one for data.
struct Bench {
  explicit Bench(const Options& o = without_threads()) : m(o) {
    batch_gpa = m.page();
    data_gpa = m.page();
    pml4 = m.page();
    m.map(pml4, batch, batch_gpa | 3);
    entry = m.map(pml4, data, data_gpa | 3);
    ctx = m.context(7, pml4);
  }
  void store(uint64_t at, uint64_t to, uint32_t value) {
    m.put(at, {mi::header(mi::store_data_imm) | 2, static_cast<uint32_t>(to),
               static_cast<uint32_t>(to >> 32), value, end});
  }
  /// Goes round through an MI_ARB_CHECK, or without one, until the CPU makes `batch` an end.
  void spinner(bool preemptible) {
    m.put(batch_gpa, {preemptible ? arb : 0, mi::header(mi::batch_buffer_start) | batch_ppgtt | 1,
                      static_cast<uint32_t>(batch), static_cast<uint32_t>(batch >> 32)});
  }

  Machine m;
  uint64_t batch_gpa, data_gpa, pml4, entry;
  Machine::Context ctx;
};

}  // namespace

TEST(vgpu_store_on_each_engine_arrives_and_is_reported) {
  for (int e = 0; e < num_engines; e++) {
    Bench b;
    b.store(b.batch_gpa, data + 8, 0x1234 + e);
    b.m.emit_batch(&b.ctx, batch);
    b.m.submit(e, &b.ctx);
    CHECK(b.m.run(e) == Engine::Next::idle);
    CHECK_EQ(b.m.peek(b.data_gpa + 8), 0x1234u + e);
    const auto got = b.m.events(e);
    CHECK_EQ(got.size(), 2u);
    CHECK_EQ(got[0], event(idle_to_active, 0));
    CHECK_EQ(got[1], event(done, 7));
    CHECK_EQ(b.m.image(b.ctx, 5), b.ctx.tail);
    CHECK_EQ(b.m.read(engine_info[e].base + ring::execlist_status_hi), 0u);
  }
}

TEST(vgpu_short_batch_is_one_interrupt) {
  Bench b;
  b.store(b.batch_gpa, data, 1);
  b.m.emit_batch(&b.ctx, batch);
  b.m.emit(&b.ctx, {mi::header(mi::user_interrupt), 0});
  b.m.submit(bcs0, &b.ctx);
  CHECK_EQ(b.m.events(bcs0).size(), 2u);
  const uint32_t seen = b.m.read(reg::gt_irq + 8);
  CHECK_EQ(seen, (context_switch_event | user_event) << 16);
  b.m.write(reg::gt_irq + 8, seen);
  CHECK_EQ(b.m.read(reg::gt_irq + 8), 0u);  // its two status events were one
}

TEST(vgpu_idle_engine_gathers_until_somebody_waits) {
  Options o = without_threads();
  o.gather_ns = 3600ull * 1000000000;
  Bench b(o);
  const uint32_t imr = engine_info[bcs0].base + ring::imr;
  b.store(b.batch_gpa, data, 1);
  b.m.write(imr, UINT32_MAX);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  CHECK(b.m.run(bcs0) == Engine::Next::rest);
  CHECK_EQ(b.m.peek(b.data_gpa), 0u);
  b.m.emit_batch(&b.ctx, batch);  // in the same submission: it reads the tail as it begins
  b.m.submit(bcs0, &b.ctx);
  CHECK_EQ(b.m.peek(b.data_gpa), 0u);
  b.m.write(imr, ~uint32_t{user_event});  // another engine's bits of that bank
  CHECK_EQ(b.m.peek(b.data_gpa), 0u);
  b.m.write(imr, ~(uint32_t{user_event} << engine_info[bcs0].irq_shift));
  CHECK_EQ(b.m.events(bcs0).size(), 2u);
  CHECK_EQ(b.m.image(b.ctx, 5), b.ctx.tail);
  // Who is waited for begins at once.
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  CHECK_EQ(b.m.events(bcs0).size(), 2u);
  // And who comes to wait each time soon finds it done: the tries to gather get rarer.
  unsigned gathered = 0;
  for (int i = 0; i < 100; i++) {
    b.m.write(imr, UINT32_MAX);
    b.m.emit_batch(&b.ctx, batch);
    b.m.submit(bcs0, &b.ctx);
    if (b.m.run(bcs0) == Engine::Next::rest) gathered++;
    b.m.write(imr, ~(uint32_t{user_event} << engine_info[bcs0].irq_shift));
    CHECK_EQ(b.m.events(bcs0).size(), 2u);
  }
  CHECK_EQ(gathered, 5u);  // with 1, 3, 7, 15 and 31 submissions before them
}

TEST(vgpu_second_port_runs_after_the_first) {
  Bench b;
  b.store(b.batch_gpa, data, 1);
  b.m.emit_batch(&b.ctx, batch);
  auto other = b.m.context(8, b.pml4);
  b.m.emit_batch(&other, batch);
  b.m.submit(bcs0, &b.ctx, &other);
  b.m.run(bcs0);
  const auto got = b.m.events(bcs0);
  CHECK_EQ(got.size(), 3u);
  CHECK_EQ(got[1], event(switched, 7));
  CHECK_EQ(got[2], event(done, 8));
}

TEST(vgpu_write_through_a_read_only_entry_changes_nothing) {
  Bench b;
  b.m.put64(b.entry, b.data_gpa | Machine::present);
  b.store(b.batch_gpa, data, 1);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  CHECK(b.m.run(bcs0) == Engine::Next::idle);
  CHECK_EQ(b.m.peek(b.data_gpa), 0u);
  CHECK_EQ(b.m.device.hw.stats.writes_to_read_only.load(), 1u);
  CHECK_EQ(b.m.events(bcs0).back(), event(done, 7));
}

TEST(vgpu_fault_is_in_the_fault_registers_and_hangs_the_engine) {
  Bench b;
  b.m.put64(b.entry, 0);
  b.store(b.batch_gpa, data + 0x10, 1);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(vcs0, &b.ctx);
  CHECK(b.m.run(vcs0) == Engine::Next::idle);
  CHECK_EQ(b.m.events(vcs0).size(), 1u);
  CHECK_EQ(b.m.read(reg::ring_fault), 1u | 1u << 12);
  CHECK_EQ(b.m.read(reg::fault_data0), static_cast<uint32_t>(data >> 12));
  CHECK_EQ(b.m.read(reg::fault_data1), 0u);
  CHECK_EQ(b.m.read(engine_info[vcs0].base + ring::execlist_status_hi), 7u);
  CHECK_EQ(b.m.read(engine_info[vcs0].base + ring::mi_mode) & mode_idle, 0u);
}

TEST(vgpu_illegal_command_raises_the_error_interrupt_where_it_is_unmasked) {
  Bench b;
  const uint32_t base = engine_info[rcs0].base;
  b.m.write(base + ring::emr, ~1u);
  b.m.put(b.batch_gpa, {0xffffffff});
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(rcs0, &b.ctx);
  b.m.run(rcs0);
  CHECK_EQ(b.m.read(base + ring::eir), 1u);
  CHECK(b.m.read(reg::gt_irq + 8) & error_event);
  CHECK_EQ(b.m.read(base + ring::ipehr), 0xffffffffu);
}

TEST(vgpu_lite_restore_takes_the_new_tail_inside_a_batch) {
  Bench b;
  b.spinner(false);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  CHECK(b.m.run(bcs0) == Engine::Next::rest);
  b.m.emit(&b.ctx, {mi::header(mi::user_interrupt), 0});
  b.m.submit(bcs0, &b.ctx);
  b.m.run(bcs0);
  CHECK_EQ(b.m.events(bcs0).back(), event(lite, 7));
  CHECK_EQ(b.m.read(engine_info[bcs0].base + ring::tail), b.ctx.tail);
  b.m.poke(b.batch_gpa, end);
  CHECK(b.m.run(bcs0) == Engine::Next::idle);
  CHECK_EQ(b.m.events(bcs0).back(), event(done, 7));
  CHECK(b.m.read(reg::gt_irq + 8) & user_event << 16);
}

TEST(vgpu_preempted_batch_goes_on_where_it_was) {
  Bench b;
  // A loop, and a store behind it that only comes where the loop's jump is taken away.
  b.m.put(b.batch_gpa, {arb, 0, mi::header(mi::batch_buffer_start) | batch_ppgtt | 1,
                        static_cast<uint32_t>(batch) + 4, static_cast<uint32_t>(batch >> 32)});
  b.m.put(b.batch_gpa + 4, {arb});
  b.store(b.batch_gpa + 20, data, 42);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(rcs0, &b.ctx);
  CHECK(b.m.run(rcs0) == Engine::Next::rest);
  auto other = b.m.context(9, b.pml4);
  b.m.emit(&other, {mi::header(mi::store_data_index) | 1, 0x800, 99, 0});
  b.m.submit(rcs0, &other, &b.ctx);
  b.m.run(rcs0);
  CHECK_EQ(b.m.peek(other.image_gpa + 0x800), 99u);
  const auto got = b.m.events(rcs0);
  CHECK_EQ(got.size(), 3u);
  CHECK_EQ(got[1], event(preempted, 7));
  CHECK_EQ(got[2], event(switched, 9));
  CHECK_EQ(b.m.read(engine_info[rcs0].base + ring::execlist_status_hi), 7u);
  for (unsigned i = 0; i < 3; i++) b.m.poke(b.batch_gpa + 8 + 4 * i, 0);
  CHECK(b.m.run(rcs0) == Engine::Next::idle);
  CHECK_EQ(b.m.peek(b.data_gpa), 42u);
  CHECK_EQ(b.m.device.hw.stats.preemptions.load(), 1u);
}

TEST(vgpu_batch_without_arbitration_is_not_preempted) {
  Bench b;
  b.spinner(false);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  b.m.run(bcs0);
  auto other = b.m.context(9, b.pml4);
  b.m.emit(&other, {mi::header(mi::user_interrupt), 0});
  b.m.submit(bcs0, &other);
  CHECK(b.m.run(bcs0) == Engine::Next::rest);
  CHECK_EQ(b.m.events(bcs0).size(), 1u);
  b.m.poke(b.batch_gpa, end);
  CHECK(b.m.run(bcs0) == Engine::Next::idle);
  const auto got = b.m.events(bcs0);
  CHECK_EQ(got[0], event(preempted, 7));
  CHECK_EQ(got[1], event(done, 9));
}

TEST(vgpu_head_that_the_driver_moved_forgets_the_batch) {
  Bench b;
  b.spinner(true);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  b.m.run(bcs0);
  b.m.submit(bcs0, nullptr);
  CHECK(b.m.run(bcs0) == Engine::Next::idle);
  CHECK_EQ(b.m.events(bcs0).back(), event(preempted, 7));
  b.m.image(b.ctx, 5) = b.ctx.tail;
  b.m.submit(bcs0, &b.ctx);
  CHECK(b.m.run(bcs0) == Engine::Next::idle);
  CHECK_EQ(b.m.events(bcs0).back(), event(done, 7));
}

TEST(vgpu_semaphore_is_a_place_to_preempt_and_interrupts_once) {
  Bench b;
  b.m.put(b.batch_gpa, {mi::header(mi::semaphore_wait) | semaphore_poll | 4u << 12 | 2, 1,
                        static_cast<uint32_t>(data), static_cast<uint32_t>(data >> 32), end});
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(vecs0, &b.ctx);
  CHECK(b.m.run(vecs0) == Engine::Next::rest);
  CHECK(b.m.read(reg::gt_irq + 0x38) & semaphore_event);
  b.m.write(reg::gt_irq + 0x38, semaphore_event);
  b.m.run(vecs0);
  CHECK(!(b.m.read(reg::gt_irq + 0x38) & semaphore_event));
  b.m.submit(vecs0, nullptr);
  CHECK(b.m.run(vecs0) == Engine::Next::idle);
  b.m.poke(b.data_gpa, 1);
  b.m.submit(vecs0, &b.ctx);
  CHECK(b.m.run(vecs0) == Engine::Next::idle);
  CHECK_EQ(b.m.events(vecs0).back(), event(done, 7));
}

TEST(vgpu_reset_of_one_engine_leaves_the_others_alone) {
  Bench b;
  b.spinner(false);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  b.m.run(bcs0);
  auto other = b.m.context(9, b.pml4);
  b.m.emit_batch(&other, batch);
  b.m.submit(rcs0, &other);
  b.m.run(rcs0);
  const uint32_t base = engine_info[bcs0].base;
  b.m.write(base + ring::reset_ctl, 0x10001);
  CHECK_EQ(b.m.read(base + ring::reset_ctl) & 3, 3u);
  b.m.write(0x941c, 1u << 3);
  CHECK_EQ(b.m.read(0x941c), 0u);
  CHECK_EQ(b.m.read(base + ring::execlist_status_hi), 0u);
  CHECK_EQ(b.m.read(engine_info[rcs0].base + ring::execlist_status_hi), 9u);
  b.m.poke(b.batch_gpa, end);
  CHECK(b.m.run(rcs0) == Engine::Next::idle);
}

TEST(vgpu_reset_that_fails_never_reads_as_done_for_an_engine_that_hangs) {
  Options o = without_threads();
  o.reset_fails = true;
  Bench b(o);
  b.m.write(0x941c, 1);
  CHECK_EQ(b.m.read(0x941c), 0u);
  b.m.put(b.batch_gpa, {0xffffffff});
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  b.m.run(bcs0);
  for (const uint32_t domains : {1u << 3, 1u}) {
    b.m.write(0x941c, domains);
    CHECK_EQ(b.m.read(0x941c), domains);
  }
  b.m.write(0x941c, 1u << 1);
  CHECK_EQ(b.m.read(0x941c), 0u);
}

TEST(vgpu_stale_translation_stays_until_a_register_or_a_command_invalidates) {
  for (const bool stale : {false, true}) {
    Options o = without_threads();
    o.stale_tlb = stale;
    Bench b(o);
    const uint64_t moved = b.m.page();
    b.store(b.batch_gpa, data, 1);
    const auto go = [&](uint32_t value) {
      b.m.poke(b.batch_gpa + 12, value);
      b.m.emit_batch(&b.ctx, batch);
      b.m.submit(bcs0, &b.ctx);
      b.m.run(bcs0);
    };
    go(1);
    b.m.put64(b.entry, moved | 3);
    go(2);
    CHECK_EQ(b.m.peek(b.data_gpa), stale ? 2u : 1u);
    CHECK_EQ(b.m.peek(moved), stale ? 0u : 2u);
    b.m.write(0x426c, 1);
    CHECK_EQ(b.m.read(0x426c), 0u);
    go(3);
    CHECK_EQ(b.m.peek(moved), 3u);
    b.m.put64(b.entry, b.data_gpa | 3);
    b.m.emit(&b.ctx, {mi::header(mi::flush_dw) | 1u << 18 | 2, 0, 0, 0});
    go(4);
    CHECK_EQ(b.m.peek(b.data_gpa), 4u);
  }
}

TEST(vgpu_delay_and_hang_are_for_user_batches_only) {
  Options o = without_threads();
  o.hang_engine = bcs0;
  o.hang_every = 2;
  Bench b(o);
  b.store(b.batch_gpa, data, 1);
  const auto go = [&](Machine::Context* c) {
    b.m.emit_batch(c, batch);
    b.m.submit(bcs0, c);
    b.m.run(bcs0);
    return b.m.events(bcs0).back();
  };
  for (int i = 0; i < 3; i++) CHECK_EQ(go(&b.ctx), event(done, 7));
  const uint64_t user_pml4 = b.m.page();
  b.m.map(user_pml4, batch, b.batch_gpa | 3);
  b.m.map(user_pml4, data, b.data_gpa | 3);
  auto user = b.m.context(20, user_pml4);
  CHECK_EQ(go(&user), event(done, 20));
  CHECK_EQ(go(&user), event(idle_to_active, 0));
  CHECK_EQ(b.m.device.hw.stats.hangs_made.load(), 1u);
}

TEST(vgpu_registers_and_memory_map_change_while_a_batch_loops) {
  Bench b{Options{}};
  b.spinner(false);
  b.m.emit_batch(&b.ctx, batch);
  b.m.submit(bcs0, &b.ctx);
  const auto begin = std::chrono::steady_clock::now();
  uint8_t* more = b.m.ram;
  for (int i = 0; i < 200; i++) {
    CHECK_EQ(b.m.device.hw.memory.map_memory(more, 1ull << 40, 0, true), -EINVAL);
    CHECK_EQ(b.m.read(engine_info[bcs0].base + ring::reset_ctl), 0u);
    b.m.write(0x426c, 1);
    CHECK_EQ(b.m.device.unmap(1ull << 40, 4096), -ENOENT);
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(took < std::chrono::seconds(5));
  b.m.poke(b.batch_gpa, end);
  const uint64_t hwsp = b.m.ggtt_gpa(b.m.status_page[bcs0]);
  for (int i = 0; i < 2000 && b.m.peek(hwsp + 0x1f * 4) != 1; i++) usleep(1000);
  CHECK_EQ(b.m.events(bcs0).back(), event(done, 7));
  b.m.device.reset();
}
