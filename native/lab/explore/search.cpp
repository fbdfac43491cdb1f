// SPDX-License-Identifier: MIT
#include "lab/explore/search.h"

#include <algorithm>
#include <bit>

namespace i915u::explore {

using sync::Op;

Search::Search(const Options& o)
    : options_(o),
      reduce_(o.reduce && o.preemptions < 0),
      begin_(std::chrono::steady_clock::now()) {
  events_.reserve(1024);
  nodes_.reserve(1024);
}

double Search::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

bool Search::out_of_limits() {
  if (steps_ > options_.max_steps)
    stopped_ = "steps";
  else if (!(steps_ & 1023) && seconds() > options_.seconds)
    stopped_ = "seconds";
  return *stopped_;
}

int Search::choose(FiberScheduler& s) {
  const uint32_t depth = s.steps();
  threads_ = s.threads();
  if (uint32_t now = waiting_ & s.able()) {
    waiting_ &= ~now;
    for (; now; now &= now - 1) {
      const uint32_t n = static_cast<uint32_t>(std::countr_zero(now));
      possible_[n] = events_.back().clock;
      if (const uint32_t o = s.task(n).op.object; o && s.task(n).op.act == Op::wait)
        join_accesses(s, possible_[n], s.newest_access(o), false);
    }
  }
  int n;
  if (depth < replayed_) {
    n = nodes_[depth].chosen;
    if (nodes_[depth].able != s.able()) {
      cut_ = Cut::changed;
      return -1;
    }
  } else {
    n = fresh(s, depth);
    if (n < 0) return n;
  }
  op_ = s.task(static_cast<uint32_t>(n)).op;
  op_waits_ = s.task(static_cast<uint32_t>(n)).waits();
  return n;
}

int Search::fresh(FiberScheduler& s, uint32_t depth) {
  if (out_of_limits()) {
    cut_ = Cut::limit;
    return -1;
  }
  const int last = depth ? events_.back().thread : -1;
  if (depth >= options_.livelock_steps) {
    truncated_ = true;
    if (depth >= 2 * options_.livelock_steps) {
      cut_ = Cut::livelock;
      return -1;
    }
    const uint32_t after = last == 31 ? 0 : s.able() & ~((2u << last) - 1);
    return std::countr_zero(after ? after : s.able());
  }
  Node n{};
  n.able = s.able();
  n.sleepers = static_cast<uint32_t>(sleepers_.size());
  n.slept = static_cast<uint32_t>(slept_.size());
  uint32_t open = n.able;
  const bool could_go_on =
      last >= 0 && (n.able >> last & 1) && s.task(static_cast<uint32_t>(last)).op.act != Op::yield;
  if (depth) {
    const Node& p = nodes_[depth - 1];
    if (reduce_) {
      for (uint32_t i = p.sleepers; i < n.sleepers; i++) {
        const Sleeper z = sleepers_[i];
        if (z.thread == last || wakes(s, z)) continue;
        n.sleep |= 1u << z.thread;
        sleepers_.push_back(z);
      }
      open &= ~n.sleep;
    }
    n.preemptions = p.preemptions;
    if (depth > 1 && p.chosen != events_[depth - 2].thread) {
      // Whether the step before this node was one is known from its own node.
      const uint8_t from = events_[depth - 2].thread;
      if ((p.able >> from & 1) && !(p.yields >> from & 1)) n.preemptions++;
    }
    if (options_.preemptions >= 0 && n.preemptions >= options_.preemptions && could_go_on) {
      if (open & ~(1u << last)) bounded_ = true;
      open &= 1u << last;
    }
  }
  if (!open) {
    sleepers_.resize(n.sleepers);
    cut_ = Cut::pruned;
    return -1;
  }
  for (uint32_t t = 0; t < threads_; t++)
    if (s.task(t).op.act == Op::yield) n.yields |= 1u << t;
  // The same thread, so that what is found first has few switches.
  n.chosen =
      static_cast<uint8_t>(could_go_on && (open >> last & 1) ? last : std::countr_zero(open));
  n.backtrack = reduce_ ? 1u << n.chosen : open;
  nodes_.push_back(n);
  return n.chosen;
}

/// Whether the last step does not commute with the sleeper's.
bool Search::wakes(const FiberScheduler& s, const Sleeper& z) const {
  for (uint32_t i = events_.back().first_access; i < s.accesses(); i++)
    for (uint32_t k = z.begin; k < z.end; k++)
      if (slept_[k].object == s.access(i).object && !(slept_[k].read && s.access(i).read))
        return true;
  return false;
}

/// What comes before an access that is made after `access`, the object's newest so far.
void Search::join_accesses(const FiberScheduler& s, Clock& c, uint32_t access, bool read) const {
  for (uint32_t i = access; i != none; i = s.access(i).older) {
    const auto& a = s.access(i);
    if (!(read && a.read)) join(c, events_[a.step].clock);
    if (!a.read) return;
  }
}

Search::Clock Search::past(const FiberScheduler& s, uint32_t thread) const {
  if (last_event_[thread] != none) return events_[last_event_[thread]].clock;
  if (thread) return events_[s.task(thread).born].clock;
  return {};
}

void Search::stepped(FiberScheduler& s) {
  const uint32_t q = s.thread(), step = s.steps();
  for (uint32_t n = step ? threads_ : 1; n < s.threads(); n++) last_event_[n] = none;
  threads_ = s.threads();
  steps_++;
  if (!step) last_event_[0] = none;
  Clock own = past(s, q);
  if (op_.act == Op::wait && op_waits_)
    join(own, possible_[q]);
  else if (op_.act == Op::join && last_event_[op_.object] != none)
    join(own, events_[last_event_[op_.object]].clock);
  const bool locks = op_.act == Op::lock && op_waits_;
  Clock possible = own;
  if (locks) join_accesses(s, possible, s.access(s.first_access()).older, false);
  Clock all = possible;
  for (uint32_t i = s.first_access(); i < s.accesses(); i++)
    join_accesses(s, all, s.access(i).older, s.access(i).read);
  all[q] = step + 1;
  events_.push_back({static_cast<uint8_t>(q), last_event_[q], s.first_access(), all});
  last_event_[q] = step;
  if (!s.task(q).ended && s.task(q).waits() && s.task(q).op.act == Op::wait) waiting_ |= 1u << q;
  // The races of a step that was there in the execution before are known.
  if (reduce_ && step + 1 >= replayed_) races(s, own, possible, locks);
}

void Search::races(const FiberScheduler& s, const Clock& own, const Clock& possible, bool locks) {
  const uint32_t q = events_.back().thread;
  const uint32_t first = s.first_access();
  // By thread its last step that does not commute with this one: an earlier one comes before it.
  std::array<uint32_t, max_threads> found{};
  uint32_t threads = 0;
  for (uint32_t i = first; i < s.accesses(); i++) {
    if (i == first && locks) {
      lock_race(s, s.access(i).older, own, q);
      continue;
    }
    const bool read = s.access(i).read;
    for (uint32_t k = s.access(i).older; k != none; k = s.access(k).older) {
      const auto& a = s.access(k);
      if (!(read && a.read) && !comes_before(a, possible)) {
        threads |= 1u << a.thread;
        found[a.thread] = std::max(found[a.thread], a.step);
      }
      if (!a.read) break;
    }
  }
  Clock past = events_.back().clock;
  past[q] = possible[q];
  for (uint32_t m = threads; m; m &= m - 1) {
    const auto t = static_cast<uint32_t>(std::countr_zero(m));
    bool direct = true;
    for (uint32_t k = threads; k && direct; k &= k - 1) {
      const auto u = static_cast<uint32_t>(std::countr_zero(k));
      direct = u == t || events_[found[u]].clock[t] <= found[t];
    }
    if (direct) race(s, found[t], past, q);
  }
}

void Search::lock_race(const FiberScheduler& s, uint32_t access, const Clock& own, uint32_t q) {
  for (uint32_t k = access; k != none; k = s.access(k).older) {
    const auto& a = s.access(k);
    if (comes_before(a, own)) return;
    if (!a.free) continue;
    return race(s, a.step, own, q);
  }
}

void Search::race(const FiberScheduler& s, uint32_t step, const Clock& past, uint32_t q) {
  if (step >= nodes_.size()) return;
  Node& n = nodes_[step];
  const uint32_t known = n.backtrack | n.sleep;
  if (!(n.able & ~known)) return;
  // The threads whose first step after `step` has none before it.
  uint32_t initials = 0;
  bool none_before = true;
  for (uint32_t t = 0; t < threads_; t++) {
    if (past[t] <= step + 1) continue;
    none_before = false;
    uint32_t e = past[t] - 1;
    while (events_[e].before != none && events_[e].before > step) e = events_[e].before;
    bool first = true;
    for (uint32_t u = 0; u < threads_ && first; u++)
      first = u == t || events_[e].clock[u] <= step + 1;
    if (first) initials |= 1u << t;
  }
  if (initials & known) return;
  if (none_before) {
    // q's step itself. Made at the node it may touch other things than it did here.
    if (n.backtrack >> q & 1) return;
    if (n.sleep >> q & 1) {
      if (!sleeper_commutes(s, step, q)) n.backtrack |= n.able;
      return;
    }
    initials = 1u << q;
  }
  initials &= n.able;
  if (!initials)
    n.backtrack |= n.able;
  else
    n.backtrack |= initials >> q & 1 ? 1u << q : initials & -initials;
}

/// Whether the step of the node's sleeper commutes with all that came after the node's own step but
/// could have come before it.
bool Search::sleeper_commutes(const FiberScheduler& s, uint32_t step, uint32_t q) const {
  const uint32_t end = step + 1 < nodes_.size() ? nodes_[step + 1].sleepers
                                                : static_cast<uint32_t>(sleepers_.size());
  const uint32_t t = events_[step].thread;
  for (uint32_t i = nodes_[step].sleepers; i < end; i++) {
    const Sleeper& z = sleepers_[i];
    if (z.thread != q) continue;
    const uint32_t from = step + 1 < events_.size() ? events_[step + 1].first_access : s.accesses();
    for (uint32_t k = from; k < s.accesses(); k++) {
      const auto& a = s.access(k);
      if (a.thread == q || a.step >= events_.size() || events_[a.step].clock[t] > step) continue;
      for (uint32_t m = z.begin; m < z.end; m++)
        if (slept_[m].object == a.object && !(slept_[m].read && a.read)) return false;
    }
    return true;
  }
  return false;
}

void Search::stuck(FiberScheduler& s) {
  if (!reduce_) return;
  for (uint32_t q = 0; q < s.threads(); q++) {
    const auto& t = s.task(q);
    if (!t.ended && t.op.act == Op::lock && t.waits())
      lock_race(s, s.newest_access(t.op.object), past(s, q), q);
  }
}

bool Search::next(FiberScheduler& s) {
  cut_ = Cut::no;
  waiting_ = 0;
  if (!begun_) {
    begun_ = true;
    return true;
  }
  if (*stopped_) return false;
  while (!nodes_.empty()) {
    Node& n = nodes_.back();
    const uint32_t step = static_cast<uint32_t>(nodes_.size() - 1);
    n.done |= 1u << n.chosen;
    if (reduce_ && step < events_.size()) {
      const uint32_t begin = static_cast<uint32_t>(slept_.size());
      const uint32_t end =
          step + 1 < events_.size() ? events_[step + 1].first_access : s.accesses();
      for (uint32_t i = events_[step].first_access; i < end; i++)
        slept_.push_back({s.access(i).object, s.access(i).read});
      sleepers_.push_back({n.chosen, begin, static_cast<uint32_t>(slept_.size())});
      n.sleep |= 1u << n.chosen;
    }
    if (const uint32_t left = n.backtrack & ~n.done & ~n.sleep) {
      n.chosen = static_cast<uint8_t>(std::countr_zero(left));
      break;
    }
    sleepers_.resize(n.sleepers);
    slept_.resize(n.slept);
    nodes_.pop_back();
  }
  replayed_ = static_cast<uint32_t>(nodes_.size());
  events_.clear();
  return replayed_;
}

std::vector<uint8_t> Search::choices() const {
  std::vector<uint8_t> c;
  for (const Event& e : events_) c.push_back(e.thread);
  return c;
}

std::vector<uint8_t> Search::straightened(bool all) const {
  std::vector<uint8_t> best;
  if (events_.empty()) return best;
  const Clock& need = events_.back().clock;
  std::vector<std::vector<uint32_t>> of(threads_);
  size_t count = 0;
  for (uint32_t i = 0; i < events_.size(); i++)
    if (all || i + 1 <= need[events_[i].thread]) {
      of[events_[i].thread].push_back(i);
      count++;
    }
  size_t fewest = SIZE_MAX;
  // Each thread goes on as long as it can; then the next one, from `turn` on.
  for (uint32_t turn = 0; turn < threads_; turn++) {
    std::vector<uint8_t> c;
    std::vector<size_t> at(threads_, 0);
    Clock done{};
    const auto can = [&](uint32_t t) {
      if (at[t] == of[t].size()) return false;
      const Clock& k = events_[of[t][at[t]]].clock;
      for (uint32_t u = 0; u < threads_; u++)
        if (u != t && k[u] > done[u]) return false;
      return true;
    };
    size_t switches = 0;
    for (uint32_t t = 0; c.size() < count;) {
      uint32_t tries = 0;
      while (!can(t) && tries++ <= threads_) t = (t + 1 + (tries == 1 ? turn : 0)) % threads_;
      if (!can(t)) return best;
      switches++;
      while (can(t)) {
        done[t] = of[t][at[t]++] + 1;
        c.push_back(static_cast<uint8_t>(t));
      }
    }
    if (switches < fewest) {
      fewest = switches;
      best = std::move(c);
    }
  }
  return best;
}

}  // namespace i915u::explore
