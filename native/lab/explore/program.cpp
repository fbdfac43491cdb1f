// SPDX-License-Identifier: MIT
#include "lab/explore/program.h"

#include <bit>
#include <stdexcept>

namespace i915u::explore {

using sync::FiberScheduler;
using sync::Op;
using End = FiberScheduler::End;

namespace {

struct Crew {
  uint32_t object;
  uint32_t spawned = 0, ended = 0;
};
thread_local Crew* crew;  // of the execution that runs: there is one at a time in an OS thread

}  // namespace

void World::spawn(std::string name, std::function<void()> body) {
  Crew& c = *crew;
  c.spawned++;
  sync::scheduler->spawn(std::move(name), [body = std::move(body), &c] {
    body();
    c.ended++;
    sync::scheduler->touch(c.object, true);  // their ends commute
  });
}

void fail(const std::string& what) {
  if (!sync::scheduler) throw std::logic_error(what);
  static_cast<FiberScheduler*>(sync::scheduler)->fail(what);
}

void Program::main() {
  Crew c{sync::new_object("threads")};
  crew = &c;
  auto w = make();
  world = w.get();
  struct Forget {
    World*& world;
    ~Forget() { world = nullptr; }
  } forget{world};
  w->setup();
  if (c.spawned)
    sync::scheduler->step(
        {Op::wait, c.object, "the threads to end", sync::Where::current()},
        [](const void* p) {
          const Crew& c = *static_cast<const Crew*>(p);
          return c.ended == c.spawned;
        },
        &c);
  w->check();
  const sync::Uncancelled whole;
  world = nullptr;
  w.reset();
}

int next_turn(const FiberScheduler& s) {
  const uint32_t last = s.steps() ? s.thread() : 31;
  const uint32_t after = last == 31 ? 0 : s.able() & ~((2u << last) - 1);
  return std::countr_zero(after ? after : s.able());
}

Verdict verdict_of(End e, bool livelock) {
  switch (e) {
    case End::deadlock:
      return Verdict::deadlocks;
    case End::failed:
      return Verdict::violated;
    default:
      return livelock ? Verdict::livelocks : Verdict::holds;
  }
}

const char* verdict_name(Verdict v) {
  static constexpr const char* names[] = {"holds", "violated", "deadlocks", "livelocks"};
  return names[static_cast<size_t>(v)];
}

Schedule::Step step_of(uint32_t thread, const Op& op) {
  std::string where;
  if (op.where.line) {
    where = op.where.file;
    where = where.substr(where.rfind('/') + 1) + ":" + std::to_string(op.where.line);
  }
  return {thread, op.act, op.what, std::move(where)};
}

int Script::choose(FiberScheduler& s) {
  const uint32_t i = s.steps();
  while (schedule.threads.size() < s.threads())
    schedule.threads.push_back(s.task(static_cast<uint32_t>(schedule.threads.size())).name);
  if (i >= choices_.size()) {
    if (i - choices_.size() < fair_) return next_turn(s);
    endless = fair_;
    return -1;
  }
  const uint32_t n = choices_[i];
  if (n >= s.threads() || !(s.able() >> n & 1)) {
    fits = false;
    return -1;
  }
  if (i && n != s.thread() && (s.able() >> s.thread() & 1) &&
      s.task(s.thread()).op.act != Op::yield)
    preemptions++;
  schedule.steps.push_back(step_of(n, s.task(n).op));
  return static_cast<int>(n);
}

}  // namespace i915u::explore
