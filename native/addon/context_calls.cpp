// SPDX-License-Identifier: MIT
// Contexts and the GPU's address spaces.
#include <cerrno>
#include <cstring>

#include "addon/call.h"
#include "drm/ioctls.h"

namespace i915u::addon {
namespace {

/// `params`: pairs of a parameter and its value, set at creation by a chain of SETPARAM extensions.
napi_value create(Call& c) {
  Device& dev = c.device(0);
  const uint32_t flags = c.u32(1);
  auto params = c.array<uint64_t>(2);
  if (params.size() % 2) c.bad(2, "pairs of a parameter and its value");
  return c.run<uint32_t>([&dev, flags, params = std::move(params)](uint32_t& ctx) {
    if (params.empty() && !flags) return gem_context_create(dev, &ctx);
    std::vector<uapi::drm_i915_gem_context_create_ext_setparam> chain(params.size() / 2);
    for (size_t i = 0; i < chain.size(); i++) {
      chain[i].base.name = uapi::I915_CONTEXT_CREATE_EXT_SETPARAM;
      chain[i].param.param = params[2 * i];
      chain[i].param.value = params[2 * i + 1];
      if (i) chain[i - 1].base.next_extension = reinterpret_cast<uint64_t>(&chain[i]);
    }
    return gem_context_create_ext(
        dev, flags | (chain.empty() ? 0 : uapi::I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS),
        reinterpret_cast<uint64_t>(chain.data()), &ctx);
  });
}

napi_value destroy(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1);
  return c.run([&dev, ctx](None&) { return gem_context_destroy(dev, ctx); });
}

napi_value getparam(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1);
  const uint64_t param = c.u64(2);
  return c.run<uint64_t>([&dev, ctx, param](uint64_t& value) {
    uint32_t size = 0;
    return gem_context_getparam(dev, ctx, param, &size, &value);
  });
}

napi_value setparam(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1), size = c.u32(3);
  const uint64_t param = c.u64(2), value = c.u64(4);
  return c.run([&dev, ctx, size, param, value](None&) {
    return gem_context_setparam(dev, ctx, param, size, value);
  });
}

/// A parameter whose value is a pointer to a struct: I915_CONTEXT_PARAM_SSEU.
napi_value setparam_bytes(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1);
  const uint64_t param = c.u64(2);
  auto bytes = c.array<uint8_t>(3);
  return c.run([&dev, ctx, param, bytes = std::move(bytes)](None&) {
    return gem_context_setparam(dev, ctx, param, static_cast<uint32_t>(bytes.size()),
                                reinterpret_cast<uint64_t>(bytes.data()));
  });
}

using EngineList = std::vector<uapi::i915_engine_class_instance>;

/// The map as the driver reads it: its head, then the engines.
std::vector<uint8_t> engine_map(const EngineList& engines, const void* extensions) {
  uapi::i915_context_param_engines head{reinterpret_cast<uint64_t>(extensions)};
  std::vector<uint8_t> map(sizeof(head) + engines.size() * sizeof(engines[0]));
  memcpy(map.data(), &head, sizeof(head));
  if (!engines.empty())
    memcpy(map.data() + sizeof(head), engines.data(), engines.size() * sizeof(engines[0]));
  return map;
}

/// `engines`: pairs of class and instance (Uint16Array). `balanced`: the siblings among which slot
/// `slot` is balanced; empty for a plain map.
napi_value set_engines(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1);
  auto engines = c.array<uapi::i915_engine_class_instance>(2);
  const uint32_t slot = c.u32(3);
  auto siblings = c.array<uapi::i915_engine_class_instance>(4);
  if (slot > UINT16_MAX || siblings.size() > UINT16_MAX) c.bad(3, "16 bits");
  return c.run([&dev, ctx, slot, engines = std::move(engines),
                siblings = std::move(siblings)](None&) {
    uapi::i915_context_engines_load_balance head{};
    head.base.name = uapi::I915_CONTEXT_ENGINES_EXT_LOAD_BALANCE;
    head.engine_index = static_cast<uint16_t>(slot);
    head.num_siblings = static_cast<uint16_t>(siblings.size());
    std::vector<uint8_t> balance(sizeof(head) + siblings.size() * sizeof(siblings[0]));
    memcpy(balance.data(), &head, sizeof(head));
    if (!siblings.empty())
      memcpy(balance.data() + sizeof(head), siblings.data(), siblings.size() * sizeof(siblings[0]));
    const std::vector<uint8_t> map =
        engine_map(engines, siblings.empty() ? nullptr : balance.data());
    return gem_context_setparam(dev, ctx, uapi::I915_CONTEXT_PARAM_ENGINES,
                                static_cast<uint32_t>(map.size()),
                                reinterpret_cast<uint64_t>(map.data()));
  });
}

