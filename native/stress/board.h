// SPDX-License-Identifier: MIT
// What a run shows of itself while it runs, in memory shared with the process that watches it: the
// watcher reads it whatever became of the run, also after SIGKILL. One writer per thread slot.
// A reader takes nothing in it on trust: indices and strings are bounded by BoardView.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace i915u::stress {

constexpr uint64_t board_magic = 0x64726f6272747075;  // "uptrbord"
constexpr uint32_t board_version = 2;
constexpr uint32_t max_threads = 128;
constexpr uint32_t trace_length = 64;    ///< the last operations of each thread
constexpr uint32_t max_violations = 64;  ///< kept whole; more are counted
constexpr uint32_t around_length = 24;   ///< operations kept around a violation
constexpr uint32_t max_skips = 64;

/// What a thread did, with the names that reports show.
enum class Op : uint16_t {
  none,
  create,
  close,
  exec,
  wait,
  verify,
  munmap,
  mmap,
  mprotect,
  mremap,
  madvise,
  mlock,
  munlock,
  fork,
  child,
  truncate,
  fallocate,
  move_pages,
  exit,
  idle,
  count
};
extern const char* const op_names[static_cast<size_t>(Op::count)];

enum class ViolationKind : uint32_t {
  stale_write,
  lost_write,
  lost_content,
  write_after_protect,
  stale_read,
  read_only_written,
  wrong_errno,
  unexpected_success,
  liveness,
  leak,
  era,
  child_saw_write,
  kernel_log,
  count
};
extern const char* const violation_names[static_cast<size_t>(ViolationKind::count)];

/// One operation: the interval it took, on which cell, and what it returned.
struct TraceEntry {
  uint64_t begin_ns, end_ns;  ///< CLOCK_MONOTONIC; end 0: still running
  Op op;
  uint16_t thread;
  uint32_t cell;       ///< no_cell: none
  int64_t result;      ///< >= 0 or -errno
  uint64_t addr, len;  ///< what was changed or submitted; for exec: first page written, and the tag
};
constexpr uint32_t no_cell = UINT32_MAX;

struct Violation {
  ViolationKind kind;
  uint32_t cell;
  uint32_t thread;  ///< slot of the thread that saw it
  uint32_t n_around;
  uint64_t ns;
  uint64_t addr;  ///< of the wrong dword
  uint64_t page;  ///< its page's index in the cell
  uint64_t expected, found;
  char text[240];
  char where[4096];  ///< kernel stacks, for liveness; the report, of the kernel log
  TraceEntry around[around_length];
};

/// Latencies in a log-linear histogram: 8 steps for each power of two of nanoseconds.
struct Histogram {
  static constexpr uint32_t steps = 8, buckets = 40 * steps;
  std::atomic<uint32_t> count[buckets];
  std::atomic<uint64_t> max_ns;

  void add(uint64_t ns);
  static uint32_t bucket(uint64_t ns);
  static uint64_t value(uint32_t bucket);  ///< the bucket's upper bound, in ns
};

struct ThreadSlot {
  char name[24];  ///< "submit/0", "munmap/1"
  char kind[24];  ///< "submit", "munmap"
  std::atomic<int32_t> tid;
  std::atomic<uint64_t> ops;  ///< submissions, or changes of a mapping
  std::atomic<uint64_t> eagain, eintr, efault,
      refused;                           ///< refused: other errnos that were allowed
  std::atomic<uint64_t> overlap_lookup;  ///< changes during which an execbuf call was under way
  std::atomic<uint64_t> overlap_busy;    ///< changes during which a batch was in flight
  std::atomic<uint64_t> checks;          ///< values that an oracle judged
  std::atomic<uint64_t> op_begin_ns;     ///< 0: between operations
  std::atomic<uint32_t> op;
  std::atomic<uint64_t> trace_at;  ///< entries ever written
  Histogram latency;
  TraceEntry trace[trace_length];
};

struct Skip {
  char what[32];
  char why[128];
};

enum class RunState : uint32_t { empty, setup, running, stopping, done, failed };

struct Board {
  uint64_t magic;
  uint32_t version;
  uint32_t size;
  std::atomic<RunState> state;
  std::atomic<uint32_t> n_threads, n_violations, n_skips;  ///< n_violations may pass the maximum
  std::atomic<uint64_t> start_ns, end_ns, beat_ns;  ///< beat: the run's watchdog was alive then
  std::atomic<int64_t> pid;
  std::atomic<uint32_t> era_expected, era_measured;  ///< Era, see era.h
  std::atomic<uint64_t> era_munmap_ns;
  std::atomic<uint64_t> pins_acquired, pins_released;
  char error[256];  ///< state failed: why the run could not start
  Skip skips[max_skips];
  ThreadSlot threads[max_threads];
  Violation violations[max_violations];
};

/// Creates the shared memory: a descriptor, or -errno.
int board_create();
/// Maps it; null on failure with *err = -errno (-EINVAL: not a board).
Board* board_map(int fd, bool writable, int* err);
void board_unmap(Board* b);

/// A reader's copy of one thread: whatever another process wrote, indices and strings are in range.
struct ThreadView {
  std::string name, kind, op;     ///< op: the current one, empty between operations
  uint64_t op_ns = 0;             ///< since it began
  std::vector<TraceEntry> trace;  ///< oldest first
};
ThreadView view_thread(const Board& b, uint32_t slot, uint64_t now_ns);
/// Of a fixed field that may lack its terminator.
std::string bounded(const char* s, size_t size);
const char* op_name(Op op);
/// The latency below which so much of a histogram lies (0 to 1), in ns.
uint64_t percentile(const Histogram& h, double part, uint64_t* count);

/// What it takes to write a slot.
class Recorder {
 public:
  Recorder(Board& b, uint32_t slot) : b_(b), s_(b.threads[slot]), slot_(slot) {}

  /// Marks an operation as begun, and ended with its result. `timed`: its latency counts.
  void begin(Op op, uint32_t cell, uint64_t addr = 0, uint64_t len = 0);
  int64_t end(int64_t result, bool timed = false);
  ThreadSlot& slot() { return s_; }
  uint32_t index() const { return slot_; }
  Board& board() { return b_; }

 private:
  Board& b_;
  ThreadSlot& s_;
  uint32_t slot_;
};

/// Takes a place for a violation, fills in what is general and the operations of all threads on
/// that cell that are still in their traces. Null when all places are taken (it is counted).
Violation* report(Recorder&, ViolationKind, uint32_t cell, const std::string& text);

}  // namespace i915u::stress
