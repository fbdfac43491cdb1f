// SPDX-License-Identifier: MIT
// Executes batch buffers and rings, as the command streamer of an Intel engine does. It has no lock
// and no thread; one thread at a time may call it.
//
// Executed: what writes memory or registers, jumps, waits or interrupts, and the blitter's copies
// and fills. Skipped by length and counted: 3D, media and GPGPU commands, and what only concerns
// caches and the display. Unlike hardware:
// - tiled surfaces are walked as linear ones and clip rectangles are ignored, both counted;
// - MI_SEMAPHORE_WAIT in signal mode polls, too;
// - the predicate of MI_SET_PREDICATE ends with the batch, and spares MI_BATCH_BUFFER_END;
// - commands are fetched at most 64 bytes ahead, and are not stale after a write to their address.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gpu/commands.h"

namespace i915u::gpu {

enum class Space : uint8_t { ggtt, ppgtt };

/// What an engine is attached to. Addresses are without sign extension: 48 bits from gen8 on, 32
/// before. Accesses are at most 4096 bytes and may cross pages; those of 4 and 8 bytes at their
/// natural alignment should not tear. Commands are read in aligned pieces of 64 bytes, which must
/// be all there or not at all.
class Bus {
 public:
  enum class Exchange { done, changed, fault };

  virtual ~Bus() = default;
  /// False is a fault: nothing is mapped there. (i915 maps a scratch page everywhere, so that a
  /// model of it answers true, reads zeros and drops the write.)
  virtual bool read(Space space, uint64_t addr, void* to, size_t len) = 0;
  virtual bool write(Space space, uint64_t addr, const void* from, size_t len) = 0;
  /// Ticks of the engine's timestamp counter.
  virtual uint64_t timestamp() = 0;

  /// One attempt of MI_ATOMIC, 4 or 8 bytes. `changed` leaves what was found in *expected, and is
  /// tried again. The default is not atomic against other engines or the CPU.
  virtual Exchange compare_exchange(Space space, uint64_t addr, uint64_t* expected,
                                    uint64_t desired, size_t len);
  /// Registers other than those in CommandStreamer::State and the engine's timestamps.
  virtual uint32_t read_register(uint32_t /*offset*/) { return 0; }
  virtual void write_register(uint32_t /*offset*/, uint32_t /*value*/) {}
  /// A 4 or 8 byte store to the hardware status page of the context.
  virtual bool write_status(uint32_t /*offset*/, const void* /*from*/, size_t /*len*/) {
    return true;
  }
  virtual void user_interrupt() {}
  /// The notify bit of PIPE_CONTROL and MI_FLUSH_DW.
  virtual void flush_interrupt() {}
  /// The TLB invalidate bit of PIPE_CONTROL and MI_FLUSH_DW.
  virtual void invalidate_tlb() {}
  virtual void semaphore_signal(uint32_t /*header*/, uint32_t /*context*/) {}
};

enum class StopReason : uint8_t {
  batch_end,    ///< the batch of start_batch() is done
  idle,         ///< the ring is empty, or nothing was started
  budget,       ///< max_commands were executed; run() goes on
  semaphore,    ///< MI_SEMAPHORE_WAIT at `address` is not satisfied; run() looks again
  arbitration,  ///< request_preempt() was asked for, and this is a place where it may be done
  spin,         ///< a lap of a loop that changed nothing: only others can end it. run() goes on
  fault,        ///< no memory at `address`. run() tries the command again
  illegal,      ///< `header` at `address` is no command of this engine: hardware hangs here
};

struct Stop {
  StopReason reason;
  Space space = Space::ggtt;
  bool write = false;
  uint32_t header = 0;   ///< of the command it stopped at; not for batch_end, idle, budget
  uint64_t address = 0;  ///< of the semaphore, the fault, or else the next command
};

/// The counts of one streamer since it was made; they are not part of the state.
struct Counters {
  uint64_t commands = 0;  ///< executed or skipped; a slice of a blit counts as one
  uint64_t batches = 0;   ///< outermost ones that ended
  uint64_t skipped = 0;   ///< known commands without effect here
  uint64_t unknown = 0;   ///< headers that are no command
  uint64_t faults = 0;
  uint64_t dropped = 0;       ///< what an unprivileged batch may not do, turned into MI_NOOP
  uint64_t approximated = 0;  ///< tiled or clipped blits, executed linear and whole
};

class CommandStreamer {
 public:
  static constexpr unsigned max_depth = 3;  ///< of batches; gen12 nests 3, the others 2

  struct Level {
    uint64_t ip = 0;
    Space space = Space::ppgtt;
    bool privileged = false;
  };

  struct Ring {
    uint64_t start = 0;  ///< in the GGTT, page aligned
    uint32_t size = 0;   ///< bytes, a multiple of 4096; 0: no ring
    uint32_t head = 0, tail = 0;
  };

  /// A copy or fill on its way. Kept so that a large one is done in slices.
  struct Blit {
    uint64_t dst = 0, src = 0;
    int64_t dst_pitch = 0, src_pitch = 0;  ///< bytes
    uint64_t row_bytes = 0, rows = 0;
    uint64_t row = 0, column = 0;  ///< next slice, counted from the corner that is done first
    uint32_t color = 0;            ///< the fill's pattern, repeated to 4 bytes
    uint32_t mask = UINT32_MAX;    ///< bits of each 4 bytes that are written
    uint32_t dwords = 0;           ///< length of the command
    uint8_t rop = 0;
    bool copy = false;
    bool rows_backward = false, columns_backward = false;
    bool active = false;
  };

