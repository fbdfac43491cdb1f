// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "stress/stressor.h"

namespace i915u::stress {

constexpr uint32_t watched = 16;  ///< pages that the child looks at

// In the child, which has this thread only: no allocation, no lock, memory and _exit() alone. Its
// copy of the memory is its own; nothing but itself may change it.
[[noreturn]] static void child(const Cell& c, Range r, bool write, long dwell_ns) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  uint32_t was[watched];
  const auto dword = [&](uint32_t i) {
    return reinterpret_cast<volatile uint32_t*>(c.lane_addr(r.first + i % r.n, 0));
  };
  for (uint32_t i = 0; i < watched; i++) was[i] = *dword(i);
  const timespec t{0, dwell_ns};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
  for (uint32_t i = 0; i < watched; i++)
    if (*dword(i) != was[i]) _exit(1);
  if (write)  // COW breaks on this side: what it writes must not be seen in the parent
    for (uint32_t i = 0; i < watched; i++) *dword(i) = 0x0badf00d;
  _exit(0);
}

static void change(Stress& s, Cell& c) {
  const Range r = pick_range(s.rng, c);
  const bool write = s.rng.one_in(2);
  const long dwell_ns = static_cast<long>(s.rng.below(s.run.cfg.dwell_ns + 1));
  touch_some(s, c, r);
  const Content before(c, s.rng, r.first, r.n);
  int64_t pid = -1;
  // Not through call(): the child must not run what follows it there.
  s.rec.begin(Op::fork, c.id, c.addr, c.len);
  pid = s.run.mem.fork();
  if (pid == 0) child(c, r, write, dwell_ns);
  s.rec.end(pid, true);
  if (s.in_flight(c)) s.rec.slot().overlap_busy.fetch_add(1, std::memory_order_relaxed);
  if (!s.expect_ok(Op::fork, c, pid)) return;
  before.survived(s.oracle, s.rec, "fork");
  touch_some(s, c, r);  // COW breaks on this side: the object's pages are no longer the process's
  s.rec.begin(Op::child, c.id);
  int status = 0;
  while (waitpid(static_cast<pid_t>(pid), &status, 0) < 0 && errno == EINTR) {
  }
  s.rec.end(WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
    s.oracle.violation(ViolationKind::child_saw_write, c, r.first, c.page_addr(r.first), 0, 0,
                       "the forked child's own copy of the memory changed under it");
  s.oracle.sample(c, s.rng, r.first, r.n, 8, "after the forked child wrote its copy");
}

extern const StressorInfo fork_stressor;
const StressorInfo fork_stressor = {
    "fork",
    "fork; then the parent or the child writes first, which breaks COW on that side",
    "",
    "content survives; the child's copy never changes; lost write: later batches reach the pages",
    nothing_missing,
    anon_cell,
    change};

}  // namespace i915u::stress
