/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * i915_drm.h: the kernel's installed headers, else libdrm's, else the few structs and numbers that
 * are used here, as include/uapi/drm/{drm,i915_drm}.h of kernel 6.1 has them.
 */
#ifndef I915_UAPI_LOCAL_H
#define I915_UAPI_LOCAL_H

#if __has_include(<drm/i915_drm.h>) && !defined(I915_UAPI_FORCE_LOCAL)
#include <drm/i915_drm.h>
#elif __has_include(<libdrm/i915_drm.h>) && !defined(I915_UAPI_FORCE_LOCAL)
/* libdrm's i915_drm.h includes "drm.h", which stands beside it. */
#include <libdrm/i915_drm.h>
#else

#include <linux/types.h>
#include <stddef.h>
#include <sys/ioctl.h>

struct drm_version {
	int version_major, version_minor, version_patchlevel;
	size_t name_len;
	char *name;
	size_t date_len;
	char *date;
	size_t desc_len;
	char *desc;
};

struct drm_gem_close {
	__u32 handle, pad;
};

struct drm_i915_getparam {
	__s32 param;
	int *value;
};

struct drm_i915_gem_create {
	__u64 size;
	__u32 handle, pad;
};

struct drm_i915_gem_pwrite {
	__u32 handle, pad;
	__u64 offset, size, data_ptr;
};

struct drm_i915_gem_pread {
	__u32 handle, pad;
	__u64 offset, size, data_ptr;
};

struct drm_i915_gem_mmap {
	__u32 handle, pad;
	__u64 offset, size, addr_ptr, flags;
};

struct drm_i915_gem_mmap_offset {
	__u32 handle, pad;
	__u64 offset, flags, extensions;
};

struct drm_prime_handle {
	__u32 handle, flags;
	__s32 fd;
};

struct drm_i915_gem_set_domain {
	__u32 handle, read_domains, write_domain;
};

struct drm_i915_gem_busy {
	__u32 handle, busy;
};

struct drm_i915_gem_madvise {
	__u32 handle, madv, retained;
};

struct drm_i915_gem_caching {
	__u32 handle, caching;
};

struct drm_i915_gem_set_tiling {
	__u32 handle, tiling_mode, stride, swizzle_mode;
};

struct drm_i915_gem_get_tiling {
	__u32 handle, tiling_mode, swizzle_mode, phys_swizzle_mode;
};

struct drm_i915_gem_relocation_entry {
	__u32 target_handle, delta;
	__u64 offset, presumed_offset;
	__u32 read_domains, write_domain;
};

struct drm_i915_gem_exec_object2 {
	__u32 handle, relocation_count;
	__u64 relocs_ptr, alignment, offset, flags, rsvd1, rsvd2;
};

struct drm_i915_gem_execbuffer2 {
	__u64 buffers_ptr;
	__u32 buffer_count, batch_start_offset, batch_len, DR1, DR4, num_cliprects;
	__u64 cliprects_ptr, flags, rsvd1, rsvd2;
};

struct drm_i915_gem_wait {
	__u32 bo_handle, flags;
	__s64 timeout_ns;
};

struct drm_i915_gem_context_param {
	__u32 ctx_id, size;
	__u64 param, value;
};

struct drm_i915_gem_userptr {
	__u64 user_ptr, user_size;
	__u32 flags, handle;
};

