// SPDX-License-Identifier: MIT
// What answers i915's ioctls: a DRM node, or the software model.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "mem/memory.h"

namespace i915u {

/// How often a call was answered EINTR or EAGAIN and made again.
struct RetryCounts {
  std::atomic<uint64_t> eintr{0}, eagain{0};
};

enum class Retry {
  none,    ///< every answer is the caller's business
  eintr,   ///< only interrupted calls are made again
  always,  ///< EINTR and EAGAIN, as libdrm's drmIoctl does
};

class Device {
 public:
  virtual ~Device() = default;

  /// One ioctl(2): a value >= 0, or -errno. Never retried here. Thread-safe.
  virtual int ioctl(unsigned long request, void* arg) = 0;
  /// mmap(2) at the device with a fake offset from GEM_MMAP_OFFSET: an address, or -errno.
  virtual int64_t mmap(uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset) = 0;
  /// The memory calls that this device's notifiers see.
  virtual Memory& memory() = 0;
  /// Closes the file: contexts, handles and fences go; what is busy lives until it is idle.
  /// 0 or -errno; a second close is -EBADF, as is every call after the first.
  virtual int close() = 0;
  /// The DRM file's descriptor; -1 where there is none.
  virtual int fd() const = 0;
  virtual bool is_soft() const { return false; }

  /// ioctl() under a retry policy; retries are counted, and end after `retry_limit`, or
  /// `retry_least` where those take longer than `retry_ns`: a driver that answers EAGAIN for ever
  /// (6.1 does, test/contract/userptr.pages.test.ts) shall not hold the caller for ever.
  int call(unsigned long request, void* arg, Retry policy);
  const RetryCounts& retries() const { return retries_; }

  static constexpr int retry_limit = 10000, retry_least = 100;
  static constexpr uint64_t retry_ns = 1000000000;

 private:
  RetryCounts retries_;
};

/// Opens a DRM node and checks by DRM_IOCTL_VERSION that i915 drives it. On failure returns null
/// with *err = -errno: -ENOENT, -EACCES, ... from open(2); -ENODEV when the driver is not i915,
/// whose name is then in *driver.
std::unique_ptr<Device> open_node(const char* path, int* err, std::string* driver);

}  // namespace i915u
