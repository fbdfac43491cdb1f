// SPDX-License-Identifier: MIT
// A world as the scheduler runs it, and one execution whose choices are given.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "lab/explore/explorer.h"
#include "sync/fibers.h"

namespace i915u::explore {

struct Program {
  const Make& make;
  World* world = nullptr;
  void main();
  sync::FiberScheduler::End run(sync::FiberScheduler& s, sync::FiberScheduler::Policy& p) {
    return s.run([this] { main(); }, p);
  }
};

/// Thread by thread as `choices` say; then, where all of them were made and `fair` steps are
/// allowed, taking turns.
class Script final : public sync::FiberScheduler::Policy {
 public:
  Script(const std::vector<uint8_t>& choices, uint32_t fair) : choices_(choices), fair_(fair) {}
  int choose(sync::FiberScheduler&) override;

  Schedule schedule;         ///< its threads and steps, as far as they were chosen and not turns
  uint32_t preemptions = 0;  ///< in these
  bool fits = true;
  bool endless = false;  ///< the fair steps did not suffice

 private:
  const std::vector<uint8_t>& choices_;
  const uint32_t fair_;
};

Verdict verdict_of(sync::FiberScheduler::End, bool livelock);
Schedule::Step step_of(uint32_t thread, const sync::Op&);
/// The thread after `last` among those that can go on.
int next_turn(const sync::FiberScheduler&);

/// Fills in the counterexample that `choices` lead to, and what is known of its being minimal.
void minimize(sync::FiberScheduler&, const Make&, const Options&, std::vector<uint8_t> choices,
              std::vector<uint8_t> straightened, Result&);

}  // namespace i915u::explore
