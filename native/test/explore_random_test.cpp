// SPDX-License-Identifier: MIT
// Soundness: on random small programs the reduced search ends in the same states and the same
// deadlocks as the search of all interleavings. What a thread has seen is a part of the state.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "sync/clock.h"
#include "sync/lockdep.h"
#include "sync/thread.h"
#include "test/explore_worlds.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::explore;
using test::Toy;

namespace {

enum Kind : uint8_t {
  load,
  store,
  with_mutex,
  with_try,
  with_read,
  with_write,
  with_read_try,
  with_write_try,
  wait,
  wake,
  timed_wait,
  retry,
  work,
  kinds
};
struct Node {
  Kind kind;
  uint32_t object;
  std::vector<Node> body;
};
struct Plan {
  std::vector<std::vector<Node>> threads;
};

class Dice {
 public:
  explicit Dice(uint64_t seed) : r_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(r_() % n); }

 private:
  std::mt19937_64 r_;
};

std::vector<Node> block(Dice& d, uint32_t mask, uint32_t& budget, int depth) {
  std::vector<Node> b;
  for (uint32_t n = 1 + d.below(2); n && budget; n--) {
    Kind k;
    do k = static_cast<Kind>(d.below(kinds));
    while (!(mask >> k & 1));
    budget--;
    Node node{k, d.below(2), {}};
    if (depth < 2 && k >= with_mutex && k <= with_write_try)
      node.body = block(d, mask, budget, depth + 1);
    b.push_back(std::move(node));
  }
  return b;
}

Plan plan(uint64_t seed, uint32_t threads, uint32_t budget) {
  Dice d(seed);
  // Some kinds at a time, so that each meets the others often.
  uint32_t mask = 1u << load | 1u << store;
  for (int i = 0; i < 3; i++) mask |= 1u << d.below(kinds);
  Plan p;
  for (uint32_t t = 0; t < threads; t++) {
    uint32_t left = budget;
    p.threads.emplace_back();
    while (left) {
      auto more = block(d, mask, left, 0);
      p.threads.back().insert(p.threads.back().end(), more.begin(), more.end());
    }
  }
  return p;
}

const sync::LockClass mutex_class{"m"}, sem_class{"s"}, queue_class{"q"};

class Random final : public World {
 public:
  Random(const Plan& p, std::string& state) : plan_(p), state_(state) {}

  void setup() override {
    seen_.resize(plan_.threads.size());
    for (uint32_t t = 0; t < plan_.threads.size(); t++)
      spawn("t" + std::to_string(t), [this, t] { run(t, plan_.threads[t]); });
  }
  void check() override {
    for (const auto& s : seen_) state_ += s + "|";
    for (auto* v : {&v_[0], &v_[1]}) state_ += std::to_string(v->load()) + ",";
    state_ += std::to_string(gate_[0]) + std::to_string(gate_[1]);
  }

 private:
  void run(uint32_t t, const std::vector<Node>& nodes) {
    for (const Node& n : nodes) one(t, n);
  }
  void see(uint32_t t, char what, int v) { seen_[t] += what + std::to_string(v) + " "; }
  void one(uint32_t t, const Node& n) {
    auto& v = v_[n.object];
    auto& m = m_[n.object];
    auto& s = s_[n.object];
    switch (n.kind) {
      case load:
        return see(t, 'l', v.load());
      case store:
        return v.store(static_cast<int>(100 * t + seen_[t].size() + 1));
      case with_mutex:
        m.lock();
        see(t, 'm', by_lockers_[n.object]);
        by_lockers_[n.object] = static_cast<int>(t) + 1;
        run(t, n.body);
        return m.unlock();
      case with_try:
        if (!m.try_lock()) return see(t, 't', 0);
        run(t, n.body);
        return m.unlock();
      case with_read:
        s.down_read();
        see(t, 'r', by_writers_[n.object]);
        run(t, n.body);
        return s.up_read();
      case with_write:
        s.down_write();
        by_writers_[n.object] = static_cast<int>(t) + 1;
        run(t, n.body);
        return s.up_write();
      case with_read_try:
        if (!s.down_read_trylock()) return see(t, 'R', 0);
        run(t, n.body);
        return s.up_read();
      case with_write_try:
        if (!s.down_write_trylock()) return see(t, 'W', 0);
        run(t, n.body);
        return s.up_write();
      case wait: {
        sync::Guard g(qm_);
        q_.wait(qm_, [&] { return gate_[n.object] > 0; });
        see(t, 'q', gate_[n.object]--);
        return;
      }
      case timed_wait: {
        sync::Guard g(qm_);
        see(t, 'd', q_.wait(qm_, 1000, [&] { return gate_[n.object] > 0; }));
        return;
      }
      case wake: {
        {
          sync::Guard g(qm_);
          gate_[n.object]++;
        }
        return t & 1 ? q_.wake_all() : q_.wake_one();
      }
      case retry:
        for (int i = 0; i < 3; i++) {
          if (v.load()) return see(t, 'y', i);
          sync::yield();
        }
        return see(t, 'Y', 0);
      case work: {
        sync::Thread child("child", [&v] { v.store(7); });
        see(t, 'w', v.load());
        return child.join();
      }
      case kinds:
        abort();
    }
  }