struct EngineMap {
  EngineList engines;
};
napi_value to_js(napi_env env, const EngineMap& map) {
  Napi::Array list = Napi::Array::New(env);
  for (const auto& e : map.engines)
    list.Set(list.Length(),
             Napi::Value(env, object_js(env, std::pair{"class", uint32_t{e.engine_class}},
                                        std::pair{"instance", uint32_t{e.engine_instance}})));
  return list;
}

napi_value get_engines(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1);
  return c.run<EngineMap>([&dev, ctx](EngineMap& out) {
    uint32_t size = 0;
    uint64_t value = 0;
    int ret = gem_context_getparam(dev, ctx, uapi::I915_CONTEXT_PARAM_ENGINES, &size, &value);
    if (ret < 0 || size <= sizeof(uapi::i915_context_param_engines)) return ret;
    std::vector<uint8_t> map(size);
    value = reinterpret_cast<uint64_t>(map.data());
    ret = gem_context_getparam(dev, ctx, uapi::I915_CONTEXT_PARAM_ENGINES, &size, &value);
    if (ret < 0) return ret;
    const size_t head = sizeof(uapi::i915_context_param_engines);
    out.engines.resize((std::min<size_t>(size, map.size()) - head) / sizeof(out.engines[0]));
    memcpy(out.engines.data(), map.data() + head, out.engines.size() * sizeof(out.engines[0]));
    return 0;
  });
}

struct ResetStats : uapi::drm_i915_reset_stats {};
napi_value to_js(napi_env env, const ResetStats& s) {
  return object_js(env, std::pair{"resets", s.reset_count}, std::pair{"active", s.batch_active},
                   std::pair{"pending", s.batch_pending});
}

napi_value reset_stats(Call& c) {
  Device& dev = c.device(0);
  const uint32_t ctx = c.u32(1);
  return c.run<ResetStats>([&dev, ctx](ResetStats& s) { return get_reset_stats(dev, ctx, &s); });
}

napi_value vm_create(Call& c) {
  Device& dev = c.device(0);
  const uint32_t flags = c.u32(1);
  return c.run<uint32_t>([&dev, flags](uint32_t& vm) { return gem_vm_create(dev, 0, flags, &vm); });
}

napi_value vm_destroy(Call& c) {
  Device& dev = c.device(0);
  const uint32_t vm = c.u32(1);
  return c.run([&dev, vm](None&) { return gem_vm_destroy(dev, vm); });
}

constexpr Function functions[] = {
    {"contextCreate",
     "DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT",
     {"device", "flags", "params"},
     create},
    {"contextDestroy", "DRM_IOCTL_I915_GEM_CONTEXT_DESTROY", {"device", "context"}, destroy},
    {"contextGetparam",
     "DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM",
     {"device", "context", "param"},
     getparam},
    {"contextSetparam",
     "DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM",
     {"device", "context", "param", "size", "value"},
     setparam},
    {"contextSetparamBytes",
     "DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM",
     {"device", "context", "param", "bytes"},
     setparam_bytes},
    {"contextSetEngines",
     "DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM",
     {"device", "context", "engines", "slot", "siblings"},
     set_engines},
    {"contextGetEngines",
     "DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM",
     {"device", "context"},
     get_engines},
    {"resetStats", "DRM_IOCTL_I915_GET_RESET_STATS", {"device", "context"}, reset_stats},
    {"vmCreate", "DRM_IOCTL_I915_GEM_VM_CREATE", {"device", "flags"}, vm_create},
    {"vmDestroy", "DRM_IOCTL_I915_GEM_VM_DESTROY", {"device", "vm"}, vm_destroy},
};

}  // namespace

std::span<const Function> context_functions() {
  return functions;
}

}  // namespace i915u::addon
