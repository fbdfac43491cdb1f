// SPDX-License-Identifier: MIT
// DRM_IOCTL_I915_QUERY (kernel: i915_query.c).
// The driver's algorithm: the two calls, first for a length and then for the data, and the checks
// of each item, whose -errno goes into its length.
// What a device before GuC and gen12.5 does not have, the hardware configuration and geometry
// subslices, it says -ENODEV to.
#include <errno.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "mem/uaccess.h"
#include "soft/engine.h"
#include "soft/file.h"
#include "soft/ioctls.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint64_t query_guc_submission_version = 7;  // after 6.1, and so not in uapi.h

// The head of the user's data, once there is room for all `total` bytes. 1, or what the item's
// length becomes.
int copy_head(const drm_i915_query_item& item, void* head, size_t head_size, size_t total) {
  if (item.length == 0) return static_cast<int>(total);
  // As the driver's comparison with a u32 has it, a negative length is a large one.
  if (static_cast<uint32_t>(item.length) < total) return -EINVAL;
  if (copy_from_user(head, item.data_ptr, head_size)) return -EFAULT;
  return 0;
}

int query_topology(const drm_i915_query_item& item) {
  // A Skylake die has up to 3 slices of 4 subslices of 8 EUs; GT2 is one slice of 3.
  struct {
    drm_i915_query_topology_info info;
    uint8_t slices;
    uint8_t subslices[3];
    uint8_t eus[3][4];
  } topo = {};
  static_assert(sizeof(topo) == 32);
  if (item.flags) return -EINVAL;
  if (int n = copy_head(item, &topo.info, sizeof(topo.info), sizeof(topo))) return n;
  topo = {{0, 3, 4, 8, sizeof(topo.slices), 1, sizeof(topo.slices) + sizeof(topo.subslices), 1},
          0x1,
          {0x7, 0, 0},
          {{0xff, 0xff, 0xff, 0}, {}, {}}};
  return copy_to_user(item.data_ptr, &topo, sizeof(topo)) ? -EFAULT
                                                          : static_cast<int>(sizeof(topo));
}

int query_engines(const drm_i915_query_item& item) {
  struct {
    drm_i915_query_engine_info head;
    drm_i915_engine_info engines[num_engines];
  } all = {};
  if (item.flags) return -EINVAL;
  if (int n = copy_head(item, &all.head, sizeof(all.head), sizeof(all))) return n;
  if (all.head.num_engines || all.head.rsvd[0] || all.head.rsvd[1] || all.head.rsvd[2])
    return -EINVAL;
  for (const EngineInfo& e : engine_info) {
    drm_i915_engine_info& info = all.engines[all.head.num_engines++];
    info.engine = {e.uabi_class, e.uabi_instance};
    info.flags = I915_ENGINE_INFO_HAS_LOGICAL_INSTANCE;
    if (e.uabi_class == I915_ENGINE_CLASS_VIDEO)
      info.capabilities =
          I915_VIDEO_CLASS_CAPABILITY_HEVC | I915_VIDEO_AND_ENHANCE_CLASS_CAPABILITY_SFC;
  }
  return copy_to_user(item.data_ptr, &all, sizeof(all)) ? -EFAULT : static_cast<int>(sizeof(all));
}

int query_memory_regions(const drm_i915_query_item& item) {
  struct {
    drm_i915_query_memory_regions head;
    drm_i915_memory_region_info system;
  } all = {};
  if (item.flags) return -EINVAL;
  if (int n = copy_head(item, &all.head, sizeof(all.head), sizeof(all))) return n;
  if (all.head.num_regions || all.head.rsvd[0] || all.head.rsvd[1] || all.head.rsvd[2])
    return -EINVAL;
  const uint64_t ram = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * 4096;
  all.head.num_regions = 1;
  all.system.region = {I915_MEMORY_CLASS_SYSTEM, 0};
  all.system.probed_size = all.system.unallocated_size = ram;
  all.system.probed_cpu_visible_size = all.system.unallocated_cpu_visible_size = ram;
  return copy_to_user(item.data_ptr, &all, sizeof(all)) ? -EFAULT : static_cast<int>(sizeof(all));
}

