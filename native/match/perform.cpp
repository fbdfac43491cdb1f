// SPDX-License-Identifier: MIT
// The calls themselves. Each is made once, but for an ioctl's EAGAIN.
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "match/player.h"
#include "match/worker.h"
#include "mem/uaccess.h"
#include "sync/clock.h"

namespace i915u::match {
namespace {

int put_bytes(const Op& op, uint64_t addr) {
  if (op.has_bytes)
    if (int err = copy_to_user(addr, op.bytes.data(), op.num_bytes)) return err;
  for (unsigned i = 0; i < op.num_fields; i++) {
    const Field& f = op.fields[i];
    if (f.take) continue;
    if (int err = copy_to_user(addr + f.offset, &f.value, f.width)) return err;
  }
  return 0;
}

void perform_ioctl(Op& op, Answer& a) {
  const uint64_t addr = op.args[1];
  a.unwritten = put_bytes(op, addr) != 0;
  // As drmIoctl() does: how often pages are lost while they are looked up (a page that is copied
  // for the write is one that is lost) is no part of the answer.
  unsigned tries = 1000;
  do {
    if (op.device) {
      a.ret = op.device->ioctl(op.args[0], reinterpret_cast<void*>(addr));
    } else {
      a.ret = ::ioctl(op.fd, op.args[0], addr);
      if (a.ret < 0) a.ret = -errno;
    }
  } while (a.ret == -EAGAIN && --tries);
  a.num_out = static_cast<uint32_t>(op.args[2]);
  a.unread = a.num_out && copy_from_user(a.out.data(), addr, a.num_out);
  for (unsigned i = 0; i < op.num_fields; i++) {
    Field& f = op.fields[i];
    if (!f.take) continue;
    f.value = 0;
    if (copy_from_user(&f.value, addr + f.offset, f.width)) a.unread = true;
  }
}

// Not for secrets: two pages that differ shall have two hashes.
uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 29;
}

void sum(uint64_t addr, uint64_t len, Answer& a) {
  const uint64_t end = addr + len;
  unsigned page = 0;
  for (uint64_t at = addr; at < end; page++) {
    const uint64_t page_end = std::min<uint64_t>(end, (at & ~4095ull) + 4096);
    uint64_t words[512], hash = 0;
    const uint64_t count = (page_end - at) / 8;
    // The first word by itself: what is not there faults once, and not again for the copy's rest.
    const bool bad = (count && load_user_u64(at, words)) ||
                     user_copy(words, reinterpret_cast<const void*>(at), count * 8) != 0;
    for (uint64_t i = 0; i < count && !bad; i++) hash = mix(hash, words[i]);
    at = page_end;
    a.bad_page[page] = bad;
    memcpy(&a.out[8 * page], &hash, 8);
  }
  a.num_out = 8 * page;
}

int64_t poll(uint64_t addr, uint32_t value, uint64_t ms) {
  const uint64_t until = sync::now_ns() + ms * 1000000;
  for (unsigned tries = 0;; tries++) {
    uint32_t now;
    if (int err = load_user_u32(addr, &now)) return err;
    if (now == value) return 0;
    if (sync::now_ns() >= until) return -ETIME;
    if (tries < 100)
      sync::yield();
    else
      sync::sleep_ns(200000);
  }
}

int64_t wait_for(pid_t pid, int* status) {
  while (waitpid(pid, status, 0) < 0)
    if (errno != EINTR) return -errno;
  return 0;
}

}  // namespace

