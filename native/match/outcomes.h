// SPDX-License-Identifier: MIT
// What a sequence whose threads are not ordered can come to: it is played on software devices under
// many schedules, of which each is one interleaving of the sequence's threads, the engines and the
// workers, chosen by chance at every lock, wait and wake.
//
// Chosen by chance, so an outcome may be missed: the more schedules, the fewer. Time stands still:
// what would pass only with time, a hang or a poll that never comes true, is not an outcome, but
// the end of the process.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "soft/device.h"

namespace i915u::match {

constexpr uint32_t max_schedules = 1000000;

class Outcomes {
 public:
  Outcomes(const soft::SoftOptions& options, uint64_t seed) : options_(options), seed_(seed) {}

  /// `lines` from begin to end. *said: a line for each outcome, "outcome SCHEDULES
  /// ANSWER|ANSWER...", the most frequent first, and then "end ID". False: an error line is all
  /// there is. `tick` is called with how many schedules there were, now and then.
  using Tick = std::function<void(uint32_t)>;
  bool play(const std::vector<std::string>& lines, uint32_t schedules, std::string* said,
            const Tick& tick = {});

 private:
  /// The answers, one after the other; empty with *error when a line makes no sense.
  std::string play_once(const std::vector<std::string>& lines, std::string* error);
  const soft::SoftOptions options_;
  const uint64_t seed_;
};

}  // namespace i915u::match
