// SPDX-License-Identifier: MIT
// Devices: opening, closing, and what the driver says of itself.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "addon/call.h"
#include "drm/find.h"
#include "drm/ioctls.h"
#include "drm/uapi_table.h"
#include "soft/device.h"

namespace i915u::addon {
namespace {

napi_value open_device_node(Call& c) {
  const std::string path = c.string(0);
  int err = 0;
  std::string driver;
  std::shared_ptr<Device> dev = open_node(path.c_str(), &err, &driver);
  return object_js(
      c.env(),
      std::pair{"device", static_cast<uint32_t>(dev ? state(c.env()).devices.add(dev) : 0)},
      std::pair{"errno", -err}, std::pair{"driver", driver});
}

napi_value open_soft(Call& c) {
  soft::SoftOptions options;
  options.kernel = c.string(0);
  options.strategy = c.string(1);
  options.faults = c.u32(2);
  options.fault_one_in = c.u32(3);
  options.seed = c.u64(4);
  options.hang_ns = c.u64(5);
  options.batch_delay_ns = c.u64(6);
  int err = 0;
  std::shared_ptr<Device> dev = soft::SoftDevice::open(options, &err);
  if (!dev) c.fail(err);
  return to_js(c.env(), static_cast<uint32_t>(state(c.env()).devices.add(std::move(dev))));
}

soft::SoftDevice& soft_device(Call& c, size_t i) {
  Device& dev = c.device(i);
  if (!dev.is_soft()) c.bad(i, "a software device");
  return static_cast<soft::SoftDevice&>(dev);
}

napi_value reopen_soft(Call& c) {
  std::shared_ptr<Device> dev = soft_device(c, 0).reopen();
  if (!dev) c.fail(-EMFILE);
  return to_js(c.env(), static_cast<uint32_t>(state(c.env()).devices.add(std::move(dev))));
}

napi_value set_soft_faults(Call& c) {
  soft_device(c, 0).set_faults(c.u32(1), c.u32(2));
  return to_js(c.env(), None{});
}

napi_value soft_stats(Call& c) {
  const soft::SoftStats s = soft_device(c, 0).stats();
  return object_js(c.env(), std::pair{"requests", s.requests}, std::pair{"batches", s.batches},
                   std::pair{"commands", s.commands}, std::pair{"gpuFaults", s.gpu_faults},
                   std::pair{"resets", s.resets}, std::pair{"invalidates", s.invalidates},
                   std::pair{"pinsAcquired", s.pins_acquired},
                   std::pair{"pinsReleased", s.pins_released}, std::pair{"objects", s.objects},
                   std::pair{"objectBytes", s.object_bytes}, std::pair{"contexts", s.contexts},
                   std::pair{"vms", s.vms}, std::pair{"bindings", s.bindings},
                   std::pair{"fences", s.fences});
}

napi_value close_device(Call& c) {
  const int err = c.device(0).close();
  state(c.env()).devices.remove(c.u32(0));
  if (err < 0) c.fail(err);
  return to_js(c.env(), None{});
}

napi_value device_fd(Call& c) {
  return to_js(c.env(), c.device(0).fd());
}

napi_value retries(Call& c) {
  const RetryCounts& r = c.device(0).retries();
  return object_js(c.env(), std::pair{"eintr", r.eintr.load()},
                   std::pair{"eagain", r.eagain.load()});
}

napi_value find_nodes_js(Call& c) {
  const Napi::Env env(c.env());
  Napi::Array list = Napi::Array::New(env);
  for (const NodeInfo& n : find_nodes(c.given(0) ? c.string(0) : ""))
    list.Set(
        list.Length(),
        Napi::Value(env, object_js(env, std::pair{"path", n.path}, std::pair{"driver", n.driver},
                                   std::pair{"pci", n.pci}, std::pair{"card", n.card},
                                   std::pair{"render", n.render}, std::pair{"errno", -n.error},
                                   std::pair{"holder", int32_t{n.holder}},
                                   std::pair{"holderName", n.holder_name},
                                   std::pair{"holdersKnown", n.holders_known},
                                   std::pair{"displayOn", n.display_on})));
  return list;
}

/// An ioctl with its bytes as they are: for bad input on purpose. The bytes are in and out; they
/// are passed in a buffer of this size and no larger, so that a request that names a larger struct
/// than it was given reads and writes no memory of the process's own.
napi_value ioctl_raw(Call& c) {
  Device& dev = c.device(0);
  const uint64_t request = c.u64(1);
  std::vector<uint8_t> arg = c.array<uint8_t>(2);
  arg.resize(std::max<size_t>(arg.size(), uapi::ioc_size(request)));
  return c.run<std::vector<uint8_t>>([&dev, request, arg = std::move(arg)](auto& out) mutable {
    const int ret = dev.ioctl(request, arg.data());
    out = arg;
    return ret;
  });
}

/// The same with any number where a pointer belongs.
napi_value ioctl_pointer(Call& c) {
  Device& dev = c.device(0);
  const uint64_t request = c.u64(1), pointer = c.u64(2);
  return c.run<int32_t>([&dev, request, pointer](int32_t& ret) {
    return ret = dev.ioctl(request, reinterpret_cast<void*>(pointer));
  });
}

napi_value ioctl_name(Call& c) {
  const char* name = uapi::ioctl_name(c.u64(0));
  return to_js(c.env(), std::string(name ? name : ""));
}

napi_value errno_name(Call& c) {
  const char* name = strerrorname_np(c.i32(0));
  return to_js(c.env(), std::string(name ? name : ""));
}

// ---- what the driver says

struct VersionResult : Version {};
napi_value to_js(napi_env env, const VersionResult& v) {
  return object_js(env, std::pair{"major", v.major}, std::pair{"minor", v.minor},
                   std::pair{"patchlevel", v.patchlevel}, std::pair{"name", v.name},
                   std::pair{"date", v.date}, std::pair{"description", v.desc});
}

napi_value version(Call& c) {
  Device& dev = c.device(0);
  return c.run<VersionResult>([&dev](VersionResult& v) { return drm_version(dev, &v); });
}

napi_value get_cap(Call& c) {
  Device& dev = c.device(0);
  const uint64_t cap = c.u64(1);
  return c.run<uint64_t>([&dev, cap](uint64_t& v) { return drm_get_cap(dev, cap, &v); });
}

napi_value getparam(Call& c) {
  Device& dev = c.device(0);
  const int32_t param = c.i32(1);
  return c.run<int32_t>([&dev, param](int32_t& v) { return i915_getparam(dev, param, &v); });
}

napi_value setparam(Call& c) {
  Device& dev = c.device(0);
  const int32_t param = c.i32(1), value = c.i32(2);
  return c.run([&dev, param, value](None&) { return i915_setparam(dev, param, value); });
}

napi_value reg_read(Call& c) {
  Device& dev = c.device(0);
  const uint64_t offset = c.u64(1);
  return c.run<uint64_t>([&dev, offset](uint64_t& v) { return i915_reg_read(dev, offset, &v); });
}

struct Aperture {
  uint64_t size, available;
};
napi_value to_js(napi_env env, const Aperture& a) {
  return object_js(env, std::pair{"size", a.size}, std::pair{"available", a.available});
}

napi_value get_aperture(Call& c) {
  Device& dev = c.device(0);
  return c.run<Aperture>(
      [&dev](Aperture& a) { return gem_get_aperture(dev, &a.size, &a.available); });
}

napi_value query(Call& c) {
  Device& dev = c.device(0);
  const uint64_t id = c.u64(1);
  const uint32_t flags = c.u32(2);
  return c.run<std::vector<uint8_t>>(
      [&dev, id, flags](auto& data) { return i915_query(dev, id, flags, &data); });
}

/// The fixed part of a query's answer and the array behind it, as far as the answer's bytes reach.
template <class Head, class Row>
struct Table {
  std::vector<uint8_t> data;

