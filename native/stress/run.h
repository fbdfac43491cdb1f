// SPDX-License-Identifier: MIT
// One stress run: its cells, threads, gates and watchdog, over any Device.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "drm/device.h"
#include "stress/board.h"
#include "stress/cell.h"
#include "stress/config.h"
#include "stress/gate.h"
#include "sync/lockdep.h"
#include "sync/thread.h"

namespace i915u::stress {

struct StressorInfo;

/// What the device can do, asked once.
struct Caps {
  int gen = 0;  ///< graphics version times 10
  bool softpin = false;
  bool has_blt = false;
  bool read_only = false;         ///< I915_USERPTR_READ_ONLY is taken
  std::vector<uint64_t> engines;  ///< I915_EXEC_* ring selectors that exist
};

/// False and *why when the device is not one that can be stressed: it lacks userptr, or is of a
/// generation that we have no encoding for.
bool find_caps(Device& dev, Caps* caps, std::string* why);

class Run {
 public:
  /// `board` and `dev` outlive the run. `node`: the DRM node's path, empty for soft.
  Run(Device& dev, Config cfg, Board& board, std::string node);
  ~Run();

  /// Starts a thread that does all of it; the board's state tells how far it is.
  void launch();
  void request_stop() { stop_.store(true); }
  /// Waits for the end. False: threads of the run hang, and only _exit() gets rid of them; the run
  /// and its device must then not be destroyed.
  bool join();

  // --- what submitters and stressors use
  Device& dev;
  Memory& mem;
  const Config cfg;
  Board& board;
  const std::string node;
  Caps caps;
  Era era = Era::unknown;        ///< to judge by
  std::unique_ptr<Gates> gates;  ///< null where batches cannot wait for the CPU
  std::vector<std::unique_ptr<Cell>> cells;

  bool stopping() const { return stop_.load(std::memory_order_relaxed); }
  /// Takes one operation from the run's budget; false when it is used up.
  bool take_op();
  uint64_t op_timeout_ns() const { return op_timeout_ns_; }
  /// Of a stressor's thread, for on_shift().
  uint32_t new_position() { return positions_.fetch_add(1); }
  /// Its turn to change mappings?
  bool on_shift(uint32_t position) const;

 private:
  void conduct();
  bool setup(Recorder& rec, std::string* why);
  bool map_cells(std::string* why);
  void probe_era(Recorder& rec);
  uint32_t new_slot(const std::string& kind, const std::string& name);
  void skip(const std::string& what, const std::string& why);
  void start(const std::string& kind, uint32_t n, void (*body)(Run&, Recorder&, uint32_t, void*),
             void* arg);
  void start_stressors();
  void watch();
  void lockdep_report(const sync::lockdep::Report&);
  bool check_liveness(uint64_t now);

  static constexpr uint64_t hung_grace_ns = 500000000;  ///< from the first blame to the end

  std::atomic<bool> stop_{false}, finished_{false};
  std::atomic<uint64_t> ops_{0};
  std::atomic<uint32_t> working_{0};  ///< threads that have not ended
  std::atomic<uint32_t> positions_{0}, num_stressing_{0};
  const uint64_t op_timeout_ns_;
  bool hung_ = false;              ///< the watchdog's
  bool blamed_[max_threads] = {};  ///< the watchdog's: this thread's hang has been reported
  std::vector<std::unique_ptr<Recorder>> recorders_;
  std::vector<sync::Thread> threads_;
  sync::Thread conductor_, watchdog_;
};

}  // namespace i915u::stress
