// SPDX-License-Identifier: GPL-2.0-only
/*
 * What DRM_IOCTL_I915_GEM_USERPTR promises, in its simplest cases.
 *
 * Usage: i915_userptr_basic [-l] [-d NODE]
 *   -l  list the tests and what each proves; needs no GPU
 *   -d  the render node, instead of the first one that i915 drives
 *
 * Errnos are those of kernel 5.13 and later: ed29c2691188 moved userptr to mmu_interval_notifier,
 * c6bcc0c2fdfd refuses UNSYNCHRONIZED.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "i915_uapi_local.h"
#include "kselftest_local.h"

/* Where the objects are pinned in the GPU's address space: any two places, 2 MiB aligned. */
#define TARGET_OFFSET 0x1000000ull
#define BATCH_OFFSET 0x2000000ull

/* Longer than any batch here takes, shorter than the settings file allows for all the tests. */
#define WAIT_NS 10000000000ll
#define TEST_SECONDS 30

static int fd = -1;
static size_t page;
static char why[256];

enum result { PASS, FAIL, SKIP };

#define fail(...) (snprintf(why, sizeof(why), __VA_ARGS__), FAIL)
#define skip(...) (snprintf(why, sizeof(why), __VA_ARGS__), SKIP)

#define expect(call, wanted)                                                                  \
	do {                                                                                  \
		int got_ = (call), wanted_ = (wanted);                                        \
		if (got_ != wanted_)                                                          \
			return fail("line %d: %s: %d (%s), expected %d (%s)", __LINE__,       \
				    #call, got_, strerror(-got_), wanted_, strerror(-wanted_)); \
	} while (0)

/* 0 or -errno; interrupted calls and those that lost a race with an invalidate are made again. */
static int drm_ioctl(unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret == -1 && (errno == EINTR || errno == EAGAIN));
	return ret == -1 ? -errno : 0;
}

static int getparam(int param)
{
	int value = 0;
	struct drm_i915_getparam arg = { .param = param, .value = &value };
	int ret = drm_ioctl(DRM_IOCTL_I915_GETPARAM, &arg);

	return ret ? ret : value;
}

static void gem_close(uint32_t handle)
{
	struct drm_gem_close arg = { .handle = handle };

	drm_ioctl(DRM_IOCTL_GEM_CLOSE, &arg);
}

static int userptr(uint64_t ptr, uint64_t size, uint32_t flags, uint32_t *handle)
{
	struct drm_i915_gem_userptr arg = { .user_ptr = ptr, .user_size = size, .flags = flags };
	int ret = drm_ioctl(DRM_IOCTL_I915_GEM_USERPTR, &arg);

	if (!ret)
		*handle = arg.handle;
	return ret;
}

/* For the cases whose object is of no interest. */
static int try_userptr(uint64_t ptr, uint64_t size, uint32_t flags)
{
	uint32_t handle;
	int ret = userptr(ptr, size, flags, &handle);

	if (!ret)
		gem_close(handle);
	return ret;
}

static int write_batch(uint32_t handle, const uint32_t *batch, size_t size)
{
	struct drm_i915_gem_pwrite pwrite = {
		.handle = handle,
		.size = size,
		.data_ptr = (uintptr_t)batch,
	};
	struct drm_i915_gem_mmap_offset mmo = {
		.handle = handle,
		.flags = I915_MMAP_OFFSET_FIXED,
	};
	int ret = drm_ioctl(DRM_IOCTL_I915_GEM_PWRITE, &pwrite);
	void *map;

	/* Discrete GPUs have neither pwrite nor a choice of caching. */
	if (ret != -EOPNOTSUPP)
		return ret;
	ret = drm_ioctl(DRM_IOCTL_I915_GEM_MMAP_OFFSET, &mmo);
	if (ret)
		return ret;
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, mmo.offset);
	if (map == MAP_FAILED)
		return -errno;
	memcpy(map, batch, size);
	munmap(map, page);
	return 0;
}

