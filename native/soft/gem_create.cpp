// SPDX-License-Identifier: MIT
// The driver's algorithm: sizes, the extensions of CREATE_EXT and the order of their checks.
// Stubs: protected content is what a GPU without PXP says of it.
#include <errno.h>

#include <climits>

#include "mem/uaccess.h"
#include "soft/device_impl.h"
#include "soft/file.h"
#include "soft/gem_object.h"
#include "soft/ioctls.h"
#include "soft/user_extensions.h"
#include "soft/userptr.h"

namespace i915u::soft {

using namespace uapi;

namespace {

// How many intel_region_ids there are: the driver's bound of num_regions.
constexpr uint32_t max_regions = 7;

struct CreateExt {
  bool placed = false;
};

int set_placements(uint64_t ext, void* data) {
  drm_i915_gem_create_ext_memory_regions args;
  if (copy_from_user(&args, ext, sizeof(args))) return -EFAULT;
  if (args.pad || !args.num_regions || args.num_regions > max_regions) return -EINVAL;
  for (uint32_t i = 0; i < args.num_regions; i++) {
    drm_i915_gem_memory_class_instance region;
    if (copy_from_user(&region, args.regions + i * sizeof(region), sizeof(region))) return -EFAULT;
    // System memory is all there is, and it may be named once.
    if (i || region.memory_class != I915_MEMORY_CLASS_SYSTEM || region.memory_instance)
      return -EINVAL;
  }
  bool& placed = static_cast<CreateExt*>(data)->placed;
  if (placed) return -EINVAL;
  placed = true;
  return 0;
}

int set_protected(uint64_t ext, void*) {
  drm_i915_gem_create_ext_protected_content args;
  if (copy_from_user(&args, ext, sizeof(args))) return -EFAULT;
  return args.flags ? -EINVAL : -ENODEV;
}

// Refused before it is read.
int set_pat(uint64_t, void*) {
  return -ENODEV;
}

constexpr UserExtension create_extensions[] = {set_placements, set_protected, set_pat};

int create(File& file, uint64_t* size, uint32_t* handle) {
  const uint64_t rounded = (*size + 4095) & ~4095ull;
  if (!rounded) return -EINVAL;
  constexpr uint64_t max_file = INT64_MAX;  // MAX_LFS_FILESIZE
  if (file.gpu.has(Change::long_objects) ? rounded > max_file : rounded >> 12 > INT_MAX)
    return -E2BIG;
  if (int err = file.add_handle(std::make_shared<GemObject>(file.dev, rounded), handle)) return err;
  *size = rounded;
  return 0;
}

}  // namespace

int ioctl_gem_create(File& file, drm_i915_gem_create& args) {
  return create(file, &args.size, &args.handle);
}

int ioctl_gem_create_ext(File& file, drm_i915_gem_create_ext& args) {
  if (args.flags & ~I915_GEM_CREATE_EXT_FLAG_NEEDS_CPU_ACCESS) return -EINVAL;
  CreateExt ext;
  if (int err = user_extensions(args.extensions, create_extensions,
                                file.gpu.has(Change::set_pat_extension) ? 3 : 2, &ext))
    return err;
  // It needs a second placement to mean anything.
  if (args.flags & I915_GEM_CREATE_EXT_FLAG_NEEDS_CPU_ACCESS) return -EINVAL;
  return create(file, &args.size, &args.handle);
}

int ioctl_gem_userptr(File& file, drm_i915_gem_userptr& args) {
  std::shared_ptr<UserptrObject> obj;
  if (int err = userptr_create(file.dev, args.user_ptr, args.user_size, args.flags, &obj))
    return err;
  return file.add_handle(std::move(obj), &args.handle);
}

int ioctl_gem_close(File& file, drm_gem_close& args) {
  const int err = file.close_handle(args.handle);
  return err && file.gpu.fault(fault_wrong_errno) ? -ENOENT : err;
}

}  // namespace i915u::soft
