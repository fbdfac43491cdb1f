// SPDX-License-Identifier: MIT
// A change that is said to have been "seen" was played on 6.1, 6.12, 7.2 and 7.3, of which `since`
// is the first to show it; in which version between two of them it came does not matter here.
#include "soft/eras.h"

namespace i915u::soft {

const EraRow era_table[] = {
    {Change::long_objects,
     "long-objects",
     {6, 3},
     "i915_gem_object.h, i915_gem_userptr.c; seen",
     "an object may have more pages than an int counts; it is refused when its pages are needed"},
    {Change::set_pat_extension,
     "set-pat-extension",
     {6, 5},
     "i915_gem_create.c, ext_set_pat(); seen",
     "CREATE_EXT knows I915_GEM_CREATE_EXT_SET_PAT: ENODEV before gen12.7"},
    {Change::syncobj_eventfd,
     "syncobj-eventfd",
     {6, 6},
     "c7a472297169 (drm/syncobj: add IOCTL to register an eventfd); seen",
     "SYNCOBJ_EVENTFD"},
    {Change::no_legacy_ioctls,
     "no-legacy-ioctls",
     {6, 8},
     "drm_ioctl.c; seen",
     "the numbers of user-space mode setting are no ioctls any more: EINVAL, not EACCES"},
    {Change::closefb,
     "closefb",
     {6, 8},
     "drm_ioctl.c; seen",
     "MODE_CLOSEFB, which a render node may not use"},
    {Change::syncobj_deadline,
     "syncobj-deadline",
     {6, 8},
     "drm_syncobj.c; seen",
     "waits take a deadline, and one for no syncobj is over at once"},
    {Change::notifier_does_not_wait,
     "notifier-does-not-wait",
     {6, 9},
     "86ceaaaec597, i915_gem_userptr.c; seen; the strategy interval-nowait",
     "the notifier leaves busy pages to the next submission"},
    {Change::few_relocations,
     "few-relocations",
     {6, 12},
     "i915_gem_execbuffer.c, eb_relocate_vma(); seen",
     "2 GiB of relocations of one object are EINVAL before one is looked at"},
    {Change::partial_mmap,
     "partial-mmap",
     {6, 12},
     "i915_gem_mman.c, I915_PARAM_MMAP_GTT_VERSION 5; seen",
     "a mapping by fake offset may start within the object"},
    {Change::no_driver_date,
     "no-driver-date",
     {6, 12},
     "i915_driver.h; seen",
     "VERSION tells the date \"0\""},
    {Change::perf_revision_7,
     "perf-revision-7",
     {6, 12},
     "i915_perf.c, I915_PARAM_PERF_REVISION; seen",
     "the performance streams are of revision 7, before of 5"},
    {Change::oa_timestamp_param,
     "oa-timestamp-param",
     {6, 12},
     "i915_getparam.c; seen",
     "GETPARAM 57, the frequency of the OA unit's timestamps"},
    {Change::pxp_status_param,
     "pxp-status-param",
     {6, 12},
     "i915_getparam.c; seen",
     "GETPARAM 58, protected content: ENODEV on this GPU"},
    {Change::freq_hint_param,
     "freq-hint-param",
     {6, 12},
     "i915_getparam.c; seen",
     "GETPARAM 59, whether contexts take a frequency hint: the value -EINVAL on this GPU"},
    {Change::guc_version_query,
     "guc-version-query",
     {6, 12},
     "i915_query.c; seen",
     "QUERY 7, the version of GuC's submission interface: ENODEV on this GPU"},
    {Change::pwrite_by_iter,
     "pwrite-by-iter",
     {6, 17},
     "i915_gem_shmem.c, shmem_pwrite() by kiocb and write_iter; seen",
     "GEM_PWRITE to an object without pages from memory that ends within: EIO, not EFAULT, and all "
     "that there was of it is written, not whole pages alone"},
    {Change::client_name,
     "client-name",
     {7, 2},
     "drm_ioctl.c, DRM_IOCTL_SET_CLIENT_NAME; seen",
     "a file can be given a name of up to 64 characters"},
    {Change::sync_file_points,
     "sync-file-points",
     {7, 2},
     "drm_syncobj.c, DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_TIMELINE; seen",
     "a sync file can be made of one point of a syncobj, and become one"},
};

bool has_change(Version kernel, Change c) {
  return c == Change::always || kernel >= era_table[static_cast<int>(c) - 1].since;
}

bool parse_kernel(const std::string& text, Version* kernel) {
  for (const Version& v : era_kernels) {
    if (text != std::to_string(v.major) + "." + std::to_string(v.minor)) continue;
    *kernel = v;
    return true;
  }
  return false;
}

}  // namespace i915u::soft
