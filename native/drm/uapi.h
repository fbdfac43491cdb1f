// SPDX-License-Identifier: MIT
// The DRM and i915 uAPI that is used here, as of kernel 6.1: a machine without libdrm-dev has no
// i915_drm.h. Names, layouts and values are the kernel's; test/uapi_test.cpp compares each of them
// with the system's header where there is one.
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <cstdint>

namespace i915u::uapi {

#define C(type, name, value) inline constexpr type name = value;
#include "drm/uapi_constants.inc"
#undef C

// The head of every extension struct; chained by next_extension, 0 ends the chain.
struct i915_user_extension {
  uint64_t next_extension;
  uint32_t name;
  uint32_t flags;
  uint32_t rsvd[4];
};

struct i915_engine_class_instance {
  uint16_t engine_class;
  uint16_t engine_instance;
};

// ---- DRM core

struct drm_version {
  int version_major;
  int version_minor;
  int version_patchlevel;
  size_t name_len;
  char* name;
  size_t date_len;
  char* date;
  size_t desc_len;
  char* desc;
};

struct drm_get_cap {
  uint64_t capability;
  uint64_t value;
};

struct drm_gem_close {
  uint32_t handle;
  uint32_t pad;
};

struct drm_prime_handle {
  uint32_t handle;
  uint32_t flags;
  int32_t fd;
};

struct drm_syncobj_create {
  uint32_t handle;
  uint32_t flags;
};

struct drm_syncobj_destroy {
  uint32_t handle;
  uint32_t pad;
};

struct drm_syncobj_handle {
  uint32_t handle;
  uint32_t flags;
  int32_t fd;
  uint32_t pad;
};

struct drm_syncobj_transfer {
  uint32_t src_handle;
  uint32_t dst_handle;
  uint64_t src_point;
  uint64_t dst_point;
  uint32_t flags;
  uint32_t pad;
};

// Later kernels append deadline_nsec to this and the next; the size in the ioctl tells.
struct drm_syncobj_wait {
  uint64_t handles;
  int64_t timeout_nsec;  // absolute, CLOCK_MONOTONIC
  uint32_t count_handles;
  uint32_t flags;
  uint32_t first_signaled;
  uint32_t pad;
};

struct drm_syncobj_timeline_wait {
  uint64_t handles;
  uint64_t points;
  int64_t timeout_nsec;
  uint32_t count_handles;
  uint32_t flags;
  uint32_t first_signaled;
  uint32_t pad;
};

struct drm_syncobj_array {
  uint64_t handles;
  uint32_t count_handles;
  uint32_t pad;
};

struct drm_syncobj_timeline_array {
  uint64_t handles;
  uint64_t points;
  uint32_t count_handles;
  uint32_t flags;
};

// ---- parameters and queries

struct drm_i915_getparam {
  int32_t param;
  int* value;
};

struct drm_i915_setparam {
  int param;
  int value;
};

struct drm_i915_query_item {
  uint64_t query_id;
  int32_t length;  // in: 0 asks for the length; out: the length or -errno
  uint32_t flags;
  uint64_t data_ptr;
};

struct drm_i915_query {
  uint32_t num_items;
  uint32_t flags;
  uint64_t items_ptr;
};

struct drm_i915_query_topology_info {
  uint16_t flags;
  uint16_t max_slices;
  uint16_t max_subslices;
  uint16_t max_eus_per_subslice;
  uint16_t subslice_offset;
  uint16_t subslice_stride;
  uint16_t eu_offset;
  uint16_t eu_stride;
  // then the masks: slices from 0, subslices and EUs from their offsets
};

struct drm_i915_engine_info {
  i915_engine_class_instance engine;
  uint32_t rsvd0;
  uint64_t flags;
  uint64_t capabilities;
  uint16_t logical_instance;
  uint16_t rsvd1[3];
  uint64_t rsvd2[3];
};

struct drm_i915_query_engine_info {
  uint32_t num_engines;
  uint32_t rsvd[3];
  // then num_engines drm_i915_engine_info
};

struct drm_i915_gem_memory_class_instance {
  uint16_t memory_class;
  uint16_t memory_instance;
};

struct drm_i915_memory_region_info {
  drm_i915_gem_memory_class_instance region;
  uint32_t rsvd0;
  uint64_t probed_size;
  uint64_t unallocated_size;  // -1 for a caller without CAP_PERFMON
  union {
    uint64_t rsvd1[8];
    struct {
      uint64_t probed_cpu_visible_size;
      uint64_t unallocated_cpu_visible_size;
    };
  };
};

struct drm_i915_query_memory_regions {
  uint32_t num_regions;
  uint32_t rsvd[3];
  // then num_regions drm_i915_memory_region_info
};

struct drm_i915_query_perf_config {
  union {
    uint64_t n_configs;
    uint64_t config;
    char uuid[36];
  };
  uint32_t flags;
  // then the configurations' numbers, or the configuration
};

struct drm_i915_perf_oa_config {
  char uuid[36];
  uint32_t n_mux_regs;
  uint32_t n_boolean_regs;
  uint32_t n_flex_regs;
  uint64_t mux_regs_ptr;
  uint64_t boolean_regs_ptr;
  uint64_t flex_regs_ptr;
};

// 6.9
struct drm_i915_query_guc_submission_version {
  uint32_t branch;
  uint32_t major;
  uint32_t minor;
  uint32_t patch;
};

struct drm_i915_reg_read {
  uint64_t offset;
  uint64_t val;
};

struct drm_i915_perf_open_param {
  uint32_t flags;
  uint32_t num_properties;
  uint64_t properties_ptr;
};

// ---- GEM objects

struct drm_i915_gem_create {
  uint64_t size;
  uint32_t handle;
  uint32_t pad;
};

struct drm_i915_gem_create_ext {
  uint64_t size;
  uint32_t handle;
  uint32_t flags;
  uint64_t extensions;
};

struct drm_i915_gem_create_ext_memory_regions {
  i915_user_extension base;
  uint32_t pad;
  uint32_t num_regions;
  uint64_t regions;
};

struct drm_i915_gem_create_ext_protected_content {
  i915_user_extension base;
  uint32_t flags;
};

// 6.5
struct drm_i915_gem_create_ext_set_pat {
  i915_user_extension base;
  uint32_t pat_index;
  uint32_t rsvd;
};

struct drm_i915_gem_userptr {
  uint64_t user_ptr;
  uint64_t user_size;
  uint32_t flags;
  uint32_t handle;
};

struct drm_i915_gem_mmap {
  uint32_t handle;
  uint32_t pad;
  uint64_t offset;
  uint64_t size;
  uint64_t addr_ptr;
  uint64_t flags;
};

struct drm_i915_gem_mmap_gtt {
  uint32_t handle;
  uint32_t pad;
  uint64_t offset;
};

struct drm_i915_gem_mmap_offset {
  uint32_t handle;
  uint32_t pad;
  uint64_t offset;
  uint64_t flags;
  uint64_t extensions;
};

struct drm_i915_gem_pread {
  uint32_t handle;
  uint32_t pad;
  uint64_t offset;
  uint64_t size;
  uint64_t data_ptr;
};

struct drm_i915_gem_pwrite {
  uint32_t handle;
  uint32_t pad;
  uint64_t offset;
  uint64_t size;
  uint64_t data_ptr;
};

struct drm_i915_gem_set_domain {
  uint32_t handle;
  uint32_t read_domains;
  uint32_t write_domain;
};

struct drm_i915_gem_sw_finish {
  uint32_t handle;
};

struct drm_i915_gem_busy {
  uint32_t handle;
  uint32_t busy;  // 31:16 readers, a bit per engine class; 15:0 the writer's class + 1
};

struct drm_i915_gem_wait {
  uint32_t bo_handle;
  uint32_t flags;
  int64_t timeout_ns;  // negative: for ever; out: what is left
};

struct drm_i915_gem_madvise {
  uint32_t handle;
  uint32_t madv;
  uint32_t retained;
};

struct drm_i915_gem_caching {
  uint32_t handle;
  uint32_t caching;
};

struct drm_i915_gem_set_tiling {
  uint32_t handle;
  uint32_t tiling_mode;
  uint32_t stride;
  uint32_t swizzle_mode;
};

struct drm_i915_gem_get_tiling {
  uint32_t handle;
  uint32_t tiling_mode;
  uint32_t swizzle_mode;
  uint32_t phys_swizzle_mode;
};

struct drm_i915_gem_get_aperture {
  uint64_t aper_size;
  uint64_t aper_available_size;
};

// ---- execbuf

struct drm_i915_gem_relocation_entry {
  uint32_t target_handle;
  uint32_t delta;
  uint64_t offset;
  uint64_t presumed_offset;
  uint32_t read_domains;
  uint32_t write_domain;
};

struct drm_i915_gem_exec_object2 {
  uint32_t handle;
  uint32_t relocation_count;
  uint64_t relocs_ptr;
  uint64_t alignment;
  uint64_t offset;
  uint64_t flags;
  union {
    uint64_t rsvd1;
    uint64_t pad_to_size;
  };
  uint64_t rsvd2;
};

struct drm_i915_gem_exec_fence {
  uint32_t handle;
  uint32_t flags;
};

struct drm_i915_gem_execbuffer_ext_timeline_fences {
  i915_user_extension base;
  uint64_t fence_count;
  uint64_t handles_ptr;
  uint64_t values_ptr;
};

struct drm_i915_gem_execbuffer2 {
  uint64_t buffers_ptr;
  uint32_t buffer_count;
  uint32_t batch_start_offset;
  uint32_t batch_len;
  uint32_t DR1;
  uint32_t DR4;
  uint32_t num_cliprects;  // with FENCE_ARRAY: how many fences
  uint64_t cliprects_ptr;  // with FENCE_ARRAY: the fences; with USE_EXTENSIONS: the chain
  uint64_t flags;
  uint64_t rsvd1;  // 31:0 the context
  uint64_t rsvd2;  // 31:0 the fd of FENCE_IN or FENCE_SUBMIT; out, 63:32: that of FENCE_OUT
};

// ---- contexts and address spaces

struct drm_i915_gem_context_create {
  uint32_t ctx_id;
  uint32_t pad;
};

struct drm_i915_gem_context_create_ext {
  uint32_t ctx_id;
  uint32_t flags;
  uint64_t extensions;
};

struct drm_i915_gem_context_destroy {
  uint32_t ctx_id;
  uint32_t pad;
};

struct drm_i915_gem_context_param {
  uint32_t ctx_id;
  uint32_t size;
  uint64_t param;
  uint64_t value;
};

struct drm_i915_gem_context_create_ext_setparam {
  i915_user_extension base;
  drm_i915_gem_context_param param;
};

struct drm_i915_gem_context_param_sseu {
  i915_engine_class_instance engine;
  uint32_t flags;
  uint64_t slice_mask;
  uint64_t subslice_mask;
  uint16_t min_eus_per_subslice;
  uint16_t max_eus_per_subslice;
  uint32_t rsvd;
};

// These four are followed by an array of i915_engine_class_instance.
struct [[gnu::packed]] i915_context_param_engines {
  uint64_t extensions;
};

struct [[gnu::packed]] i915_context_engines_load_balance {
  i915_user_extension base;
  uint16_t engine_index;
  uint16_t num_siblings;
  uint32_t flags;
  uint64_t mbz64;
};

struct [[gnu::packed]] i915_context_engines_bond {
  i915_user_extension base;
  i915_engine_class_instance master;
  uint16_t virtual_index;
  uint16_t num_bonds;
  uint64_t flags;
  uint64_t mbz64[4];
};

struct [[gnu::packed]] i915_context_engines_parallel_submit {
  i915_user_extension base;
  uint16_t engine_index;
  uint16_t width;
  uint16_t num_siblings;
  uint16_t mbz16;
  uint64_t flags;
  uint64_t mbz64[3];
};

struct drm_i915_reset_stats {
  uint32_t ctx_id;
  uint32_t flags;
  uint32_t reset_count;  // 0 without CAP_SYS_ADMIN
  uint32_t batch_active;
  uint32_t batch_pending;
  uint32_t pad;
};

struct drm_i915_gem_vm_control {
  uint64_t extensions;
  uint32_t flags;
  uint32_t vm_id;
};

// asm-generic/ioctl.h as constant expressions: dir 31:30, size 29:16, type 15:8, nr 7:0.
enum class Dir : unsigned long { none = 0, W = 1, R = 2, RW = 3 };
constexpr unsigned long drm_ioc(Dir dir, unsigned nr, size_t size) {
  return static_cast<unsigned long>(dir) << 30 | size << 16 | 'd' << 8 | nr;
}
constexpr unsigned ioc_nr(unsigned long request) {
  return request & 0xff;
}
constexpr unsigned ioc_type(unsigned long request) {
  return request >> 8 & 0xff;
}
constexpr size_t ioc_size(unsigned long request) {
  return request >> 16 & 0x3fff;
}
constexpr Dir ioc_dir(unsigned long request) {
  return static_cast<Dir>(request >> 30 & 3);
}

#define I(name, dir, nr, arg) \
  inline constexpr unsigned long name = drm_ioc(Dir::dir, nr, sizeof(arg));
#define I0(name, nr) inline constexpr unsigned long name = drm_ioc(Dir::none, nr, 0);
#include "drm/uapi_ioctls.inc"
#undef I
#undef I0

// The sizes that the ioctl numbers depend on.
static_assert(sizeof(drm_version) == 64);
static_assert(sizeof(drm_i915_getparam) == 16);
static_assert(sizeof(drm_i915_gem_userptr) == 24);
static_assert(sizeof(drm_i915_gem_execbuffer2) == 64);
static_assert(sizeof(drm_i915_gem_exec_object2) == 56);
static_assert(sizeof(drm_i915_gem_relocation_entry) == 32);
static_assert(sizeof(drm_i915_gem_mmap_offset) == 32);
static_assert(sizeof(drm_i915_gem_create_ext) == 24);
static_assert(sizeof(drm_i915_gem_context_param) == 24);
static_assert(sizeof(drm_i915_gem_context_create_ext_setparam) == 56);
static_assert(sizeof(drm_i915_query_item) == 24);
static_assert(sizeof(drm_i915_engine_info) == 56);
static_assert(sizeof(drm_i915_memory_region_info) == 88);
static_assert(sizeof(i915_user_extension) == 32);

}  // namespace i915u::uapi
