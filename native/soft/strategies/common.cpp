// SPDX-License-Identifier: MIT
#include "soft/strategies/common.h"

#include <cerrno>
#include <climits>

namespace i915u::soft {

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
