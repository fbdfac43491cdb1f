// SPDX-License-Identifier: MIT
// A strategy: how a driver keeps page lookups apart from invalidates. One file each in this folder.
#pragma once

#include <memory>

namespace i915u::soft {

class SoftDevice;
class UserptrObject;

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual const char* name() const = 0;
  /// At GEM_USERPTR: subscribe to changes of the object's range. 0 or -errno.
  virtual int create(UserptrObject&) = 0;
  /// The last reference is gone, or the file is closed.
  virtual void release(UserptrObject&) = 0;
  /// Before a submission, no lock held: the object has pages of now, or
  /// -EFAULT, -EAGAIN (collided with an invalidate; try the ioctl again).
  virtual int submit_init(UserptrObject&) = 0;
  /// The last check: called under SoftDevice::notifier_lock (read), right before the request
  /// becomes visible to the GPU and to waiters. 0 or -EAGAIN.
  virtual int submit_done(UserptrObject&) = 0;
};

struct StrategyName {
  const char* name;
  const char* what;  ///< one sentence, and which kernels have it
  std::unique_ptr<Strategy> (*make)(SoftDevice&);
};

/// All of them, ended by a null name. The first is the default.
extern const StrategyName strategy_names[];

}  // namespace i915u::soft
