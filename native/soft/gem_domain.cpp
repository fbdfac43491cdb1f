// SPDX-License-Identifier: MIT
// What user space says of an object's use: domains, caching, tiling, madvise (kernel:
// i915_gem_domain.c, i915_gem_tiling.c, i915_gem.c).
// The driver's algorithm: checks and their order, what is waited for, what userptr objects may.
// Stubs: caches are always coherent, so domains and caching change nothing but their answers. There
// are no fence registers: tiling is kept and read back; nothing goes through a detiling aperture.
#include <errno.h>

#include "soft/device_impl.h"
#include "soft/file.h"
#include "soft/gem_object.h"
#include "soft/ioctls.h"
#include "soft/strategies/strategy.h"
#include "soft/userptr.h"
#include "sync/clock.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint32_t gpu_domains = I915_GEM_DOMAIN_RENDER | I915_GEM_DOMAIN_SAMPLER |
                                 I915_GEM_DOMAIN_COMMAND | I915_GEM_DOMAIN_INSTRUCTION |
                                 I915_GEM_DOMAIN_VERTEX;
constexpr uint32_t tiling_mask = 3;

// i915_gem_object_userptr_validate: are the pages to be had? Mesa asks through SET_DOMAIN.
int userptr_validate(UserptrObject& obj) {
  if (int err = obj.dev.strategy().submit_init(obj)) return err;
  int err = 0;
  sync::Guard g(obj.lock);
  return obj.get_pages(&err) ? 0 : err;
}

bool tiling_ok(uint32_t tiling, uint32_t stride) {
  if (tiling == I915_TILING_NONE) return true;
  if (tiling > I915_TILING_LAST) return false;
  if (stride / 128 > 0x800) return false;  // GEN7_FENCE_MAX_PITCH_VAL
  const uint32_t tile_width = tiling == I915_TILING_Y ? 128 : 512;
  return stride && stride % tile_width == 0;
}

}  // namespace

int ioctl_gem_set_domain(File& file, drm_i915_gem_set_domain& args) {
  if ((args.write_domain | args.read_domains) & gpu_domains) return -EINVAL;
  if (args.write_domain && args.read_domains != args.write_domain) return -EINVAL;
  if (!args.read_domains) return 0;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  const bool all = args.write_domain;
  if (int err = obj->wait(all, sync::forever)) return err;
  if (obj->is_userptr()) {
    if (int err = userptr_validate(static_cast<UserptrObject&>(*obj))) return err;
    return obj->wait(all, sync::forever);
  }
  {
    int err = 0;
    sync::Guard g(obj->lock);
    if (!to_gem(*obj)->pin_pages(&err)) return err;
  }
  // Again, for what was submitted since.
  return obj->wait(all, sync::forever);
}

int ioctl_gem_sw_finish(File& file, drm_i915_gem_sw_finish& args) {
  return file.lookup(args.handle) ? 0 : -ENOENT;
}

int ioctl_gem_set_caching(File& file, drm_i915_gem_caching& args) {
  if (args.caching > I915_CACHING_DISPLAY) return -EINVAL;
  // Without eDRAM there is no write-through: what the display scans out is not cached.
  const uint32_t level = args.caching == I915_CACHING_DISPLAY ? I915_CACHING_NONE : args.caching;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  GemObject* gem = to_gem(*obj);
  if (!gem) return args.caching == I915_CACHING_CACHED ? 0 : -ENXIO;
  sync::Guard g(obj->lock);
  if (gem->caching == level) return 0;
  gem->caching = level;
  return obj->unbind();
}

int ioctl_gem_get_caching(File& file, drm_i915_gem_caching& args) {
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  const GemObject* gem = to_gem(*obj);
  args.caching = gem ? gem->caching.load() : I915_CACHING_CACHED;
  return 0;
}

int ioctl_gem_set_tiling(File& file, drm_i915_gem_set_tiling& args) {
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  GemObject* gem = to_gem(*obj);
  if (!gem) return -ENXIO;
  if (!tiling_ok(args.tiling_mode, args.stride)) return -EINVAL;
  if (args.tiling_mode == I915_TILING_NONE) args.stride = 0;
  args.swizzle_mode = I915_BIT_6_SWIZZLE_NONE;  // none from gen8 on
  gem->tiling_and_stride = args.tiling_mode | args.stride;
  return 0;
}

int ioctl_gem_get_tiling(File& file, drm_i915_gem_get_tiling& args) {
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  const GemObject* gem = to_gem(*obj);
  args.tiling_mode = gem ? gem->tiling_and_stride & tiling_mask : I915_TILING_NONE;
  args.swizzle_mode = args.phys_swizzle_mode = I915_BIT_6_SWIZZLE_NONE;
  return 0;
}

int ioctl_gem_madvise(File& file, drm_i915_gem_madvise& args) {
  if (args.madv > I915_MADV_DONTNEED) return -EINVAL;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  sync::Guard g(obj->lock);
  if (obj->madv != Object::purged) obj->madv = args.madv;
  // What has no pages is not worth keeping for the shrinker. (Userptr has nothing to truncate.)
  GemObject* gem = to_gem(*obj);
  if (gem && gem->madv == I915_MADV_DONTNEED && !gem->has_pages) gem->purge();
  args.retained = obj->madv != Object::purged;
  return 0;
}

}  // namespace i915u::soft
