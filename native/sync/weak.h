// SPDX-License-Identifier: MIT
// A reference that does not keep its object, and what it is exchanged for (kernel:
// kref_get_unless_zero, kref_put). Whether the object is found depends on whether others have let
// go of it, so that under a scheduler both are steps: of the object's references.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "sync/scheduler.h"

namespace i915u::sync {

/// Before a reference is let go, which may be the last one. `references`: Scheduler's object; 0:
/// there are others for as long as anyone asks, and it is no step.
inline void let_go(uint32_t references, Where w = Where::current()) {
  if (scheduler && references)
    scheduler->step({Op::store, references, "references", w}, nullptr, nullptr);
}

template <class T>
class Weak {
 public:
  Weak(std::weak_ptr<T> to, uint32_t references) : to_(std::move(to)), references_(references) {}

  /// Null: the last reference is gone. The end of what it returns, of all its copies, is a step.
  std::shared_ptr<T> lock(Where w = Where::current()) const {
    if (!scheduler || !references_) return to_.lock();
    scheduler->step({Op::load, references_, "references", w}, nullptr, nullptr);
    auto held = to_.lock();
    if (!held) return held;
    T* const raw = held.get();
    return {raw, [held = std::move(held), references = references_, w](T*) mutable {
              const Uncancelled whole;
              let_go(references, w);
              held.reset();
            }};
  }

 private:
  std::weak_ptr<T> to_;
  uint32_t references_;
};

}  // namespace i915u::sync
