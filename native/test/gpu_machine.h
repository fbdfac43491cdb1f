// SPDX-License-Identifier: MIT
// A command streamer with a flat memory, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gpu/command_streamer.h"
#include "gpu/emit.h"
#include "gpu/registers.h"
#include "test/harness.h"

namespace i915u::test {

using namespace gpu;

constexpr Gen all_gens[] = {gen6, gen7, gen7_5, gen8, gen9, gen11, gen12, gen12_5};

// PPGTT and GGTT, each of its own memory:
//   0        1 MiB     1 MiB + 256 KiB
//   | nothing | memory  | nothing
constexpr uint64_t memory_at = 1 << 20, memory_size = 256 << 10;
constexpr uint64_t batch_at = memory_at, data_at = memory_at + 0x10000,
                   other_at = memory_at + 0x20000;

class FlatBus : public Bus {
 public:
  bool read(Space space, uint64_t addr, void* to, size_t len) override {
    const uint8_t* p = find(space, addr, len);
    if (p) memcpy(to, p, len);
    return p;
  }
  bool write(Space space, uint64_t addr, const void* from, size_t len) override {
    uint8_t* p = find(space, addr, len);
    if (p) memcpy(p, from, len);
    return p;
  }
  uint64_t timestamp() override { return ++ticks; }
  uint32_t read_register(uint32_t offset) override { return offset ^ 0x5a5a5a5a; }
  void write_register(uint32_t offset, uint32_t value) override {
    register_offset = offset;
    register_value = value;
  }
  bool write_status(uint32_t offset, const void* from, size_t len) override {
    memcpy(status + (offset & 0xffc), from, len);
    return true;
  }
  void user_interrupt() override { interrupts++; }
  void flush_interrupt() override { flushes++; }

  uint8_t* find(Space space, uint64_t addr, size_t len) {
    if (addr < memory_at || addr - memory_at > memory_size ||
        len > memory_size - (addr - memory_at))
      return nullptr;
    return memory[space == Space::ppgtt].data() + (addr - memory_at);
  }
  template <class T = uint32_t>
  T get(uint64_t addr, Space space = Space::ppgtt) {
    T v{};
    if (!read(space, addr, &v, sizeof v)) v = static_cast<T>(0xbad);
    return v;
  }
  template <class T = uint32_t>
  void set(uint64_t addr, T v, Space space = Space::ppgtt) {
    write(space, addr, &v, sizeof v);
  }
  void load(const std::vector<uint32_t>& dw, uint64_t at = batch_at, Space space = Space::ppgtt) {
    write(space, at, dw.data(), dw.size() * 4);
  }

  std::vector<uint8_t> memory[2] = {std::vector<uint8_t>(memory_size),
                                    std::vector<uint8_t>(memory_size)};
  uint8_t status[4096 + 4] = {};
  uint64_t ticks = 0x100000000;
  uint32_t register_offset = 0, register_value = 0;
  int interrupts = 0, flushes = 0;
};

struct Machine {
  explicit Machine(Gen gen, Engine engine = Engine::render) : cs(gen, engine, bus) {}
  FlatBus bus;
  CommandStreamer cs;

  Stop run(Emit& e, uint64_t max = 100000) {
    e.batch_end();
    return run(e.dwords(), max);
  }
  Stop run(const std::vector<uint32_t>& dw, uint64_t max = 100000) {
    bus.load(dw);
    cs.start_batch(Space::ppgtt, batch_at);
    return cs.run(max);
  }
  uint32_t gpr(unsigned n) const { return cs.mmio_base() + reg::gpr + 8 * n; }
};

#define CHECK_STOP(stop, why) CHECK_EQ(static_cast<int>((stop).reason), static_cast<int>(why))

inline std::string decode(const Emit& e) {
  return disassemble(e.gen(), e.dwords().data(), e.dwords().size(), batch_at);
}

inline bool contains(const std::string& text, const char* what) {
  return text.find(what) != std::string::npos;
}

/// One instruction of MI_MATH.
constexpr uint32_t alu(unsigned op, unsigned one = 0, unsigned two = 0) {
  return op << 20 | one << 10 | two;
}

}  // namespace i915u::test
