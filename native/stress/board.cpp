// SPDX-License-Identifier: MIT
#include "stress/board.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "sync/clock.h"

// Traces are read while their threads write them: a torn entry is a wrong line in a report, no
// more.
#if defined(__SANITIZE_THREAD__)
#define RACY_COPY __attribute__((no_sanitize("thread"), noinline))
#else
#define RACY_COPY
#endif

namespace i915u::stress {

const char* const op_names[] = {"none",     "create",    "close",      "exec",     "wait",
                                "verify",   "munmap",    "mmap",       "mprotect", "mremap",
                                "madvise",  "mlock",     "munlock",    "fork",     "child",
                                "truncate", "fallocate", "move_pages", "exit",     "idle"};
static_assert(std::size(op_names) == static_cast<size_t>(Op::count));

const char* const violation_names[] = {"stale write",  "lost write",
                                       "lost content", "write after protect",
                                       "stale read",   "read-only object written",
                                       "wrong errno",  "unexpected success",
                                       "liveness",     "leak",
                                       "era",          "forked child saw a write",
                                       "kernel log"};
static_assert(std::size(violation_names) == static_cast<size_t>(ViolationKind::count));

// ns < 8 are exact; above, the leading bit and the three after it choose the bucket.
uint32_t Histogram::bucket(uint64_t ns) {
  if (ns < steps) return static_cast<uint32_t>(ns);
  const uint32_t lead = 63 - std::countl_zero(ns);
  const uint32_t b = (lead - 2) * steps + static_cast<uint32_t>((ns >> (lead - 3)) & (steps - 1));
  return std::min(b, buckets - 1);
}

uint64_t Histogram::value(uint32_t bucket) {
  if (bucket < steps) return bucket;
  const uint32_t lead = bucket / steps + 2;
  return ((uint64_t{steps} + bucket % steps + 1) << (lead - 3)) - 1;
}

void Histogram::add(uint64_t ns) {
  count[bucket(ns)].fetch_add(1, std::memory_order_relaxed);
  uint64_t max = max_ns.load(std::memory_order_relaxed);
  while (ns > max && !max_ns.compare_exchange_weak(max, ns, std::memory_order_relaxed)) {
  }
}

int board_create() {
  const int fd = memfd_create("i915-userptr-board", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  if (::ftruncate(fd, sizeof(Board)) < 0) {
    const int err = errno;
    ::close(fd);
    return -err;
  }
  int err = 0;
  Board* b = board_map(fd, true, &err);
  if (!b) {
    ::close(fd);
    return err;
  }
  b->magic = board_magic;
  b->version = board_version;
  b->size = sizeof(Board);
  board_unmap(b);
  return fd;
}

Board* board_map(int fd, bool writable, int* err) {
  struct stat st;
  if (fstat(fd, &st) < 0) {
    *err = -errno;
    return nullptr;
  }
  *err = -EINVAL;
  if (st.st_size != sizeof(Board)) return nullptr;
  void* p =
      ::mmap(nullptr, sizeof(Board), PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    *err = -errno;
    return nullptr;
  }
  auto* b = static_cast<Board*>(p);
  if (!writable && (b->magic != board_magic || b->version != board_version)) {
    board_unmap(b);
    return nullptr;
  }
  *err = 0;
  return b;
}

std::string bounded(const char* s, size_t size) {
  return std::string(s, strnlen(s, size));
}

const char* op_name(Op op) {
  const auto i = static_cast<size_t>(op);
  return i < std::size(op_names) ? op_names[i] : "?";
}

uint64_t percentile(const Histogram& h, double part, uint64_t* count) {
  uint64_t all = 0, below = 0;
  for (const auto& c : h.count) all += c.load(std::memory_order_relaxed);
  *count = all;
  for (uint32_t b = 0; b < Histogram::buckets; b++) {
    below += h.count[b].load(std::memory_order_relaxed);
    if (all && static_cast<double>(below) >= part * static_cast<double>(all))
      return std::min(Histogram::value(b), h.max_ns.load());
  }
  return 0;
}

// The writer may be at work on the oldest entry: it is left out, and so is what was never written.
RACY_COPY ThreadView view_thread(const Board& b, uint32_t slot, uint64_t now_ns) {
  const ThreadSlot& s = b.threads[slot];
  ThreadView v{bounded(s.name, sizeof s.name), bounded(s.kind, sizeof s.kind), {}, 0, {}};
  const uint64_t begin = s.op_begin_ns.load();
  if (begin && begin <= now_ns) {
    v.op = op_name(static_cast<Op>(s.op.load()));
    v.op_ns = now_ns - begin;
  }
  const uint64_t at = s.trace_at.load(std::memory_order_acquire);
  for (uint64_t i = at >= trace_length ? at - trace_length + 1 : 0; i < at; i++)
    v.trace.push_back(s.trace[i % trace_length]);
  return v;
}

void board_unmap(Board* b) {
  ::munmap(b, sizeof(Board));
}

void Recorder::begin(Op op, uint32_t cell, uint64_t addr, uint64_t len) {
  const uint64_t now = sync::now_ns();
  const uint64_t at = s_.trace_at.load(std::memory_order_relaxed);
  s_.trace[at % trace_length] = {now, 0, op, static_cast<uint16_t>(slot_), cell, 0, addr, len};
  s_.trace_at.store(at + 1, std::memory_order_release);
  s_.op.store(static_cast<uint32_t>(op), std::memory_order_relaxed);
  s_.op_begin_ns.store(now, std::memory_order_relaxed);
}

int64_t Recorder::end(int64_t result, bool timed) {
  const uint64_t now = sync::now_ns();
  TraceEntry& e = s_.trace[(s_.trace_at.load(std::memory_order_relaxed) - 1) % trace_length];
  e.result = result;
  e.end_ns = now;
  if (timed) s_.latency.add(now - e.begin_ns);
  s_.op_begin_ns.store(0, std::memory_order_relaxed);
  return result;
}

RACY_COPY static void collect(const ThreadSlot& s, uint32_t cell, std::vector<TraceEntry>* near) {
  for (uint32_t i = 0; i < trace_length; i++) {
    const TraceEntry& e = s.trace[i];
    if (e.begin_ns && (cell == no_cell || e.cell == cell)) near->push_back(e);
  }
}

Violation* report(Recorder& r, ViolationKind kind, uint32_t cell, const std::string& text) {
  Board& b = r.board();
  const uint32_t n = b.n_violations.fetch_add(1);
  if (n >= max_violations) return nullptr;
  Violation& v = b.violations[n];
  v = {};
  v.kind = kind;
  v.cell = cell;
  v.thread = r.index();
  v.ns = sync::now_ns();
  text.copy(v.text, sizeof v.text - 1);
  std::vector<TraceEntry> near;
  const uint32_t threads = std::min(b.n_threads.load(), max_threads);
  for (uint32_t t = 0; t < threads; t++) collect(b.threads[t], cell, &near);
  std::sort(near.begin(), near.end(),
            [](const TraceEntry& a, const TraceEntry& c) { return a.begin_ns < c.begin_ns; });
  const size_t drop = near.size() > around_length ? near.size() - around_length : 0;
  v.n_around = static_cast<uint32_t>(near.size() - drop);
  std::copy(near.begin() + static_cast<ptrdiff_t>(drop), near.end(), v.around);
  return &v;
}

}  // namespace i915u::stress
