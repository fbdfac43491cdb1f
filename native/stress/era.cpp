// SPDX-License-Identifier: MIT
#include "stress/era.h"

#include <sys/mman.h>
#include <sys/utsname.h>

#include <cstdio>

#include "drm/ioctls.h"
#include "soft/device.h"
#include "soft/strategies/strategy.h"
#include "stress/job.h"
#include "stress/submitter.h"
#include "sync/clock.h"

namespace i915u::stress {

const char* const era_names[3] = {"unknown", "waits", "no-wait"};

Era era_expected(Run& run) {
  if (run.dev.is_soft()) {
    const auto& name = static_cast<soft::SoftDevice&>(run.dev).options().strategy;
    const auto* strategy = soft::find_strategy(name.c_str());
    return strategy && !strategy->waits ? Era::no_wait : Era::waits;
  }
  utsname u;
  int major = 0, minor = 0;
  if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2) return Era::unknown;
  return major > 6 || (major == 6 && minor >= 9) ? Era::no_wait : Era::waits;
}

namespace {

/// Unknown where the batch was over before munmap began.
Era measure(Run& run, Recorder& rec, uint64_t addr, uint64_t held_ns, uint64_t* munmap_ns) {
  constexpr uint64_t len = 16 * page_size;
  const int64_t at = run.mem.mmap(addr, len, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  uint32_t handle = 0;
  if (at < 0 || gem_userptr(run.dev, static_cast<uint64_t>(at), len, 0, &handle))
    return Era::unknown;
  Era era = Era::unknown;
  {
    BatchObject batch(run.dev, 28600);
    Job job(run, batch);
    job.object(handle, 0xe0000000000, true);
    const uint64_t opens = sync::now_ns() + held_ns;
    job.wait_for(run.gates->arm(opens));
    job.store(0, 0, 1);
    rec.begin(Op::exec, no_cell, addr, 1);
    int err = job.write(run.dev);
    if (!err) err = exec_retrying(run, rec, job, run.caps.engines[0], 0);
    rec.end(err);
    const uint64_t begin = sync::now_ns();
    rec.begin(Op::munmap, no_cell, addr, len);
    rec.end(run.mem.munmap(static_cast<uint64_t>(at), len));
    const uint64_t end = sync::now_ns();
    if (!err) {
      *munmap_ns = end - begin;
      if (begin < opens) era = end >= opens ? Era::waits : Era::no_wait;
      wait_idle(run, rec, no_cell, batch.handle);
    }
  }
  gem_close(run.dev, handle);
  return era;
}

}  // namespace

Era era_measured(Run& run, Recorder& rec, uint64_t addr, uint64_t* munmap_ns) {
  *munmap_ns = 0;
  if (!run.gates) return Era::unknown;
  Era era = Era::unknown;
  // Longer on a machine so slow that it measures nothing.
  for (uint64_t held_ns = 60000000; era == Era::unknown && held_ns < 2000000000; held_ns *= 3)
    era = measure(run, rec, addr, held_ns, munmap_ns);
  return era;
}

}  // namespace i915u::stress
