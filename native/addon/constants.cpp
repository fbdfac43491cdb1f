// SPDX-License-Identifier: MIT
// Names and numbers that JavaScript needs: exported from the headers, so that they are typed once.
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>

#include "addon/call.h"
#include "drm/uapi.h"
#include "drm/uapi_table.h"
#include "gpu/emit.h"
#include "soft/eras.h"
#include "soft/faults.h"
#include "soft/strategies/strategy.h"

// Not in the headers of glibc 2.36.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // 6.1
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1  // 5.11
#endif

namespace i915u::addon {
namespace {

struct Constant {
  const char* name;
  int64_t value;
};

#define N(name) \
  { #name, static_cast < int64_t>(name) }
constexpr Constant system_constants[] = {
    N(PROT_NONE),
    N(PROT_READ),
    N(PROT_WRITE),
    N(PROT_EXEC),
    N(MAP_SHARED),
    N(MAP_PRIVATE),
    N(MAP_FIXED),
    N(MAP_ANONYMOUS),
    N(MAP_NORESERVE),
    N(MAP_POPULATE),
    N(MAP_LOCKED),
    N(MAP_HUGETLB),
    N(MAP_FIXED_NOREPLACE),
    N(MAP_GROWSDOWN),
    N(MREMAP_MAYMOVE),
    N(MREMAP_FIXED),
    N(MREMAP_DONTUNMAP),
    N(MADV_NORMAL),
    N(MADV_RANDOM),
    N(MADV_SEQUENTIAL),
    N(MADV_WILLNEED),
    N(MADV_DONTNEED),
    N(MADV_FREE),
    N(MADV_REMOVE),
    N(MADV_DONTFORK),
    N(MADV_DOFORK),
    N(MADV_MERGEABLE),
    N(MADV_UNMERGEABLE),
    N(MADV_HUGEPAGE),
    N(MADV_NOHUGEPAGE),
    N(MADV_DONTDUMP),
    N(MADV_DODUMP),
    N(MADV_WIPEONFORK),
    N(MADV_KEEPONFORK),
    N(MADV_COLD),
    N(MADV_PAGEOUT),
    N(MADV_POPULATE_READ),
    N(MADV_POPULATE_WRITE),
    N(MADV_COLLAPSE),
    N(MADV_HWPOISON),
    N(MADV_SOFT_OFFLINE),
    N(MFD_CLOEXEC),
    N(MFD_ALLOW_SEALING),
    N(MFD_HUGETLB),
    N(FALLOC_FL_KEEP_SIZE),
    N(FALLOC_FL_PUNCH_HOLE),
    N(MPOL_MF_MOVE),
    N(MPOL_MF_MOVE_ALL),
    N(UFFD_USER_MODE_ONLY),
    N(UFFDIO_REGISTER_MODE_MISSING),
    N(UFFDIO_REGISTER_MODE_WP),
    N(UFFDIO_COPY_MODE_DONTWAKE),
    N(UFFDIO_COPY_MODE_WP),
    N(UFFDIO_ZEROPAGE_MODE_DONTWAKE),
    N(UFFDIO_WRITEPROTECT_MODE_WP),
    N(UFFDIO_WRITEPROTECT_MODE_DONTWAKE),
    N(UFFD_FEATURE_PAGEFAULT_FLAG_WP),
    N(UFFD_FEATURE_MISSING_SHMEM),
    N(UFFD_EVENT_PAGEFAULT),
    N(UFFD_FEATURE_EVENT_UNMAP),
    N(UFFD_FEATURE_EVENT_REMOVE),
    N(UFFD_EVENT_REMOVE),
    N(UFFD_EVENT_UNMAP),
    N(UFFD_PAGEFAULT_FLAG_WRITE),
    N(UFFD_PAGEFAULT_FLAG_WP),
};
#undef N

constexpr Constant gpu_constants[] = {
    {"PIPE_CONTROL_CS_STALL", gpu::pipe_control_cs_stall},
    {"PIPE_CONTROL_RENDER_TARGET_FLUSH", gpu::pipe_control_render_target_flush},
    {"PIPE_CONTROL_STALL_AT_SCOREBOARD", gpu::pipe_control_stall_at_scoreboard},
    {"SPINNER_END", gpu::spinner_end},
    {"MI_BATCH_BUFFER_END", gpu::mi::header(gpu::mi::batch_buffer_end)},
};

}  // namespace

/// Numbers. All values here are below 2^53.
Napi::Object constants(Napi::Env env) {
  Napi::Object all = Napi::Object::New(env);
  const auto add = [&](const char* name, int64_t value) {
    all.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  for (const Constant& c : system_constants) add(c.name, c.value);
  for (const Constant& c : gpu_constants) add(c.name, c.value);
  for (const auto& row : uapi::constant_table()) add(row.name, row.value);
  for (const auto& row : uapi::ioctl_table()) add(row.name, static_cast<int64_t>(row.request));
  all.Freeze();
  return all;
}

/// name -> {size, fields: {name: {offset, size}}}: for input that is wrong on purpose.
Napi::Object structs(Napi::Env env) {
  Napi::Object all = Napi::Object::New(env);
  for (const auto& row : uapi::struct_table()) {
    Napi::Object fields = Napi::Object::New(env);
    for (const auto& f : uapi::field_table())
      if (f.type == row.type || std::string(f.type) == row.type)
        fields.Set(f.field, Napi::Value(env, object_js(env, std::pair{"offset", uint32_t(f.offset)},
                                                       std::pair{"size", uint32_t(f.size)})));
    Napi::Object type = Napi::Object::New(env);
    type.Set("size", Napi::Number::New(env, static_cast<double>(row.size)));
    type.Set("fields", fields);
    all.Set(row.type, type);
  }
  return all;
}

Napi::Array soft_faults(Napi::Env env) {
  Napi::Array list = Napi::Array::New(env);
  for (const soft::FaultName* f = soft::fault_names; f->name; f++)
    list.Set(list.Length(),
             Napi::Value(env, object_js(env, std::pair{"name", std::string(f->name)},
                                        std::pair{"bit", static_cast<uint32_t>(f->bit)},
                                        std::pair{"what", std::string(f->what)})));
  return list;
}

Napi::Array soft_kernels(Napi::Env env) {
  Napi::Array list = Napi::Array::New(env);
  for (const soft::Version& v : soft::era_kernels)
    list.Set(list.Length(),
             Napi::String::New(env, std::to_string(v.major) + "." + std::to_string(v.minor)));
  return list;
}

Napi::Array soft_strategies(Napi::Env env) {
  Napi::Array list = Napi::Array::New(env);
  for (const soft::StrategyName* s = soft::strategy_names; s->name; s++)
    list.Set(list.Length(), Napi::Value(env, object_js(env, std::pair{"name", std::string(s->name)},
                                                       std::pair{"what", std::string(s->what)})));
  return list;
}

}  // namespace i915u::addon