  /// All that a context switch saves, including the registers in the context image that commands
  /// use. Plain data.
  struct State {
    std::array<Level, max_depth> stack{};  ///< the innermost batch is stack[depth - 1]
    uint8_t depth = 0;                     ///< 0: in the ring, or nothing to do
    bool arbitration = true;
    uint8_t predicate_mode = 0;  ///< of MI_SET_PREDICATE
    Ring ring;
    Blit blit;
    std::array<uint64_t, 16> gpr{};
    uint64_t predicate_src0 = 0, predicate_src1 = 0;
    uint32_t predicate_data = 0, predicate_result = 0, predicate_result_1 = 0,
             predicate_result_2 = 0;
    uint32_t nop_id = 0;
  };

  /// `mmio_base` 0 stands for that of the first engine of the class.
  CommandStreamer(Gen gen, Engine engine, Bus& bus, uint32_t mmio_base = 0);

  /// Forgets the batches that were running. A batch in the PPGTT is an unprivileged one, unless
  /// said otherwise (I915_EXEC_SECURE). Arbitration is on, no predicate is set.
  void start_batch(Space space, uint64_t addr, bool privileged = false);
  /// Runs from a ring, where there is no batch left from before.
  void set_ring(const Ring& ring) { state_.ring = ring; }
  void set_tail(uint32_t tail) { state_.ring.tail = tail; }

  /// Executes at most `max_commands` commands.
  Stop run(uint64_t max_commands);

  /// The next run() stops at the next place where a context may be switched out: an MI_ARB_CHECK or
  /// a semaphore that blocks, while arbitration is on. Holds until it has.
  void request_preempt() { preempt_ = true; }
  void cancel_preempt() { preempt_ = false; }

  const State& state() const { return state_; }
  /// Goes on where another streamer of the same generation and class, or this one, was.
  void restore(const State& state);

  /// The command that run() executes next; what the error state calls ACTHD.
  uint64_t address() const;
  const Counters& counters() const { return counters_; }
  Gen gen() const { return gen_; }
  uint32_t mmio_base() const { return mmio_base_; }

  /// Registers as the engine's own commands see them, those of the state included.
  uint32_t read_register(uint32_t offset);
  void write_register(uint32_t offset, uint32_t value);

  /// May an unprivileged batch write this register? (The manuals' "User Mode Non-Privileged
  /// Registers"; what i915 adds by RING_FORCE_TO_NONPRIV is left out.)
  static bool user_may_write(uint32_t mmio_base, Engine engine, uint32_t offset);

 private:
  enum class Step : uint8_t {
    next,    ///< the command is done, the following one is next
    jumped,  ///< done, and the next address is already set
    stay,    ///< the same again
    stop,    ///< stop_ says why
  };

  Step step();
  Step execute_mi(uint32_t header, uint32_t len, const uint32_t* dw);
  Step execute_blt(uint32_t header, uint32_t len, const uint32_t* dw);
  Step pipe_control(uint32_t len, const uint32_t* dw);
  Step flush_dw(uint32_t len, const uint32_t* dw);
  Step post_sync(unsigned op, bool index, Space space, uint64_t addr, uint64_t imm, size_t len);
  Step store_data_imm(uint32_t header, uint32_t len, const uint32_t* dw);
  Step store_data_index(uint32_t len, const uint32_t* dw);
  Step copy_mem_mem(uint32_t header, const uint32_t* dw);
  Step batch_start(uint32_t header, uint32_t len, const uint32_t* dw);
  Step batch_end();
  Step arb_check(uint32_t len);
  Step semaphore_wait(uint32_t header, const uint32_t* dw);
  Step conditional_end(uint32_t header, const uint32_t* dw);
  Step atomic(uint32_t header, uint32_t len, const uint32_t* dw);
  void math(uint32_t len, const uint32_t* dw);
  void predicate(uint32_t header);
  bool predicated_off() const;
  Step start_blit(Blit blit, uint32_t len);
  Step blit_slice();

  bool privileged() const;
  Space data_space(bool ggtt) const;
  uint64_t mask_address(uint64_t addr) const;
  uint64_t address_of(const uint32_t* dw) const;
  uint32_t register_of(uint32_t offset, bool relative, bool remapped) const;
  void command_write_register(uint32_t offset, uint32_t value);
  bool access_state(uint32_t offset, bool write, uint32_t* value);

  Step advance(uint32_t dwords);
  Step stop_at(StopReason reason, Space space, uint64_t addr, bool write = false);
  Step illegal();
  bool fetch(uint32_t at, uint32_t* to, uint32_t n);
  bool read(Space space, uint64_t addr, void* to, size_t len);
  bool write(Space space, uint64_t addr, const void* from, size_t len);
  void changed(uint64_t where, uint64_t what);
  bool is_lap();
  void forget_laps();

  Gen gen_;
  Engine engine_;
  Bus& bus_;
  uint32_t mmio_base_;
  State state_;
  Counters counters_;
  Stop stop_{StopReason::idle};
  bool preempt_ = false;

  // One aligned piece of the command stream.
  static constexpr uint32_t window_bytes = 64;
  std::array<uint32_t, window_bytes / 4> window_{};
  uint64_t window_addr_ = 0;
  Space window_space_ = Space::ggtt;
  bool window_valid_ = false;

  // Brent's cycle finding over the places that jumps lead to. effects is a digest of what was
  // written since `target` was last passed, last that of the lap before.
  struct Laps {
    uint64_t target = 0, effects = 0, last = 0;
    uint64_t jumps = 0, limit = 1;
    bool started = false, repeated = false;
  } laps_;
};

}  // namespace i915u::gpu
