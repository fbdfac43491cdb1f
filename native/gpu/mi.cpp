// SPDX-License-Identifier: MIT
// The memory interface commands, and PIPE_CONTROL, which is MI_FLUSH_DW for the render engine.
#include <algorithm>

#include "gpu/command_streamer.h"
#include "gpu/registers.h"

namespace i915u::gpu {

namespace {

constexpr uint32_t bit(unsigned n) {
  return 1u << n;
}

bool compare(unsigned op, uint32_t memory, uint32_t value) {
  switch (static_cast<Compare>(op)) {
    case Compare::gt:
      return memory > value;
    case Compare::gte:
      return memory >= value;
    case Compare::lt:
      return memory < value;
    case Compare::lte:
      return memory <= value;
    case Compare::eq:
      return memory == value;
    case Compare::neq:
      return memory != value;
  }
  return false;
}

}  // namespace

CommandStreamer::Step CommandStreamer::execute_mi(uint32_t header, uint32_t len,
                                                  const uint32_t* dw) {
  const auto opcode = static_cast<mi::Opcode>(header >> 23 & 0x3f);
  const bool relative = gen_ >= gen11 && (header & bit(19));
  const bool remapped = gen_ >= gen11 && (header & bit(17));
  const bool ggtt = header & use_ggtt;
  switch (opcode) {
    case mi::noop:
      if (header & bit(22)) state_.nop_id = header & 0x3fffff;
      return Step::next;
    case mi::user_interrupt:
      bus_.user_interrupt();
      return Step::next;
    case mi::arb_check:
      return arb_check(len);
    case mi::arb_on_off:
      state_.arbitration = header & 1;
      changed(opcode, header & 1);
      return Step::next;
    case mi::batch_buffer_start:
      return batch_start(header, len, dw);
    case mi::batch_buffer_end:
      return batch_end();
    case mi::conditional_batch_buffer_end:
      return conditional_end(header, dw);
    case mi::predicate:
      predicate(header);
      return Step::next;
    case mi::set_predicate:
      state_.predicate_mode = header & 0xf;
      changed(opcode, header & 0xf);
      return Step::next;
    case mi::semaphore_wait:
      return semaphore_wait(header, dw);
    case mi::semaphore_signal:
      bus_.semaphore_signal(header, dw[1]);
      return Step::next;
    case mi::store_data_imm:
      return store_data_imm(header, len, dw);
    case mi::store_data_index:
      return store_data_index(len, dw);
    case mi::load_register_imm:
      for (uint32_t i = 1; i + 1 < len; i += 2)
        command_write_register(register_of(dw[i], relative, remapped), dw[i + 1]);
      return Step::next;
    case mi::load_register_reg: {
      const uint32_t from = register_of(dw[1], gen_ >= gen11 && (header & bit(18)),
                                        gen_ >= gen11 && header & bit(16));
      command_write_register(register_of(dw[2], relative, remapped), read_register(from));
      return Step::next;
    }
    case mi::load_register_mem: {
      uint32_t value;
      if (!read(data_space(ggtt), address_of(dw + 2) & ~3ull, &value, sizeof value))
        return Step::stop;
      command_write_register(register_of(dw[1], relative, remapped), value);
      return Step::next;
    }
    case mi::store_register_mem: {
      const uint32_t value = read_register(register_of(dw[1], relative, remapped));
      return write(data_space(ggtt), address_of(dw + 2) & ~3ull, &value, sizeof value) ? Step::next
                                                                                       : Step::stop;
    }
    case mi::copy_mem_mem:
      return copy_mem_mem(header, dw);
    case mi::math:
      math(len, dw);
      return Step::next;
    case mi::atomic:
      return atomic(header, len, dw);
    case mi::flush_dw:
      return flush_dw(len, dw);
    case mi::report_head:
      // To dword 4 of the status page, where the autoreported head goes as well.
      if (state_.depth || bus_.write_status(0x10, &state_.ring.head, sizeof state_.ring.head))
        return Step::next;
      return stop_at(StopReason::fault, Space::ggtt, 0x10, true);
    default:
      counters_.skipped++;
      return Step::next;
  }
}

CommandStreamer::Step CommandStreamer::arb_check(uint32_t len) {
  if (!preempt_ || !state_.arbitration) return Step::next;
  preempt_ = false;
  if (advance(len) == Step::stop) return Step::stop;
  return stop_at(StopReason::arbitration, Space::ggtt, address());
}

CommandStreamer::Step CommandStreamer::batch_start(uint32_t header, uint32_t len,
                                                   const uint32_t* dw) {
  // Predication Enable: only the render engine has it.
  if (engine_ == Engine::render && gen_ >= gen7_5 && (header & bit(15)) &&
      !(state_.predicate_result_1 & 1))
    return Step::next;

  Level to{address_of(dw + 1) & ~3ull, Space::ppgtt, false};
  if (privileged() && !(header & batch_ppgtt)) {
    to.space = Space::ggtt;
    to.privileged = true;
  } else if (!privileged()) {
    to.space = state_.stack[state_.depth - 1].space;
  }

  const unsigned limit = gen_ >= gen12 ? 3 : gen_ >= gen7_5 ? 2 : 1;
  if (!state_.depth || ((header & second_level) && state_.depth < limit)) {
    if (advance(len) == Step::stop) return Step::stop;
    state_.stack[state_.depth++] = to;
    return Step::jumped;
  }
  state_.stack[state_.depth - 1] = to;
  return is_lap() ? stop_at(StopReason::spin, to.space, to.ip) : Step::jumped;
}

CommandStreamer::Step CommandStreamer::batch_end() {
  if (!state_.depth) return illegal();
  if (--state_.depth) return Step::jumped;
  counters_.batches++;
  state_.predicate_mode = 0;
  forget_laps();
  return state_.ring.size ? Step::jumped : stop_at(StopReason::batch_end, Space::ggtt, 0);
}

CommandStreamer::Step CommandStreamer::conditional_end(uint32_t header, const uint32_t* dw) {
  if (!state_.depth) return Step::next;
  if (header & compare_semaphore) {
    uint32_t memory;
    if (!read(data_space(header & use_ggtt), address_of(dw + 2) & ~3ull, &memory, sizeof memory))
      return Step::stop;
    // Goes on while the comparison holds. Only "greater" (0) before Kaby Lake.
    if (compare(gen_ >= gen9 ? header >> 12 & 7 : 0, memory, dw[1])) return Step::next;
  }
  return batch_end();
}

CommandStreamer::Step CommandStreamer::semaphore_wait(uint32_t header, const uint32_t* dw) {
  const uint64_t addr = address_of(dw + 2) & ~3ull;
  const bool in_register = gen_ >= gen12 && (header & bit(16));
  const Space space = data_space(header & use_ggtt);
  uint32_t memory;
  if (in_register) {
    memory = read_register(static_cast<uint32_t>(addr) & 0x7ffffc);
  } else if (!read(space, addr, &memory, sizeof memory)) {
    return Step::stop;
  }
  if (compare(header >> 12 & 7, memory, dw[1])) return Step::next;
  const bool switch_out = preempt_ && state_.arbitration;
  if (switch_out) preempt_ = false;
  return stop_at(switch_out ? StopReason::arbitration : StopReason::semaphore, space, addr);
}

void CommandStreamer::predicate(uint32_t header) {
  bool value = false;
  switch (header & 3) {
    case 0:
      value = true;
      break;
    case 2:
      value = state_.predicate_src0 == state_.predicate_src1;
      break;
    case 3:
      value = static_cast<uint32_t>(state_.predicate_src0 - state_.predicate_src1) ==
              state_.predicate_data;
      break;
  }
  const bool before = state_.predicate_result & 1;
  bool after = before;
  switch (header >> 6 & 3) {  // 0 and 1 keep what was
    case 3:
      value = !value;
      [[fallthrough]];
    case 2: {
      const unsigned combine = header >> 3 & 3;
      after = combine == 0   ? value
              : combine == 1 ? before && value
              : combine == 2 ? before || value
                             : before != value;
      break;
    }
  }
  state_.predicate_result = after;
  changed(mi::predicate, after);
}

bool CommandStreamer::predicated_off() const {
  if (!state_.depth) return false;
  switch (state_.predicate_mode) {
    case 1:
      return !(state_.predicate_result_2 & 1);
    case 2:
      return state_.predicate_result_2 & 1;
    case 3:
      return !(state_.predicate_result & 1);
    case 4:
      return state_.predicate_result & 1;
    case 15:
      return true;
  }
  return false;
}

CommandStreamer::Step CommandStreamer::store_data_imm(uint32_t header, uint32_t len,
                                                      const uint32_t* dw) {
  const bool qwords = gen_ >= gen8 ? header & store_qwords : len == 5;
  const uint64_t addr = address_of(gen_ >= gen8 ? dw + 1 : dw + 2) & (qwords ? ~7ull : ~3ull);
  const size_t n = qwords ? (len - 3) & ~1u : len - 3;
  if (!n) return illegal();
  return write(data_space(header & use_ggtt), addr, dw + 3, n * 4) ? Step::next : Step::stop;
}

CommandStreamer::Step CommandStreamer::store_data_index(uint32_t len, const uint32_t* dw) {
  if (!privileged()) {
    counters_.dropped++;
    return Step::next;
  }
  const uint32_t offset = dw[1] & 0xffc;
  const size_t bytes = len >= 4 ? 8 : 4;
  changed(offset, dw[2] | static_cast<uint64_t>(bytes == 8 ? dw[3] : 0) << 32);
  return bus_.write_status(offset, dw + 2, bytes)
             ? Step::next
             : stop_at(StopReason::fault, Space::ggtt, offset, true);
}

CommandStreamer::Step CommandStreamer::copy_mem_mem(uint32_t header, const uint32_t* dw) {
  uint32_t value;
  return read(data_space(header & bit(22)), address_of(dw + 3) & ~3ull, &value, sizeof value) &&
                 write(data_space(header & bit(21)), address_of(dw + 1) & ~3ull, &value,
                       sizeof value)
             ? Step::next
             : Step::stop;
}

CommandStreamer::Step CommandStreamer::post_sync(unsigned op, bool index, Space space,
                                                 uint64_t addr, uint64_t imm, size_t len) {
  if (!op) return Step::next;
  if (op == 3) {
    imm = bus_.timestamp();
    len = 8;
  } else if (op == 2) {  // PS_DEPTH_COUNT; nothing is ever drawn
    imm = 0;
    len = 8;
  }
  if (!index) return write(space, addr & ~7ull, &imm, len) ? Step::next : Step::stop;
  if (!privileged()) {
    counters_.dropped++;
    return Step::next;
  }
  const uint32_t offset = addr & 0xff8;
  changed(offset, imm);
  return bus_.write_status(offset, &imm, len) ? Step::next
                                              : stop_at(StopReason::fault, space, offset, true);
}

CommandStreamer::Step CommandStreamer::flush_dw(uint32_t len, const uint32_t* dw) {
  const uint32_t header = dw[0];
  if (header & bit(18)) bus_.invalidate_tlb();
  const uint32_t at = gen_ >= gen8 ? 3 : 2;
  const uint64_t imm =
      (len > at ? dw[at] : 0) | static_cast<uint64_t>(len > at + 1 ? dw[at + 1] : 0) << 32;
  const Step s = post_sync(header >> 14 & 3, header & bit(21), data_space(dw[1] & bit(2)),
                           address_of(dw + 1), imm, len > at + 1 ? 8 : 4);
  if (s == Step::next && (header & bit(8))) bus_.flush_interrupt();
  return s;
}

CommandStreamer::Step CommandStreamer::pipe_control(uint32_t len, const uint32_t* dw) {
  const uint32_t flags = dw[1];
  if (flags & bit(18)) bus_.invalidate_tlb();
  const uint32_t at = gen_ >= gen8 ? 4 : 3;
  const uint64_t imm = dw[at] | static_cast<uint64_t>(len > at + 1 ? dw[at + 1] : 0) << 32;
  const bool ggtt = gen_ >= gen7 ? flags & bit(24) : dw[2] & bit(2);
  unsigned op = flags >> 14 & 3;
  if (flags & bit(23)) {  // the post-sync write goes to a register
    if (op == 1) command_write_register(dw[2] & 0x7ffffc, static_cast<uint32_t>(imm));
    op = 0;
  }
  const Step s = post_sync(op, flags & bit(21), data_space(ggtt), address_of(dw + 2), imm,
                           len > at + 1 ? 8 : 4);
  if (s == Step::next && (flags & bit(8))) bus_.flush_interrupt();
  return s;
}

CommandStreamer::Step CommandStreamer::atomic(uint32_t header, uint32_t len, const uint32_t* dw) {
  const unsigned op = header >> 8 & 0x1f, size = header >> 13 & 7;
  if (size > 1 || !op || op > 0xf) {  // 16 bytes
    counters_.skipped++;
    return Step::next;
  }
  const size_t bytes = size ? 8 : 4;
  const uint64_t ones = size ? UINT64_MAX : UINT32_MAX;
  const Space space = data_space(header & use_ggtt);
  const uint64_t addr = address_of(dw + 1) & ~(bytes - 1);

  uint64_t one = state_.gpr[0], two = state_.gpr[2];
  if (header & bit(18)) {
    const uint32_t at = gen_ >= gen8 ? 3 : 2;
    const auto operand = [&](uint32_t i) -> uint64_t { return at + i < len ? dw[at + i] : 0; };
    one = operand(0) | operand(2) << 32;
    two = operand(1) | operand(3) << 32;
  }
  one &= ones;
  two &= ones;

  uint64_t old = 0;
  if (!read(space, addr, &old, bytes)) return Step::stop;
  const auto sign = [&](uint64_t v) {
    return size ? static_cast<int64_t>(v) : static_cast<int32_t>(static_cast<uint32_t>(v));
  };
  uint64_t result = old;
  switch (op) {
    case 0x1:
      result = old & one;
      break;
    case 0x2:
      result = old | one;
      break;
    case 0x3:
      result = old ^ one;
      break;
    case 0x4:
      result = one;
      break;
    case 0x5:
      result = old + 1;
      break;
    case 0x6:
    case 0xf:
      result = old - 1;
      break;
    case 0x7:
      result = old + one;
      break;
    case 0x8:
      result = old - one;
      break;
    case 0x9:
      result = one - old;
      break;
    case 0xa:
      result = sign(old) > sign(one) ? old : one;
      break;
    case 0xb:
      result = sign(old) < sign(one) ? old : one;
      break;
    case 0xc:
      result = std::max(old, one);
      break;
    case 0xd:
      result = std::min(old, one);
      break;
    case 0xe:
      result = old == one ? two : old;
      break;
  }
  result &= ones;

  uint64_t expected = old;
  switch (bus_.compare_exchange(space, addr, &expected, result, bytes)) {
    case Bus::Exchange::changed:
      return Step::stay;
    case Bus::Exchange::fault:
      return stop_at(StopReason::fault, space, addr, true);
    case Bus::Exchange::done:
      break;
  }
  changed(addr, result);
  if (addr < window_addr_ + window_bytes && window_addr_ < addr + bytes) window_valid_ = false;
  if (header & bit(16)) {
    const uint64_t returned = op == 0xf ? result : old;
    state_.gpr[4] = size ? returned : (state_.gpr[4] & ~ones) | returned;
    changed(reg::gpr + 8 * 4, state_.gpr[4]);
  }
  return Step::next;
}

void CommandStreamer::math(uint32_t len, const uint32_t* dw) {
  uint64_t srca = 0, srcb = 0, accu = 0;
  bool zero = false, carry = false;
  const auto load = [&](unsigned operand) -> uint64_t {
    if (operand < state_.gpr.size()) return state_.gpr[operand];
    switch (operand) {
      case 0x20:
        return srca;
      case 0x21:
        return srcb;
      case 0x31:
        return accu;
      case 0x32:
        return zero ? UINT64_MAX : 0;
      case 0x33:
        return carry ? UINT64_MAX : 0;
    }
    return 0;
  };
  const auto store = [&](unsigned operand, uint64_t value) {
    if (operand < state_.gpr.size()) {
      state_.gpr[operand] = value;
      changed(reg::gpr + 8 * operand, value);
    } else if (operand == 0x20) {
      srca = value;
    } else if (operand == 0x21) {
      srcb = value;
    }
  };
  for (uint32_t i = 1; i < len; i++) {
    const unsigned one = dw[i] >> 10 & 0x3ff, two = dw[i] & 0x3ff;
    switch (dw[i] >> 20) {
      case 0x080:
      case 0x180:
        store(one, load(two));
        continue;
      case 0x480:
      case 0x580:
        store(one, ~load(two));
        continue;
      case 0x081:
        store(one, 0);
        continue;
      case 0x481:
        store(one, UINT64_MAX);
        continue;
      case 0x100:
        carry = __builtin_add_overflow(srca, srcb, &accu);
        break;
      case 0x101:
        carry = __builtin_sub_overflow(srca, srcb, &accu);
        break;
      case 0x102:
        accu = srca & srcb;
        carry = false;
        break;
      case 0x103:
        accu = srca | srcb;
        carry = false;
        break;
      case 0x104:
        accu = srca ^ srcb;
        carry = false;
        break;
      default:
        continue;
    }
    zero = !accu;
  }
}

}  // namespace i915u::gpu
