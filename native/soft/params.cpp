// SPDX-License-Identifier: MIT
// What the device says of itself: a Skylake GT2 (0x1912) under i915 with its default module
// parameters, without GuC and HuC firmware (kernel: drm_ioctl.c, i915_getparam.c, i915_ioctl.c,
// i915_gem.c). Stubs: nothing is ever pinned in the global GTT, so all of the aperture is
// available.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "mem/uaccess.h"
#include "soft/engine.h"
#include "soft/file.h"
#include "soft/ioctls.h"

namespace i915u::soft {

using namespace uapi;

namespace {

// After 6.1, and so not in uapi.h.
constexpr int32_t param_oa_timestamp_frequency = 57, param_pxp_status = 58,
                  param_has_context_freq_hint = 59;

// kernel: drm_copy_field. The length that is told is the whole one; the text is cut to the buffer.
int copy_field(char* buf, size_t* len, const char* text) {
  const size_t n = std::min(strlen(text), *len);
  *len = strlen(text);
  return n && buf ? copy_to_user(reinterpret_cast<uint64_t>(buf), text, n) : 0;
}

}  // namespace

int ioctl_version(File& file, drm_version& args) {
  args.version_major = 1;
  args.version_minor = 6;
  args.version_patchlevel = 0;
  int err = copy_field(args.name, &args.name_len, "i915");
  if (!err)
    err = copy_field(args.date, &args.date_len,
                     file.gpu.has(Change::no_driver_date) ? "0" : "20201103");
  if (!err) err = copy_field(args.desc, &args.desc_len, "Intel Graphics");
  return err;
}

int ioctl_get_cap(File&, drm_get_cap& args) {
  args.value = 0;
  switch (args.capability) {
    case DRM_CAP_PRIME:
      args.value = DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT;
      return 0;
    case DRM_CAP_TIMESTAMP_MONOTONIC:
    case DRM_CAP_SYNCOBJ:
    case DRM_CAP_SYNCOBJ_TIMELINE:
      args.value = 1;
      return 0;
    default:
      return -EOPNOTSUPP;  // no display, and so no mode setting: drm_getcap() knows no others
  }
}

int ioctl_set_client_name(File&, set_client_name& args) {
  constexpr uint64_t max_len = 64;  // DRM_CLIENT_NAME_MAX_LEN
  if (args.name_len > max_len) return -EINVAL;
  char name[max_len];
  if (copy_from_user(name, args.name, args.name_len)) return -EFAULT;
  // The kernel's isgraph(), which knows Latin-1 too, up to 127.
  const bool good =
      std::all_of(name, name + args.name_len, [](char c) { return c > 32 && c < 127; });
  return good ? 0 : -EINVAL;
}

int ioctl_getparam(File& file, drm_i915_getparam& args) {
  const Gpu& gpu = file.gpu;
  int value;
  switch (args.param) {
    case I915_PARAM_IRQ_ACTIVE:
    case I915_PARAM_ALLOW_BATCHBUFFER:
    case I915_PARAM_LAST_DISPATCH:
    case I915_PARAM_HAS_EXEC_CONSTANTS:
      return -ENODEV;  // of user-space mode setting
    case I915_PARAM_HUC_STATUS:
      return -EOPNOTSUPP;  // its firmware is disabled by default before gen12
    case I915_PARAM_CHIPSET_ID:
      value = 0x1912;
      break;
    case I915_PARAM_REVISION:
      value = 6;
      break;
    case I915_PARAM_NUM_FENCES_AVAIL:
      value = 32;
      break;
    case I915_PARAM_HAS_ALIASING_PPGTT:
      value = I915_GEM_PPGTT_FULL;
      break;
    case I915_PARAM_CMD_PARSER_VERSION:
      value = 10;  // the copy engine's batches go through it on gen9
      break;
    case I915_PARAM_SUBSLICE_TOTAL:
      value = 3;
      break;
    case I915_PARAM_EU_TOTAL:
      value = 24;
      break;
    case I915_PARAM_HAS_GPU_RESET:
      value = 2;  // per engine
      break;
    case I915_PARAM_MMAP_GTT_VERSION:
      value = gpu.has(Change::partial_mmap) ? 5 : 4;
      break;
    case I915_PARAM_HAS_SCHEDULER:
      value = I915_SCHEDULER_CAP_ENABLED | I915_SCHEDULER_CAP_PRIORITY |
              I915_SCHEDULER_CAP_PREEMPTION | I915_SCHEDULER_CAP_SEMAPHORES |
              I915_SCHEDULER_CAP_ENGINE_BUSY_STATS;
      break;
    case I915_PARAM_SLICE_MASK:
      value = 0x1;
      break;
    case I915_PARAM_SUBSLICE_MASK:
      value = 0x7;
      break;
    case I915_PARAM_HAS_CONTEXT_ISOLATION:
      value = 1 << I915_ENGINE_CLASS_RENDER | 1 << I915_ENGINE_CLASS_COPY |
              1 << I915_ENGINE_CLASS_VIDEO | 1 << I915_ENGINE_CLASS_VIDEO_ENHANCE;
      break;
    case I915_PARAM_CS_TIMESTAMP_FREQUENCY:
      value = 12000000;
      break;
    case I915_PARAM_PERF_REVISION:
      value = gpu.has(Change::perf_revision_7) ? 7 : 5;
      break;
    case param_oa_timestamp_frequency:
      if (!gpu.has(Change::oa_timestamp_param)) return -EINVAL;
      value = 12000000;
      break;
    case param_pxp_status:
      return gpu.has(Change::pxp_status_param) ? -ENODEV : -EINVAL;
    case param_has_context_freq_hint:
      if (!gpu.has(Change::freq_hint_param)) return -EINVAL;
      value = -EINVAL;  // not without GuC
      break;
    case I915_PARAM_HAS_OVERLAY:
    case I915_PARAM_HAS_BSD2:
    case I915_PARAM_HAS_WT:
    case I915_PARAM_HAS_SECURE_BATCHES:
    case I915_PARAM_HAS_RESOURCE_STREAMER:
    case I915_PARAM_HAS_POOLED_EU:
    case I915_PARAM_MIN_EU_IN_POOL:
      value = 0;
      break;
    case I915_PARAM_HAS_GEM:
    case I915_PARAM_HAS_PAGEFLIPPING:
    case I915_PARAM_HAS_EXECBUF2:
    case I915_PARAM_HAS_BSD:
    case I915_PARAM_HAS_BLT:
    case I915_PARAM_HAS_RELAXED_FENCING:
    case I915_PARAM_HAS_COHERENT_RINGS:
    case I915_PARAM_HAS_RELAXED_DELTA:
    case I915_PARAM_HAS_GEN7_SOL_RESET:
    case I915_PARAM_HAS_LLC:
    case I915_PARAM_HAS_WAIT_TIMEOUT:
    case I915_PARAM_HAS_SEMAPHORES:
    case I915_PARAM_HAS_PRIME_VMAP_FLUSH:
    case I915_PARAM_HAS_VEBOX:
    case I915_PARAM_HAS_PINNED_BATCHES:
    case I915_PARAM_HAS_EXEC_NO_RELOC:
    case I915_PARAM_HAS_EXEC_HANDLE_LUT:
    case I915_PARAM_HAS_COHERENT_PHYS_GTT:
    case I915_PARAM_MMAP_VERSION:
    case I915_PARAM_HAS_EXEC_SOFTPIN:
    case I915_PARAM_HAS_EXEC_ASYNC:
    case I915_PARAM_HAS_EXEC_FENCE:
    case I915_PARAM_HAS_EXEC_CAPTURE:
    case I915_PARAM_HAS_EXEC_BATCH_FIRST:
    case I915_PARAM_HAS_EXEC_FENCE_ARRAY:
    case I915_PARAM_MMAP_GTT_COHERENT:
    case I915_PARAM_HAS_EXEC_SUBMIT_FENCE:
    case I915_PARAM_HAS_EXEC_TIMELINE_FENCES:
    case I915_PARAM_HAS_USERPTR_PROBE:
      value = 1;
      break;
    default:
      return -EINVAL;
  }
  return copy_to_user(reinterpret_cast<uint64_t>(args.value), &value, sizeof(value));
}

int ioctl_reg_read(File&, drm_i915_reg_read& args) {
  constexpr uint64_t render_timestamp = 0x2358;  // RING_TIMESTAMP(RENDER_RING_BASE), 8 bytes
  if ((args.offset & ~7ull) != render_timestamp) return -EINVAL;
  if ((args.offset & 7) > I915_REG_READ_8B_WA) return -EINVAL;
  args.val = Engine::timestamp();
  return 0;
}

int ioctl_gem_get_aperture(File&, drm_i915_gem_get_aperture& args) {
  args.aper_size = args.aper_available_size = 4ull << 30;
  return 0;
}

}  // namespace i915u::soft
