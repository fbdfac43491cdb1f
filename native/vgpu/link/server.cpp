// SPDX-License-Identifier: MIT
#include "vgpu/link/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vgpu/clock.h"
#include "vgpu/link/framer.h"
#include "vgpu/link/session.h"

namespace i915u::vgpu {

namespace {

class SocketSink final : public Session::Sink {
 public:
  explicit SocketSink(int fd) : fd_(fd) {}
  /// Replies are short, and the client waits for each: where one does not fit, the client is gone
  /// or up to no good, and receiving says so next.
  void send(std::span<const uint8_t> m) override {
    ssize_t n;
    do {
      n = ::send(fd_, m.data(), m.size(), MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n != static_cast<ssize_t>(m.size())) shutdown(fd_, SHUT_RDWR);
  }

 private:
  const int fd_;
};

/// Bytes, 0 at the end, or -errno.
ssize_t receive(int fd, Framer& framer) {
  const std::span<uint8_t> space = framer.space();
  iovec iov{space.data(), space.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * Framer::max_descriptors)];
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) return -errno;
  int fds[Framer::max_descriptors];
  size_t num = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds + num, CMSG_DATA(c), k * sizeof(int));
    num += k;
  }
  framer.received(static_cast<size_t>(n), {fds, num});
  return n;
}

}  // namespace

int listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path.c_str(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  unlink(path.c_str());
  const mode_t before = umask(0177);
  const bool failed =
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) || listen(fd, 1);
  const int err = -errno;
  umask(before);
  if (!failed) return fd;
  close(fd);
  return err;
}

int accept_client(int listening, uint64_t timeout_ms, int stop_fd) {
  pollfd p[2] = {{listening, POLLIN, 0}, {stop_fd, POLLIN, 0}};
  const int n = poll(p, 2, static_cast<int>(timeout_ms));
  if (n < 0) return -errno;
  if (n == 0) return -ETIMEDOUT;
  if (p[1].revents) return -EINTR;
  const int fd = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int serve(Device& device, int connection, uint64_t poll_us, int stop_fd, void (*tick)(Device&)) {
  constexpr uint64_t tick_ns = 1000000000;
  SocketSink sink(connection);
  Session session(device, sink);
  Framer framer;
  Framer::Message message;
  Descriptors fds;
  uint64_t next_tick = now_ns() + tick_ns;
  uint64_t busy_until = 0, looks_since = 0;
  // A link that is not run meanwhile has not looked, whatever the clock says.
  const auto looked = [&](uint64_t now) {
    if (looks_since) count(device.hw.stats.polled_ns, std::min(now - looks_since, poll_us * 1000));
    looks_since = 0;
  };
  for (;;) {
    while (framer.next(&message, &fds)) session.handle(message, fds);
    if (framer.broken()) return -EPROTO;
    const ssize_t n = receive(connection, framer);
    const uint64_t now = now_ns();
    if (now >= next_tick) {
      tick(device);
      next_tick = now + tick_ns;
      pollfd p{stop_fd, POLLIN, 0};
      if (poll(&p, 1, 0) > 0) return 0;  // also while the client never pauses
    }
    if (n > 0) {
      looked(now);
      busy_until = now + poll_us * 1000;
      continue;
    }
    if (n == 0 || (n != -EAGAIN && n != -EINTR)) return 0;
    // A guest that has waited for a reply soon asks again: a sleep and a wake cost more.
    if (now < busy_until) {
      if (!looks_since) looks_since = now;
      continue;
    }
    looked(now);
    pollfd p[2] = {{connection, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    poll(p, 2, static_cast<int>((next_tick - now) / 1000000 + 1));
    if (p[1].revents) return 0;
  }
}

}  // namespace i915u::vgpu
