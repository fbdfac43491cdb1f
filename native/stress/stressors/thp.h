// SPDX-License-Identifier: MIT
// What the stressors of huge pages need.
#pragma once

#include <string>

#include "stress/stressor.h"

namespace i915u::stress {

std::string thp_missing(Run&);
/// Holds a whole 2 MiB page of private memory.
bool huge_cell(const Cell&);

}  // namespace i915u::stress