void Player::perform(Op& op, Answer& a) const {
  const auto& arg = op.args;
  const auto number = [&](unsigned i) { return static_cast<int>(arg[i]); };
  a.ret = 0;
  a.word = nullptr;
  a.num_out = 0;
  a.unwritten = a.unread = false;
  if (op.file != Op::none && op.fd < 0) {  // closed, or never opened
    a.ret = -EBADF;
    return;
  }
  switch (op.kind) {
    case Kind::ioctl:
      return perform_ioctl(op, a);
    case Kind::write:
      a.ret = put_bytes(op, arg[0]);
      return;
    case Kind::read:
      a.ret = copy_from_user(a.out.data(), arg[0], arg[1]);
      a.num_out = a.ret ? 0 : static_cast<uint32_t>(arg[1]);
      return;
    case Kind::sum:
      return sum(arg[0], arg[1], a);
    case Kind::poll:
      a.ret = poll(arg[0], static_cast<uint32_t>(arg[1]), arg[2]);
      return;
    case Kind::mmap:
    case Kind::gmap:
      a.ret = op.device ? op.device->mmap(arg[0], arg[1], number(2), number(3), arg[4])
                        : memory_.mmap(arg[0], arg[1], number(2), number(3), op.fd,
                                       static_cast<int64_t>(arg[4]));
      return;
    case Kind::munmap:
      a.ret = memory_.munmap(arg[0], arg[1]);
      return;
    case Kind::mprotect:
      a.ret = memory_.mprotect(arg[0], arg[1], number(2));
      return;
    case Kind::mremap:
      a.ret = memory_.mremap(arg[0], arg[1], arg[2], number(3), arg[4]);
      return;
    case Kind::madvise:
      a.ret = memory_.madvise(arg[0], arg[1], number(2));
      return;
    case Kind::mlock:
      a.ret = memory_.mlock(arg[0], arg[1]);
      return;
    case Kind::munlock:
      a.ret = memory_.munlock(arg[0], arg[1]);
      return;
    case Kind::ftruncate:
      a.ret = memory_.ftruncate(op.fd, static_cast<int64_t>(arg[0]));
      return;
    case Kind::fallocate:
      a.ret = memory_.fallocate(op.fd, number(0), static_cast<int64_t>(arg[1]),
                                static_cast<int64_t>(arg[2]));
      return;
    default:
      a.word = "refused";
  }
}

void Player::manage(Op& op, Answer& a) {
  const auto& arg = op.args;
  switch (op.kind) {
    case Kind::memfd: {
      const int fd = memfd_create("match", MFD_CLOEXEC);
      a.ret = fd < 0 ? -errno : memory_.ftruncate(fd, static_cast<int64_t>(arg[0]));
      if (a.ret < 0 && fd >= 0) ::close(fd);
      if (a.ret == 0) put_file(op.file, fd);
      return;
    }
    case Kind::open: {
      int err = 0;
      auto device = open_(&err);
      a.ret = device ? 0 : err;
      if (!device) return;
      put_file(op.file, -1);
      files_[static_cast<unsigned>(op.file)].device = std::move(device);
      return;
    }
    case Kind::close:
      a.ret = close_file(files_[static_cast<unsigned>(op.file)]);
      return;
    case Kind::fork:
      a.ret = fork_child(op);
      return;
    case Kind::hold:
      a.ret = hold_child(&children_[arg[0]]);
      return;
    case Kind::release:
      a.ret = release_child(&children_[arg[0]]);
      return;
    case Kind::blocked:
      a.word =
          workers_[0] && workers_[arg[0]]->busy() ? workers_[arg[0]]->blocked(arg[1]) : "refused";
      return;
    default:
      a.word = "refused";
  }
}

int Player::close_file(File& f) {
  int ret = -EBADF;
  if (f.device) {
    ret = f.device->close();
    closed_.push_back(std::move(f.device));
  } else if (f.fd >= 0) {
    ret = ::close(f.fd) ? -errno : 0;
  }
  f.fd = -1;
  return ret;
}

void Player::put_file(int slot, int fd) {
  File& f = files_[static_cast<unsigned>(slot)];
  close_file(f);
  f.fd = fd;
}

int64_t Player::fork_child(const Op& op) {
  copied_on_write_ = true;
  const pid_t pid = memory_.fork();
  if (pid == 0) _exit(op.has_bytes ? -copy_to_user(op.args[0], op.bytes.data(), op.num_bytes) : 0);
  if (pid < 0) return pid;
  int status;
  if (int64_t err = wait_for(pid, &status)) return err;
  return WIFEXITED(status) ? -WEXITSTATUS(status) : -EFAULT;
}

int64_t Player::hold_child(pid_t* child) {
  if (*child) return -EBUSY;
  copied_on_write_ = true;
  const pid_t parent = getpid();
  const pid_t pid = memory_.fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) pause();
    _exit(0);
  }
  if (pid < 0) return pid;
  *child = pid;
  return 0;
}

int64_t Player::release_child(pid_t* child) {
  if (!*child) return -ECHILD;
  kill(*child, SIGKILL);
  int status;
  const int64_t err = wait_for(*child, &status);
  *child = 0;
  return err;
}

}  // namespace i915u::match
