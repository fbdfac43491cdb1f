// SPDX-License-Identifier: MIT
#include "stress/run.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "drm/chipset.h"
#include "drm/ioctls.h"
#include "mem/quiet.h"
#include "stress/era.h"
#include "stress/leaks.h"
#include "stress/stressor.h"
#include "stress/submitter.h"
#include "sync/clock.h"

namespace i915u::stress {

namespace {

// 256 MiB a cell, in whose second half mremap moves things.
constexpr uint64_t arena = quiet_stress;
constexpr uint64_t cell_stride = 0x10000000;

uint64_t default_timeout(const Config& cfg, const Device& dev) {
  if (cfg.op_timeout_ns) return cfg.op_timeout_ns;
  return dev.is_soft() ? 5000000000u : 30000000000u;
}

/// What the kernel says of a thread that hangs. Never /proc/PID/status or maps: on 6.1 they block
/// behind a task that is stuck in the notifier.
std::string kernel_view(int tid) {
  std::string all;
  for (const char* what : {"wchan", "syscall", "stack"}) {
    const std::string path = "/proc/self/task/" + std::to_string(tid) + "/" + what;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    char buf[400];
    const ssize_t n = ::read(fd, buf, sizeof buf);
    ::close(fd);
    if (n > 0) all += std::string(what) + ": " + std::string(buf, static_cast<size_t>(n)) + "\n";
  }
  return all;
}

}  // namespace

bool find_caps(Device& dev, Caps* caps, std::string* why) {
  using namespace uapi;
  caps->gen = graphics_version(dev);
  if (caps->gen <= 0) {
    int id = 0;
    i915_getparam(dev, I915_PARAM_CHIPSET_ID, &id);
    *why = "chipset " + hex(static_cast<uint32_t>(id)) + " is not one whose commands we can write";
    return false;
  }
  const auto has = [&](int32_t param) {
    int v = 0;
    return i915_getparam(dev, param, &v) == 0 && v > 0;
  };
  // Full 48-bit addresses are what the fixed places need.
  caps->softpin = caps->gen >= 80 && has(I915_PARAM_HAS_EXEC_SOFTPIN);
  caps->engines = {I915_EXEC_RENDER};
  if (has(I915_PARAM_HAS_BLT)) caps->engines.push_back(I915_EXEC_BLT), caps->has_blt = true;
  if (has(I915_PARAM_HAS_BSD) && caps->gen >= 70) caps->engines.push_back(I915_EXEC_BSD);
  if (has(I915_PARAM_HAS_VEBOX)) caps->engines.push_back(I915_EXEC_VEBOX);
  uint32_t handle = 0;
  alignas(page_size) static char page[page_size];
  const auto at = reinterpret_cast<uint64_t>(page);
  if (const int err = gem_userptr(dev, at, page_size, 0, &handle)) {
    *why = std::string("GEM_USERPTR failed with ") + strerror(-err) +
           (err == -ENODEV ? ": the driver or its kernel has no userptr" : "");
    return false;
  }
  gem_close(dev, handle);
  if (gem_userptr(dev, at, page_size, I915_USERPTR_READ_ONLY, &handle) == 0) {
    caps->read_only = true;
    gem_close(dev, handle);
  }
  return true;
}

Run::Run(Device& d, Config c, Board& b, std::string n)
    : dev(d),
      mem(d.memory()),
      cfg(std::move(c)),
      board(b),
      node(std::move(n)),
      op_timeout_ns_(default_timeout(cfg, d)) {}

Run::~Run() {
  if (dev.is_soft()) sync::lockdep::on_report({});
}

// The software i915's lockdep speaks like the kernel's, and is listened to like it. It has what is
// behind the soft device only: a real driver's reports come with the kernel's log.
void Run::lockdep_report(const sync::lockdep::Report& r) {
  const auto tid = static_cast<int32_t>(syscall(SYS_gettid));
  uint32_t slot = 0;
  for (uint32_t i = 0; i < std::min(board.n_threads.load(), max_threads); i++)
    if (board.threads[i].tid == tid) slot = i;
  Recorder rec(board, slot);
  if (Violation* v = report(rec, ViolationKind::kernel_log, no_cell, r.title))
    r.text.copy(v->where, sizeof v->where - 1);
}

bool Run::take_op() {
  return !cfg.operations || ops_.fetch_add(1) < cfg.operations;
}

void Run::launch() {
  if (dev.is_soft())
    sync::lockdep::on_report([this](const sync::lockdep::Report& r) { lockdep_report(r); });
  board.pid = getpid();
  board.state = RunState::setup;
  board.beat_ns = sync::now_ns();
  conductor_ = sync::Thread("conductor", [this] {
    conduct();
    finished_ = true;
  });
  watchdog_ = sync::Thread("watchdog", [this] { watch(); });
}

bool Run::join() {
  watchdog_.join();
  if (!hung_) {
    conductor_.join();
    return true;
  }
  conductor_.forget();
  for (auto& t : threads_) t.forget();
  return false;
}

uint32_t Run::new_slot(const std::string& kind, const std::string& name) {
  const uint32_t i = board.n_threads.load();
  if (i >= max_threads) return max_threads;
  ThreadSlot& s = board.threads[i];
  name.copy(s.name, sizeof s.name - 1);
  kind.copy(s.kind, sizeof s.kind - 1);
  board.n_threads.store(i + 1);
  recorders_.push_back(std::make_unique<Recorder>(board, i));
  return i;
}

void Run::skip(const std::string& what, const std::string& why) {
  const uint32_t i = board.n_skips.load();
  if (i >= max_skips) return;
  what.copy(board.skips[i].what, sizeof board.skips[i].what - 1);
  why.copy(board.skips[i].why, sizeof board.skips[i].why - 1);
  board.n_skips.store(i + 1);
}

bool Run::map_cells(std::string* why) {
  constexpr Shape shapes[] = {Shape::plain, Shape::overlap, Shape::plain, Shape::adjacent,
                              Shape::read_only};
  const std::vector<uint64_t> sizes =
      cfg.sizes.empty() ? std::vector<uint64_t>{page_size, 16 * page_size, 512 * page_size,
                                                4 * page_size, 64 * page_size}
                        : cfg.sizes;
  for (uint32_t i = 0; i < std::min(cfg.cells, max_cells); i++) {
    // Shapes, backings and sizes advance at different steps, so that they meet in all ways.
    Shape shape = shapes[(i / sizes.size() + i) % std::size(shapes)];
    if (shape == Shape::read_only && !caps.read_only) shape = Shape::plain;
    const Backing backing = i % 4 == 3 ? Backing::memfd : Backing::anon;
    auto c = std::make_unique<Cell>(i, arena + (i + 1) * cell_stride, sizes[i % sizes.size()],
                                    backing, shape);
    if (const int err = c->map(mem)) {
      *why = "mapping " + std::to_string(c->len) + " bytes at " + hex(c->addr) + " failed with " +
             strerror(-err);
      return false;
    }
    cells.push_back(std::move(c));
  }
  return true;
}

void Run::probe_era(Recorder& rec) {
  const Era expected = era_expected(*this);
  uint64_t munmap_ns = 0;
  const Era measured = era_measured(*this, rec, arena, &munmap_ns);
  board.era_expected = static_cast<uint32_t>(cfg.era == Era::unknown ? expected : cfg.era);
  board.era_measured = static_cast<uint32_t>(measured);
  board.era_munmap_ns = munmap_ns;
  era = cfg.era != Era::unknown ? cfg.era : expected != Era::unknown ? expected : measured;
  if (era == Era::waits && measured == Era::no_wait)
    report(rec, ViolationKind::era, no_cell,
           "munmap returned after " + std::to_string(munmap_ns / 1000) +
               " us, while a batch that uses the memory still ran: before 6.9 the notifier waits "
               "for it (--era no-wait if this kernel has the later behaviour backported)");
}

bool Run::setup(Recorder& rec, std::string* why) {
  if (caps.gen >= 80) gates = Gates::create(dev);
  if (!gates) skip("gates", "batches cannot wait for the CPU here: fewer races are forced");
  if (!caps.read_only) skip("read-only objects", "the device has no read-only page table entries");
  probe_era(rec);
  return map_cells(why);
}

void Run::start(const std::string& kind, uint32_t n, void (*body)(Run&, Recorder&, uint32_t, void*),
                void* arg) {
  const std::string name = kind + "/" + std::to_string(n);
  const uint32_t slot = new_slot(kind, name);
  if (slot >= max_threads) return;
  Recorder* rec = recorders_[slot].get();
  working_++;
  threads_.emplace_back(name, [this, rec, slot, body, arg] {
    rec->slot().tid = static_cast<int32_t>(syscall(SYS_gettid));
    body(*this, *rec, slot, arg);
    working_--;
  });
}

/// Where there are few CPUs, stressors work in shifts: all at once they would leave submissions
/// hardly any time, and races need both.
bool Run::on_shift(uint32_t position) const {
  constexpr uint64_t shift_ns = 100000000;
  const uint64_t all = num_stressing_.load(std::memory_order_relaxed);
  const uint64_t at_once =
      cfg.at_once ? cfg.at_once : std::max(4u, 2 * std::thread::hardware_concurrency());
  if (all <= at_once) return true;
  const uint64_t first = (sync::now_ns() - board.start_ns) / shift_ns % all;
  return (position + all - first) % all < at_once;
}

static void stress_body(Run& run, Recorder& rec, uint32_t slot, void* arg) {
  const StressorInfo& info = *static_cast<const StressorInfo*>(arg);
  Rng rng(run.cfg.seed * 7368787 + slot);
  Oracle oracle(rec);
  Stress s{run, rec, rng, oracle};
  std::vector<Cell*> fit;
  for (auto& c : run.cells)
    if (info.fits(*c)) fit.push_back(c.get());
  const uint32_t position = run.new_position();
  while (!run.stopping()) {
    if (!run.on_shift(position)) {
      sync::sleep_ns(5000000);
      continue;
    }
    if (!run.take_op()) break;
    Cell& c = *fit[rng.below(fit.size())];
    {
      std::unique_lock l(c.change_lock, std::try_to_lock);
      if (!l) {  // another one is at it; do not stand in line where others are free
        if (fit.size() > 1) {
          sync::sleep_ns(20000);
          continue;
        }
        l.lock();
      }
      info.change(s, c);
    }
    rec.slot().ops.fetch_add(1, std::memory_order_relaxed);
    if (run.cfg.pause_ns) sync::sleep_ns(rng.below(run.cfg.pause_ns));
  }
}

void Run::start_stressors() {
  for (auto* info = stressors; *info; info++) {
    const auto& names = cfg.stressors;
    if (!names.empty() && std::find(names.begin(), names.end(), (*info)->name) == names.end())
      continue;
    std::string why = (*info)->missing(*this);
    if (why.empty() &&
        std::none_of(cells.begin(), cells.end(), [&](auto& c) { return (*info)->fits(*c); }))
      why = "no area of this run fits: try more objects or larger sizes";
    if (!why.empty()) {
      skip((*info)->name, why);
      continue;
    }
    num_stressing_ += cfg.threads_per_stressor;
    for (uint32_t n = 0; n < cfg.threads_per_stressor; n++)
      start((*info)->name, n, stress_body, const_cast<StressorInfo*>(*info));
  }
}

// True when a thread is stuck, now or since an earlier look.
bool Run::check_liveness(uint64_t now) {
  bool stuck = false;
  for (uint32_t i = 0; i < board.n_threads.load(); i++) {
    ThreadSlot& s = board.threads[i];
    const uint64_t begin = s.op_begin_ns.load();
    stuck |= blamed_[i];
    if (blamed_[i] || begin == 0 || now < begin + op_timeout_ns_) continue;
    stuck = blamed_[i] = true;
    const TraceEntry& e = s.trace[(s.trace_at.load() + trace_length - 1) % trace_length];
    Recorder rec(board, i);
    Violation* v =
        report(rec, ViolationKind::liveness, e.cell,
               std::string(s.name) + " has been in " + op_name(static_cast<Op>(s.op.load())) +
                   " for " + std::to_string((now - begin) / 1000000) + " ms");
    if (v) {
      v->addr = e.addr;
      kernel_view(s.tid).copy(v->where, sizeof v->where - 1);
    }
  }
  return stuck;
}

// Sees to it that a run has an end, whatever its other threads are stuck in, the conductor's too.
void Run::watch() {
  uint64_t blamed_ns = 0;
  while (!finished_.load()) {
    const uint64_t now = sync::now_ns();
    board.beat_ns = now;
    if (check_liveness(now)) {
      request_stop();
      if (!blamed_ns) blamed_ns = now;
      if (now > blamed_ns + hung_grace_ns) {
        hung_ = true;
        if (!board.end_ns) board.end_ns = now;
        board.state = RunState::done;
        return;
      }
    }
    sync::sleep_ns(2000000);
  }
}

void Run::conduct() {
  new_slot("run", "run");
  Recorder& rec = *recorders_[0];
  rec.slot().tid = static_cast<int32_t>(syscall(SYS_gettid));
  LeakCheck leaks(dev);
  std::string why;
  if (!find_caps(dev, &caps, &why)) {
    skip("device", why);  // with no thread but this one, the run is one that was skipped
    board.state = RunState::done;
    return;
  }
  if (!setup(rec, &why)) {
    why.copy(board.error, sizeof board.error - 1);
    gates.reset();
    board.state = RunState::failed;
    return;
  }
  board.start_ns = sync::now_ns();
  board.state = RunState::running;
  for (uint32_t i = 0; i < cfg.submitters; i++)
    start(
        "submit", i,
        [](Run& run, Recorder& r, uint32_t slot, void*) { Submitter(run, r, slot - 1).loop(); },
        nullptr);
  start_stressors();
  const uint64_t end = board.start_ns + static_cast<uint64_t>(std::min(cfg.seconds, 1e9) * 1e9);
  while (!stopping() && working_.load() && sync::now_ns() < end &&
         !(cfg.violations && board.n_violations.load() >= cfg.violations))
    sync::sleep_ns(2000000);
  request_stop();
  board.end_ns = sync::now_ns();
  board.state = RunState::stopping;
  for (auto& t : threads_) t.join();  // one that hangs is the watchdog's business
  Oracle oracle(rec);
  Rng rng(cfg.seed);
  for (auto& c : cells) oracle.sample(*c, rng, 0, c->pages, 64, "at the end of the run");
  for (auto& c : cells) c->unmap(mem);
  gates.reset();
  leaks.check(rec);
  cells.clear();
  board.state = RunState::done;
}

}  // namespace i915u::stress
