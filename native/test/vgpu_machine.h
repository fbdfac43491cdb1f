// SPDX-License-Identifier: MIT
// A device with a little RAM, and what a driver does to it: page tables, contexts, submissions.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "gpu/commands.h"
#include "vgpu/device.h"

namespace i915u::vgpu::test {

inline Options without_threads() {
  Options o;
  o.threads = false;
  return o;
}

class Machine {
 public:
  static constexpr uint64_t ram_gpa = 1 << 20, ram_bytes = 4 << 20;

  explicit Machine(const Options& o = without_threads()) : options(o), device(options) {
    ram = static_cast<uint8_t*>(
        mmap(nullptr, ram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    device.hw.memory.map_memory(ram, ram_gpa, ram_bytes, true);
    for (int e = 0; e < num_engines; e++) {
      status_page[e] = to_ggtt(page());
      write(engine_info[e].base + ring::hws_pga, status_page[e]);
      write(engine_info[e].base + ring::imr, 0);
    }
    for (uint32_t b = 0; b < 4; b++) {
      write(reg::gt_irq + 16 * b + 4, 0);
      write(reg::gt_irq + 16 * b + 12, UINT32_MAX);
    }
    write(reg::master_irq, 1u << 31);
  }
  ~Machine() {
    device.unmap_all();  // before the memory goes: engines may run
    munmap(ram, ram_bytes);
  }

  const Options options;
  uint8_t* ram;
  Device device;
  uint32_t status_page[num_engines];

  // Registers.
  void write(uint32_t offset, uint32_t value) { device.write(0, offset, value, 4); }
  uint32_t read(uint32_t offset) { return static_cast<uint32_t>(device.read(0, offset, 4)); }

  // RAM.
  uint64_t page(unsigned n = 1) {
    const uint64_t gpa = next_;
    next_ += 4096 * n;
    return gpa;
  }
  uint32_t* at(uint64_t gpa) { return reinterpret_cast<uint32_t*>(ram + (gpa - ram_gpa)); }
  uint32_t peek(uint64_t gpa) { return __atomic_load_n(at(gpa), __ATOMIC_ACQUIRE); }
  void poke(uint64_t gpa, uint32_t v) { __atomic_store_n(at(gpa), v, __ATOMIC_RELEASE); }
  void put64(uint64_t gpa, uint64_t v) { memcpy(at(gpa), &v, sizeof v); }
  uint64_t get64(uint64_t gpa) {
    uint64_t v;
    memcpy(&v, at(gpa), sizeof v);
    return v;
  }

  // The GGTT.
  uint32_t to_ggtt(uint64_t gpa, unsigned pages = 1) {
    const uint32_t addr = next_ggtt_;
    for (unsigned i = 0; i < pages; i++, next_ggtt_ += 4096)
      device.write(0, register_bytes + next_ggtt_ / 4096 * 8, (gpa + 4096 * i) | 1, 8);
    return addr;
  }
  uint64_t ggtt_gpa(uint32_t addr) {
    return device.read(0, register_bytes + addr / 4096 * 8, 8) & ~4095ull;
  }

  // A PPGTT by its PML4. Returns the entry's place, to change it later.
  static constexpr uint64_t present = 1, writable = 2;
  uint64_t map(uint64_t pml4, uint64_t addr, uint64_t entry, unsigned level_shift = 12) {
    uint64_t table = pml4;
    for (unsigned shift = 39; shift > level_shift; shift -= 9) {
      const uint64_t slot = table + (addr >> shift & 511) * 8;
      if (!(get64(slot) & present)) put64(slot, page() | present | writable);
      table = get64(slot) & 0x7ffffff000;
    }
    const uint64_t slot = table + (addr >> level_shift & 511) * 8;
    put64(slot, entry);
    return slot;
  }

  struct Context {
    uint32_t image, ring, id;
    uint64_t image_gpa, ring_gpa;
    uint32_t tail = 0;
    uint64_t descriptor() const { return uint64_t{id} << 32 | image | 0x119; }
  };
  Context context(uint32_t id, uint64_t pml4) {
    Context c;
    c.id = id;
    c.image_gpa = page(2);
    c.ring_gpa = page();
    c.image = to_ggtt(c.image_gpa, 2);
    c.ring = to_ggtt(c.ring_gpa);
    image(c, 9) = c.ring;
    image(c, 0xb) = 1;
    image(c, 0x31) = static_cast<uint32_t>(pml4 >> 32);
    image(c, 0x33) = static_cast<uint32_t>(pml4);
    return c;
  }
  uint32_t& image(const Context& c, unsigned dw) { return at(c.image_gpa + 4096)[dw]; }
  void emit(Context* c, std::initializer_list<uint32_t> commands) {
    for (const uint32_t dw : commands) {
      poke(c->ring_gpa + c->tail, dw);
      c->tail = (c->tail + 4) % 4096;
    }
    image(*c, 7) = c->tail;
  }
  void emit_batch(Context* c, uint64_t addr) {
    using namespace gpu;
    // Arbitration on, as i915 has it around a batch.
    emit(c, {mi::header(mi::arb_on_off) | 1, mi::header(mi::batch_buffer_start) | batch_ppgtt | 1,
             static_cast<uint32_t>(addr), static_cast<uint32_t>(addr >> 32),
             mi::header(mi::arb_on_off), 0});
  }
  void put(uint64_t gpa, std::initializer_list<uint32_t> commands) {
    for (const uint32_t dw : commands) {
      poke(gpa, dw);
      gpa += 4;
    }
  }

  // Submission.
  void submit(int engine, const Context* first, const Context* second = nullptr) {
    const uint64_t a = first ? first->descriptor() : 0, b = second ? second->descriptor() : 0;
    for (const uint32_t v : {static_cast<uint32_t>(b >> 32), static_cast<uint32_t>(b),
                             static_cast<uint32_t>(a >> 32), static_cast<uint32_t>(a)})
      write(engine_info[engine].base + ring::elsp, v);
  }
  /// Slices until it is idle, or only waits.
  Engine::Next run(int engine, unsigned slices = 100) {
    Engine::Next n = Engine::Next::again;
    for (unsigned i = 0; i < slices && n == Engine::Next::again; i++)
      n = device.engine(engine).slice(512);
    return n;
  }
  /// The status buffer's events since the last call.
  std::vector<uint64_t> events(int engine) {
    const uint64_t hwsp = ggtt_gpa(status_page[engine]);
    std::vector<uint64_t> out;
    const uint32_t last = peek(hwsp + 0x1f * 4);
    while (seen_[engine] != last) {
      seen_[engine] = (seen_[engine] + 1) % 6;
      out.push_back(get64(hwsp + 0x40 + 8 * seen_[engine]));
    }
    return out;
  }

 private:
  uint64_t next_ = ram_gpa;
  uint32_t next_ggtt_ = 1 << 20;
  uint32_t seen_[num_engines] = {5, 5, 5, 5};
};

}  // namespace i915u::vgpu::test
