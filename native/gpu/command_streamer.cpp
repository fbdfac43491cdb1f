// SPDX-License-Identifier: MIT
#include "gpu/command_streamer.h"

#include <algorithm>
#include <cstring>

#include "gpu/registers.h"

namespace i915u::gpu {

namespace {

constexpr uint64_t qword(const uint32_t* dw) {
  return static_cast<uint64_t>(dw[1]) << 32 | dw[0];
}

/// The longest command that is executed: MI_STORE_DATA_IMM with all ten bits of its length.
constexpr uint32_t max_dwords = 0x3ff + 2;

}  // namespace

Bus::Exchange Bus::compare_exchange(Space space, uint64_t addr, uint64_t* expected,
                                    uint64_t desired, size_t len) {
  uint64_t found = 0;
  if (!read(space, addr, &found, len)) return Exchange::fault;
  if (found != *expected) {
    *expected = found;
    return Exchange::changed;
  }
  return write(space, addr, &desired, len) ? Exchange::done : Exchange::fault;
}

CommandStreamer::CommandStreamer(Gen gen, Engine engine, Bus& bus, uint32_t mmio_base)
    : gen_(gen),
      engine_(engine),
      bus_(bus),
      mmio_base_(mmio_base ? mmio_base : engine_base(gen, engine)) {}

void CommandStreamer::start_batch(Space space, uint64_t addr, bool privileged) {
  state_.stack[0] = {mask_address(addr) & ~3ull, space, privileged || space == Space::ggtt};
  state_.depth = 1;
  state_.arbitration = true;
  state_.predicate_mode = 0;
  state_.blit.active = false;
  forget_laps();
}

void CommandStreamer::restore(const State& state) {
  state_ = state;
  forget_laps();
}

uint64_t CommandStreamer::address() const {
  return state_.depth ? state_.stack[state_.depth - 1].ip : state_.ring.start + state_.ring.head;
}

Stop CommandStreamer::run(uint64_t max_commands) {
  window_valid_ = false;
  for (uint64_t n = 0; n < max_commands; n++) {
    if (!state_.depth) {
      const Ring& ring = state_.ring;
      if (!ring.size || ring.head == ring.tail) return {StopReason::idle};
      if (ring.size % 4096 || ring.start % 4096 || ring.head >= ring.size || ring.head % 4 ||
          ring.tail >= ring.size || ring.tail % 4)
        return stop_ = {StopReason::illegal, Space::ggtt, false, 0, address()};
    }
    if (step() == Step::stop) return stop_;
  }
  return {StopReason::budget};
}

CommandStreamer::Step CommandStreamer::step() {
  if (state_.blit.active) {
    counters_.commands++;
    stop_.header = 0;
    const Step s = blit_slice();
    return s == Step::next ? advance(state_.blit.dwords) : s;
  }

  uint32_t dw[max_dwords];
  stop_.header = 0;
  if (!fetch(0, dw, 1)) return Step::stop;
  const uint32_t header = stop_.header = dw[0];
  const Command* c = find_command(gen_, engine_mask(engine_), header);
  if (!c) return illegal();
  const uint32_t len = c->length(header);
  if (len < c->min_dwords) return illegal();
  const bool skipped = c->client == Client::gfx && c->opcode != gfx::pipe_control;
  if (!skipped && len > 1 && !fetch(1, dw + 1, len - 1)) return Step::stop;

  counters_.commands++;
  Step s = Step::next;
  if (skipped ||
      (predicated_off() && !(c->client == Client::mi && (c->opcode == mi::set_predicate ||
                                                         c->opcode == mi::batch_buffer_end)))) {
    counters_.skipped++;
  } else if (c->client == Client::mi) {
    s = execute_mi(header, len, dw);
  } else if (c->client == Client::blt) {
    s = execute_blt(header, len, dw);
  } else {
    s = pipe_control(len, dw);
  }
  return s == Step::next ? advance(len) : s;
}

bool CommandStreamer::privileged() const {
  return !state_.depth || state_.stack[state_.depth - 1].privileged;
}

/// The manuals on "Use Global GTT": ignored and treated as clear in a non-privileged batch.
Space CommandStreamer::data_space(bool ggtt) const {
  return ggtt && privileged() ? Space::ggtt : Space::ppgtt;
}

uint64_t CommandStreamer::mask_address(uint64_t addr) const {
  return addr & (gen_ >= gen8 ? (1ull << 48) - 1 : UINT32_MAX);
}

uint64_t CommandStreamer::address_of(const uint32_t* dw) const {
  return mask_address(gen_ >= gen8 ? qword(dw) : dw[0]);
}

CommandStreamer::Step CommandStreamer::advance(uint32_t dwords) {
  if (state_.depth) {
    Level& level = state_.stack[state_.depth - 1];
    level.ip = mask_address(level.ip + 4ull * dwords);
    return Step::jumped;
  }
  Ring& ring = state_.ring;
  // A command that reaches beyond the tail would be taken for new work on the next lap.
  const uint32_t left = (ring.tail + ring.size - ring.head) % ring.size;
  if (4ull * dwords > left) return illegal();
  ring.head = (ring.head + 4 * dwords) % ring.size;
  return Step::jumped;
}

CommandStreamer::Step CommandStreamer::stop_at(StopReason reason, Space space, uint64_t addr,
                                               bool write) {
  if (reason == StopReason::fault) counters_.faults++;
  stop_ = {reason, space, write, stop_.header, addr};
  return Step::stop;
}

CommandStreamer::Step CommandStreamer::illegal() {
  counters_.unknown++;
  const Space space = state_.depth ? state_.stack[state_.depth - 1].space : Space::ggtt;
  return stop_at(StopReason::illegal, space, address());
}

bool CommandStreamer::fetch(uint32_t at, uint32_t* to, uint32_t n) {
  while (n) {
    Space space = Space::ggtt;
    uint64_t addr;
    if (state_.depth) {
      const Level& level = state_.stack[state_.depth - 1];
      space = level.space;
      addr = mask_address(level.ip + 4ull * at);
    } else {
      addr = state_.ring.start + (state_.ring.head + 4ull * at) % state_.ring.size;
    }
    const uint64_t base = addr & ~static_cast<uint64_t>(window_bytes - 1);
    if (!window_valid_ || window_addr_ != base || window_space_ != space) {
      window_valid_ = bus_.read(space, base, window_.data(), window_bytes);
      window_addr_ = base;
      window_space_ = space;
      if (!window_valid_) {
        stop_at(StopReason::fault, space, addr);
        return false;
      }
    }
    const uint32_t first = static_cast<uint32_t>(addr - base) / 4;
    const uint32_t k = std::min(n, window_bytes / 4 - first);
    memcpy(to, window_.data() + first, k * 4);
    to += k;
    at += k;
    n -= k;
  }
  return true;
}

bool CommandStreamer::read(Space space, uint64_t addr, void* to, size_t len) {
  if (bus_.read(space, addr, to, len)) return true;
  stop_at(StopReason::fault, space, addr);
  return false;
}

bool CommandStreamer::write(Space space, uint64_t addr, const void* from, size_t len) {
  if (!bus_.write(space, addr, from, len)) {
    stop_at(StopReason::fault, space, addr, true);
    return false;
  }
  if (addr < window_addr_ + window_bytes && window_addr_ < addr + len) window_valid_ = false;
  // A sample of at most 8 pieces: a digest that overlooks something makes a loop rest, no more.
  const size_t stride = std::max<size_t>(8, len / 64 * 8);
  for (size_t i = 0; i < len; i += stride) {
    uint64_t piece = 0;
    memcpy(&piece, static_cast<const char*>(from) + i, std::min<size_t>(8, len - i));
    changed(addr + i, piece);
  }
  return true;
}

void CommandStreamer::changed(uint64_t where, uint64_t what) {
  uint64_t h = laps_.effects ^ where * 0x9e3779b97f4a7c15;
  h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9 ^ what;
  laps_.effects = (h ^ h >> 32) * 0x94d049bb133111eb + 1;
}

/// After each jump: is this the end of a lap that left everything as the lap before did?
bool CommandStreamer::is_lap() {
  uint64_t place = 0;
  for (unsigned i = 0; i < state_.depth; i++)
    place = (place ^ state_.stack[i].ip) * 0x9e3779b97f4a7c15;
  Laps& l = laps_;
  if (l.started && l.target == place) {
    const bool same = l.repeated ? l.effects == l.last : l.effects == 0;
    l.last = l.effects;
    l.effects = l.jumps = 0;
    l.repeated = true;
    return same;
  }
  if (++l.jumps >= l.limit) {
    l = {.target = place,
         .effects = 0,
         .last = 0,
         .jumps = 0,
         .limit = l.limit * 2,
         .started = true,
         .repeated = false};
  }
  return false;
}

void CommandStreamer::forget_laps() {
  laps_ = {};
}

}  // namespace i915u::gpu
