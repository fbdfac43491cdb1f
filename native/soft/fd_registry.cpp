// SPDX-License-Identifier: MIT
#include "soft/fd_registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace i915u::soft {

namespace {
const sync::LockClass registry_class{"fd_registry"};

// Asked again later when another thread is just opening it: nothing is lost by a wrong no.
bool open_elsewhere(int own) {
  if (fcntl(own, F_SETLEASE, F_WRLCK) != 0) return true;
  fcntl(own, F_SETLEASE, F_UNLCK);
  return false;
}
}  // namespace

FdRegistry::FdRegistry() : lock_(registry_class) {}

int FdRegistry::open(int own, int mode, int cloexec, std::shared_ptr<void> what, uint64_t* inode) {
  struct stat st;
  if (fstat(own, &st) != 0) return -errno;
  *inode = st.st_ino;
  sync::Guard g(lock_);
  auto it = entries_.find(st.st_ino);
  if (it != entries_.end()) mode = it->second.mode;
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
  const int fd = ::open(path, mode | cloexec);
  if (fd < 0) return -errno;
  if (it == entries_.end()) {
    // Opened, not duplicated: the file that memfd_create made is not among the inode's writers,
    // and a lease is refused to whom the count of writers does not fit.
    const int ours = ::open(path, O_RDWR | O_CLOEXEC);
    if (ours < 0) {
      const int err = -errno;
      ::close(fd);
      return err;
    }
    entries_.emplace(st.st_ino, Entry{ours, mode, st.st_dev, std::move(what)});
  }
  return fd;
}

std::shared_ptr<void> FdRegistry::find(int fd, uint64_t* inode, int* err) {
  struct stat st;
  *err = -EBADF;
  if (fstat(fd, &st) != 0) return nullptr;
  *err = -EINVAL;
  sync::Guard g(lock_);
  const auto it = entries_.find(st.st_ino);
  if (it == entries_.end() || it->second.dev != st.st_dev) return nullptr;
  *inode = st.st_ino;
  *err = 0;
  return it->second.what;
}

void FdRegistry::reap() {
  std::vector<Entry> gone;  // released without the lock: an object's end takes others
  {
    sync::Guard g(lock_);
    for (auto it = entries_.begin(); it != entries_.end();) {
      if (open_elsewhere(it->second.own)) {
        ++it;
        continue;
      }
      gone.push_back(std::move(it->second));
      it = entries_.erase(it);
    }
  }
  for (Entry& e : gone) ::close(e.own);
}

void FdRegistry::clear() {
  std::map<uint64_t, Entry> all;
  {
    sync::Guard g(lock_);
    all.swap(entries_);
  }
  for (auto& [ino, e] : all) ::close(e.own);
}

}  // namespace i915u::soft
