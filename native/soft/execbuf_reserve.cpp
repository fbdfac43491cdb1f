// SPDX-License-Identifier: MIT
// A place in the address space for every object (kernel: eb_validate_vmas, eb_reserve). The
// driver's algorithm, in two passes for its four: first each where it was, or where it wants to be,
// or in any hole; if that fails, everything that can be is unbound, and those that have the least
// choice are placed first.
#include <algorithm>
#include <cerrno>

#include "soft/execbuf_impl.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint64_t batch_offset_bias = 256 * 1024;

}  // namespace

void ExecBuffer::lock_objects() {
  if (locked_.empty()) {
    locked_.reserve(entries_.size());
    for (const Entry& e : entries_) locked_.push_back(e.object.get());
    std::sort(locked_.begin(), locked_.end());
    locked_.erase(std::unique(locked_.begin(), locked_.end()), locked_.end());
  }
  acquire_.lock();
  for (Object* o : locked_) o->lock.lock_nest(&acquire_);
  objects_locked_ = true;
}

void ExecBuffer::unlock_objects() {
  if (!objects_locked_) return;
  objects_locked_ = false;
  for (auto it = locked_.rbegin(); it != locked_.rend(); ++it) (*it)->lock.unlock();
  acquire_.unlock();
}

void ExecBuffer::pin(Entry& e) {
  e.vma->pins++;
  e.pinned = true;
  if (e.exec->offset == e.vma->start) return;
  e.exec->offset = e.vma->start;
  e.moved = true;
  has_reloc_ = true;
}

void ExecBuffer::unpin_all() {
  if (!ce_) return;
  sync::Guard g(ce_->vm->lock);
  for (Entry& e : entries_) {
    if (e.pinned) e.vma->pins--;
    e.pinned = false;
  }
}

bool ExecBuffer::is_mine(const Vma* vma) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.pinned && e.vma.get() == vma; });
}

// kernel: eb_vma_misplaced
bool ExecBuffer::misplaced(const Entry& e) const {
  const Vma& vma = *e.vma;
  if (vma.size < e.exec->pad_to_size) return true;
  if (e.exec->alignment && vma.start & (e.exec->alignment - 1)) return true;
  if (e.flags & EXEC_OBJECT_PINNED && vma.start != e.exec->offset) return true;
  if (e.needs_bias && vma.start < batch_offset_bias) return true;
  return !(e.flags & EXEC_OBJECT_SUPPORTS_48B_ADDRESS) && (vma.start + vma.size + 4095) >> 32;
}

// The object is locked. 0, -ENOSPC with what is in the way in *obstacle, or an error.
int ExecBuffer::place(Entry& e, Vm::Obstacle* obstacle) {
  Vm& vm = *ce_->vm;
  std::shared_ptr<Pages> pages;  // let go without the lock
  {
    sync::Guard g(vm.lock);
    if (e.vma->bound && !misplaced(e)) {
      pin(e);
      return 0;
    }
    if (e.vma->bound) {
      if (e.vma->active.load(std::memory_order_acquire)) {
        obstacle->active = e.object;
        return -ENOSPC;
      }
      pages = vm.remove(*e.vma);
    }
  }
  if (!pages) {
    int err = 0;
    pages = e.object->get_pages(&err);
    if (!pages) return err;
  }
  sync::Guard g(vm.lock);
  Placement p;
  p.fixed = e.flags & EXEC_OBJECT_PINNED;
  p.offset = e.exec->offset;
  if (!p.fixed) {
    // Where the user presumes it to be: then there is nothing to relocate.
    Placement hint;
    hint.fixed = true;
    hint.offset = e.exec->offset & ~4095ull;
    if (!vm.insert(e.vma, hint, pages, nullptr)) {
      if (!misplaced(e)) {
        pin(e);
        return 0;
      }
      vm.remove(*e.vma);
    }
    if (e.needs_bias) p.bias = batch_offset_bias;
  }
  p.size = e.exec->pad_to_size;
  p.alignment = e.exec->alignment;
  p.low_4g = !(e.flags & EXEC_OBJECT_SUPPORTS_48B_ADDRESS);
  if (int err = vm.insert(e.vma, p, pages, obstacle)) return err;
  pin(e);
  return 0;
}

int ExecBuffer::place_all(Vm::Obstacle* obstacle) {
  Vm& vm = *ce_->vm;
  bool all = true;
  {
    sync::Guard g(vm.lock);
    for (Entry& e : entries_) {
      if (!e.vma) e.vma = vm.instance(*e.object);
      if (e.vma->bound && !misplaced(e))
        pin(e);
      else
        all = false;
    }
  }
  if (all) return 0;
  for (Entry& e : entries_)
    if (!e.pinned)
      if (int err = place(e, obstacle)) return err;
  return 0;
}

int ExecBuffer::evict_and_place(Vm::Obstacle* obstacle) {
  unpin_all();
  {
    sync::Guard g(ce_->vm->lock);
    ce_->vm->evict_all(obstacle);
  }
  std::vector<Entry*> order;
  for (Entry& e : entries_) order.push_back(&e);
  const auto choice = [](const Entry* e) {
    return e->flags & EXEC_OBJECT_PINNED ? 0 : e->flags & EXEC_OBJECT_SUPPORTS_48B_ADDRESS ? 2 : 1;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const Entry* a, const Entry* b) { return choice(a) < choice(b); });
  *obstacle = {};
  for (Entry* e : order)
    if (int err = place(*e, obstacle)) return err;
  return 0;
}

// 0: the objects are locked, and each is pinned at its place.
int ExecBuffer::reserve() {
  // Neither happens more than a few times in a row, unless somebody takes care that it does.
  constexpr int most_attempts = 10000;
  for (int attempt = 0;; attempt++) {
    Vm::Obstacle obstacle;
    lock_objects();
    int err = place_all(&obstacle);
    if (err == -ENOSPC && !obstacle.active) err = evict_and_place(&obstacle);
    if (!err) return 0;
    const bool contended = obstacle.pinned && !is_mine(obstacle.pinned);
    unpin_all();
    unlock_objects();
    if (attempt == most_attempts) return err;
    if (err == -EAGAIN) {
      // Pages went between submit_init and here; eb_relocate_parse_slow gets new ones.
      if ((err = userptr_init())) return err;
    } else if (err != -ENOSPC) {
      return err;
    } else if (obstacle.active) {
      obstacle.active->wait(true, sync::forever);
    } else if (contended || obstacle.dying) {
      sync::yield();
    } else {
      return err;
    }
  }
}

}  // namespace i915u::soft
