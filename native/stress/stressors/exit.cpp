// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "drm/ioctls.h"
#include "soft/device.h"
#include "stress/stressor.h"
#include "stress/submitter.h"
#include "sync/clock.h"

namespace i915u::stress {

static std::unique_ptr<Device> open_again(Run& run) {
  int err = 0;
  if (run.dev.is_soft())
    return soft::SoftDevice::open(static_cast<soft::SoftDevice&>(run.dev).options(), &err);
  std::string driver;
  return open_node(run.node.c_str(), &err, &driver);
}

// A process of its own memory and its own open file: it submits writes to its copy of the cell and
// goes away while they wait or run. The parent's memory must not see any of them.
[[noreturn]] static void child(Run& run, const Cell& c, uint64_t delay_ns, bool killed) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::unique_ptr<Device> dev = open_again(run);
  uint32_t handle = 0;
  if (!dev || gem_userptr(*dev, c.addr, c.len, 0, &handle)) _exit(2);
  BatchObject batch(*dev, 28500);
  Job job(run, batch);
  const uint32_t object = job.object(handle, c.gpu_addr(0), true);
  job.pad(2000);
  for (uint32_t p = 0; p < c.pages && p < 64; p++)
    job.store(object, p * page_size + c.lane_offset(p, 0), 0x0dead000u + p);
  if (job.write(*dev)) _exit(2);
  for (int i = 0; i < 64; i++) {
    const int err = job.exec(*dev, run.caps.engines[i % run.caps.engines.size()], 0);
    if (err && err != -EAGAIN && err != -EINTR) _exit(3);
  }
  sync::sleep_ns(delay_ns);
  if (killed) raise(SIGKILL);
  _exit(0);
}

static void change(Stress& s, Cell& c) {
  const uint64_t delay_ns = s.rng.one_in(2) ? 0 : s.rng.below(s.run.cfg.dwell_ns + 1);
  const bool killed = s.rng.one_in(2);
  const Content before(c, s.rng, 0, c.pages);
  s.rec.begin(Op::fork, c.id, c.addr, c.len);
  const pid_t pid = s.run.mem.fork();
  if (pid == 0) child(s.run, c, delay_ns, killed);
  s.rec.end(pid);
  if (!s.expect_ok(Op::fork, c, pid)) return;
  s.rec.begin(Op::exit, c.id);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  s.rec.end(WIFEXITED(status) ? WEXITSTATUS(status) : 0, true);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
    report(s.rec, ViolationKind::wrong_errno, c.id,
           "in a forked child execbuf of its own userptr object failed");
  else if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
    s.rec.slot().refused.fetch_add(1, std::memory_order_relaxed);
  before.survived(s.oracle, s.rec, "the exit of a process that was busy on its copy");
  s.oracle.sample(c, s.rng, 0, c.pages, 8, "after a busy child has exited");
}

static std::string missing(Run&) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return "the sanitizers do not go on in a forked child of many threads";
#else
  return {};
#endif
}

extern const StressorInfo exit_stressor;
const StressorInfo exit_stressor = {
    "exit",  "a process that exits, or is killed, while batches write its userptr memory",
    "",      "liveness: the exit ends; content: no other process sees its writes",
    missing, anon_cell,
    change};

}  // namespace i915u::stress
