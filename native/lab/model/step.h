// SPDX-License-Identifier: MIT
// The model's own steps, beside those of native/sync's primitives.
#pragma once

#include "sync/lockdep.h"
#include "sync/scheduler.h"

namespace i915u::lab {

inline void step(sync::Op::Act act, uint32_t object, const char* what,
                 sync::Where w = sync::Where::current()) {
  if (sync::scheduler) sync::scheduler->step({act, object, what, w}, nullptr, nullptr);
}

/// Until ready(), which stays true and depends on the object alone. The caller's last step has seen
/// that it is not yet: to the scheduler a wait commutes with what is done to the object once it is
/// possible, so that what the caller has to see of the object it must see in a step of its own.
template <class Ready>
void wait_more(uint32_t object, const char* what, const Ready& ready,
               sync::Where w = sync::Where::current()) {
  sync::lockdep::might_sleep(w);
  if (sync::scheduler)
    sync::scheduler->step(
        {sync::Op::wait, object, what, w},
        [](const void* r) { return (*static_cast<const Ready*>(r))(); }, &ready);
}

/// The same from the beginning.
template <class Ready>
void wait(uint32_t object, const char* what, const Ready& ready,
          sync::Where w = sync::Where::current()) {
  sync::lockdep::might_sleep(w);
  step(sync::Op::store, object, what, w);
  if (!ready()) wait_more(object, what, ready, w);
}

inline void touch(uint32_t object) {
  if (sync::scheduler) sync::scheduler->touch(object);
}

enum class Act { look_up, fault, change, end, visible, gpu_write, read };
/// "page 1: gpu write"; lives as long as the program.
const char* page_label(Act, int page);

}  // namespace i915u::lab
