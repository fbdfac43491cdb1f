// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "stress/stressor.h"

namespace i915u::stress {

constexpr int mpol_mf_move = 1 << 1;  // include/uapi/linux/mempolicy.h

static bool node_exists(int n) {
  struct stat st;
  return stat(("/sys/devices/system/node/node" + std::to_string(n)).c_str(), &st) == 0;
}

static std::string missing(Run& run) {
  if (run.dev.is_soft()) return {};  // the model invalidates whether pages move or not
  return node_exists(1) ? "" : "one NUMA node only: there is nowhere to move pages to";
}

static void change(Stress& s, Cell& c) {
  Range r = pick_range(s.rng, c);
  r.n = std::min(r.n, 512u);
  std::vector<uint64_t> pages(r.n);
  std::vector<int> status(r.n);
  const std::vector<int> nodes(r.n, node_exists(1) ? static_cast<int>(s.rng.below(2)) : 0);
  for (uint32_t i = 0; i < r.n; i++) pages[i] = c.page_addr(r.first + i);
  innocent(
      s, c, r, Op::move_pages, "after move_pages",
      [&] {
        return s.run.mem.move_pages(r.n, pages.data(), nodes.data(), status.data(), mpol_mf_move);
      },
      true);
}

extern const StressorInfo move_pages_stressor;
const StressorInfo move_pages_stressor = {
    "move_pages",
    "move_pages of a range to the other NUMA node",
    "two NUMA nodes",
    "content survives the migration; lost write: later batches reach the new pages",
    missing,
    any_cell,
    change};

}  // namespace i915u::stress
