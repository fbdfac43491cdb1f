// SPDX-License-Identifier: MIT
#include "vgpu/registers/register_file.h"

#include <cstdio>

#include "vgpu/engine/engine_info.h"

namespace i915u::vgpu {

RegisterFile::RegisterFile()
    : values_(new std::atomic<uint32_t>[register_bytes / 4]()),
      index_(new uint16_t[register_bytes / 4]()) {
  add(shared_registers(), 0, -1);
  for (int e = 0; e < num_engines; e++) add(engine_registers(), engine_info[e].base, e);
  reset();
}

void RegisterFile::add(RegisterTable table, uint32_t base, int engine) {
  for (size_t i = 0; i < table.size; i++) {
    Register r = table.registers[i];
    r.offset += base;
    known_.push_back({r, engine});
    for (uint32_t k = 0; k < r.count; k++)
      index_[r.offset / 4 + k] = static_cast<uint16_t>(known_.size());
  }
}

void RegisterFile::reset() {
  for (uint32_t i = 0; i < register_bytes / 4; i++) values_[i].store(0, std::memory_order_relaxed);
  for (const Known& k : known_)
    for (uint32_t i = 0; i < k.r.count; i++) set(k.r.offset + 4 * i, k.r.reset);
}

void RegisterFile::reset_engine(uint32_t base) {
  const RegisterTable table = engine_registers();
  for (size_t i = 0; i < table.size; i++) {
    const Register& r = table.registers[i];
    // The interrupt mask and the status page belong to the host's side, and survive.
    if (r.offset == ring::imr || r.offset == ring::hws_pga) continue;
    for (uint32_t k = 0; k < r.count; k++) set(base + r.offset + 4 * k, r.reset);
  }
}

const RegisterFile::Known* RegisterFile::find(uint32_t offset) const {
  const uint16_t i = index_[(offset & (register_bytes - 1)) / 4];
  return i ? &known_[i - 1] : nullptr;
}

std::string RegisterFile::name(uint32_t offset) const {
  char text[64];
  const Known* k = find(offset);
  if (!k) {
    snprintf(text, sizeof text, "0x%06x", offset);
  } else {
    const char* engine = k->engine < 0 ? "" : engine_info[k->engine].name;
    const char* dot = k->engine < 0 ? "" : ".";
    if (k->r.count > 1)
      snprintf(text, sizeof text, "%s%s%s[%u]", engine, dot, k->r.name, (offset - k->r.offset) / 4);
    else
      snprintf(text, sizeof text, "%s%s%s", engine, dot, k->r.name);
  }
  return text;
}

void RegisterFile::set_masked(uint32_t offset, uint32_t value) {
  const uint32_t mask = value >> 16;
  auto& r = at(offset);
  uint32_t old = r.load(std::memory_order_relaxed);
  while (!r.compare_exchange_weak(old, (old & ~mask) | (value & mask))) {
  }
}

}  // namespace i915u::vgpu
