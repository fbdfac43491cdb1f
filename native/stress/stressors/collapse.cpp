// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "stress/stressor.h"
#include "stress/stressors/thp.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // 6.1, include/uapi/asm-generic/mman-common.h
#endif

namespace i915u::stress {

std::string thp_missing(Run&) {
  FILE* f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
  if (!f) return "the kernel has no transparent huge pages";
  char line[128] = "";
  const bool read = fgets(line, sizeof line, f);
  fclose(f);
  return read && !strstr(line, "[never]") ? "" : "transparent huge pages are off";
}

bool huge_cell(const Cell& c) {
  return c.len >= (2u << 20) && c.backing == Backing::anon;
}

static std::string missing(Run& run) {
  if (const std::string why = thp_missing(run); !why.empty()) return why;
  // A length of 0 succeeds for every advice that the kernel knows.
  return madvise(nullptr, 0, MADV_COLLAPSE) == 0 ? "" : "MADV_COLLAPSE needs kernel 6.1";
}

static void change(Stress& s, Cell& c) {
  // Small pages first, here and there, so that there is something to collapse.
  touch_some(s, c, {0, c.pages});
  innocent(
      s, c, {0, c.pages}, Op::madvise, "after MADV_COLLAPSE",
      [&] { return s.run.mem.madvise(c.addr, c.len, MADV_COLLAPSE); }, true);
}

extern const StressorInfo collapse_stressor;
const StressorInfo collapse_stressor = {
    "collapse",
    "madvise(MADV_COLLAPSE): small pages become 2 MiB pages",
    "transparent huge pages, kernel 6.1",
    "content survives; lost write: later batches reach the new page",
    missing,
    huge_cell,
    change};

}  // namespace i915u::stress
