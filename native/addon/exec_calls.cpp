// SPDX-License-Identifier: MIT
// Submission.
#include "addon/call.h"
#include "drm/ioctls.h"

namespace i915u::addon {
namespace {

/// An object as JavaScript gives it, in a BigUint64Array; its relocations follow those of the
/// object before it in an array of their own.
struct ObjectRow {
  uint64_t handle, alignment, offset, flags, pad_to_size, relocations;
};
struct RelocationRow {
  uint64_t target, delta, offset, presumed_offset, read_domains, write_domain;
};

struct Submitted {
  int32_t fence = -1;
  std::vector<uint64_t> offsets, presumed;
};
napi_value to_js(napi_env env, const Submitted& s) {
  return object_js(env, std::pair{"fence", s.fence}, std::pair{"offsets", s.offsets},
                   std::pair{"presumed", s.presumed});
}

napi_value execbuffer2(Call& c) {
  Device& dev = c.device(0);
  const auto rows = c.array<ObjectRow>(1);
  const auto reloc_rows = c.array<RelocationRow>(2);
  const uint32_t start = c.u32(3), length = c.u32(4);
  const uint64_t flags = c.u64(5);
  const uint32_t ctx = c.u32(6);
  const int fence_in = c.i32(7);
  auto fences = c.array<uapi::drm_i915_gem_exec_fence>(8);
  const bool retry = c.boolean(9);

  std::vector<uapi::drm_i915_gem_relocation_entry> relocs(reloc_rows.size());
  for (size_t i = 0; i < relocs.size(); i++) {
    const RelocationRow& r = reloc_rows[i];
    relocs[i] = {static_cast<uint32_t>(r.target),
                 static_cast<uint32_t>(r.delta),
                 r.offset,
                 r.presumed_offset,
                 static_cast<uint32_t>(r.read_domains),
                 static_cast<uint32_t>(r.write_domain)};
  }
  std::vector<uapi::drm_i915_gem_exec_object2> objects(rows.size());
  size_t used = 0;
  for (size_t i = 0; i < objects.size(); i++) {
    if (rows[i].relocations > relocs.size() - used) c.bad(1, "no more relocations than are given");
    objects[i].handle = static_cast<uint32_t>(rows[i].handle);
    objects[i].relocation_count = static_cast<uint32_t>(rows[i].relocations);
    objects[i].relocs_ptr = reinterpret_cast<uint64_t>(relocs.data() + used);
    objects[i].alignment = rows[i].alignment;
    objects[i].offset = rows[i].offset;
    objects[i].flags = rows[i].flags;
    objects[i].pad_to_size = rows[i].pad_to_size;
    used += rows[i].relocations;
  }

  return c.run<Submitted>([&dev, start, length, flags, ctx, fence_in, retry,
                           objects = std::move(objects), relocs = std::move(relocs),
                           fences = std::move(fences)](Submitted& out) mutable {
    Exec exec{};
    exec.objects = objects;
    exec.batch_start_offset = start;
    exec.batch_len = length;
    exec.flags = flags;
    exec.ctx = ctx;
    exec.fence_in = fence_in;
    exec.fences = fences;
    const int ret = gem_execbuffer2(dev, &exec, retry ? Retry::always : Retry::eintr);
    if (ret < 0) return ret;
    out.fence = exec.fence_out;
    for (const auto& o : objects) out.offsets.push_back(o.offset);
    for (const auto& r : relocs) out.presumed.push_back(r.presumed_offset);
    return 0;
  });
}

constexpr Function functions[] = {
    {"execbuffer2",
     "DRM_IOCTL_I915_GEM_EXECBUFFER2",
     {"device", "objects", "relocations", "batchStart", "batchLength", "flags", "context",
      "fenceIn", "fences", "retryEagain"},
     execbuffer2},
};

}  // namespace

std::span<const Function> exec_functions() {
  return functions;
}

}  // namespace i915u::addon
