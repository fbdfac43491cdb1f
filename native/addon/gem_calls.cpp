// SPDX-License-Identifier: MIT
// GEM objects.
#include "addon/call.h"
#include "drm/ioctls.h"

namespace i915u::addon {
namespace {

struct Created {
  uint64_t size;
  uint32_t handle;
};
napi_value to_js(napi_env env, const Created& o) {
  return object_js(env, std::pair{"handle", o.handle}, std::pair{"size", o.size});
}

napi_value create(Call& c) {
  Device& dev = c.device(0);
  const uint64_t size = c.u64(1);
  return c.run<Created>([&dev, size](Created& o) {
    o.size = size;
    return gem_create(dev, &o.size, &o.handle);
  });
}

/// `regions`: pairs of class and instance, in order of preference; empty: no extension.
napi_value create_ext(Call& c) {
  Device& dev = c.device(0);
  const uint64_t size = c.u64(1);
  const uint32_t flags = c.u32(2);
  auto regions = c.array<uapi::drm_i915_gem_memory_class_instance>(3);
  return c.run<Created>([&dev, size, flags, regions = std::move(regions)](Created& o) {
    uapi::drm_i915_gem_create_ext_memory_regions ext{};
    ext.base.name = uapi::I915_GEM_CREATE_EXT_MEMORY_REGIONS;
    ext.num_regions = static_cast<uint32_t>(regions.size());
    ext.regions = reinterpret_cast<uint64_t>(regions.data());
    o.size = size;
    return gem_create_ext(dev, &o.size, flags,
                          regions.empty() ? 0 : reinterpret_cast<uint64_t>(&ext), &o.handle);
  });
}

napi_value close(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run([&dev, handle](None&) { return gem_close(dev, handle); });
}

napi_value userptr(Call& c) {
  Device& dev = c.device(0);
  const uint64_t address = c.u64(1), size = c.u64(2);
  const uint32_t flags = c.u32(3);
  return c.run<uint32_t>([&dev, address, size, flags](uint32_t& handle) {
    return gem_userptr(dev, address, size, flags, &handle);
  });
}

napi_value mmap_offset(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const uint64_t flags = c.u64(2);
  return c.run<uint64_t>([&dev, handle, flags](uint64_t& offset) {
    return gem_mmap_offset(dev, handle, flags, &offset);
  });
}

napi_value mmap_gtt(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run<uint64_t>(
      [&dev, handle](uint64_t& offset) { return gem_mmap_gtt(dev, handle, &offset); });
}

napi_value mmap_v1(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const uint64_t offset = c.u64(2), size = c.u64(3), flags = c.u64(4);
  return c.run<uint64_t>([&dev, handle, offset, size, flags](uint64_t& address) {
    return gem_mmap_v1(dev, handle, offset, size, flags, &address);
  });
}

/// mmap(2) at the device.
napi_value device_mmap(Call& c) {
  Device& dev = c.device(0);
  const uint64_t address = c.u64(1), length = c.u64(2), offset = c.u64(5);
  const int prot = c.i32(3), flags = c.i32(4);
  return c.run<uint64_t>([&dev, address, length, prot, flags, offset](uint64_t& at) {
    const int64_t ret = dev.mmap(address, length, prot, flags, offset);
    at = static_cast<uint64_t>(ret);
    return ret < 0 && ret > -4096 ? ret : 0;
  });
}

napi_value pread(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const uint64_t offset = c.u64(2), size = c.length(3);
  return c.run<Data>([&dev, handle, offset, size](Data& data) {
    data.allocate(size);
    return gem_pread(dev, handle, offset, size, reinterpret_cast<uint64_t>(data.bytes.get()));
  });
}

napi_value pwrite(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const uint64_t offset = c.u64(2);
  auto bytes = c.array<uint8_t>(3);
  return c.run([&dev, handle, offset, bytes = std::move(bytes)](None&) {
    return gem_pwrite(dev, handle, offset, bytes.size(), reinterpret_cast<uint64_t>(bytes.data()));
  });
}

/// pread and pwrite with an address of any kind, good or bad.
napi_value pread_to(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const uint64_t offset = c.u64(2), size = c.u64(3), address = c.u64(4);
  return c.run([&dev, handle, offset, size, address](None&) {
    return gem_pread(dev, handle, offset, size, address);
  });
}
napi_value pwrite_from(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const uint64_t offset = c.u64(2), size = c.u64(3), address = c.u64(4);
  return c.run([&dev, handle, offset, size, address](None&) {
    return gem_pwrite(dev, handle, offset, size, address);
  });
}

napi_value set_domain(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1), read = c.u32(2), write = c.u32(3);
  return c.run(
      [&dev, handle, read, write](None&) { return gem_set_domain(dev, handle, read, write); });
}

napi_value sw_finish(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run([&dev, handle](None&) { return gem_sw_finish(dev, handle); });
}

napi_value busy(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run<uint32_t>([&dev, handle](uint32_t& busy) { return gem_busy(dev, handle, &busy); });
}

napi_value wait(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  const int64_t timeout = c.i64(2);
  const uint32_t flags = c.u32(3);
  return c.run<int64_t>([&dev, handle, timeout, flags](int64_t& left) {
    left = timeout;
    return gem_wait(dev, handle, &left, flags);
  });
}

napi_value throttle(Call& c) {
  Device& dev = c.device(0);
  return c.run([&dev](None&) { return gem_throttle(dev); });
}

napi_value madvise(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1), advice = c.u32(2);
  return c.run<bool>([&dev, handle, advice](bool& retained) {
    uint32_t kept = 0;
    const int ret = gem_madvise(dev, handle, advice, &kept);
    retained = kept;
    return ret;
  });
}