// No configuration was ever added: there is the driver's own, which has a number and no more.
int query_perf_configs(const drm_i915_query_item& item) {
  struct {
    drm_i915_query_perf_config head;
    uint64_t number;
  } list = {};
  uint32_t flags;
  if (item.length == 0) return sizeof(list);
  if (copy_from_user(&flags, item.data_ptr + offsetof(drm_i915_query_perf_config, flags),
                     sizeof(flags)))
    return -EFAULT;
  // As the driver's comparison with a size_t has it, a negative length is a large one.
  if (flags || static_cast<size_t>(item.length) < sizeof(list)) return -EINVAL;
  list.head.n_configs = list.number = 1;
  if (copy_to_user(item.data_ptr, &list.head.n_configs, sizeof(list.head.n_configs)) ||
      copy_to_user(item.data_ptr + sizeof(list.head), &list.number, sizeof(list.number)))
    return -EFAULT;
  return sizeof(list);
}

int query_perf_config(const drm_i915_query_item& item, bool by_uuid) {
  drm_i915_query_perf_config head;
  constexpr size_t total = sizeof(head) + sizeof(drm_i915_perf_oa_config);
  if (item.length == 0) return total;
  if (static_cast<uint32_t>(item.length) < total) return -EINVAL;
  if (copy_from_user(&head.flags, item.data_ptr + offsetof(drm_i915_query_perf_config, flags),
                     sizeof(head.flags)))
    return -EFAULT;
  if (head.flags) return -EINVAL;
  return copy_from_user(head.uuid, item.data_ptr, by_uuid ? sizeof(head.uuid) : sizeof(head.config))
             ? -EFAULT
             : -ENOENT;
}

int query_perf(const drm_i915_query_item& item) {
  switch (item.flags) {
    case DRM_I915_QUERY_PERF_CONFIG_LIST:
      return query_perf_configs(item);
    case DRM_I915_QUERY_PERF_CONFIG_DATA_FOR_UUID:
      return query_perf_config(item, true);
    case DRM_I915_QUERY_PERF_CONFIG_DATA_FOR_ID:
      return query_perf_config(item, false);
    default:
      return -EINVAL;
  }
}

int query_item(const Gpu& gpu, const drm_i915_query_item& item) {
  switch (item.query_id) {
    case DRM_I915_QUERY_TOPOLOGY_INFO:
      return query_topology(item);
    case DRM_I915_QUERY_ENGINE_INFO:
      return query_engines(item);
    case DRM_I915_QUERY_PERF_CONFIG:
      return query_perf(item);
    case DRM_I915_QUERY_MEMORY_REGIONS:
      return query_memory_regions(item);
    case DRM_I915_QUERY_HWCONFIG_BLOB:
    case DRM_I915_QUERY_GEOMETRY_SUBSLICES:
      return -ENODEV;
    case query_guc_submission_version:
      return gpu.has(Change::guc_version_query) ? -ENODEV : -EINVAL;
    default:
      return -EINVAL;
  }
}

}  // namespace

int ioctl_query(File& file, drm_i915_query& args) {
  if (args.flags) return -EINVAL;
  uint64_t at = args.items_ptr;
  for (uint32_t i = 0; i < args.num_items; i++, at += sizeof(drm_i915_query_item)) {
    drm_i915_query_item item;
    if (copy_from_user(&item, at, sizeof(item))) return -EFAULT;
    if (!item.query_id) return -EINVAL;
    const int length = query_item(file.gpu, item);
    if (length != item.length &&
        copy_to_user(at + offsetof(drm_i915_query_item, length), &length, sizeof(length)))
      return -EFAULT;
  }
  return 0;
}

}  // namespace i915u::soft
