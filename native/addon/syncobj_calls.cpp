// SPDX-License-Identifier: MIT
// DRM syncobjs. Timeouts are absolute, ns of CLOCK_MONOTONIC.
#include "addon/call.h"
#include "drm/ioctls.h"

namespace i915u::addon {
namespace {

napi_value create(Call& c) {
  Device& dev = c.device(0);
  const uint32_t flags = c.u32(1);
  return c.run<uint32_t>(
      [&dev, flags](uint32_t& handle) { return syncobj_create(dev, flags, &handle); });
}

napi_value destroy(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run([&dev, handle](None&) { return syncobj_destroy(dev, handle); });
}

napi_value handle_to_fd(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1), flags = c.u32(2);
  return c.run<int32_t>(
      [&dev, handle, flags](int32_t& fd) { return syncobj_handle_to_fd(dev, handle, flags, &fd); });
}

napi_value fd_to_handle(Call& c) {
  Device& dev = c.device(0);
  const int fd = c.i32(1);
  const uint32_t flags = c.u32(2), into = c.u32(3);
  return c.run<uint32_t>([&dev, fd, flags, into](uint32_t& handle) {
    handle = into;
    return syncobj_fd_to_handle(dev, fd, flags, &handle);
  });
}

napi_value wait(Call& c) {
  Device& dev = c.device(0);
  auto handles = c.array<uint32_t>(1);
  const int64_t timeout = c.i64(2);
  const uint32_t flags = c.u32(3);
  return c.run<uint32_t>([&dev, timeout, flags, handles = std::move(handles)](uint32_t& first) {
    return syncobj_wait(dev, handles, timeout, flags, &first);
  });
}

napi_value reset(Call& c) {
  Device& dev = c.device(0);
  auto handles = c.array<uint32_t>(1);
  return c.run([&dev, handles = std::move(handles)](None&) { return syncobj_reset(dev, handles); });
}

napi_value signal(Call& c) {
  Device& dev = c.device(0);
  auto handles = c.array<uint32_t>(1);
  return c.run(
      [&dev, handles = std::move(handles)](None&) { return syncobj_signal(dev, handles); });
}

constexpr Function functions[] = {
    {"syncobjCreate", "DRM_IOCTL_SYNCOBJ_CREATE", {"device", "flags"}, create},
    {"syncobjDestroy", "DRM_IOCTL_SYNCOBJ_DESTROY", {"device", "handle"}, destroy},
    {"syncobjHandleToFd",
     "DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD",
     {"device", "handle", "flags"},
     handle_to_fd},
    {"syncobjFdToHandle",
     "DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE",
     {"device", "fd", "flags", "into"},
     fd_to_handle},
    {"syncobjWait", "DRM_IOCTL_SYNCOBJ_WAIT", {"device", "handles", "timeoutNs", "flags"}, wait},
    {"syncobjReset", "DRM_IOCTL_SYNCOBJ_RESET", {"device", "handles"}, reset},
    {"syncobjSignal", "DRM_IOCTL_SYNCOBJ_SIGNAL", {"device", "handles"}, signal},
};

}  // namespace

std::span<const Function> syncobj_functions() {
  return functions;
}

}  // namespace i915u::addon