  bool complete() const { return data.size() >= sizeof(Head); }
  Head head() const {
    Head h;
    memcpy(&h, data.data(), sizeof(h));
    return h;
  }
  std::vector<Row> rows(uint32_t count) const {
    std::vector<Row> all(std::min<size_t>(count, (data.size() - sizeof(Head)) / sizeof(Row)));
    memcpy(all.data(), data.data() + sizeof(Head), all.size() * sizeof(Row));
    return all;
  }
};

using Engines = Table<uapi::drm_i915_query_engine_info, uapi::drm_i915_engine_info>;
napi_value to_js(napi_env env, const Engines& t) {
  Napi::Array list = Napi::Array::New(env);
  for (const auto& e : t.rows(t.head().num_engines))
    list.Set(
        list.Length(),
        Napi::Value(
            env, object_js(env, std::pair{"class", uint32_t{e.engine.engine_class}},
                           std::pair{"instance", uint32_t{e.engine.engine_instance}},
                           std::pair{"flags", e.flags}, std::pair{"capabilities", e.capabilities},
                           std::pair{"logicalInstance", uint32_t{e.logical_instance}})));
  return list;
}

using Regions = Table<uapi::drm_i915_query_memory_regions, uapi::drm_i915_memory_region_info>;
napi_value to_js(napi_env env, const Regions& t) {
  Napi::Array list = Napi::Array::New(env);
  for (const auto& r : t.rows(t.head().num_regions))
    list.Set(list.Length(),
             Napi::Value(env, object_js(env, std::pair{"class", uint32_t{r.region.memory_class}},
                                        std::pair{"instance", uint32_t{r.region.memory_instance}},
                                        std::pair{"probedSize", r.probed_size},
                                        std::pair{"unallocatedSize", r.unallocated_size})));
  return list;
}

using Topology = Table<uapi::drm_i915_query_topology_info, uint8_t>;
napi_value to_js(napi_env env, const Topology& t) {
  const auto h = t.head();
  const std::vector<uint8_t> masks = t.rows(UINT32_MAX);
  const auto part = [&](size_t from, size_t to) {
    from = std::min(from, masks.size());
    to = std::clamp(to, from, masks.size());
    return std::vector<uint8_t>(masks.begin() + from, masks.begin() + to);
  };
  return object_js(env, std::pair{"maxSlices", uint32_t{h.max_slices}},
                   std::pair{"maxSubslices", uint32_t{h.max_subslices}},
                   std::pair{"maxEusPerSubslice", uint32_t{h.max_eus_per_subslice}},
                   std::pair{"subsliceStride", uint32_t{h.subslice_stride}},
                   std::pair{"euStride", uint32_t{h.eu_stride}},
                   std::pair{"sliceMask", part(0, h.subslice_offset)},
                   std::pair{"subsliceMask", part(h.subslice_offset, h.eu_offset)},
                   std::pair{"euMask", part(h.eu_offset, masks.size())});
}

template <class T, uint64_t id>
napi_value query_table(Call& c) {
  Device& dev = c.device(0);
  return c.run<T>([&dev](T& t) {
    const int ret = i915_query(dev, id, 0, &t.data);
    return ret == 0 && !t.complete() ? -EPROTO : ret;
  });
}

constexpr Function functions[] = {
    {"openNode", "open", {"path"}, open_device_node, true},
    {"openSoft",
     "open",
     {"kernel", "strategy", "faults", "faultOneIn", "seed", "hangNs", "batchDelayNs"},
     open_soft,
     true},
    {"reopenSoft", "open", {"device"}, reopen_soft, true},
    {"setSoftFaults", "setSoftFaults", {"device", "faults", "faultOneIn"}, set_soft_faults, true},
    {"softStats", "softStats", {"device"}, soft_stats, true},
    {"closeDevice", "close", {"device"}, close_device, true},
    {"deviceFd", "deviceFd", {"device"}, device_fd, true},
    {"retries", "retries", {"device"}, retries, true},
    {"findNodes", "findNodes", {"root"}, find_nodes_js, true},
    {"ioctlRaw", "ioctl", {"device", "request", "bytes"}, ioctl_raw},
    {"ioctlPointer", "ioctl", {"device", "request", "pointer"}, ioctl_pointer},
    {"errnoName", "errnoName", {"errno"}, errno_name, true},
    {"ioctlName", "ioctlName", {"request"}, ioctl_name, true},
    {"version", "DRM_IOCTL_VERSION", {"device"}, version},
    {"getCap", "DRM_IOCTL_GET_CAP", {"device", "capability"}, get_cap},
    {"getparam", "DRM_IOCTL_I915_GETPARAM", {"device", "param"}, getparam},
    {"setparam", "DRM_IOCTL_I915_SETPARAM", {"device", "param", "value"}, setparam},
    {"regRead", "DRM_IOCTL_I915_REG_READ", {"device", "offset"}, reg_read},
    {"getAperture", "DRM_IOCTL_I915_GEM_GET_APERTURE", {"device"}, get_aperture},
    {"query", "DRM_IOCTL_I915_QUERY", {"device", "id", "flags"}, query},
    {"queryEngines",
     "DRM_IOCTL_I915_QUERY",
     {"device"},
     query_table<Engines, uapi::DRM_I915_QUERY_ENGINE_INFO>},
    {"queryMemoryRegions",
     "DRM_IOCTL_I915_QUERY",
     {"device"},
     query_table<Regions, uapi::DRM_I915_QUERY_MEMORY_REGIONS>},
    {"queryTopology",
     "DRM_IOCTL_I915_QUERY",
     {"device"},
     query_table<Topology, uapi::DRM_I915_QUERY_TOPOLOGY_INFO>},
};

}  // namespace

std::span<const Function> device_functions() {
  return functions;
}

}  // namespace i915u::addon