/* A batch on `engine` that stores `value` at the start of `target`, and its end. 0 or -errno. */
static int store(uint32_t target, uint64_t engine, uint32_t value)
{
	/* MI_STORE_DWORD_IMM of generation 8 and later: PPGTT address in two dwords, then the data. */
	const uint32_t batch[] = {
		0x20 << 23 | 2, (uint32_t)TARGET_OFFSET, TARGET_OFFSET >> 32, value,
		0x0a << 23, /* MI_BATCH_BUFFER_END */
		0,
	};
	struct drm_i915_gem_create create = { .size = page };
	struct drm_i915_gem_exec_object2 objects[2] = {};
	struct drm_i915_gem_execbuffer2 exec = {
		.buffers_ptr = (uintptr_t)objects,
		.buffer_count = 2,
		.batch_len = sizeof(batch),
		.flags = engine,
	};
	struct drm_i915_gem_wait wait = { .timeout_ns = WAIT_NS };
	int ret = drm_ioctl(DRM_IOCTL_I915_GEM_CREATE, &create);

	if (ret)
		return ret;
	ret = write_batch(create.handle, batch, sizeof(batch));

	objects[0].handle = target;
	objects[0].offset = TARGET_OFFSET;
	objects[0].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS | EXEC_OBJECT_WRITE;
	objects[1].handle = create.handle;
	objects[1].offset = BATCH_OFFSET;
	objects[1].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
	if (!ret)
		ret = drm_ioctl(DRM_IOCTL_I915_GEM_EXECBUFFER2, &exec);

	wait.bo_handle = create.handle;
	if (!ret)
		ret = drm_ioctl(DRM_IOCTL_I915_GEM_WAIT, &wait);
	gem_close(create.handle);
	return ret;
}

/* The batch above needs a PPGTT of more than 4 GiB: generation 8 and later have one. */
static bool can_store(void)
{
	struct drm_i915_gem_context_param arg = { .param = I915_CONTEXT_PARAM_GTT_SIZE };

	return drm_ioctl(DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM, &arg) == 0 && arg.value >> 32;
}

#define require_store()                                                                 \
	do {                                                                            \
		if (!can_store())                                                       \
			return skip("no PPGTT of more than 4 GiB (before generation 8)"); \
	} while (0)

