// SPDX-License-Identifier: MIT
// Sync files. Each is a pair of sockets: the user's end, known again by its inode, and ours, into
// which the fence writes one byte. A hangup of ours tells that the user's last copy is closed.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>

#include "soft/request.h"

namespace i915u::soft {
namespace {

class SyncFile final : public FenceCallback {
 public:
  SyncFile(std::shared_ptr<Fence> f, int fd) : fence(std::move(f)), fd_(fd) {}
  ~SyncFile() override { close(fd_); }
  void fence_signalled(Fence&) override { send(fd_, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }
  bool open() const {
    pollfd p{fd_, 0, 0};
    return poll(&p, 1, 0) == 0;
  }

  const std::shared_ptr<Fence> fence;

 private:
  const int fd_;
};

class Registry {
 public:
  void add(uint64_t inode, std::shared_ptr<SyncFile> f) {
    sync::Guard g(lock_);
    if (files_.size() >= sweep_at_) sweep();
    files_[inode] = std::move(f);
  }
  void reap() {
    sync::Guard g(lock_);
    sweep();
  }
  std::shared_ptr<Fence> find(uint64_t inode) {
    sync::Guard g(lock_);
    auto it = files_.find(inode);
    // Closed: the inode's number stands for another socket by now.
    return it == files_.end() || !it->second->open() ? nullptr : it->second->fence;
  }

 private:
  void sweep() {
    std::erase_if(files_, [](const auto& e) { return !e.second->open(); });
    sweep_at_ = std::max<size_t>(16, files_.size() * 2);
  }

  static constexpr sync::LockClass lock_class{"sync_file registry"};
  sync::Mutex lock_{lock_class};
  std::unordered_map<uint64_t, std::shared_ptr<SyncFile>> files_;
  size_t sweep_at_ = 16;
};

// Never destroyed: fences may signal while the process ends.
Registry& registry() {
  static Registry& r = *new Registry;
  return r;
}

}  // namespace

int sync_file_create(std::shared_ptr<Fence> f) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) return -errno;
  struct stat st;
  if (fstat(fds[0], &st)) {
    const int err = -errno;
    close(fds[0]);
    close(fds[1]);
    return err;
  }
  auto file = std::make_shared<SyncFile>(f, fds[1]);
  registry().add(st.st_ino, file);
  if (!f->add_callback(file)) file->fence_signalled(*f);
  return fds[0];
}

void reap_sync_files() {
  registry().reap();
}

std::shared_ptr<Fence> sync_file_get_fence(int fd) {
  struct stat st;
  if (fstat(fd, &st) || !S_ISSOCK(st.st_mode)) return nullptr;
  return registry().find(st.st_ino);
}

}  // namespace i915u::soft
