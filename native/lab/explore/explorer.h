// SPDX-License-Identifier: MIT
// Runs a small program of threads over native/sync through all of its interleavings.
//
// The search is stateless: each execution starts from the beginning. It follows one interleaving of
// each class of those that differ only in the order of steps that commute (dynamic partial-order
// reduction with source sets and sleep sets; Abdulla, Aronis, Jonsson, Sagonas, POPL 2014 and JACM
// 2017, the latter for locks). search.h has the rules.
//
// Livelock: an execution that has made `livelock_steps` steps goes on for as many again with all
// threads that can go on taking turns, which is fair to each of them. One that still has not ended
// livelocks: under a scheduler that starves nobody, nothing comes of it. One that ends then was
// only long, and the search is not exhaustive. A loop that retries calls sync::yield(); a thread
// that yields is not chosen again before something that it looked at has changed (scheduler.h).
//
// There is no state cache. A state of the program under test is its threads' stacks and all of its
// heap, which nobody can compare; and what a visited state has yet to race with lies in its
// future, so that to cut an execution there, dynamic reduction needs a summary of all accesses that
// were made from the state on (Yang, Chen, Gopalakrishnan, Kirby, SPIN 2008). Keyed by classes of
// executions instead, a cache finds nothing that sleep sets have not cut already.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/explore/schedule.h"

namespace i915u::explore {

/// The program. It is made, set up, checked and destroyed by thread 0 ("main") of each execution,
/// under the scheduler: it may own what makes threads of its own (a WorkQueue), which end as it is
/// destroyed. Everything it does must depend on nothing but the choices.
class World {
 public:
  virtual ~World() = default;
  virtual void setup() = 0;
  /// Once all that setup() has spawned have ended. Says fail() where something is wrong.
  virtual void check() {}

 protected:
  /// A thread that thread 0 waits for.
  void spawn(std::string name, std::function<void()> body);

 private:
  friend struct Program;
  std::vector<uint32_t> spawned_;
};
using Make = std::function<std::unique_ptr<World>()>;

/// A property does not hold. By any thread of the execution, in the middle of a step; ends it.
[[noreturn]] void fail(const std::string& what);

enum class Verdict : uint8_t { holds, violated, deadlocks, livelocks };
const char* verdict_name(Verdict);  ///< "holds", ...

struct Options {
  uint64_t max_executions = UINT64_MAX;
  uint64_t max_steps = UINT64_MAX;
  double seconds = 1e9;
  uint32_t livelock_steps = 2000;
  /// How often a thread may be stopped that could have gone on (and did not yield); -1: as often as
  /// possible. With a bound there is no reduction: what a class's first member needs more switches
  /// for, another may do with fewer.
  int preemptions = -1;
  bool reduce = true;
  /// After a finding: the search for an interleaving with the fewest preemptions that ends the same
  /// way, and how long it may take.
  bool minimize = true;
  double minimize_seconds = 5;
  /// Goes on after findings; the result is that of the first one. What is given up at a violation
  /// has threads that have not run to their end, so only deadlocks leave the search exhaustive.
  bool keep_going = false;
  /// At the end of each execution that was not cut; what it came to. For tests.
  std::function<void(Verdict, std::string_view what)> on_end;
};

struct Result {
  Verdict verdict = Verdict::holds;
  std::string what;  ///< of a finding, one line or more
  /// Every interleaving was followed, or one that differs from it by steps that commute. False
  /// after a finding, unless keep_going.
  bool exhaustive = false;
  /// With a bound of preemptions: all within the bound were.
  bool within_bound = false;
  const char* stopped = "";  ///< the limit that ended the search: "executions", "steps", "seconds"

  uint64_t executions = 0;  ///< that came to an end
  uint64_t pruned = 0;      ///< given up: all that could go on led to what was seen already
  uint64_t steps = 0;       ///< of both
  uint64_t longest = 0;     ///< steps of one execution
  uint64_t findings = 0;    ///< more than one only with keep_going
  double seconds = 0;       ///< without the minimizing

  Schedule counterexample;   ///< where verdict is not holds
  uint32_t preemptions = 0;  ///< of the counterexample
  bool minimal = false;  ///< nothing ends this way with fewer preemptions: looked for, not found
};

struct Progress {
  uint64_t executions, pruned, steps;
  double seconds;
};
/// About ten times a second; false ends the search.
using OnProgress = std::function<bool(const Progress&)>;

Result explore(const Make&, const Options& = {}, const OnProgress& = {});

/// One step of a replay, after it was made.
struct StepView {
  uint32_t index;
  const Schedule::Step& step;
  const std::vector<std::string>& threads;  ///< names of those made so far, by number
  /// By thread: the locks that it has, in the order in which they were taken, "name" or
  /// "name (read)", and what it is to do next, "" once it has ended.
  const std::vector<std::vector<std::string>>& held;
  const std::vector<std::string>& next;
  World* world;  ///< null before it was made and after it was destroyed
};
/// Called outside of all threads: loads and locks are no steps here, and must not wait.
using OnStep = std::function<void(const StepView&)>;

struct Replayed {
  /// Empty; or at which step the schedule does not fit, and what stands there instead.
  std::string mismatch;
  Verdict verdict = Verdict::holds;
  std::string what;
  /// It ended as the schedule says that it does.
  bool same = false;
};
/// Strict: each step must be of that thread, act and object, and possible. After the last step the
/// execution must have ended as the schedule says, but for `holds` and `livelocks`, which go on
/// with all threads taking turns.
Replayed replay(const Make&, const Schedule&, const OnStep& = {}, const Options& = {});

}  // namespace i915u::explore