static uint32_t *map_anonymous(size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static uint32_t peek(const uint32_t *p)
{
	return *(const volatile uint32_t *)p;
}

static enum result create_arguments(void)
{
	uint32_t *p = map_anonymous(2 * page, PROT_READ | PROT_WRITE);
	uint64_t addr = (uintptr_t)p;

	if (!p)
		return fail("mmap: %s", strerror(errno));
	expect(try_userptr(addr, page, 0), 0);
	expect(try_userptr(addr, 2 * page, 0), 0);
	expect(try_userptr(addr, page, 0x4), -EINVAL);
	expect(try_userptr(addr, page, 0x40000000), -EINVAL);
	expect(try_userptr(addr, 0, 0), -EINVAL);
	expect(try_userptr(addr, page / 2, 0), -EINVAL);
	expect(try_userptr(addr, page + 1, 0), -EINVAL);
	expect(try_userptr(addr + 8, page, 0), -EINVAL);
	munmap(p, 2 * page);
	return PASS;
}

static enum result create_kernel_address(void)
{
	expect(try_userptr(0xffff800000000000ull, page, 0), -EFAULT);
	expect(try_userptr(-(uint64_t)page, page, 0), -EFAULT);
	return PASS;
}

static enum result create_unsynchronized(void)
{
	uint32_t *p = map_anonymous(page, PROT_READ | PROT_WRITE);

	if (!p)
		return fail("mmap: %s", strerror(errno));
	expect(try_userptr((uintptr_t)p, page, I915_USERPTR_UNSYNCHRONIZED), -ENODEV);
	munmap(p, page);
	return PASS;
}

/*
 *        p            p+1          p+2          p+3
 *        | mapped     | hole       | mapped     |
 */
static enum result create_probe(void)
{
	uint32_t *p = map_anonymous(3 * page, PROT_READ | PROT_WRITE);
	uint64_t addr = (uintptr_t)p;

	if (getparam(I915_PARAM_HAS_USERPTR_PROBE) < 1)
		return skip("no I915_USERPTR_PROBE (before 5.15)");
	if (!p)
		return fail("mmap: %s", strerror(errno));
	expect(try_userptr(addr, 3 * page, I915_USERPTR_PROBE), 0);
	munmap((char *)p + page, page);
	expect(try_userptr(addr, 3 * page, I915_USERPTR_PROBE), -EFAULT);
	expect(try_userptr(addr, 2 * page, I915_USERPTR_PROBE), -EFAULT);
	expect(try_userptr(addr + page, 2 * page, I915_USERPTR_PROBE), -EFAULT);
	expect(try_userptr(addr, page, I915_USERPTR_PROBE), 0);
	expect(try_userptr(addr, 3 * page, 0), 0);
	munmap(p, page);
	munmap((char *)p + 2 * page, page);
	return PASS;
}

static enum result store_on(uint64_t engine)
{
	uint32_t *p = map_anonymous(page, PROT_READ | PROT_WRITE);
	uint32_t handle;

	if (!p)
		return fail("mmap: %s", strerror(errno));
	p[1] = 0x600df00d;
	expect(userptr((uintptr_t)p, page, 0, &handle), 0);
	expect(store(handle, engine, 0xc0ffee), 0);
	if (peek(p) != 0xc0ffee)
		return fail("the page holds %#x, expected 0xc0ffee", peek(p));
	if (peek(p + 1) != 0x600df00d)
		return fail("the dword behind it was changed to %#x", peek(p + 1));
	gem_close(handle);
	munmap(p, page);
	return PASS;
}

static enum result store_default(void)
{
	require_store();
	return store_on(I915_EXEC_DEFAULT);
}

static enum result store_blt(void)
{
	require_store();
	if (getparam(I915_PARAM_HAS_BLT) < 1)
		return skip("no blitter");
	return store_on(I915_EXEC_BLT);
}

static enum result exec_after_munmap(void)
{
	uint32_t *p = map_anonymous(page, PROT_READ | PROT_WRITE);
	uint32_t handle;

	require_store();
	if (!p)
		return fail("mmap: %s", strerror(errno));
	expect(userptr((uintptr_t)p, page, 0, &handle), 0);
	expect(store(handle, I915_EXEC_DEFAULT, 1), 0);
	munmap(p, page);
	expect(store(handle, I915_EXEC_DEFAULT, 2), -EFAULT);
	gem_close(handle);
	return PASS;
}

/*
 * Shared pages of a file, so that the old page can be looked at after it was unmapped from p:
 *
 *	both | page 0 | page 1 |
 *	p    | page 0 |            then            p    | page 1 |
 */
static enum result exec_after_remap(void)
{
	int file = memfd_create("i915_userptr", MFD_CLOEXEC);
	uint32_t *both, *p, handle;
	size_t dwords = page / sizeof(*p);

	require_store();
	if (file < 0 || ftruncate(file, 2 * page))
		return fail("memfd: %s", strerror(errno));
	both = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (both == MAP_FAILED || p == MAP_FAILED)
		return fail("mmap: %s", strerror(errno));

	expect(userptr((uintptr_t)p, page, 0, &handle), 0);
	expect(store(handle, I915_EXEC_DEFAULT, 0x01d), 0);
	munmap(p, page);
	if (mmap(p, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, page) != p)
		return fail("mmap: %s", strerror(errno));
	if (peek(p) != 0)
		return fail("the new page holds %#x before anything was stored", peek(p));
	expect(store(handle, I915_EXEC_DEFAULT, 0x2e3), 0);
	if (peek(both) != 0x01d)
		return fail("the old page was written after munmap: %#x", peek(both));
	if (peek(both + dwords) != 0x2e3)
		return fail("the new page holds %#x, expected 0x2e3", peek(both + dwords));
	gem_close(handle);
	munmap(p, page);
	munmap(both, 2 * page);
	close(file);
	return PASS;
}

static enum result exec_on_prot_read(void)
{
	uint32_t *p = map_anonymous(page, PROT_READ | PROT_WRITE);
	uint32_t handle;

	require_store();
	if (!p)
		return fail("mmap: %s", strerror(errno));
	*p = 5;
	if (mprotect(p, page, PROT_READ))
		return fail("mprotect: %s", strerror(errno));
	expect(userptr((uintptr_t)p, page, 0, &handle), 0);
	expect(store(handle, I915_EXEC_DEFAULT, 6), -EFAULT);
	if (peek(p) != 5)
		return fail("a read-only page was changed to %#x", peek(p));
	if (mprotect(p, page, PROT_READ | PROT_WRITE))
		return fail("mprotect: %s", strerror(errno));
	expect(store(handle, I915_EXEC_DEFAULT, 7), 0);
	if (peek(p) != 7)
		return fail("the page holds %#x, expected 7", peek(p));
	gem_close(handle);
	munmap(p, page);
	return PASS;
}

static const struct test {
	const char *name;
	const char *proves;
	enum result (*run)(void);
} tests[] = {
	{ "create_arguments", "unknown flags, empty and unaligned ranges are refused with EINVAL",
	  create_arguments },
	{ "create_kernel_address", "a range outside of user space is refused with EFAULT",
	  create_kernel_address },
	{ "create_unsynchronized", "objects without an mmu notifier can no longer be had",
	  create_unsynchronized },
	{ "create_probe", "PROBE finds a hole at creation, which is lazy without it", create_probe },
	{ "store_default", "a batch's store arrives in the process's page, and only there",
	  store_default },
	{ "store_blt", "so does one on the blitter", store_blt },
	{ "exec_after_munmap", "an object whose pages were unmapped fails at exec with EFAULT",
	  exec_after_munmap },
	{ "exec_after_remap", "after munmap and mmap at one address the GPU has the new page alone",
	  exec_after_remap },
	{ "exec_on_prot_read", "the GPU cannot write where the process may not, until it may",
	  exec_on_prot_read },
};

#define NTESTS (sizeof(tests) / sizeof(tests[0]))

static void on_alarm(int sig)
{
	static const char msg[] = "Bail out! a test hung\n";
	ssize_t n = write(STDOUT_FILENO, msg, sizeof(msg) - 1);

	(void)sig;
	(void)n;
	_exit(KSFT_FAIL);
}

/* An open node that i915 drives, or -errno. */
static int open_i915(const char *path)
{
	char name[16] = "";
	struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };
	int ret;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = drm_ioctl(DRM_IOCTL_VERSION, &version);
	if (ret == -ENOTTY || (!ret && strcmp(name, "i915")))
		ret = -ENODEV;
	if (ret) {
		close(fd);
		fd = -1;
	}
	return ret;
}

