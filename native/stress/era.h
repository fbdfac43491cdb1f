// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "stress/run.h"

namespace i915u::stress {

/// What the kernel's version says (soft: the strategy): before 6.9 the notifier waits.
Era era_expected(Run& run);

/// Finds out: munmap of a userptr object's memory under a batch that makes no end until the CPU
/// lets it, some time later. *munmap_ns: how long munmap took. Unknown where batches cannot wait.
Era era_measured(Run& run, Recorder& rec, uint64_t addr, uint64_t* munmap_ns);

extern const char* const era_names[3];

}  // namespace i915u::stress
