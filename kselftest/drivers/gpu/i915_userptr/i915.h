/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * i915 by raw ioctls. __gem_x() makes one call and returns 0 or -errno; nothing is retried, and each
 * call is counted with its EINTRs and EAGAINs, which the harness prints after the test. Where a test
 * has to try again it says so: retry(__gem_x(...)).
 */
#ifndef I915_USERPTR_I915_H
#define I915_USERPTR_I915_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "i915_uapi_local.h"

#define PAGE_SIZE_4K 4096u

/* Graphics version * 10. */
#define GEN8 80
#define GEN12 120

/* Any batch here is done in this time, on an emulated GPU that others keep from its CPU too. */
#define LONG_NS 20000000000ll

struct i915 {
	int fd;
	char node[32];
	int chipset;	/* PCI device id */
	int gen;	/* 0: not one we know */
	bool softpin;	/* full PPGTT of more than 4 GiB: objects are where we say */
	bool blitter;
};

/*
 * The node of -d, or the first one that i915 drives. 0 or -errno: -ENODEV there is none, -EACCES or
 * -EPERM it may not be opened.
 */
int i915_open(struct i915 *dev);
/* Another file on the same node, with an address space of its own: a descriptor or -errno. */
int i915_reopen(const struct i915 *dev);
/* Why i915_open() has failed, for a skip. */
const char *i915_why(int err);
/* The parameter's value or -errno. */
int __i915_getparam(int fd, int param);

int __gem_create(int fd, uint64_t size, uint32_t *handle);
int __gem_close(int fd, uint32_t handle);
int __gem_userptr(int fd, const void *ptr, uint64_t size, uint32_t flags, uint32_t *handle);
int __gem_pread(int fd, uint32_t handle, uint64_t offset, void *to, uint64_t size);
int __gem_pwrite(int fd, uint32_t handle, uint64_t offset, const void *from, uint64_t size);
/* DRM_IOCTL_I915_GEM_MMAP, the first one: GPUs without it say EOPNOTSUPP. */
int __gem_mmap(int fd, uint32_t handle, uint64_t size, void **at);
int __gem_mmap_offset(int fd, uint32_t handle, uint64_t type, uint64_t *offset);
int __gem_set_domain(int fd, uint32_t handle, uint32_t read, uint32_t write);
/* The bits of struct drm_i915_gem_busy. */
int __gem_busy(int fd, uint32_t handle, uint32_t *busy);
int __gem_wait(int fd, uint32_t handle, int64_t timeout_ns);
int __gem_madvise(int fd, uint32_t handle, uint32_t madv, uint32_t *retained);
int __gem_set_caching(int fd, uint32_t handle, uint32_t caching);
int __gem_get_caching(int fd, uint32_t handle, uint32_t *caching);
int __gem_set_tiling(int fd, uint32_t handle, uint32_t tiling, uint32_t stride);
int __gem_get_tiling(int fd, uint32_t handle, uint32_t *tiling);
/* A dma-buf's descriptor in *out. */
int __gem_export(int fd, uint32_t handle, int *out);
int __gem_execbuf(int fd, struct drm_i915_gem_execbuffer2 *exec);

/* Maps all of an object for the CPU, past its caches; NULL with errno. */
void *i915_map(int fd, uint32_t handle, size_t size);

/* Makes a call until it returns something else than -EINTR and -EAGAIN. */
#define retry(call)                                          \
	({                                                   \
		int retry_;                                  \
		do {                                         \
			retry_ = (call);                     \
		} while (i915_again(retry_));                \
		retry_;                                      \
	})
bool i915_again(int err);

/* How often this test has had -EAGAIN from execbuf so far. */
unsigned int i915_exec_eagain(void);

#endif
