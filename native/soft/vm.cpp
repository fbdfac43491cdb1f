// SPDX-License-Identifier: MIT
#include "soft/vm.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "soft/gpu_state.h"
#include "soft/object.h"

namespace i915u::soft {
namespace {

const sync::LockClass vm_lock_class{"vm->mutex"};
const sync::LockClass vm_table_lock_class{"file_priv->vm_xa"};
std::atomic<uint64_t> next_vm_id{1};

constexpr uint64_t page = 4096;
constexpr uint64_t zone_4g = (1ull << 32) - page;

// What stands in the way but cannot be evicted. False: it can.
bool note_obstacle(const Vma& vma, Vm::Obstacle* obstacle) {
  if (vma.pins) {
    obstacle->pinned = &vma;
    return true;
  }
  if (!vma.active.load(std::memory_order_acquire)) return false;
  obstacle->active = vma.object->weak_from_this().lock();
  obstacle->dying = !obstacle->active;
  return true;
}

uint64_t round_up(uint64_t x, uint64_t align) {
  return (x + align - 1) & ~(align - 1);
}

}  // namespace

Vma::Vma(Vm& v, Object& o)
    : vm(v.weak_from_this()),
      vm_id(v.id),
      object(&o),
      object_size(o.size),
      writable(!o.is_readonly()) {}

Vm::Vm(Gpu& g) : gpu(g), id(next_vm_id++), lock(vm_lock_class) {
  gpu.counters.vms.fetch_add(1, std::memory_order_relaxed);
}

// No request and no execbuf is left that could use a binding.
Vm::~Vm() {
  for (auto& [start, vma] : map_) {
    vma->bound = false;
    vma->pages = nullptr;
  }
  gpu.counters.bindings.fetch_sub(map_.size(), std::memory_order_relaxed);
  gpu.counters.vms.fetch_sub(1, std::memory_order_relaxed);
}

std::shared_ptr<Vma> Vm::instance(Object& o) {
  for (auto& vma : o.vmas_)
    if (vma->vm_id == id) return vma;
  std::erase_if(o.vmas_, [](const auto& vma) { return vma->vm.expired(); });
  return o.vmas_.emplace_back(std::make_shared<Vma>(*this, o));
}

std::shared_ptr<Pages> Vm::remove(Vma& vma) {
  if (!vma.bound) return nullptr;
  vma.bound = false;
  gpu.counters.bindings.fetch_sub(1, std::memory_order_relaxed);
  std::shared_ptr<Pages> pages = std::move(vma.pages);
  map_.erase(vma.start);
  return pages;
}

// kernel: i915_gem_evict_for_node. Makes [start, start + size) free, or says what is in the way.
bool Vm::clear(uint64_t start, uint64_t size, Obstacle* evict) {
  auto it = map_.upper_bound(start);
  if (it != map_.begin()) {
    auto before = std::prev(it);
    if (before->first + before->second->size > start) it = before;
  }
  std::vector<std::shared_ptr<Vma>> victims;
  for (; it != map_.end() && it->first < start + size; ++it) {
    if (!evict || note_obstacle(*it->second, evict)) return false;
    victims.push_back(it->second);
  }
  for (auto& vma : victims) remove(*vma);
  return true;
}

void Vm::evict_all(Obstacle* left) {
  for (auto it = map_.begin(); it != map_.end();) {
    std::shared_ptr<Vma> vma = (it++)->second;
    if (!note_obstacle(*vma, left)) remove(*vma);
  }
}

bool Vm::find_hole(uint64_t size, uint64_t align, uint64_t from, uint64_t to,
                   uint64_t* start) const {
  uint64_t at = round_up(from, align);
  auto it = map_.upper_bound(at);
  if (it != map_.begin()) {
    const auto& [s, vma] = *std::prev(it);
    if (s + vma->size > at) at = round_up(s + vma->size, align);
  }
  for (; at <= to && size <= to - at; ++it) {
    if (it == map_.end() || at + size <= it->first) {
      *start = at;
      return true;
    }
    at = round_up(std::max(at, it->first + it->second->size), align);
  }
  return false;
}

int Vm::insert(const std::shared_ptr<Vma>& vma, const Placement& p, std::shared_ptr<Pages> pages,
               Obstacle* evict) {
  const uint64_t size = std::max(p.size, vma->object_size);
  const uint64_t align = std::max(p.alignment, page);
  const uint64_t end = p.low_4g ? zone_4g : total;
  if (size > end) return -ENOSPC;
  uint64_t start = p.offset;
  if (p.fixed) {
    if (start & (align - 1) || start > end - size) return -EINVAL;
    if (!clear(start, size, evict)) return -ENOSPC;
  } else {
    if (p.bias > end - size || align > end) return -ENOSPC;
    if (!find_hole(size, align, p.bias, end, &start)) {
      if (!evict) return -ENOSPC;
      // kernel: i915_gem_evict_something looks for the least recently used that make a hole.
      evict_all(evict);
      if (!find_hole(size, align, p.bias, end, &start)) return -ENOSPC;
    }
  }
  vma->start = start;
  vma->size = size;
  vma->pages = std::move(pages);
  vma->bound = true;
  map_.emplace(start, vma);
  gpu.counters.bindings.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

bool Vm::access(uint64_t addr, void* data, size_t len, bool write) {
  sync::Guard g(lock);
  auto it = map_.upper_bound(addr);
  if (it == map_.begin()) return false;
  Vma& vma = *std::prev(it)->second;
  const uint64_t off = addr - vma.start;
  if (off >= vma.object_size) return false;
  return write ? vma.writable && vma.pages->write(off, data, len) : vma.pages->read(off, data, len);
}

VmTable::VmTable() : lock_(vm_table_lock_class) {}

uint32_t VmTable::add(std::shared_ptr<Vm> vm) {
  sync::Guard g(lock_);
  uint32_t id = 1;
  for (auto it = vms_.begin(); it != vms_.end() && it->first == id; ++it) id++;
  vms_.emplace(id, std::move(vm));
  return id;
}

std::shared_ptr<Vm> VmTable::lookup(uint32_t id) {
  sync::Guard g(lock_);
  auto it = vms_.find(id);
  return it == vms_.end() ? nullptr : it->second;
}

std::shared_ptr<Vm> VmTable::take(uint32_t id) {
  sync::Guard g(lock_);
  auto it = vms_.find(id);
  if (it == vms_.end()) return nullptr;
  std::shared_ptr<Vm> vm = std::move(it->second);
  vms_.erase(it);
  return vm;
}

void VmTable::close() {
  std::map<uint32_t, std::shared_ptr<Vm>> gone;
  sync::Guard g(lock_);
  gone.swap(vms_);
}

}  // namespace i915u::soft
