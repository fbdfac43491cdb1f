// SPDX-License-Identifier: MIT
// An address space of the GPU: a 48-bit PPGTT, and the bindings of objects in it (kernel:
// i915_address_space, i915_vma, i915_gem_gtt.c, i915_gem_evict.c).
//
// The driver's algorithm: what a binding may keep of its place, where a fixed one may go, what is
// evicted for it, in which cases the answer is -ENOSPC or -EINVAL.
// Changed on purpose: no page tables, an ordered map of bindings instead; the first hole from the
// top for 48-bit objects is as PIN_HIGH has it, and the first from the bottom below 4 GiB.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>

#include "soft/pages.h"
#include "sync/mutex.h"

namespace i915u::soft {

class Object;
class Vm;
struct Gpu;

/// One binding of an object. `start`, `size`, `bound` and `pages` change under Vm::lock and only
/// while it is neither pinned nor active.
class Vma {
 public:
  Vma(std::shared_ptr<Vm> v, Object& o);
  ~Vma();

  const std::weak_ptr<Vm> vm;
  const uint64_t vm_id;       ///< Vm::id
  Object* const object;       ///< valid while pinned or active: both hold the object
  const uint64_t object_size;
  const bool writable;

  bool bound = false;
  uint64_t start = 0, size = 0;  ///< bytes; size >= object_size (PAD_TO_SIZE)
  std::shared_ptr<Pages> pages;

  uint32_t pins = 0;                ///< execbufs between placement and submission; Vm::lock
  std::atomic<uint32_t> active{0};  ///< requests that use it
  Gpu& gpu;
};

/// Where a binding may go.
struct Placement {
  uint64_t size = 0;       ///< 0: the object's; else at least so much
  uint64_t alignment = 0;  ///< 0 or a power of two
  uint64_t offset = 0;     ///< for `fixed`
  uint64_t bias = 0;       ///< not below this address
  bool fixed = false;
  bool low_4g = true;  ///< wholly below 4 GiB
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

  /// Places an unbound binding; `lock` held. `evict`: idle, unpinned bindings in the way go. 0;
  /// -EINVAL: a fixed place that is not aligned or out of range; -ENOSPC: no room, *busy then names
  /// one that is in the way and active, if that is all that is wrong.
  int insert(Vma& vma, const Placement& p, std::shared_ptr<Pages> pages, bool evict,
             std::shared_ptr<Vma>* busy);
  /// Does a bound one satisfy `p`?
  static bool misplaced(const Vma& vma, const Placement& p);
  /// `lock` held; neither pinned nor active.
  void remove(Vma& vma);

  /// The binding at an address, or null. Takes `lock`.
  std::shared_ptr<Vma> lookup(uint64_t addr);

 private:
  bool make_room(uint64_t start, uint64_t size, bool evict, std::shared_ptr<Vma>* busy);
  bool find_hole(uint64_t size, uint64_t align, uint64_t from, uint64_t to, bool high,
                 uint64_t* start) const;

  std::map<uint64_t, std::shared_ptr<Vma>> map_;  // by start
  uint64_t below_4g_end_ = 0;
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
  /// Ids are the lowest free from 1.
  uint32_t add(std::shared_ptr<Vm> vm);
  std::shared_ptr<Vm> lookup(uint32_t id);
  std::shared_ptr<Vm> take(uint32_t id);
  void clear();  ///< the file is closed

 private:
  sync::Mutex lock_;
  std::map<uint32_t, std::shared_ptr<Vm>> vms_;
};

}  // namespace i915u::soft
