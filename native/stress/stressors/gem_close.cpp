// SPDX-License-Identifier: MIT
#include <cstring>

#include "drm/ioctls.h"
#include "stress/stressor.h"
#include "stress/submitter.h"
#include "sync/clock.h"

namespace i915u::stress {

constexpr uint32_t close_lane = 1;
constexpr uint64_t close_gpu_addr = 0xf0000000000;  // away from those of the submitters

//   create   exec (a batch that waits)   close   [munmap, mmap]   the batch goes on   look
static void change(Stress& s, Cell& c) {
  Run& run = s.run;
  uint32_t handle = 0;
  if (!s.expect_ok(Op::create, c, gem_userptr(run.dev, c.addr, c.len, 0, &handle))) return;
  BatchObject batch(run.dev, 28000 + s.rec.index());
  Job job(run, batch);
  const uint32_t object = job.object(handle, close_gpu_addr + s.rec.index() * 0x10000000ull, true);
  if (run.gates)
    job.wait_for(run.gates->arm(sync::now_ns() + s.rng.below(2 * run.cfg.dwell_ns + 1)));
  else
    job.pad(2000);
  Cell::Lane& lane = c.lane[close_lane];
  const uint32_t seq = (lane.begun.load() + 1) & seq_mask;
  const uint32_t pages[] = {0, c.pages - 1, static_cast<uint32_t>(s.rng.below(c.pages))};
  uint32_t gens[3];
  for (int i = 0; i < 3; i++) {
    job.store(object, pages[i] * page_size + c.lane_offset(pages[i], close_lane),
              make_tag({c.id, close_lane, seq}));
    gens[i] = c.page[pages[i]].gen.load();
  }
  int err = job.write(run.dev);
  if (!err) {
    const ExecJudge judge(c, 0, c.pages, true);
    lane.begun.store(seq);
    s.rec.begin(Op::exec, c.id, c.addr, seq);
    err = exec_retrying(run, s.rec, job, run.caps.engines[s.rng.below(run.caps.engines.size())], 0);
    s.rec.end(err);
    lane.returned.store(seq);
    judge.judge(s.rec, err);
  }
  lane.busy.store(err == 0);
  const int closed = static_cast<int>(
      s.call(Op::close, c, c.addr, c.len, [&] { return gem_close(run.dev, handle); }));
  s.expect_ok(Op::close, c, closed);
  if (err) return;

  const Range all{0, c.pages};
  const bool renew = c.backing == Backing::anon && s.rng.one_in(2);
  if (renew) {  // the object has no handle any more, but its batch must be waited for all the same
    c.begin_access();
    Cell::Destroy destroy(c, 0, c.pages);
    map_anew(s, c, all);
    destroy.done();
    c.set_access(Access::rw, 0, c.pages);
    s.oracle.sample(c, s.rng, 0, c.pages, 8, "after mmap over a closed busy object");
  }
  const bool idle = wait_idle(run, s.rec, c.id, batch.handle);
  lane.busy.store(false);
  if (!idle) return;
  if (renew)
    s.oracle.sample(c, s.rng, 0, c.pages, 8, "after the batch of a closed object was done");
  for (int i = 0; i < 3; i++) s.oracle.landed(c, pages[i], close_lane, seq, gens[i]);
}

static bool fits(const Cell& c) {
  return c.shape != Shape::read_only;
}

extern const StressorInfo gem_close_stressor;
const StressorInfo gem_close_stressor = {
    "gem_close",
    "GEM_CLOSE of an object whose batch is under way, then often mmap over its memory",
    "",
    "lost write: the batch lands all the same; stale write: not in what is mapped after",
    nothing_missing,
    fits,
    change};

}  // namespace i915u::stress
