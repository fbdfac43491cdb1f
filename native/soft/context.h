// SPDX-License-Identifier: MIT
// Contexts (kernel: i915_gem_context, gem/i915_gem_context.c) and what a context is on one engine
// (intel_context).
//
// The driver's algorithm: which parameters are read and written when, their ranges, privileges and
// errnos, the engine map and its extensions, the proto-context that becomes a context at its first
// use, ban scoring, what closing does to what still runs.
// With one engine of each class, a virtual engine and a parallel one can never be made: their
// extensions are checked as the driver checks them, and the context fails at its first use.
// Stub: SSEU, which the driver refuses to set on this generation, reads as the whole GPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "drm/uapi.h"
#include "soft/engine.h"
#include "soft/gpu_state.h"
#include "soft/request.h"
#include "soft/vm.h"

namespace i915u::soft {

class BatchRunner;
class Context;
struct File;

/// The ioctls: 0 or -errno. The struct has been copied in and is copied out by the caller.
int ioctl_context_create(File& file, uapi::drm_i915_gem_context_create_ext& args);
int ioctl_context_destroy(File& file, const uapi::drm_i915_gem_context_destroy& args);
int ioctl_context_getparam(File& file, uapi::drm_i915_gem_context_param& args);
int ioctl_context_setparam(File& file, uapi::drm_i915_gem_context_param& args);
int ioctl_get_reset_stats(File& file, uapi::drm_i915_reset_stats& args);
int ioctl_vm_create(File& file, uapi::drm_i915_gem_vm_control& args);
int ioctl_vm_destroy(File& file, const uapi::drm_i915_gem_vm_control& args);
/// GEM_THROTTLE: waits for this file's requests that are older than 20 ms.
int ioctl_throttle(File& file);

/// A context on one engine: one timeline.
class ContextEngine {
 public:
  ContextEngine(Engine& e, std::shared_ptr<Context> ctx);
  ~ContextEngine();

  Engine& engine;
  Gpu& gpu;
  const uint64_t id;  ///< of the timeline
  const std::shared_ptr<Vm> vm;
  const std::weak_ptr<Context> context;

  std::atomic<bool> banned{false};  ///< nothing runs any more; execbuf answers -EIO
  std::atomic<bool> closed{false};

  /// Waits while the ring is full, until half of it is free. timeline_lock NOT held. Who is far
  /// ahead of the engine is slowed down, too: unlike a GPU, the engine needs the CPU to catch up.
  void throttle();
  /// timeline_lock held, from before the request was made. It is on its way from now on.
  void add(std::shared_ptr<Request> rq);
  /// The last request that was submitted at or before `ns` and has not signalled; or null.
  std::shared_ptr<Request> last_before(uint64_t ns);

  static const sync::LockClass timeline_lock_class;
  sync::Mutex timeline_lock{timeline_lock_class};  ///< kernel: timeline->mutex

 private:
  friend class Engine;
  static constexpr size_t ring_requests = 256;  // a 16 KiB ring holds about so many
  void retire();
  std::deque<std::shared_ptr<Request>> requests_;  // timeline_lock: not yet retired, oldest first
  // Under Engine::lock_: the requests not yet done, oldest first, and this context's nodes in the
  // engine's lists, kept here while it is in none.
  std::deque<std::shared_ptr<Request>> queue_;
  std::list<ContextEngine*> contexts_node_, runnable_node_;
  std::list<ContextEngine*>::iterator in_contexts_;
  std::unique_ptr<BatchRunner> runner_;  // the engine thread's
};

/// What a file's contexts share, and may outlive it (kernel: drm_i915_file_private).
struct Client {
  static constexpr uint32_t banned_score = 9;  ///< I915_CLIENT_SCORE_BANNED
  std::atomic<uint32_t> ban_score{0};
  std::atomic<uint64_t> hang_ns{0};  ///< of the last hang; 0: never
  bool banned() const { return ban_score.load() >= banned_score; }
};

/// What the parameters say of a context that has not been used (kernel: i915_gem_proto_context).
struct ProtoContext {
  struct Slot {
    enum { invalid, physical, balanced } type = invalid;
    Engine* engine = nullptr;
  };
  std::shared_ptr<Vm> vm;
  bool user_engines = false;
  std::vector<Slot> slots;
  bool single_timeline = false;
};

class Context : public std::enable_shared_from_this<Context> {
 public:
  Context(Gpu& gpu, std::shared_ptr<Client> client);
  ~Context();

  /// What the context is made of at its first use, once. 0 or -EINVAL: the engine map cannot be.
  int finalize();
  bool finalized() const { return finalized_; }
  ProtoContext proto;  ///< while it is not finalized

  Gpu& gpu;
  const std::shared_ptr<Client> client;

  // Fixed once it is finalized.
  std::shared_ptr<Vm> vm;
  bool user_engines = false;  ///< `engines` is the user's map, else the legacy rings by EngineId
  std::vector<std::shared_ptr<ContextEngine>> engines;  ///< null: an invalid slot
  std::unique_ptr<Syncobj> single_timeline;

  std::atomic<bool> no_error_capture{false}, bannable{true}, recoverable{true}, persistent{true};
  std::atomic<int> priority{0};
  std::atomic<bool> closed{false};
  std::atomic<uint32_t> guilty_count{0}, active_count{0};

  /// A request of it hung. Returns whether the context is banned from now on.
  bool mark_guilty();
  /// No new request; if it is not persistent, those on their way are cancelled.
  void close();

 private:
  static const sync::LockClass hang_lock_class;
  bool finalized_ = false;
  sync::SpinLock hang_lock_{hang_lock_class};
  uint64_t hangs_[2] = {0, 0};  // when, the oldest first; 0: never
};

/// A file's contexts; id 0 is the default one. Thread-safe.
class ContextTable {
 public:
  explicit ContextTable(Gpu& gpu);

  /// For use: finalizes it. Null with *err: -ENOENT, or what finalize() says.
  std::shared_ptr<Context> lookup(uint32_t id, int* err);
  /// 0, -ENOENT, or what the parameter says.
  int setparam(File& file, uapi::drm_i915_gem_context_param& args);
  uint32_t add(std::shared_ptr<Context> ctx);  ///< the lowest free id from 1
  std::shared_ptr<Context> take(uint32_t id);
  std::vector<std::shared_ptr<Context>> all();  ///< those that have been used
  /// The file is closed: every context is. Persistent ones finish what they have.
  void close();

  const std::shared_ptr<Client> client = std::make_shared<Client>();

 private:
  sync::Mutex lock_;  // kernel: proto_context_lock
  std::map<uint32_t, std::shared_ptr<Context>> contexts_;
};

/// Sets a parameter. The context's table is locked while it is not finalized.
int context_setparam(File& file, Context& ctx, uapi::drm_i915_gem_context_param& args);

/// The engine of a uAPI class and instance; null when there is none.
Engine* find_engine(Gpu& gpu, const uapi::i915_engine_class_instance& ci);

}  // namespace i915u::soft
