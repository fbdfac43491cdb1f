// SPDX-License-Identifier: MIT
#include "lab/explore/explorer.h"

#include <algorithm>
#include <stdexcept>

#include "lab/explore/program.h"
#include "lab/explore/search.h"

namespace i915u::explore {

using sync::FiberScheduler;
using End = FiberScheduler::End;

namespace {

std::string livelock_text(uint32_t steps) {
  return "it has not ended after " + std::to_string(steps) + " steps, half of them fair";
}

}  // namespace

Result explore(const Make& make, const Options& options, const OnProgress& progress) {
  FiberScheduler s;
  Program program{make};
  Search search(options);
  Result r;
  std::vector<uint8_t> choices, straightened;
  double shown = 0;
  while (search.next(s)) {
    if (r.executions >= options.max_executions) {
      search.stop("executions");
      break;
    }
    const End end = program.run(s, search);
    if (search.cut() == Search::Cut::limit) break;
    if (search.cut() == Search::Cut::changed)
      throw std::logic_error("the world depends on more than the choices: step " +
                             std::to_string(s.steps()) + " was different before");
    r.longest = std::max<uint64_t>(r.longest, s.steps());
    if (search.cut() == Search::Cut::pruned) {
      r.pruned++;
    } else {
      r.executions++;
      const bool livelock = search.cut() == Search::Cut::livelock;
      const Verdict v = verdict_of(end, livelock);
      const std::string what = livelock ? livelock_text(s.steps()) : s.what();
      if (options.on_end) options.on_end(v, what);
      if (v != Verdict::holds && !r.findings++) {
        r.verdict = v;
        r.what = what;
        choices = search.choices();
        straightened = search.straightened(v != Verdict::violated);
      }
      if (r.findings && !options.keep_going) {
        search.stop("");
        break;
      }
    }
    if (progress && !((r.executions + r.pruned) & 63)) {
      const double now = search.seconds();
      if (now - shown >= 0.1) {
        shown = now;
        if (!progress({r.executions, r.pruned, search.steps(), now})) {
          search.stop("progress");
          break;
        }
      }
    }
  }
  r.steps = search.steps();
  r.seconds = search.seconds();
  r.stopped = search.stopped();
  const bool whole = !*r.stopped && !search.truncated() && (options.keep_going || !r.findings);
  r.within_bound = whole;
  r.exhaustive = whole && !search.bounded();
  if (r.findings) minimize(s, make, options, std::move(choices), std::move(straightened), r);
  return r;
}

namespace {

class Player final : public FiberScheduler::Policy {
 public:
  Player(const Schedule& s, const Program& p, const OnStep& f, uint32_t fair)
      : schedule_(s), program_(p), on_step_(f), fair_(fair) {}

  int choose(FiberScheduler& s) override {
    const uint32_t i = s.steps();
    if (i >= schedule_.steps.size()) {
      if (schedule_.found != "livelocks" && schedule_.found != "holds") {
        mismatch = "after the last step, " + std::to_string(i) + ", it has not ended: " + next(s);
        return -1;
      }
      if (i - schedule_.steps.size() < fair_) return next_turn(s);
      endless = true;
      return -1;
    }
    const Schedule::Step& want = schedule_.steps[i];
    const std::string at = "step " + std::to_string(i + 1) + " is " + want.text();
    if (want.thread >= s.threads()) {
      mismatch = at + ", but there is no such thread: " + next(s);
      return -1;
    }
    const auto& t = s.task(want.thread);
    if (t.ended) {
      mismatch = at + ", but that thread has ended: " + next(s);
      return -1;
    }
    const Schedule::Step have = step_of(want.thread, t.op);
    if (have.act != want.act || have.object != want.object) {
      mismatch = at + ", but there stands " + have.text();
      return -1;
    }
    if (!(s.able() >> want.thread & 1)) {
      mismatch = at + ", but it cannot go on there: " + next(s);
      return -1;
    }
    return static_cast<int>(want.thread);
  }

  void stepped(FiberScheduler& s) override {
    const uint32_t i = s.steps();
    if (!on_step_ || i >= schedule_.steps.size()) return;
    names_.clear();
    held_.clear();
    next_.clear();
    for (uint32_t n = 0; n < s.threads(); n++) {
      const auto& t = s.task(n);
      names_.push_back(t.name);
      held_.emplace_back();
      for (const auto& h : t.held)
        held_.back().push_back(std::string(h.what) + (h.read ? " (read)" : ""));
      std::string what;
      if (!t.ended && !(s.failed() && n == s.thread())) {
        what = act_name(t.op.act);
        if (*t.op.what) what += std::string(" ") + t.op.what;
      }
      next_.push_back(std::move(what));
    }
    on_step_({i, schedule_.steps[i], names_, held_, next_, program_.world});
  }

  std::string mismatch;
  bool endless = false;

 private:
  static std::string next(const FiberScheduler& s) {
    std::string text;
    for (uint32_t n = 0; n < s.threads(); n++)
      if (s.able() >> n & 1)
        text += (text.empty() ? "possible is " : ", ") + step_of(n, s.task(n).op).text();
    return text.empty() ? "nothing is possible" : text;
  }

  const Schedule& schedule_;
  const Program& program_;
  const OnStep& on_step_;
  const uint32_t fair_;
  std::vector<std::string> names_, next_;
  std::vector<std::vector<std::string>> held_;
};

}  // namespace

Replayed replay(const Make& make, const Schedule& schedule, const OnStep& on_step,
                const Options& options) {
  FiberScheduler s;
  Program program{make};
  Player player(schedule, program, on_step, 2 * options.livelock_steps);
  const End end = program.run(s, player);
  Replayed r;
  r.mismatch = std::move(player.mismatch);
  r.verdict = verdict_of(end, player.endless);
  r.what = player.endless ? livelock_text(s.steps()) : s.what();
  if (r.mismatch.empty() && end != End::given_up && s.steps() < schedule.steps.size())
    r.mismatch = "it ended after step " + std::to_string(s.steps()) + " of " +
                 std::to_string(schedule.steps.size()) + ": " + verdict_name(r.verdict) +
                 (r.what.empty() ? "" : ", " + r.what);
  r.same = r.mismatch.empty() && schedule.found == verdict_name(r.verdict);
  return r;
}

}  // namespace i915u::explore
