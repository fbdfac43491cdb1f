// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace i915u::stress {

/// When the kernel's notifier lets a change of a mapping go on (design.md, "write after protect").
enum class Era : uint32_t {
  unknown,
  waits,    ///< before 6.9: after the batches that use the range are done
  no_wait,  ///< 6.9 and later: at once; the batches in flight keep the old pages
};

struct Config {
  double seconds = 10;
  uint64_t operations = 0;  ///< end after so many submissions and changes; 0: no such end
  uint64_t seed = 1;
  uint32_t submitters = 2;  ///< threads
  uint32_t threads_per_stressor = 1;
  uint32_t cells = 16;                 ///< areas of memory, each under at least one userptr object
  std::vector<uint64_t> sizes;         ///< bytes of the areas, dealt in turn; multiples of 4096
  std::vector<std::string> stressors;  ///< names; empty: all that the machine can run
  uint64_t op_timeout_ns = 0;  ///< liveness bound of one operation; 0: 5 s on soft, 30 s else
  uint32_t at_once = 0;        ///< stressor threads at a time; 0: twice the CPUs, at least 4
  uint64_t pause_ns = 50000;   ///< a stressor rests up to so long between two changes
  uint64_t dwell_ns = 100000;  ///< and leaves a mapping changed for up to so long
  uint64_t violations = 0;     ///< end after so many violations; 0: no such end
  Era era = Era::unknown;      ///< what to judge by; unknown: what the kernel's version says
};

constexpr uint32_t max_cells = 60;  ///< a tag has 6 bits for the cell
constexpr uint64_t max_cell_bytes = 64u << 20;
constexpr uint64_t page_size = 4096;

}  // namespace i915u::stress
