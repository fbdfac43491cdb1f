// SPDX-License-Identifier: MIT
// Descriptors that stand for something of the model: a dma-buf, a syncobj. The kernel finds the
// thing in file->private_data and drops it in release(). Here the descriptor is one of a memfd's,
// known again by its inode, and nobody tells when the last one is closed: so the registry opens the
// memfd once for itself and asks by fcntl(F_SETLEASE), which refuses a write lease while the inode
// is open through any other open file description, a mapping's or another process's too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>

#include "sync/mutex.h"

namespace i915u::soft {

class FdRegistry {
 public:
  FdRegistry();
  ~FdRegistry() { clear(); }
  FdRegistry(const FdRegistry&) = delete;
  FdRegistry& operator=(const FdRegistry&) = delete;

  /// A new descriptor of memfd `own`, or -errno, that stands for `what`. If it is the first,
  /// `mode` (O_RDWR or O_RDONLY) is what all will have. `cloexec` is O_CLOEXEC or 0.
  int open(int own, int mode, int cloexec, std::shared_ptr<void> what, uint64_t* inode);
  /// What `fd` stands for. Null with *err: -EBADF, or -EINVAL when it is not of this registry.
  std::shared_ptr<void> find(int fd, uint64_t* inode, int* err);
  /// Drops what has no descriptor left.
  void reap();
  void clear();

 private:
  struct Entry {
    int own, mode;
    dev_t dev;
    std::shared_ptr<void> what;
  };
  sync::Mutex lock_;
  std::map<uint64_t, Entry> entries_;
};

}  // namespace i915u::soft
