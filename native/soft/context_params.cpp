// SPDX-License-Identifier: MIT
// Context creation and parameters (kernel: gem/i915_gem_context.c). The order of the checks is the
// driver's; what needs hardware that Skylake GT2 lacks answers as it does there.
#include <cerrno>

#include "mem/uaccess.h"
#include "soft/context.h"
#include "soft/file.h"
#include "soft/user_extensions.h"

namespace i915u::soft {

using namespace uapi;

namespace {

using Slot = ProtoContext::Slot;

// What the extensions of an engine map work on.
struct EngineMap {
  Gpu& gpu;
  std::vector<Slot> slots;
};

int read_instance(uint64_t array, size_t n, i915_engine_class_instance* ci) {
  return copy_from_user(ci, array + n * sizeof(*ci), sizeof(*ci));
}

// kernel: set_proto_ctx_engines_balance
int engines_load_balance(uint64_t at, void* data) {
  auto& map = *static_cast<EngineMap*>(data);
  i915_context_engines_load_balance ext;
  if (copy_from_user(&ext, at, sizeof(ext))) return -EFAULT;
  if (ext.engine_index >= map.slots.size()) return -EINVAL;
  Slot& slot = map.slots[ext.engine_index];
  if (slot.type != Slot::invalid) return -EEXIST;
  if (ext.flags || ext.mbz64) return -EINVAL;
  Engine* sibling = nullptr;
  for (uint32_t n = 0; n < ext.num_siblings; n++) {
    i915_engine_class_instance ci;
    if (read_instance(at + sizeof(ext), n, &ci)) return -EFAULT;
    sibling = find_engine(map.gpu, ci);
    if (!sibling) return -EINVAL;
  }
  if (ext.num_siblings == 1) {
    slot.type = Slot::physical;
    slot.engine = sibling;
  } else if (ext.num_siblings) {
    slot.type = Slot::balanced;
  }
  return 0;
}

// kernel: set_proto_ctx_engines_bond. Checked, and without effect there too.
int engines_bond(uint64_t at, void* data) {
  auto& map = *static_cast<EngineMap*>(data);
  i915_context_engines_bond ext;
  if (copy_from_user(&ext, at, sizeof(ext))) return -EFAULT;
  if (ext.virtual_index >= map.slots.size()) return -EINVAL;
  if (map.slots[ext.virtual_index].type != Slot::physical) return -EINVAL;
  if (ext.flags || ext.mbz64[0] || ext.mbz64[1] || ext.mbz64[2] || ext.mbz64[3]) return -EINVAL;
  if (!find_engine(map.gpu, ext.master)) return -EINVAL;
  for (uint32_t n = 0; n < ext.num_bonds; n++) {
    i915_engine_class_instance ci;
    if (read_instance(at + sizeof(ext), n, &ci)) return -EFAULT;
    if (!find_engine(map.gpu, ci)) return -EINVAL;
  }
  return 0;
}

// kernel: set_proto_ctx_engines_parallel_submit. It wants neighbouring engines of one class, which
// this GPU does not have: the last check always fails.
int engines_parallel_submit(uint64_t at, void* data) {
  auto& map = *static_cast<EngineMap*>(data);
  i915_context_engines_parallel_submit ext;
  if (copy_from_user(&ext, at, sizeof(ext))) return -EFAULT;
  if (ext.num_siblings != 1) return -EINVAL;  // not with GuC submission
  if (ext.engine_index >= map.slots.size()) return -EINVAL;
  if (map.slots[ext.engine_index].type != Slot::invalid) return -EINVAL;
  if (ext.flags || ext.mbz64[0] || ext.mbz64[1] || ext.mbz64[2]) return -EINVAL;
  if (ext.width < 2) return -EINVAL;
  for (uint32_t n = 0; n < 2; n++) {
    i915_engine_class_instance ci;
    if (read_instance(at + sizeof(ext), n, &ci)) return -EFAULT;
    if (!find_engine(map.gpu, ci)) return -EINVAL;
  }
  return -EINVAL;
}

constexpr UserExtension engines_extensions[] = {
    engines_load_balance,     // I915_CONTEXT_ENGINES_EXT_LOAD_BALANCE
    engines_bond,             // I915_CONTEXT_ENGINES_EXT_BOND
    engines_parallel_submit,  // I915_CONTEXT_ENGINES_EXT_PARALLEL_SUBMIT
};

int set_engines(Context& ctx, const drm_i915_gem_context_param& args) {
  if (ctx.proto.user_engines) return -EINVAL;
  constexpr size_t head = sizeof(i915_context_param_engines);
  constexpr size_t each = sizeof(i915_engine_class_instance);
  if (args.size < head || (args.size - head) % each) return -EINVAL;
  const size_t count = (args.size - head) / each;
  if (count > I915_EXEC_RING_MASK + 1) return -EINVAL;
  EngineMap map{ctx.gpu, std::vector<Slot>(count)};
  for (size_t n = 0; n < count; n++) {
    i915_engine_class_instance ci;
    if (read_instance(args.value + head, n, &ci)) return -EFAULT;
    if (ci.engine_class == static_cast<uint16_t>(I915_ENGINE_CLASS_INVALID) &&
        ci.engine_instance == static_cast<uint16_t>(I915_ENGINE_CLASS_INVALID_NONE))
      continue;
    map.slots[n].engine = find_engine(ctx.gpu, ci);
    if (!map.slots[n].engine) return -ENOENT;
    map.slots[n].type = Slot::physical;
  }
  i915_context_param_engines user;
  if (copy_from_user(&user, args.value, sizeof(user))) return -EFAULT;
  if (int err =
          user_extensions(user.extensions, engines_extensions, std::size(engines_extensions), &map))
    return err;
  ctx.proto.slots = std::move(map.slots);
  ctx.proto.user_engines = true;
  return 0;
}

int set_vm(File& file, Context& ctx, const drm_i915_gem_context_param& args) {
  if (args.size) return -EINVAL;
  if (args.value >> 32) return -ENOENT;
  auto vm = file.vms.lookup(static_cast<uint32_t>(args.value));
  if (!vm) return -ENOENT;
  ctx.proto.vm = std::move(vm);
  return 0;
}

int set_priority(Context& ctx, const drm_i915_gem_context_param& args) {
  const auto priority = static_cast<int64_t>(args.value);
  if (args.size) return -EINVAL;
  if (priority > I915_CONTEXT_MAX_USER_PRIORITY || priority < I915_CONTEXT_MIN_USER_PRIORITY)
    return -EINVAL;
  if (priority > I915_CONTEXT_DEFAULT_PRIORITY && !capable_sys_nice()) return -EPERM;
  ctx.priority.store(static_cast<int>(priority));
  return 0;
}

int set_flag(std::atomic<bool>& flag, const drm_i915_gem_context_param& args) {
  if (args.size) return -EINVAL;
  flag.store(args.value != 0);
  return 0;
}

struct Create {
  File& file;
  Context& ctx;
};

int create_setparam(uint64_t at, void* data) {
  auto& create = *static_cast<Create*>(data);
  drm_i915_gem_context_create_ext_setparam ext;
  if (copy_from_user(&ext, at, sizeof(ext))) return -EFAULT;
  if (ext.param.ctx_id) return -EINVAL;
  return context_setparam(create.file, create.ctx, ext.param);
}

int create_clone(uint64_t, void*) {
  return -EINVAL;
}

constexpr UserExtension create_extensions[] = {
    create_setparam,  // I915_CONTEXT_CREATE_EXT_SETPARAM
    create_clone,     // I915_CONTEXT_CREATE_EXT_CLONE, withdrawn in 5.14
};

// What every engine of the GPU has: one slice of three subslices of eight EUs.
int get_sseu(Context& ctx, drm_i915_gem_context_param& args) {
  drm_i915_gem_context_param_sseu user;
  if (args.size) {
    if (args.size < sizeof(user)) return -EINVAL;
    if (copy_from_user(&user, args.value, sizeof(user))) return -EFAULT;
    if (user.rsvd || user.flags & ~I915_CONTEXT_SSEU_FLAG_ENGINE_INDEX) return -EINVAL;
    const bool by_index = user.flags & I915_CONTEXT_SSEU_FLAG_ENGINE_INDEX;
    if (by_index != ctx.user_engines) return -EINVAL;
    if (by_index) {
      const uint16_t i = user.engine.engine_instance;
      if (i >= ctx.engines.size() || !ctx.engines[i]) return -EINVAL;
    } else if (!find_engine(ctx.gpu, user.engine)) {
      return -EINVAL;
    }
    user.slice_mask = 1;
    user.subslice_mask = 7;
    user.min_eus_per_subslice = user.max_eus_per_subslice = 8;
    if (copy_to_user(args.value, &user, sizeof(user))) return -EFAULT;
  }
  args.size = sizeof(user);
  return 0;
}

}  // namespace

int context_setparam(File& file, Context& ctx, drm_i915_gem_context_param& args) {
  switch (args.param) {
    case I915_CONTEXT_PARAM_NO_ERROR_CAPTURE:
      return set_flag(ctx.no_error_capture, args);
    case I915_CONTEXT_PARAM_BANNABLE:
      if (!args.size && !args.value && !capable_sys_admin()) return -EPERM;
      return set_flag(ctx.bannable, args);
    case I915_CONTEXT_PARAM_RECOVERABLE:
      return set_flag(ctx.recoverable, args);
    case I915_CONTEXT_PARAM_PRIORITY:
      return set_priority(ctx, args);
    case I915_CONTEXT_PARAM_SSEU:
      // Configurable on generation 11 alone.
      return args.size < sizeof(drm_i915_gem_context_param_sseu) ? -EINVAL : -ENODEV;
    case I915_CONTEXT_PARAM_PERSISTENCE:
      return set_flag(ctx.persistent, args);
    case I915_CONTEXT_PARAM_VM:
      return ctx.finalized() ? -EINVAL : set_vm(file, ctx, args);
    case I915_CONTEXT_PARAM_ENGINES:
      return ctx.finalized() ? -EINVAL : set_engines(ctx, args);
    case I915_CONTEXT_PARAM_PROTECTED_CONTENT:
      // No PXP before generation 12.
      return ctx.finalized() ? -EINVAL : args.value ? -ENODEV : 0;
    default:  // NO_ZEROMAP, BAN_PERIOD, RINGSIZE, GTT_SIZE
      return -EINVAL;
  }
}

int ioctl_context_create(File& file, drm_i915_gem_context_create_ext& args) {
  if (args.flags & I915_CONTEXT_CREATE_FLAGS_UNKNOWN) return -EINVAL;
  if (file.contexts.client->banned()) return -EIO;
  auto ctx = std::make_shared<Context>(file.gpu, file.contexts.client);
  ctx->proto.single_timeline = args.flags & I915_CONTEXT_CREATE_FLAGS_SINGLE_TIMELINE;
  if (args.flags & I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS) {
    Create create{file, *ctx};
    if (int err = user_extensions(args.extensions, create_extensions, std::size(create_extensions),
                                  &create))
      return err;
  }
  args.ctx_id = file.contexts.add(std::move(ctx));
  return 0;
}

int ioctl_context_setparam(File& file, drm_i915_gem_context_param& args) {
  return file.contexts.setparam(file, args);
}

int ioctl_context_getparam(File& file, drm_i915_gem_context_param& args) {
  int err;
  auto ctx = file.contexts.lookup(args.ctx_id, &err);
  if (!ctx) return err;
  uint64_t value = 0;
  switch (args.param) {
    case I915_CONTEXT_PARAM_GTT_SIZE:
      value = Vm::total;
      break;
    case I915_CONTEXT_PARAM_NO_ERROR_CAPTURE:
      value = ctx->no_error_capture;
      break;
    case I915_CONTEXT_PARAM_BANNABLE:
      value = ctx->bannable;
      break;
    case I915_CONTEXT_PARAM_RECOVERABLE:
      value = ctx->recoverable;
      break;
    case I915_CONTEXT_PARAM_PRIORITY:
      value = static_cast<uint64_t>(int64_t{ctx->priority});
      break;
    case I915_CONTEXT_PARAM_SSEU:
      return get_sseu(*ctx, args);
    case I915_CONTEXT_PARAM_VM:
      value = file.vms.add(ctx->vm);
      break;
    case I915_CONTEXT_PARAM_PERSISTENCE:
      value = ctx->persistent;
      break;
    case I915_CONTEXT_PARAM_PROTECTED_CONTENT:
      break;
    default:  // NO_ZEROMAP, BAN_PERIOD, ENGINES, RINGSIZE
      return -EINVAL;
  }
  args.size = 0;
  args.value = value;
  return 0;
}

}  // namespace i915u::soft
