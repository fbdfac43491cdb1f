// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "i915.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>


enum call {
	CALL_USERPTR,
	CALL_EXECBUF,
	CALL_WAIT,
	CALL_SET_DOMAIN,
	CALL_CLOSE,
	CALL_OTHER,
	CALLS,
};

/* Of the test with all its threads and children. */
static struct counter {
	atomic_uint calls, eintr, eagain;
} *counters;

static atomic_uint *retries;

static int __ioctl(int fd, enum call call, unsigned long request, void *arg)
{
	int err = ioctl(fd, request, arg) ? -errno : 0;

	counters[call].calls++;
	if (err == -EINTR)
		counters[call].eintr++;
	if (err == -EAGAIN)
		counters[call].eagain++;
	return err;
}

bool i915_again(int err)
{
	if (err != -EINTR && err != -EAGAIN)
		return false;
	(*retries)++;
	return true;
}

unsigned int i915_exec_eagain(void)
{
	return counters[CALL_EXECBUF].eagain;
}

#ifndef KSELFTEST_HARNESS
#include "harness.h"

static const char *const call_names[CALLS] = {
	"userptr", "execbuf", "wait", "set_domain", "close", "others",
};

static void before(const char *test, const struct test_options *options)
{
	(void)test;
	(void)options;
	memset(counters, 0, CALLS * sizeof(*counters));
	*retries = 0;
}

/* What is usual, no EINTR and no EAGAIN, is one line. */
static bool after(const char *test, const struct test_options *options)
{
	unsigned int i, all = 0;

	(void)test;
	(void)options;
	for (i = 0; i < CALLS; i++) {
		struct counter *c = &counters[i];

		all += c->calls;
		if (c->eintr || c->eagain)
			harness_say("ioctl %s: %u calls, %u EINTR, %u EAGAIN", call_names[i], c->calls,
				    c->eintr, c->eagain);
	}
	if (*retries)
		harness_say("%u of these were made again by the test", *retries);
	if (all)
		harness_say("ioctls: %u, of them %u userptr, %u execbuf", all,
			    counters[CALL_USERPTR].calls, counters[CALL_EXECBUF].calls);
	return true;
}

static struct harness_watch watch = { .before = before, .after = after };
#endif

static void __attribute__((constructor)) share_counters(void)
{
	void *shared = mmap(NULL, PAGE_SIZE_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	if (shared == MAP_FAILED) {
		perror("mmap");
		_exit(1);
	}
	counters = shared;
	retries = (atomic_uint *)(counters + CALLS);
#ifndef KSELFTEST_HARNESS
	harness_add_watch(&watch);
#endif
}

int __i915_getparam(int fd, int param)
{
	int value = 0;
	struct drm_i915_getparam arg = { .param = param, .value = &value };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GETPARAM, &arg);

	return err ? err : value;
}

int __gem_create(int fd, uint64_t size, uint32_t *handle)
{
	struct drm_i915_gem_create arg = { .size = size };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_CREATE, &arg);

	*handle = arg.handle;
	return err;
}

int __gem_close(int fd, uint32_t handle)
{
	struct drm_gem_close arg = { .handle = handle };

	return __ioctl(fd, CALL_CLOSE, DRM_IOCTL_GEM_CLOSE, &arg);
}

int __gem_userptr(int fd, const void *ptr, uint64_t size, uint32_t flags, uint32_t *handle)
{
	struct drm_i915_gem_userptr arg = {
		.user_ptr = (uintptr_t)ptr,
		.user_size = size,
		.flags = flags,
	};
	int err = __ioctl(fd, CALL_USERPTR, DRM_IOCTL_I915_GEM_USERPTR, &arg);

	*handle = arg.handle;
	return err;
}

int __gem_pread(int fd, uint32_t handle, uint64_t offset, void *to, uint64_t size)
{
	struct drm_i915_gem_pread arg = {
		.handle = handle, .offset = offset, .size = size, .data_ptr = (uintptr_t)to,
	};

	return __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_PREAD, &arg);
}

