// SPDX-License-Identifier: MIT
// One GEM_EXECBUFFER2 on its way (kernel: struct i915_execbuffer).
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "drm/uapi.h"
#include "soft/context.h"
#include "soft/file.h"
#include "soft/object.h"
#include "soft/request.h"
#include "soft/vm.h"
#include "sync/lockdep.h"

namespace i915u::soft {

class ExecBuffer {
 public:
  ExecBuffer(File& file, uapi::drm_i915_gem_execbuffer2& args,
             uapi::drm_i915_gem_exec_object2* exec);
  ~ExecBuffer();
  ExecBuffer(const ExecBuffer&) = delete;
  ExecBuffer& operator=(const ExecBuffer&) = delete;

  /// kernel: i915_gem_do_execbuffer
  int run();
  /// Writes the new offsets back to where the objects were read from, if they are to be.
  void copy_offsets_back();

  // Called for the extensions of the chain.
  int add_timeline_fences(uint64_t ext);

 private:
  struct Entry {
    uapi::drm_i915_gem_exec_object2* exec;
    std::shared_ptr<Object> object;
    std::shared_ptr<Vma> vma;
    uint64_t flags;  // EXEC_OBJECT_*: the user's, and what a relocation adds
    bool needs_bias = false, pinned = false, moved = false;
  };
  struct ExecFence {
    std::shared_ptr<Syncobj> syncobj;
    std::vector<std::shared_ptr<Fence>> waits;
    uint64_t point;
    bool signal;
  };

  // execbuf.cpp
  int select_engine();
  int lookup();
  int check_entry(Entry& e) const;
  int check_batch();
  bool is_batch(size_t i) const;
  /// Once all are looked up.
  const Entry& batch_entry() const {
    return args_.flags & uapi::I915_EXEC_BATCH_FIRST ? entries_.front() : entries_.back();
  }
  int parse() const;
  int submit(int* out_fd);
  int move_to_gpu(const std::shared_ptr<Request>& rq);
  int userptr_init();

  // execbuf_reserve.cpp
  int reserve();
  int place_all(Vm::Obstacle* obstacle);
  int place(Entry& e, Vm::Obstacle* obstacle);
  int evict_and_place(Vm::Obstacle* obstacle);
  bool misplaced(const Entry& e) const;
  bool is_mine(const Vma* vma) const;
  void pin(Entry& e);
  void unpin_all();
  void lock_objects();
  void unlock_objects();

  // execbuf_reloc.cpp
  using Relocs = std::vector<uapi::drm_i915_gem_relocation_entry>;
  int check_reloc_range(const Entry& e) const;
  int check_relocs(const Entry& e) const;
  int prefault_relocs() const;
  int copy_relocs(std::vector<Relocs>* copies) const;
  int relocate();
  int relocate_all();
  int relocate(Entry& e);
  int relocate(Entry& e, const uapi::drm_i915_gem_relocation_entry& r, uint64_t* presumed);
  Entry* target(uint32_t handle);

  // execbuf_fences.cpp
  int add_fence_array();
  int find_in_fence();
  void await_fences(const std::shared_ptr<Request>& rq);
  void signal_fences(const std::shared_ptr<Fence>& f);

  File& file_;
  uapi::drm_i915_gem_execbuffer2& args_;
  uapi::drm_i915_gem_exec_object2* const exec_;
  const size_t count_;
  std::shared_ptr<Context> ctx_;
  std::shared_ptr<ContextEngine> ce_;
  std::vector<Entry> entries_;
  sync::lockdep::Map acquire_;   // kernel: ww_acquire_ctx; lets several objects be locked
  std::vector<Object*> locked_;  // ordered by address, each once
  bool objects_locked_ = false;
  bool userptr_used_ = false;
  bool has_reloc_;  // relocations are processed, and offsets written back
  std::unordered_map<uint32_t, size_t> by_handle_;
  std::vector<ExecFence> fences_;
  std::shared_ptr<Fence> in_fence_;
};

}  // namespace i915u::soft
