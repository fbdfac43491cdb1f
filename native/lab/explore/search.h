// SPDX-License-Identifier: MIT
// Which interleaving comes next.
//
// Depth first. A node is a state: who could go on there, who of them is to be tried (`backtrack`),
// who has been (`done`), and who need not be, because what begins with its step has been seen
// already (`sleep`). With reduction a node begins with one thread to try, and races add others: a
// step e' of thread q races with an earlier step e of another thread if they do not commute and no
// chain of such pairs leads from e to e' over a third step. Then q's past after e, and q's step,
// could have come before e, and one of the threads that can begin that (an initial) is tried there,
// unless one is already (a source set).
//
// What the textbook's processes do not do, and these threads do:
// - A step is of several objects: the one that it was chosen for, and those that it touches until
//   the next step. They are known once it was made; a sleeping thread's from when it was.
// - Locks. That a lock follows an unlock is no race: before the unlock it could not have been. It
//   races with the step that took the lock, found by going back over the accesses before which it
//   was held; with C(q) alone as q's past, for that q waits for the unlock is no reason why it
//   could not have come before all of it. A thread that waits for a lock in a deadlock races
//   likewise.
// - Waits for a wake, and for threads to end, become possible by a step and stay so. They come
//   after that step, and race with none. One that is possible as the thread comes to it is a step
//   of its object like any other.
// - Yields. That a yielding thread is held back orders nothing: its next step races with what has
//   let it go on, or with what it passed. Where the initial is held back at that node, every thread
//   is tried there.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "lab/explore/explorer.h"
#include "sync/fibers.h"

namespace i915u::explore {

using sync::FiberScheduler;

class Search final : public FiberScheduler::Policy {
 public:
  explicit Search(const Options&);

  int choose(FiberScheduler&) override;
  void stepped(FiberScheduler&) override;
  void stuck(FiberScheduler&) override;

  /// What became of the execution that has just ended.
  enum class Cut : uint8_t { no, pruned, livelock, limit, changed };
  Cut cut() const { return cut_; }
  /// Before each execution; false: there is none that is left.
  bool next(FiberScheduler&);

  uint64_t steps() const { return steps_; }
  const char* stopped() const { return stopped_; }
  void stop(const char* why) { stopped_ = why; }
  /// Something was left out: by the bound on preemptions, by an execution that was too long.
  bool bounded() const { return bounded_; }
  bool truncated() const { return truncated_; }
  double seconds() const;
  /// The last execution's threads, step by step.
  std::vector<uint8_t> choices() const;
  /// The same class of executions with few switches, without what the last step did not need.
  std::vector<uint8_t> straightened(bool all) const;

 private:
  static constexpr uint32_t max_threads = FiberScheduler::max_threads;
  /// By thread: the last step that comes before, counted from 1.
  using Clock = std::array<uint32_t, max_threads>;
  struct Event {
    uint8_t thread;
    uint32_t before;  ///< the thread's event before this one, or none
    uint32_t first_access;
    Clock clock;  ///< this event's own included
  };
  struct Node {
    uint32_t able, backtrack, done, sleep, yields;
    uint8_t chosen;
    int preemptions;           ///< before it
    uint32_t sleepers, slept;  ///< where the node's begin in sleepers_ and slept_
  };
  struct Sleeper {
    uint8_t thread;
    uint32_t begin, end;  ///< its step's accesses in slept_
  };
  struct Slept {
    uint32_t object;
    bool read;
  };
  static constexpr uint32_t none = FiberScheduler::none;

  void join(Clock& a, const Clock& b) const {
    for (uint32_t i = 0; i < threads_; i++)
      if (a[i] < b[i]) a[i] = b[i];
  }
  void join_accesses(const FiberScheduler&, Clock&, uint32_t access, bool read) const;
  bool comes_before(const FiberScheduler::Access& a, const Clock& c) const {
    return a.step + 1 <= c[a.thread];
  }
  Clock past(const FiberScheduler&, uint32_t thread) const;
  void lock_race(const FiberScheduler&, uint32_t access, const Clock&, uint32_t thread);
  void races(const FiberScheduler&, const Clock& own, const Clock& possible, bool locks);
  void race(const FiberScheduler&, uint32_t step, const Clock& past, uint32_t thread);
  bool sleeper_commutes(const FiberScheduler&, uint32_t step, uint32_t thread) const;
  bool wakes(const FiberScheduler&, const Sleeper&) const;
  bool out_of_limits();
  int fresh(FiberScheduler&, uint32_t depth);

  const Options& options_;
  const bool reduce_;
  std::vector<Event> events_;
  std::vector<Node> nodes_;
  std::vector<Sleeper> sleepers_;
  std::vector<Slept> slept_;
  std::array<uint32_t, max_threads> last_event_{};
  std::array<Clock, max_threads> possible_{};  ///< of a wait: what has made it possible
  uint32_t threads_ = 0, waiting_ = 0, replayed_ = 0;
  sync::Op op_{};  ///< of the step that is being made
  bool op_waits_ = false, begun_ = false, bounded_ = false, truncated_ = false;
  Cut cut_ = Cut::no;
  const char* stopped_ = "";
  uint64_t steps_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace i915u::explore
