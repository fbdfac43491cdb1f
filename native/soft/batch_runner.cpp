// SPDX-License-Identifier: MIT
#include "soft/batch_runner.h"

#include <algorithm>
#include <cstring>

#include "soft/context.h"
#include "soft/engine.h"
#include "soft/request.h"
#include "soft/vm.h"

namespace i915u::soft {

BatchRunner::BatchRunner(Engine& engine)
    : cs(gpu::Gen::gen9, engine.info().engine, *this, engine.info().mmio_base), engine_(engine) {}

void BatchRunner::attach(Request& rq, bool hold_last) {
  rq_ = &rq;
  last_ = nullptr;
  hold_last_ = hold_last;
  cs.start_batch(gpu::Space::ppgtt, rq.batch_addr);
}

void BatchRunner::detach() {
  rq_ = nullptr;
  last_ = nullptr;
}

void BatchRunner::flush_held() {
  if (!held_.pages) return;
  held_.pages->write(held_.offset, held_.data, held_.len);
  held_.pages = nullptr;
}

// What the request lists stays bound until it is done and is found without a lock.
const Vma* BatchRunner::find(uint64_t addr) {
  if (last_ && addr - last_->start < last_->size) return last_;
  auto it =
      std::upper_bound(rq_->bindings.begin(), rq_->bindings.end(), addr,
                       [](uint64_t a, const Request::Binding& b) { return a < b.vma->start; });
  if (it != rq_->bindings.begin()) {
    const Vma* vma = std::prev(it)->vma.get();
    if (addr - vma->start < vma->size) return last_ = vma;
  }
  return nullptr;
}

namespace {

// Bytes of [addr, addr + len) up to the end of its page: one access never spans two bindings.
size_t piece(uint64_t addr, size_t len) {
  return std::min<size_t>(len, 4096 - (addr & 4095));
}

}  // namespace

bool BatchRunner::read(gpu::Space, uint64_t addr, void* to, size_t len) {
  flush_held();
  auto* p = static_cast<uint8_t*>(to);
  for (size_t n; len; addr += n, p += n, len -= n) {
    n = piece(addr, len);
    addr &= Vm::total - 1;
    bool ok;
    if (const Vma* vma = find(addr)) {
      const uint64_t off = addr - vma->start;
      ok = off < vma->object_size && vma->pages->read(off, p, n);
    } else {
      ok = rq_->ce->vm->access(addr, p, n, false);
    }
    if (!ok) {
      memset(p, 0, n);
      engine_.gpu.counters.gpu_faults.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return true;
}

bool BatchRunner::write(gpu::Space, uint64_t addr, const void* from, size_t len) {
  flush_held();
  auto* p = static_cast<const uint8_t*>(from);
  for (size_t n; len; addr += n, p += n, len -= n) {
    n = piece(addr, len);
    addr &= Vm::total - 1;
    bool ok;
    if (const Vma* vma = find(addr)) {
      const uint64_t off = addr - vma->start;
      ok = vma->writable && off < vma->object_size;
      if ((addr & 4095) == 4092 && engine_.gpu.fault(fault_lost_write)) continue;
      if (ok && hold_last_ && n <= sizeof(held_.data)) {
        held_.pages = vma->pages;
        held_.offset = off;
        held_.len = n;
        memcpy(held_.data, p, n);
      } else {
        ok = ok && vma->pages->write(off, p, n);
      }
    } else {
      ok = rq_->ce->vm->access(addr, const_cast<uint8_t*>(p), n, true);
    }
    if (!ok) engine_.gpu.counters.gpu_faults.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

// Atomic against the other engines; against the CPU only as far as a read and a write can be.
gpu::Bus::Exchange BatchRunner::compare_exchange(gpu::Space space, uint64_t addr,
                                                 uint64_t* expected, uint64_t desired, size_t len) {
  sync::Guard g(engine_.gpu.atomics_lock);
  uint64_t found = 0;
  read(space, addr, &found, len);
  if (memcmp(&found, expected, len)) {
    *expected = found;
    return Exchange::changed;
  }
  write(space, addr, &desired, len);
  return Exchange::done;
}

uint64_t BatchRunner::timestamp() {
  return Engine::timestamp();
}

}  // namespace i915u::soft
