// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <cstdio>

#include "stress/stressor.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21  // 5.4, include/uapi/asm-generic/mman-common.h
#endif

namespace i915u::stress {

static std::string missing(Run& run) {
  if (run.dev.is_soft()) return {};  // the model pages out without a swap device
  FILE* f = fopen("/proc/swaps", "re");
  if (!f) return "/proc/swaps cannot be read";
  int lines = 0;
  char line[512];
  while (fgets(line, sizeof line, f)) lines++;
  fclose(f);
  return lines > 1 ? "" : "no swap: pages of private or shared memory cannot be paged out";
}

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  innocent(s, c, r, Op::madvise, "after MADV_PAGEOUT",
           [&] { return s.run.mem.madvise(c.page_addr(r.first), r.n * page_size, MADV_PAGEOUT); });
}

extern const StressorInfo pageout_stressor;
const StressorInfo pageout_stressor = {
    "pageout", "madvise(MADV_PAGEOUT): reclaim writes the pages to swap",
    "swap",    "content survives; what the GPU wrote was marked dirty",
    missing,   any_cell,
    change};

}  // namespace i915u::stress
