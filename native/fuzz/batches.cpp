// SPDX-License-Identifier: MIT
// What a batch may do: the input's first byte picks the engine and the address space, the rest is
// the batch. All the memory there is, page tables, ring and context image included, is mapped for
// it and can be written.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "test/vgpu_machine.h"

using namespace i915u;
using namespace i915u::vgpu;
using vgpu::test::Machine;

namespace {

constexpr uint64_t batch = 0x100000000, all_memory = 0x200000000;
constexpr unsigned batch_pages = 2;
constexpr uint64_t used_bytes = 256 << 10;

struct Target {
  Machine m;
  uint64_t batch_gpa;
  uint32_t batch_ggtt;
  Machine::Context ctx;
  std::vector<uint8_t> snapshot;

  Target() {
    batch_gpa = m.page(batch_pages);
    batch_ggtt = m.to_ggtt(batch_gpa, batch_pages);
    const uint64_t pml4 = m.page();
    for (unsigned i = 0; i < batch_pages; i++)
      m.map(pml4, batch + 4096 * i, (batch_gpa + 4096 * i) | 3);
    for (uint64_t at = 0; at < used_bytes; at += 4096)
      m.map(pml4, all_memory + at, (Machine::ram_gpa + at) | 3);
    m.to_ggtt(Machine::ram_gpa, used_bytes / 4096);
    ctx = m.context(7, pml4);
    snapshot.assign(m.ram, m.ram + used_bytes);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Target t;
  if (size < 5) return 0;
  memcpy(t.m.ram, t.snapshot.data(), used_bytes);
  const int engine = data[0] % num_engines;
  memcpy(t.m.at(t.batch_gpa), data + 1, std::min<size_t>(size - 1, 4096 * batch_pages));
  Machine::Context ctx = t.ctx;
  if (data[0] & 4) {
    using namespace gpu;
    t.m.emit(&ctx, {mi::header(mi::arb_on_off) | 1, mi::header(mi::batch_buffer_start) | 1,
                    t.batch_ggtt, 0, mi::header(mi::arb_on_off), 0});
  } else {
    t.m.emit_batch(&ctx, batch);
  }
  t.m.submit(engine, &ctx);
  for (int i = 0; i < 8; i++)
    if (t.m.device.engine(engine).slice(256) != Engine::Next::again) break;
  // Out of the way and back again: what is saved can be loaded, whatever became of it.
  t.m.submit(engine, nullptr);
  t.m.device.engine(engine).slice(64);
  t.m.submit(engine, &ctx);
  t.m.device.engine(engine).slice(64);
  t.m.write(0x941c, 1);
  t.m.write(reg::ring_fault, 0);
  return 0;
}
