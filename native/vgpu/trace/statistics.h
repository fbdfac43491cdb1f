// SPDX-License-Identifier: MIT
// What the device counts, and what it says of a guest's mistakes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace i915u::vgpu {

/// X(name): one counter each, in the order in which they are printed.
#define I915U_VGPU_COUNTERS(X) \
  X(messages)                  \
  X(polled_ns)                 \
  X(register_reads)            \
  X(register_writes)           \
  X(ggtt_writes)               \
  X(aperture_accesses)         \
  X(submissions)               \
  X(lite_restores)             \
  X(preemptions)               \
  X(context_loads)             \
  X(user_batches)              \
  X(hangs_made)                \
  X(batches)                   \
  X(commands)                  \
  X(commands_skipped)          \
  X(commands_unknown)          \
  X(commands_dropped)          \
  X(commands_approximated)     \
  X(msi_sent)                  \
  X(msi_lost)                  \
  X(msi_masked)                \
  X(tlb_invalidations)         \
  X(tlb_stale_hits)            \
  X(page_faults) X(writes_to_read_only) X(resets) X(device_resets) X(dma_maps) X(dma_unmaps)

struct Statistics {
#define X(name) std::atomic<uint64_t> name{0};
  I915U_VGPU_COUNTERS(X)
#undef X

  /// One line of JSON, with the mistakes by kind.
  std::string json() const;

  enum Mistake {
    bad_message,
    bad_dma_map,
    bad_config_access,
    bad_bar_access,
    no_memory,       ///< an address that is not the guest's RAM
    no_translation,  ///< of what the device itself reads or writes: images, status pages
    bad_context,     ///< a ring or an image that cannot be run
    illegal_command,
    special_register,  ///< written by a command, ignored
    num_mistakes
  };
  std::array<std::atomic<uint64_t>, num_mistakes> mistakes{};
  /// Logged to stderr: the first ones of each kind, and then ever fewer.
  void mistake(Mistake kind, const char* format, ...) __attribute__((format(printf, 3, 4)));
};

inline void count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  counter.fetch_add(n, std::memory_order_relaxed);
}

}  // namespace i915u::vgpu
