// SPDX-License-Identifier: MIT
#include "vgpu/engine/engine_bus.h"

#include <algorithm>
#include <cstring>

#include "vgpu/clock.h"

namespace i915u::vgpu {

namespace {

bool natural(const void* p, size_t len) {
  return (len == 4 || len == 8) && reinterpret_cast<uintptr_t>(p) % len == 0;
}

// The guest's CPUs read while we write: dwords and qwords do not tear.
void load(void* to, const uint8_t* from, size_t len) {
  if (!natural(from, len)) {
    memcpy(to, from, len);
  } else if (len == 4) {
    const uint32_t v = __atomic_load_n(reinterpret_cast<const uint32_t*>(from), __ATOMIC_ACQUIRE);
    memcpy(to, &v, 4);
  } else {
    const uint64_t v = __atomic_load_n(reinterpret_cast<const uint64_t*>(from), __ATOMIC_ACQUIRE);
    memcpy(to, &v, 8);
  }
}

void store(uint8_t* to, const void* from, size_t len) {
  if (!natural(to, len)) {
    memcpy(to, from, len);
  } else if (len == 4) {
    uint32_t v;
    memcpy(&v, from, 4);
    __atomic_store_n(reinterpret_cast<uint32_t*>(to), v, __ATOMIC_RELEASE);
  } else {
    uint64_t v;
    memcpy(&v, from, 8);
    __atomic_store_n(reinterpret_cast<uint64_t*>(to), v, __ATOMIC_RELEASE);
  }
}

}  // namespace

EngineBus::EngineBus(EngineId id, Hardware& hw)
    : mmu(hw.memory, hw.ggtt, hw.stats, hw.options.stale_tlb), id_(id), hw_(hw) {}

/// copy(host, at, n) for each page of the range; host is null where the access has no effect.
template <class Copy>
bool EngineBus::access(gpu::Space space, uint64_t addr, size_t len, bool write, Copy copy) {
  for (size_t at = 0, n; at < len; at += n) {
    const uint64_t a = addr + at;
    n = std::min<size_t>(len - at, 4096 - (a & 4095));
    uint8_t* host = nullptr;
    switch (mmu.resolve(space, a, write, &host)) {
      case Mmu::Result::ok:
        break;
      case Mmu::Result::fault:
        report_fault(space, a);
        return false;
      case Mmu::Result::read_only:
        count(hw_.stats.writes_to_read_only);
        break;
      case Mmu::Result::nowhere:
        hw_.stats.mistake(Statistics::no_memory, "%s: %s of %s 0x%llx", engine_info[id_].name,
                          write ? "write" : "read", space == gpu::Space::ggtt ? "GGTT" : "PPGTT",
                          static_cast<unsigned long long>(a));
        break;
    }
    copy(host, at, n);
  }
  return true;
}

bool EngineBus::read(gpu::Space space, uint64_t addr, void* to, size_t len) {
  return access(space, addr, len, false, [&](const uint8_t* host, size_t at, size_t n) {
    auto* p = static_cast<uint8_t*>(to) + at;
    if (host)
      load(p, host, n);
    else
      memset(p, 0, n);
  });
}

bool EngineBus::write(gpu::Space space, uint64_t addr, const void* from, size_t len) {
  return access(space, addr, len, true, [&](uint8_t* host, size_t at, size_t n) {
    if (host) store(host, static_cast<const uint8_t*>(from) + at, n);
  });
}

gpu::Bus::Exchange EngineBus::compare_exchange(gpu::Space space, uint64_t addr, uint64_t* expected,
                                               uint64_t desired, size_t len) {
  Exchange result = Exchange::done;
  const bool ok = access(space, addr, len, true, [&](uint8_t* host, size_t, size_t) {
    if (!host) return;  // dropped
    bool same;
    if (len == 4) {
      auto found = static_cast<uint32_t>(*expected);
      same = __atomic_compare_exchange_n(reinterpret_cast<uint32_t*>(host), &found,
                                         static_cast<uint32_t>(desired), false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST);
      *expected = found;
    } else {
      same = __atomic_compare_exchange_n(reinterpret_cast<uint64_t*>(host), expected, desired,
                                         false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    if (!same) result = Exchange::changed;
  });
  return ok ? result : Exchange::fault;
}

uint64_t EngineBus::timestamp() {
  return timestamp_ticks();
}

uint32_t EngineBus::read_register(uint32_t offset) {
  const RegisterFile::Known* k = hw_.registers.find(offset);
  if (k && k->r.behaviour == Behaviour::timestamp)
    return static_cast<uint32_t>(timestamp_ticks() >> k->r.arg);
  return hw_.registers.get(offset);
}

// What a write of the CPU's sets in motion, a command's does not: i915 never asks for it.
void EngineBus::write_register(uint32_t offset, uint32_t value) {
  const RegisterFile::Known* k = hw_.registers.find(offset);
  switch (k ? k->r.behaviour : Behaviour::plain) {
    case Behaviour::plain:
    case Behaviour::engine_imr:
      hw_.registers.set(offset, value);
      break;
    case Behaviour::masked:
      hw_.registers.set_masked(offset, value);
      break;
    case Behaviour::write_one_clears:
      hw_.registers.clear_bits(offset, value);
      break;
    default:
      hw_.stats.mistake(Statistics::special_register, "%s: a command writes 0x%x to %s",
                        engine_info[id_].name, value, hw_.registers.name(offset).c_str());
  }
}

bool EngineBus::write_status(uint32_t offset, const void* from, size_t len) {
  return write(gpu::Space::ggtt, status_page + offset, from, len);
}

void EngineBus::invalidate_tlb() {
  count(hw_.stats.tlb_invalidations);
  mmu.invalidate();
}

// The first one stays until the driver has cleared it. Which of the engine's units asked (the
// source id) is not known here, nor is the type more than "invalid entry".
void EngineBus::report_fault(gpu::Space space, uint64_t addr) {
  count(hw_.stats.page_faults);
  RegisterFile& r = hw_.registers;
  constexpr uint32_t fault_valid = 1u << 0, gtt_select = 1u << 4;
  if (r.get(reg::ring_fault) & fault_valid) return;
  r.set(reg::fault_data0, static_cast<uint32_t>(addr >> 12));
  r.set(reg::fault_data1,
        static_cast<uint32_t>(addr >> 44 & 0xf) | (space == gpu::Space::ggtt ? gtt_select : 0));
  r.set(reg::ring_fault, fault_valid | uint32_t{engine_info[id_].fault_id} << 12);
}

}  // namespace i915u::vgpu
