// SPDX-License-Identifier: MIT
// userfaultfd(2): page faults answered by this process. Accesses wait until they are.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "addon/call.h"

namespace i915u::addon {
namespace {

struct Opened {
  int32_t fd;
  uint64_t features;
};
napi_value to_js(napi_env env, const Opened& o) {
  return object_js(env, std::pair{"fd", o.fd}, std::pair{"features", o.features});
}

/// The syscall and the UFFDIO_API handshake. Faults of the kernel itself (gup) are handled only
/// without UFFD_USER_MODE_ONLY, which takes CAP_SYS_PTRACE or vm.unprivileged_userfaultfd (5.11).
napi_value open_uffd(Call& c) {
  const uint32_t flags = c.u32(0);
  const uint64_t features = c.u64(1);
  return c.run<Opened>([=](Opened& o) -> int64_t {
    o.fd = static_cast<int>(syscall(SYS_userfaultfd, flags | O_CLOEXEC | O_NONBLOCK));
    if (o.fd < 0) return -errno;
    uffdio_api api{UFFD_API, features, 0};
    if (ioctl(o.fd, UFFDIO_API, &api) < 0) {
      const int err = errno;
      close(o.fd);
      return -err;
    }
    o.features = api.features;
    return 0;
  });
}

/// The answer: which UFFDIO_* ioctls the range takes, as bits.
napi_value enroll(Call& c) {
  const int fd = c.i32(0);
  const uint64_t addr = c.u64(1), length = c.u64(2), mode = c.u64(3);
  return c.run<uint64_t>([=](uint64_t& ioctls) -> int64_t {
    uffdio_register reg{{addr, length}, mode, 0};
    if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0) return -errno;
    ioctls = reg.ioctls;
    return 0;
  });
}

napi_value unregister(Call& c) {
  const int fd = c.i32(0);
  const uint64_t addr = c.u64(1), length = c.u64(2);
  return c.run([=](None&) -> int64_t {
    uffdio_range range{addr, length};
    return ioctl(fd, UFFDIO_UNREGISTER, &range) < 0 ? -errno : 0;
  });
}

napi_value copy(Call& c) {
  const int fd = c.i32(0);
  const uint64_t addr = c.u64(1), mode = c.u64(3);
  auto bytes = c.array<uint8_t>(2);
  return c.run<int64_t>([=, bytes = std::move(bytes)](int64_t& copied) -> int64_t {
    uffdio_copy args{addr, reinterpret_cast<uint64_t>(bytes.data()), bytes.size(), mode, 0};
    if (ioctl(fd, UFFDIO_COPY, &args) < 0) return -errno;
    copied = args.copy;
    return 0;
  });
}

napi_value zeropage(Call& c) {
  const int fd = c.i32(0);
  const uint64_t addr = c.u64(1), length = c.u64(2), mode = c.u64(3);
  return c.run<int64_t>([=](int64_t& zeroed) -> int64_t {
    uffdio_zeropage args{{addr, length}, mode, 0};
    if (ioctl(fd, UFFDIO_ZEROPAGE, &args) < 0) return -errno;
    zeroed = args.zeropage;
    return 0;
  });
}

napi_value wake(Call& c) {
  const int fd = c.i32(0);
  const uint64_t addr = c.u64(1), length = c.u64(2);
  return c.run([=](None&) -> int64_t {
    uffdio_range range{addr, length};
    return ioctl(fd, UFFDIO_WAKE, &range) < 0 ? -errno : 0;
  });
}

napi_value writeprotect(Call& c) {
  const int fd = c.i32(0);
  const uint64_t addr = c.u64(1), length = c.u64(2), mode = c.u64(3);
  return c.run([=](None&) -> int64_t {
    uffdio_writeprotect args{{addr, length}, mode};
    return ioctl(fd, UFFDIO_WRITEPROTECT, &args) < 0 ? -errno : 0;
  });
}

struct Events {
  std::vector<uffd_msg> all;
};
napi_value to_js(napi_env env, const Events& events) {
  Napi::Array list = Napi::Array::New(env);
  for (const uffd_msg& m : events.all) {
    const bool fault = m.event == UFFD_EVENT_PAGEFAULT;
    list.Set(
        list.Length(),
        Napi::Value(env, object_js(env, std::pair{"event", uint32_t{m.event}},
                                   std::pair{"address", fault ? uint64_t{m.arg.pagefault.address}
                                                              : uint64_t{m.arg.remove.start}},
                                   std::pair{"flags", fault ? uint64_t{m.arg.pagefault.flags}
                                                            : uint64_t{0}})));
  }
  return list;
}

/// What is there now; it does not wait.
napi_value events(Call& c) {
  const int fd = c.i32(0);
  return c.run<Events>([=](Events& out) -> int64_t {
    uffd_msg m;
    ssize_t n;
    while ((n = ::read(fd, &m, sizeof(m))) == sizeof(m)) out.all.push_back(m);
    return n < 0 && errno != EAGAIN ? -errno : 0;
  });
}

constexpr Function functions[] = {
    {"uffdOpen", "userfaultfd", {"flags", "features"}, open_uffd},
    {"uffdRegister", "UFFDIO_REGISTER", {"fd", "address", "length", "mode"}, enroll},
    {"uffdUnregister", "UFFDIO_UNREGISTER", {"fd", "address", "length"}, unregister},
    {"uffdCopy", "UFFDIO_COPY", {"fd", "address", "bytes", "mode"}, copy},
    {"uffdZeropage", "UFFDIO_ZEROPAGE", {"fd", "address", "length", "mode"}, zeropage},
    {"uffdWake", "UFFDIO_WAKE", {"fd", "address", "length"}, wake},
    {"uffdWriteprotect", "UFFDIO_WRITEPROTECT", {"fd", "address", "length", "mode"}, writeprotect},
    {"uffdEvents", "read", {"fd"}, events},
};

}  // namespace

std::span<const Function> userfaultfd_functions() {
  return functions;
}

}  // namespace i915u::addon
