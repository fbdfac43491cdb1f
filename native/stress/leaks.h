// SPDX-License-Identifier: MIT
// What must be the same after a run as before it: pins, and what the model has alive.
#pragma once

#include "drm/device.h"
#include "stress/board.h"
#include "stress/cell.h"

namespace i915u::stress {

class LeakCheck {
 public:
  explicit LeakCheck(Device& dev);
  /// After all is closed and unmapped; what is freed late gets up to 2 s.
  void check(Recorder& rec);

 private:
  struct Now {
    uint64_t acquired = 0, released = 0;  ///< pins, in pages
    uint64_t objects = 0, bytes = 0, bindings = 0;
    bool pins_known = false;
  };
  Now now();
  Device& dev_;
  const Now before_;
};

}  // namespace i915u::stress
