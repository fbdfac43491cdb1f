// SPDX-License-Identifier: MIT
// A userptr object (kernel 6.1: i915_gem_userptr.c): the ioctl's checks and the object. What keeps
// its page lookups apart from invalidates is the strategy's: strategies/.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "soft/object.h"
#include "soft/strategies/strategy.h"

namespace i915u::soft {

class UserptrObject final : public Object, public Userptr {
 public:
  UserptrObject(SoftDevice& dev, uint64_t ptr, uint64_t size, bool read_only);
  ~UserptrObject() override;

  using Object::size;

  bool is_userptr() const override { return true; }
  bool is_readonly() const override { return read_only; }
  std::shared_ptr<Pages> get_pages(int* err) override;
  void handles_gone() override;

  sync::Mutex& object_lock() override { return lock; }
  sync::Weak<Userptr> weak() override;
  int unbind() override;
  void wait_idle() override;
  void put_pages() override;
  bool will_need() const override;

 private:
  /// fault_write_after_close: notifiers do nothing to it any more.
  std::atomic<bool> deaf_{false};
};

/// GEM_USERPTR but for the handle. 0 or -errno.
int userptr_create(SoftDevice& dev, uint64_t ptr, uint64_t size, uint32_t flags,
                   std::shared_ptr<UserptrObject>* out);

}  // namespace i915u::soft