  const Plan& plan_;
  std::string& state_;
  std::vector<std::string> seen_;
  sync::Atomic<int> v_[2]{sync::Atomic<int>{"x"}, sync::Atomic<int>{"y"}};
  sync::Mutex m_[2]{sync::Mutex{mutex_class}, sync::Mutex{mutex_class}};
  sync::RwSemaphore s_[2]{sync::RwSemaphore{sem_class}, sync::RwSemaphore{sem_class}};
  sync::Mutex qm_{queue_class};
  sync::WaitQueue q_;
  int by_lockers_[2]{}, by_writers_[2]{}, gate_[2]{};
};

struct Seen {
  std::set<std::string> ends;
  Result result;
};

Seen search(const Plan& p, bool reduce, uint64_t max_executions) {
  Seen s;
  std::string state;
  Options o;
  o.reduce = reduce;
  o.keep_going = true;
  o.minimize = false;
  o.max_executions = max_executions;
  o.livelock_steps = 300;
  o.on_end = [&](Verdict v, std::string_view what) {
    s.ends.insert(verdict_name(v) + std::string(" ") + std::string(what) + state);
    state.clear();
  };
  s.result = explore::explore([&] { return std::make_unique<Random>(p, state); }, o);
  return s;
}

// A program with more interleavings is passed over. A sanitizer makes each step ten times slower.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t most = 2500, share = 10;
#else
constexpr uint64_t most = 6000, share = 1;
#endif

void compare(uint64_t first, uint64_t seeds, uint32_t threads, uint32_t budget, uint64_t at_least) {
  // Any order of locks is taken here; the checker would say so once and be off.
  sync::lockdep::enable(false);
  struct On {
    ~On() { sync::lockdep::enable(true); }
  } on;
  uint64_t compared = 0, all = 0, reduced = 0, deadlocks = 0;
  for (uint64_t seed = first; seed < first + seeds / share; seed++) {
    const Plan p = plan(seed, threads, budget);
    const Seen full = search(p, false, most);
    if (!full.result.exhaustive) continue;
    const Seen less = search(p, true, most);
    compared++;
    all += full.result.executions;
    reduced += less.result.executions + less.result.pruned;
    deadlocks += full.result.findings > 0;
    if (less.ends == full.ends && less.result.exhaustive &&
        less.result.executions <= full.result.executions)
      continue;
    std::string what = "seed " + std::to_string(seed) + ": of " + std::to_string(full.ends.size()) +
                       " ends " + std::to_string(less.ends.size()) + " found";
    for (const auto& e : full.ends)
      if (!less.ends.count(e)) {
        what += "; missing: " + e;
        break;
      }
    test::fail(__FILE__, __LINE__, what);
  }
  if (getenv("EXPLORE_TEST_COUNTS"))
    printf("# %u threads, %llu programs (%llu with deadlocks): %llu interleavings, %llu reduced\n",
           threads, static_cast<unsigned long long>(compared),
           static_cast<unsigned long long>(deadlocks), static_cast<unsigned long long>(all),
           static_cast<unsigned long long>(reduced));
  CHECK(compared >= at_least / share);
  CHECK(deadlocks > 0);
}

}  // namespace

TEST(two_random_threads_end_alike_with_and_without_reduction) {
  compare(1, 400, 2, 4, 100);
}

TEST(three_random_threads_end_alike_with_and_without_reduction) {
  compare(1001, 200, 3, 2, 20);
}
