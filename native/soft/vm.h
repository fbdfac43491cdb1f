// SPDX-License-Identifier: MIT
// An address space of the GPU: a 48-bit PPGTT, and the bindings of objects in it (kernel:
// i915_address_space, i915_vma, i915_gem_gtt.c, i915_gem_evict.c).
//
// The driver's algorithm: what a binding may keep of its place, where a fixed one may go, what is
// evicted for it, in which cases the answer is -ENOSPC or -EINVAL.
// Changed on purpose: no page tables, an ordered map of bindings instead. A binding that finds no
// place of its own takes the lowest hole that fits, where drm_mm takes the smallest; nothing is
// aligned to 64K or 2M for large pages.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "soft/pages.h"
#include "sync/mutex.h"

namespace i915u::soft {

class Object;
class Vm;
struct Gpu;

/// One binding of an object. What is not const changes under Vm::lock, and what the GPU uses of it
/// only while it is neither pinned nor active.
class Vma {
 public:
  Vma(Vm& v, Object& o);

  const std::weak_ptr<Vm> vm;
  const uint64_t vm_id;  ///< Vm::id
  Object* const object;  ///< valid while it is bound: the object unbinds when it dies
  const uint64_t object_size;
  const bool writable;

  bool bound = false;
  uint64_t start = 0, size = 0;  ///< bytes; size >= object_size (PAD_TO_SIZE)
  std::shared_ptr<Pages> pages;  ///< while it is bound

  uint32_t pins = 0;                ///< by execbufs between placement and submission
  std::atomic<uint32_t> active{0};  ///< requests that use it; grows only while it is pinned
};

/// Where a binding may go.
struct Placement {
  uint64_t size = 0;       ///< at least so many bytes, and the object's size
  uint64_t alignment = 0;  ///< 0 or a power of two
  uint64_t offset = 0;     ///< for `fixed`
  uint64_t bias = 0;       ///< not below this address
  bool fixed = false;
  bool low_4g = false;  ///< below 4 GiB, but for its last page
};

class Vm : public std::enable_shared_from_this<Vm> {
 public:
  static constexpr uint64_t total = 1ull << 48;

  explicit Vm(Gpu& g);
  ~Vm();

  Gpu& gpu;
  const uint64_t id;  ///< never used again
  sync::Mutex lock;   ///< kernel: vm->mutex

  /// The binding of `o` here, made if there is none. Object::lock held.
  std::shared_ptr<Vma> instance(Object& o);

  /// What is in the way of a placement.
  struct Obstacle {
    std::shared_ptr<Object> active;  ///< its requests must end first
    const Vma* pinned = nullptr;     ///< an execbuf holds it; to be compared, not used
    bool dying = false;              ///< it goes by itself
  };
  /// Places an unbound binding; `lock` held. 0; -EINVAL: a fixed place that is not aligned or out
  /// of range; -ENOSPC: no room. `evict`: what is idle goes to make room; what is not is told in
  /// *evict.
  int insert(const std::shared_ptr<Vma>& vma, const Placement& p, std::shared_ptr<Pages> pages,
             Obstacle* evict);
  /// Evicts all that is neither pinned nor active; `lock` held.
  void evict_all(Obstacle* left);
  /// `lock` held; not active. Returns the pages, to be let go without it.
  std::shared_ptr<Pages> remove(Vma& vma);

  /// An access by address to what the running request does not list. Takes `lock`. False: nothing
  /// is bound there, or it cannot be read or written.
  bool access(uint64_t addr, void* data, size_t len, bool write);

 private:
  bool clear(uint64_t start, uint64_t size, Obstacle* evict);
  bool find_hole(uint64_t size, uint64_t align, uint64_t from, uint64_t to, uint64_t* start) const;

  std::map<uint64_t, std::shared_ptr<Vma>> map_;  // by start
};

/// kernel: gen8_canonical_addr, gen8_noncanonical_addr
constexpr uint64_t canonical_addr(uint64_t a) {
  return static_cast<uint64_t>(static_cast<int64_t>(a << 16) >> 16);
}
constexpr uint64_t noncanonical_addr(uint64_t a) {
  return a & (Vm::total - 1);
}

/// The address spaces that a file has made (GEM_VM_CREATE). Thread-safe.
class VmTable {
 public:
  VmTable();
  uint32_t add(std::shared_ptr<Vm> vm);  ///< the lowest free id from 1
  std::shared_ptr<Vm> lookup(uint32_t id);
  std::shared_ptr<Vm> take(uint32_t id);
  void close();  ///< the file is closed

 private:
  sync::Mutex lock_;
  std::map<uint32_t, std::shared_ptr<Vm>> vms_;
};

}  // namespace i915u::soft