int __gem_pwrite(int fd, uint32_t handle, uint64_t offset, const void *from, uint64_t size)
{
	struct drm_i915_gem_pwrite arg = {
		.handle = handle, .offset = offset, .size = size, .data_ptr = (uintptr_t)from,
	};

	return __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_PWRITE, &arg);
}

int __gem_mmap(int fd, uint32_t handle, uint64_t size, void **at)
{
	struct drm_i915_gem_mmap arg = { .handle = handle, .size = size };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_MMAP, &arg);

	*at = (void *)(uintptr_t)arg.addr_ptr;
	return err;
}

int __gem_mmap_offset(int fd, uint32_t handle, uint64_t type, uint64_t *offset)
{
	struct drm_i915_gem_mmap_offset arg = { .handle = handle, .flags = type };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_MMAP_OFFSET, &arg);

	*offset = arg.offset;
	return err;
}

int __gem_set_domain(int fd, uint32_t handle, uint32_t read, uint32_t write)
{
	struct drm_i915_gem_set_domain arg = {
		.handle = handle, .read_domains = read, .write_domain = write,
	};

	return __ioctl(fd, CALL_SET_DOMAIN, DRM_IOCTL_I915_GEM_SET_DOMAIN, &arg);
}

int __gem_busy(int fd, uint32_t handle, uint32_t *busy)
{
	struct drm_i915_gem_busy arg = { .handle = handle };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_BUSY, &arg);

	*busy = arg.busy;
	return err;
}

int __gem_wait(int fd, uint32_t handle, int64_t timeout_ns)
{
	struct drm_i915_gem_wait arg = { .bo_handle = handle, .timeout_ns = timeout_ns };

	return __ioctl(fd, CALL_WAIT, DRM_IOCTL_I915_GEM_WAIT, &arg);
}

int __gem_madvise(int fd, uint32_t handle, uint32_t madv, uint32_t *retained)
{
	struct drm_i915_gem_madvise arg = { .handle = handle, .madv = madv };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_MADVISE, &arg);

	*retained = arg.retained;
	return err;
}

int __gem_set_caching(int fd, uint32_t handle, uint32_t caching)
{
	struct drm_i915_gem_caching arg = { .handle = handle, .caching = caching };

	return __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_SET_CACHING, &arg);
}

int __gem_get_caching(int fd, uint32_t handle, uint32_t *caching)
{
	struct drm_i915_gem_caching arg = { .handle = handle };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_GET_CACHING, &arg);

	*caching = arg.caching;
	return err;
}

int __gem_set_tiling(int fd, uint32_t handle, uint32_t tiling, uint32_t stride)
{
	struct drm_i915_gem_set_tiling arg = {
		.handle = handle, .tiling_mode = tiling, .stride = stride,
	};

	return __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_SET_TILING, &arg);
}

int __gem_get_tiling(int fd, uint32_t handle, uint32_t *tiling)
{
	struct drm_i915_gem_get_tiling arg = { .handle = handle };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_I915_GEM_GET_TILING, &arg);

	*tiling = arg.tiling_mode;
	return err;
}

int __gem_export(int fd, uint32_t handle, int *out)
{
	struct drm_prime_handle arg = { .handle = handle, .flags = DRM_CLOEXEC, .fd = -1 };
	int err = __ioctl(fd, CALL_OTHER, DRM_IOCTL_PRIME_HANDLE_TO_FD, &arg);

	*out = arg.fd;
	return err;
}

int __gem_execbuf(int fd, struct drm_i915_gem_execbuffer2 *exec)
{
	return __ioctl(fd, CALL_EXECBUF, DRM_IOCTL_I915_GEM_EXECBUFFER2, exec);
}

/* Discrete GPUs leave no choice; without an LLC write-combining is what is coherent. */
void *i915_map(int fd, uint32_t handle, size_t size)
{
	static const uint64_t types[] = { I915_MMAP_OFFSET_WC, I915_MMAP_OFFSET_FIXED };
	uint64_t offset;
	unsigned int i;
	void *p;

	for (i = 0; i < 2; i++) {
		int err = __gem_mmap_offset(fd, handle, types[i], &offset);

		errno = -err;
		if (err)
			continue;
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
		return p == MAP_FAILED ? NULL : p;
	}
	return NULL;
}
