// SPDX-License-Identifier: MIT
// Forked children that touch memory: copy-on-write on either side of the fork.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "addon/call.h"
#include "mem/uaccess.h"
#include "soft/mm/address_space.h"

namespace i915u::addon {
namespace {

enum class Touch : uint32_t { none, read, write };

/// One access in each page. 0 or -EFAULT.
int touch(uint64_t addr, uint64_t length, Touch how) {
  for (uint64_t at = addr; how != Touch::none && at < addr + length; at += 4096) {
    uint32_t value;
    const int err =
        how == Touch::write ? touch_user_write(at & ~3ull) : load_user_u32(at & ~3ull, &value);
    if (err < 0) return err;
  }
  return 0;
}

Touch touch_arg(Call& c, size_t i) {
  const uint32_t how = c.u32(i);
  if (how > static_cast<uint32_t>(Touch::write)) c.bad(i, "0 (none), 1 (read) or 2 (write)");
  return static_cast<Touch>(how);
}

/// A child that touches and exits; the answer is how it ended.
napi_value fork_touch(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const Touch how = touch_arg(c, 2);
  const pid_t pid = soft::AddressSpace::current().fork();
  if (pid == 0) _exit(-touch(addr, length, how));
  if (pid < 0) c.fail(pid);
  return to_js(c.env(), wait_child(pid));
}

/// A child that touches, says so, and lives until forkRelease or its parent's end: while it lives
/// the parent's private pages are shared with it. The answer comes after its touches.
napi_value fork_hold(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const Touch how = touch_arg(c, 2);
  int go[2], done[2];
  if (pipe2(go, O_CLOEXEC) < 0) c.fail(-errno);
  if (pipe2(done, O_CLOEXEC) < 0) {
    const int err = -errno;
    close(go[0]), close(go[1]);
    c.fail(err);
  }
  const pid_t pid = soft::AddressSpace::current().fork();
  if (pid == 0) {
    close(go[1]), close(done[0]);
    const int err = touch(addr, length, how);
    char byte = 0;
    if (write(done[1], &byte, 1) == 1)
      while (::read(go[0], &byte, 1) < 0 && errno == EINTR) continue;
    _exit(-err);
  }
  close(go[0]), close(done[1]);
  char byte;
  if (pid > 0)
    while (::read(done[0], &byte, 1) < 0 && errno == EINTR) continue;
  close(done[0]);
  if (pid < 0) {
    close(go[1]);
    c.fail(pid);
  }
  return object_js(c.env(), std::pair{"pid", int32_t{pid}}, std::pair{"fd", go[1]});
}

/// Lets a held child go: how it ended.
napi_value fork_release(Call& c) {
  const pid_t pid = c.i32(0);
  const int fd = c.i32(1);
  if (pid <= 0) c.bad(0, "a child's pid");
  close(fd);
  return to_js(c.env(), wait_child(pid));
}

constexpr Function functions[] = {
    {"forkTouch", "fork", {"address", "length", "touch"}, fork_touch, true},
    {"forkHold", "fork", {"address", "length", "touch"}, fork_hold, true},
    {"forkRelease", "fork", {"pid", "fd"}, fork_release, true},
};

}  // namespace

std::span<const Function> fork_functions() {
  return functions;
}

}  // namespace i915u::addon
