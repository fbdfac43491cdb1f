// SPDX-License-Identifier: MIT
#include "soft/strategies/common.h"

#include <cerrno>
#include <climits>

namespace i915u::soft {

int TreeNotifier::invalidate_range_start(const InvalidateRange& range) {
  std::vector<std::shared_ptr<Userptr>> held;
  {
    sync::Guard g(lock_);
    const auto hit = objects_.hit(range);
    if (!hit.empty() && !range.blockable) return -EAGAIN;
    mark(range, hit);
    held = hold(hit);
  }
  for (const auto& obj : held) wait_for_gpu(host_, *obj);
  return 0;
}

uint64_t forgotten(StrategyHost& host) {
  return host.fault(fault_short_range) ? strategy_page_size : 0;
}

void wait_for_gpu(StrategyHost& host, Userptr& obj) {
  if (host.fault(fault_lock_over_gup)) sync::Guard g(obj.object_lock());
  if (host.fault(fault_no_wait)) {
    sync::Guard g(obj.object_lock());
    obj.put_pages();
    return;
  }
  obj.wait_idle();
}

std::vector<std::shared_ptr<Userptr>> hold(const std::vector<ObjectNode*>& hit) {
  std::vector<std::shared_ptr<Userptr>> held;
  for (const ObjectNode* n : hit)
    if (auto obj = n->object.lock()) held.push_back(std::move(obj));
  return held;
}

int check_object(StrategyHost& host, const Userptr& obj) {
  if (host.mm().id() != obj.mm) return -EFAULT;
  constexpr uint64_t most = INT_MAX / sizeof(void*);  // kvmalloc_array of struct page *
  return obj.size / strategy_page_size > most ? -ENOMEM : 0;
}

}  // namespace i915u::soft