static void find_i915(const char *node)
{
	const char *denied = NULL;
	char path[32];
	int i, ret;

	if (node) {
		ret = open_i915(node);
		if (ret)
			ksft_exit_skip("%s: %s\n", node,
				       ret == -ENODEV ? "not driven by i915" : strerror(-ret));
		return;
	}
	/* DRM has 64 render minors, from 128. */
	for (i = 128; i < 192; i++) {
		snprintf(path, sizeof(path), "/dev/dri/renderD%d", i);
		ret = open_i915(path);
		if (!ret)
			return;
		if (ret == -EACCES || ret == -EPERM)
			denied = " that may be opened (the render group may)";
	}
	ksft_exit_skip("no i915 render node%s\n", denied ? denied : "");
}

int main(int argc, char **argv)
{
	const char *node = NULL;
	unsigned int i;
	int opt;

	while ((opt = getopt(argc, argv, "ld:")) != -1) {
		switch (opt) {
		case 'l':
			for (i = 0; i < NTESTS; i++)
				printf("%s: %s\n", tests[i].name, tests[i].proves);
			return KSFT_PASS;
		case 'd':
			node = optarg;
			break;
		default:
			fprintf(stderr, "Usage: %s [-l] [-d NODE]\n", argv[0]);
			return KSFT_FAIL;
		}
	}

	setvbuf(stdout, NULL, _IOLBF, 0);
	page = sysconf(_SC_PAGESIZE);
	signal(SIGALRM, on_alarm);
	ksft_print_header();
	find_i915(node);
	ksft_set_plan(NTESTS);
	for (i = 0; i < NTESTS; i++) {
		const struct test *t = &tests[i];

		alarm(TEST_SECONDS);
		switch (t->run()) {
		case PASS:
			ksft_test_result_pass("%s\n", t->name);
			break;
		case FAIL:
			ksft_print_msg("%s\n", why);
			ksft_test_result_fail("%s\n", t->name);
			break;
		case SKIP:
			ksft_test_result_skip("%s: %s\n", t->name, why);
			break;
		}
		alarm(0);
	}
	ksft_finished();
}
