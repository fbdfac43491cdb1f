// SPDX-License-Identifier: MIT
// A submitter: builds userptr objects over its cells, submits batches that write them, waits, looks
// at what landed, closes. Each cell belongs to one submitter, so that its submissions are in order.
#pragma once

#include <memory>
#include <vector>

#include "stress/job.h"
#include "stress/oracle.h"
#include "stress/rng.h"
#include "stress/run.h"

namespace i915u::stress {

/// What execbuf said, judged by what the mapping was from before the call to after it.
class ExecJudge {
 public:
  /// Made before the call; the batch's objects cover [first, first + n) and are written or not.
  ExecJudge(Cell& c, uint32_t first, uint32_t n, bool writes);
  /// Made after it. Counts the answer, and reports it where the situation does not allow it.
  void judge(Recorder& rec, int err) const;

 private:
  Cell& c_;
  const bool writes_;
  const uint32_t first_, n_;
  const uint64_t seq_;
  const Access access_;
  const uint32_t access_first_, access_n_;
};

/// execbuf until it is neither interrupted nor collides with an invalidate; both are counted.
int exec_retrying(Run& run, Recorder& rec, Job& job, uint64_t engine, uint32_t ctx);
/// GEM_WAIT within the run's bound; a violation when it passes.
bool wait_idle(Run& run, Recorder& rec, uint32_t cell, uint32_t handle);

class Submitter {
 public:
  Submitter(Run& run, Recorder& rec, uint32_t index);
  ~Submitter();
  void loop();

 private:
  static constexpr uint32_t ring = 4;  ///< batches in flight for each cell
  static constexpr uint64_t scratch_size = 4096;
  static constexpr uint64_t scratch_gpu_addr = 0x0f000000;

  struct Expect {
    uint32_t page, gen, seq;
  };
  struct Readback {
    uint32_t page, gen, cpu, slot;
  };
  /// A cell and what is under way on it.
  struct Area {
    Cell* cell;
    std::unique_ptr<BatchObject> batch[ring];
    uint32_t handle[2] = {0, 0};
    uint64_t engine = 0;
    uint32_t ctx = 0, seq = 0, in_flight = 0, next = 0;
    std::vector<Expect> expects;
    std::vector<Readback> readbacks;
  };

  bool open_objects(Area& a);
  void close_objects(Area& a);
  void choose_engine(Area& a);
  void submit(Area& a);
  void sync(Area& a);
  void check_readback(Area& a, const Readback& r);

  Run& run_;
  Recorder& rec_;
  Rng rng_;
  Oracle oracle_;
  std::vector<Area> areas_;
  std::vector<uint32_t> contexts_;
  uint32_t scratch_ = 0, next_scratch_ = 0;
};

}  // namespace i915u::stress
