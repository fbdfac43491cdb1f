// SPDX-License-Identifier: MIT
#include "stress/gate.h"

#include <sys/mman.h>

#include <chrono>

#include "drm/ioctls.h"
#include "sync/clock.h"

namespace i915u::stress {

std::unique_ptr<Gates> Gates::create(Device& dev) {
  uint64_t bytes = size, offset = 0;
  uint32_t handle = 0;
  if (gem_create(dev, &bytes, &handle)) return nullptr;
  // Write-back is coherent with an LLC; write-combined is where there is none, or no choice.
  for (uint64_t type :
       {uapi::I915_MMAP_OFFSET_WB, uapi::I915_MMAP_OFFSET_WC, uapi::I915_MMAP_OFFSET_FIXED}) {
    if (gem_mmap_offset(dev, handle, type, &offset)) continue;
    const int64_t at = dev.mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, offset);
    if (at > 0)
      return std::unique_ptr<Gates>(new Gates(dev, handle, reinterpret_cast<uint32_t*>(at)));
  }
  gem_close(dev, handle);
  return nullptr;
}

Gates::Gates(Device& dev, uint32_t handle, uint32_t* map)
    : dev_(dev), handle_(handle), map_(reinterpret_cast<std::atomic<uint32_t>*>(map)) {
  thread_ = sync::Thread("gates", [this] { run(); });
}

Gates::~Gates() {
  {
    std::lock_guard l(m_);
    stop_ = true;
  }
  cv_.notify_one();
  thread_.join();
  dev_.memory().munmap(reinterpret_cast<uint64_t>(map_), size);
  gem_close(dev_, handle_);
}

uint32_t Gates::arm_shut() {
  const uint32_t gate = next_.fetch_add(1) % (size / 4);
  map_[gate].store(0);
  return gate;
}

uint32_t Gates::arm(uint64_t at_ns) {
  const uint32_t gate = arm_shut();
  std::lock_guard l(m_);
  due_.push({at_ns, gate});
  cv_.notify_one();
  return gate;
}

void Gates::open(uint32_t gate) {
  map_[gate].store(opened);
}

void Gates::run() {
  std::unique_lock l(m_);
  while (!stop_ || !due_.empty()) {
    const uint64_t now = sync::now_ns();
    if (due_.empty()) {
      cv_.wait(l);
    } else if (due_.top().at > now && !stop_) {
      cv_.wait_for(l, std::chrono::nanoseconds(due_.top().at - now));
    } else {  // due, or the end: nothing may be left waiting on the GPU
      open(due_.top().gate);
      due_.pop();
    }
  }
}

}  // namespace i915u::stress