napi_value set_caching(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1), caching = c.u32(2);
  return c.run([&dev, handle, caching](None&) { return gem_set_caching(dev, handle, caching); });
}

napi_value get_caching(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run<uint32_t>(
      [&dev, handle](uint32_t& caching) { return gem_get_caching(dev, handle, &caching); });
}

struct Tiling {
  uint32_t mode, stride, swizzle;
};
napi_value to_js(napi_env env, const Tiling& t) {
  return object_js(env, std::pair{"mode", t.mode}, std::pair{"stride", t.stride},
                   std::pair{"swizzle", t.swizzle});
}

napi_value set_tiling(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1), mode = c.u32(2), stride = c.u32(3);
  return c.run<Tiling>([&dev, handle, mode, stride](Tiling& t) {
    t = {mode, stride, 0};
    return gem_set_tiling(dev, handle, &t.mode, &t.stride, &t.swizzle);
  });
}

struct TilingState {
  uint32_t mode, swizzle, phys_swizzle;
};
napi_value to_js(napi_env env, const TilingState& t) {
  return object_js(env, std::pair{"mode", t.mode}, std::pair{"swizzle", t.swizzle},
                   std::pair{"physSwizzle", t.phys_swizzle});
}

napi_value get_tiling(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1);
  return c.run<TilingState>([&dev, handle](TilingState& t) {
    return gem_get_tiling(dev, handle, &t.mode, &t.swizzle, &t.phys_swizzle);
  });
}

napi_value prime_export(Call& c) {
  Device& dev = c.device(0);
  const uint32_t handle = c.u32(1), flags = c.u32(2);
  return c.run<int32_t>(
      [&dev, handle, flags](int32_t& fd) { return prime_handle_to_fd(dev, handle, flags, &fd); });
}

napi_value prime_import(Call& c) {
  Device& dev = c.device(0);
  const int fd = c.i32(1);
  return c.run<uint32_t>(
      [&dev, fd](uint32_t& handle) { return prime_fd_to_handle(dev, fd, &handle); });
}

constexpr Function functions[] = {
    {"gemCreate", "DRM_IOCTL_I915_GEM_CREATE", {"device", "size"}, create},
    {"gemCreateExt",
     "DRM_IOCTL_I915_GEM_CREATE_EXT",
     {"device", "size", "flags", "regions"},
     create_ext},
    {"gemClose", "DRM_IOCTL_GEM_CLOSE", {"device", "handle"}, close},
    {"gemUserptr", "DRM_IOCTL_I915_GEM_USERPTR", {"device", "address", "size", "flags"}, userptr},
    {"gemMmapOffset", "DRM_IOCTL_I915_GEM_MMAP_OFFSET", {"device", "handle", "flags"}, mmap_offset},
    {"gemMmapGtt", "DRM_IOCTL_I915_GEM_MMAP_GTT", {"device", "handle"}, mmap_gtt},
    {"gemMmap",
     "DRM_IOCTL_I915_GEM_MMAP",
     {"device", "handle", "offset", "size", "flags"},
     mmap_v1},
    {"deviceMmap", "mmap", {"device", "address", "length", "prot", "flags", "offset"}, device_mmap},
    {"gemPread", "DRM_IOCTL_I915_GEM_PREAD", {"device", "handle", "offset", "size"}, pread},
    {"gemPwrite", "DRM_IOCTL_I915_GEM_PWRITE", {"device", "handle", "offset", "bytes"}, pwrite},
    {"gemPreadTo",
     "DRM_IOCTL_I915_GEM_PREAD",
     {"device", "handle", "offset", "size", "address"},
     pread_to},
    {"gemPwriteFrom",
     "DRM_IOCTL_I915_GEM_PWRITE",
     {"device", "handle", "offset", "size", "address"},
     pwrite_from},
    {"gemSetDomain",
     "DRM_IOCTL_I915_GEM_SET_DOMAIN",
     {"device", "handle", "readDomains", "writeDomain"},
     set_domain},
    {"gemSwFinish", "DRM_IOCTL_I915_GEM_SW_FINISH", {"device", "handle"}, sw_finish},
    {"gemBusy", "DRM_IOCTL_I915_GEM_BUSY", {"device", "handle"}, busy},
    {"gemWait", "DRM_IOCTL_I915_GEM_WAIT", {"device", "handle", "timeoutNs", "flags"}, wait},
    {"gemThrottle", "DRM_IOCTL_I915_GEM_THROTTLE", {"device"}, throttle},
    {"gemMadvise", "DRM_IOCTL_I915_GEM_MADVISE", {"device", "handle", "advice"}, madvise},
    {"gemSetCaching",
     "DRM_IOCTL_I915_GEM_SET_CACHING",
     {"device", "handle", "caching"},
     set_caching},
    {"gemGetCaching", "DRM_IOCTL_I915_GEM_GET_CACHING", {"device", "handle"}, get_caching},
    {"gemSetTiling",
     "DRM_IOCTL_I915_GEM_SET_TILING",
     {"device", "handle", "mode", "stride"},
     set_tiling},
    {"gemGetTiling", "DRM_IOCTL_I915_GEM_GET_TILING", {"device", "handle"}, get_tiling},
    {"primeHandleToFd",
     "DRM_IOCTL_PRIME_HANDLE_TO_FD",
     {"device", "handle", "flags"},
     prime_export},
    {"primeFdToHandle", "DRM_IOCTL_PRIME_FD_TO_HANDLE", {"device", "fd"}, prime_import},
};

}  // namespace

std::span<const Function> gem_functions() {
  return functions;
}

}  // namespace i915u::addon