#define DRM_IOCTL_VERSION _IOWR('d', 0x00, struct drm_version)
#define DRM_IOCTL_GEM_CLOSE _IOW('d', 0x09, struct drm_gem_close)
#define DRM_IOCTL_I915_GETPARAM _IOWR('d', 0x46, struct drm_i915_getparam)
#define DRM_IOCTL_I915_GEM_CREATE _IOWR('d', 0x5b, struct drm_i915_gem_create)
#define DRM_IOCTL_I915_GEM_PWRITE _IOW('d', 0x5d, struct drm_i915_gem_pwrite)
#define DRM_IOCTL_PRIME_HANDLE_TO_FD _IOWR('d', 0x2d, struct drm_prime_handle)
#define DRM_IOCTL_I915_GEM_BUSY _IOWR('d', 0x57, struct drm_i915_gem_busy)
#define DRM_IOCTL_I915_GEM_PREAD _IOW('d', 0x5c, struct drm_i915_gem_pread)
#define DRM_IOCTL_I915_GEM_MMAP _IOWR('d', 0x5e, struct drm_i915_gem_mmap)
#define DRM_IOCTL_I915_GEM_SET_DOMAIN _IOW('d', 0x5f, struct drm_i915_gem_set_domain)
#define DRM_IOCTL_I915_GEM_SET_TILING _IOWR('d', 0x61, struct drm_i915_gem_set_tiling)
#define DRM_IOCTL_I915_GEM_GET_TILING _IOWR('d', 0x62, struct drm_i915_gem_get_tiling)
#define DRM_IOCTL_I915_GEM_MADVISE _IOWR('d', 0x66, struct drm_i915_gem_madvise)
#define DRM_IOCTL_I915_GEM_SET_CACHING _IOW('d', 0x6f, struct drm_i915_gem_caching)
#define DRM_IOCTL_I915_GEM_GET_CACHING _IOWR('d', 0x70, struct drm_i915_gem_caching)
#define DRM_IOCTL_I915_GEM_MMAP_OFFSET _IOWR('d', 0x64, struct drm_i915_gem_mmap_offset)
#define DRM_IOCTL_I915_GEM_EXECBUFFER2 _IOW('d', 0x69, struct drm_i915_gem_execbuffer2)
#define DRM_IOCTL_I915_GEM_WAIT _IOWR('d', 0x6c, struct drm_i915_gem_wait)
#define DRM_IOCTL_I915_GEM_USERPTR _IOWR('d', 0x73, struct drm_i915_gem_userptr)
#define DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM _IOWR('d', 0x74, struct drm_i915_gem_context_param)

#define DRM_CLOEXEC 02000000
#define I915_PARAM_CHIPSET_ID 4
#define I915_PARAM_HAS_BLT 11
#define I915_CONTEXT_PARAM_GTT_SIZE 0x3
#define I915_MMAP_OFFSET_GTT 0
#define I915_MMAP_OFFSET_WC 1
#define I915_MMAP_OFFSET_WB 2
#define I915_MMAP_OFFSET_UC 3
#define I915_EXEC_DEFAULT 0
#define I915_EXEC_RENDER 1
#define I915_EXEC_BLT 3
#define I915_EXEC_SECURE (1 << 9)
#define I915_EXEC_NO_RELOC (1 << 11)
#define I915_GEM_DOMAIN_CPU 0x1
#define I915_GEM_DOMAIN_RENDER 0x2
#define I915_GEM_DOMAIN_GTT 0x40
#define I915_CACHING_NONE 0
#define I915_CACHING_CACHED 1
#define I915_TILING_NONE 0
#define I915_TILING_X 1
#define I915_MADV_WILLNEED 0
#define I915_MADV_DONTNEED 1
#define EXEC_OBJECT_WRITE (1 << 2)
#define EXEC_OBJECT_SUPPORTS_48B_ADDRESS (1 << 3)
#define EXEC_OBJECT_PINNED (1 << 4)
#define I915_USERPTR_READ_ONLY 0x1
#define I915_USERPTR_UNSYNCHRONIZED 0x80000000

#endif

/* include/uapi/drm/i915_drm.h since 5.14. */
#ifndef I915_MMAP_OFFSET_FIXED
#define I915_MMAP_OFFSET_FIXED 4
#endif

/* The same, since 5.15. */
#ifndef I915_USERPTR_PROBE
#define I915_USERPTR_PROBE 0x2
#endif
#ifndef I915_PARAM_HAS_USERPTR_PROBE
#define I915_PARAM_HAS_USERPTR_PROBE 56
#endif

#endif
