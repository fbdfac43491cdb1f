// SPDX-License-Identifier: MIT
// Contexts (kernel: i915_gem_context, gem/i915_gem_context.c) and what a context is on one engine
// (intel_context).
//
// The driver's algorithm: which parameters are read and written when, their ranges, privileges and
// errnos, the engine map and its extensions, ban scoring, what closing does to what still runs.
// Stubs: SSEU is checked and kept, and changes nothing. Ring size is kept.
// Changed on purpose: no proto-context; a context exists from its creation on, and remembers
// whether it has been used, for the parameters that may only be set before.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "soft/gpu_state.h"
#include "soft/request.h"
#include "soft/vm.h"

namespace i915u::uapi {
struct drm_i915_gem_context_create_ext;
struct drm_i915_gem_context_destroy;
struct drm_i915_gem_context_param;
struct drm_i915_reset_stats;
struct drm_i915_gem_vm_control;
}  // namespace i915u::uapi

namespace i915u::soft {

struct File;

/// The ioctls: 0 or -errno. The struct has been copied in and is copied out by the caller.
int ioctl_context_create(File& file, uapi::drm_i915_gem_context_create_ext& args);
int ioctl_context_destroy(File& file, const uapi::drm_i915_gem_context_destroy& args);
int ioctl_context_getparam(File& file, uapi::drm_i915_gem_context_param& args);
int ioctl_context_setparam(File& file, const uapi::drm_i915_gem_context_param& args);
int ioctl_get_reset_stats(File& file, uapi::drm_i915_reset_stats& args);
int ioctl_vm_create(File& file, uapi::drm_i915_gem_vm_control& args);
int ioctl_vm_destroy(File& file, const uapi::drm_i915_gem_vm_control& args);
/// GEM_THROTTLE: waits for this file's requests that are older than 20 ms.
int ioctl_throttle(File& file);

struct BatchRunner;  // engine.cpp: the command streamer's state of one context on one engine

/// A context on one engine, or on one of several (a virtual engine): one timeline.
class ContextEngine {
 public:
  ContextEngine(Gpu& gpu, std::shared_ptr<Vm> vm, std::vector<Engine*> siblings);
  ~ContextEngine();

  Gpu& gpu;
  const std::shared_ptr<Vm> vm;
  const std::vector<Engine*> siblings;  ///< one, or several that can take its place
  std::weak_ptr<Context> context;       ///< set once, before it is used

  std::atomic<bool> banned{false}, closed{false};
  std::atomic<int> priority{0};
  uint64_t sseu = 0;  ///< as the last SSEU parameter packed it

  static constexpr uint32_t ring_requests = 256;  ///< how many fit in a ring
  /// Waits while the ring is full. 0 or -EIO when it is banned meanwhile.
  int throttle();

  sync::Mutex timeline_lock;  ///< kernel: timeline->mutex; held while a request is made
  uint64_t seqno = 0;         ///< of the last request made; timeline_lock

 private:
  friend class Engine;
  friend class Request;
  friend int ioctl_throttle(File& file);
  // Under timeline_lock: the requests made and not yet retired, oldest first.
  std::deque<std::shared_ptr<Request>> requests_;
  void retire();
  std::atomic<uint32_t> in_flight_{0};
  // Under Engine::lock_ of the engine it is on.
  std::deque<std::shared_ptr<Request>> ready_;
  bool runnable_ = false;
  std::unique_ptr<BatchRunner> runner_;
};

/// A slot of an engine map; `ce` null: I915_ENGINE_CLASS_INVALID.
struct EngineSlot {
  std::shared_ptr<ContextEngine> ce;
  uint16_t engine_class, engine_instance;
};

class Context : public std::enable_shared_from_this<Context> {
 public:
  explicit Context(Gpu& gpu);
  ~Context();

  Gpu& gpu;
  uint32_t id = 0;

  std::shared_ptr<Vm> vm;         ///< fixed once it is used
  std::vector<EngineSlot> slots;  ///< fixed once it is used
  bool user_engines = false;      ///< `slots` is the user's map, else the legacy rings
  std::shared_ptr<Syncobj> single_timeline;

  std::atomic<bool> no_error_capture{false}, bannable{true}, recoverable{true}, persistent{true};
  std::atomic<int> priority{0};
  std::atomic<bool> closed{false};
  std::atomic<uint32_t> guilty_count{0}, active_count{0};

  /// A request of it hung. Returns whether the context is banned from now on.
  bool mark_guilty();
  /// No new request; if it is not persistent, those on their way are cancelled.
  void close();

 private:
  sync::Mutex lock_;
  uint64_t hang_ns_[2] = {0, 0};  // when it hung, the last two times
};

/// A file's contexts; id 0 is the default one. Thread-safe.
class ContextTable {
 public:
  explicit ContextTable(Gpu& gpu);
  std::shared_ptr<Context> lookup(uint32_t id);
  uint32_t add(std::shared_ptr<Context> ctx);  ///< the lowest free id from 1
  std::shared_ptr<Context> take(uint32_t id);
  std::vector<std::shared_ptr<Context>> all();
  /// The file is closed: every context is. Persistent ones finish what they have.
  void close();

  std::atomic<uint32_t> ban_score{0};  ///< kernel: drm_i915_file_private.ban_score
  std::atomic<uint64_t> hang_ns{0};

 private:
  sync::Mutex lock_;
  std::map<uint32_t, std::shared_ptr<Context>> contexts_;
};

}  // namespace i915u::soft
