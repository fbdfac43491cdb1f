// SPDX-License-Identifier: MIT
// From a finding to the interleaving that shows it best.
//
// A search bound to 0 preemptions, then 1, and so on, is complete within its bound, so the first
// that finds the same kind has the fewest. Where that takes too long, and to choose among those
// that have as many, steps that commute are put into an order with few switches; of a violation,
// what the failing step did not need is left out.
#include <algorithm>
#include <tuple>

#include "lab/explore/program.h"
#include "lab/explore/search.h"

namespace i915u::explore {

using sync::FiberScheduler;
using End = FiberScheduler::End;

namespace {

class Minimizer {
 public:
  Minimizer(FiberScheduler& s, const Make& make, const Options& o, Result& r)
      : s_(s), make_(make), options_(o), r_(r) {}

  /// Takes the choices if they end in the same verdict, and better than what there is.
  bool offer(const std::vector<uint8_t>& choices) {
    if (choices.empty()) return false;
    const bool livelock = r_.verdict == Verdict::livelocks;
    Script script(choices, livelock ? 2 * options_.livelock_steps : 0);
    Program program{make_};
    const End end = program.run(s_, script);
    if (!script.fits || script.schedule.steps.size() != choices.size() ||
        verdict_of(end, script.endless) != r_.verdict)
      return false;
    Schedule& c = script.schedule;
    const bool better =
        c.steps.size() && (r_.counterexample.steps.empty() ||
                           std::tuple(script.preemptions, c.switches(), c.steps.size()) <
                               std::tuple(r_.preemptions, r_.counterexample.switches(),
                                          r_.counterexample.steps.size()));
    if (!better) return true;
    if (!livelock) r_.what = s_.what();
    c.found = verdict_name(r_.verdict);
    c.what = r_.what;
    r_.counterexample = std::move(c);
    r_.preemptions = script.preemptions;
    return true;
  }

  /// Few steps, from which on taking turns does not end.
  void shorten_livelock(std::vector<uint8_t> choices) {
    const size_t most = std::min<size_t>(choices.size(), options_.livelock_steps);
    for (size_t n = 1;; n = n < 64 ? n + 1 : 2 * n) {
      if (n > most) n = most;
      if (offer({choices.begin(), choices.begin() + static_cast<ptrdiff_t>(n)}) || n == most)
        return;
    }
  }

  void search_bounds() {
    double left = options_.minimize_seconds;
    for (uint32_t bound = 0; bound < r_.preemptions; bound++) {
      Options o = options_;
      o.preemptions = static_cast<int>(bound);
      o.seconds = left;
      o.max_executions = o.max_steps = UINT64_MAX;
      Search search(o);
      Program program{make_};
      while (search.next(s_)) {
        const End end = program.run(s_, search);
        if (search.cut() == Search::Cut::limit) return;
        if (search.cut() != Search::Cut::no || verdict_of(end, false) != r_.verdict) continue;
        const auto straight = search.straightened(r_.verdict != Verdict::violated);
        offer(search.choices());
        offer(straight);
        r_.minimal = true;
        return;
      }
      if (search.truncated()) return;
      left -= search.seconds();
    }
    r_.minimal = true;
  }

 private:
  FiberScheduler& s_;
  const Make& make_;
  const Options& options_;
  Result& r_;
};

}  // namespace

void minimize(FiberScheduler& s, const Make& make, const Options& options,
              std::vector<uint8_t> choices, std::vector<uint8_t> straightened, Result& r) {
  Minimizer m(s, make, options, r);
  if (r.verdict == Verdict::livelocks) return m.shorten_livelock(std::move(choices));
  m.offer(choices);
  m.offer(straightened);
  if (options.minimize) m.search_bounds();
}

}  // namespace i915u::explore
