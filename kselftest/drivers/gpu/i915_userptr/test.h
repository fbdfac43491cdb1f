/* SPDX-License-Identifier: GPL-2.0-only */
/* What each test program begins with, and calls that assert. */
#ifndef I915_USERPTR_TEST_H
#define I915_USERPTR_TEST_H

#include <errno.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "batch.h"
#include "era.h"
#include "harness.h"
#include "i915.h"
#include "memory.h"

/* No handle is as large. */
#define NO_HANDLE 0x7fff0000u

static inline void open_i915(struct __test_metadata *_metadata, struct i915 *dev)
{
	int err = i915_open(dev);

	REQUIRE(!err, "%s", i915_why(err));
}

/* Says what is tested, and on which era of the notifier. */
static inline void require_i915(struct __test_metadata *_metadata)
{
	unsigned int munmap_ms;
	struct utsname u;
	struct i915 dev;
	enum era era;

	open_i915(_metadata, &dev);
	uname(&u);
	diag("kernel %s, %s: chipset %#x, gen %d.%d, %s", u.release, dev.node, dev.chipset,
	     dev.gen / 10, dev.gen % 10, dev.softpin ? "softpin" : "relocations");
	era = era_measure(&dev, &munmap_ms);
	diag("era: %s; munmap under a batch that is held took %u ms", era_names[era], munmap_ms);
}

#define PRECONDITION_I915 PRECONDITION() { require_i915(_metadata); }

static inline void require_gen8(struct __test_metadata *_metadata, const struct i915 *dev)
{
	REQUIRE(dev->gen >= GEN8, "generation %d.%d: the commands are those of 8 and later",
		dev->gen / 10, dev->gen % 10);
}

static inline void require_engine(struct __test_metadata *_metadata, const struct i915 *dev,
				  uint64_t engine)
{
	REQUIRE(dev->gen, "chipset %#x is none that this program has commands for", dev->chipset);
	REQUIRE(engine != I915_EXEC_BLT || dev->blitter, "the GPU has no blitter");
}

/* Anonymous, private, read and write. */
static inline char *map_pages(struct __test_metadata *_metadata, size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(p != MAP_FAILED);
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static inline void map_memory(struct __test_metadata *_metadata, struct memory *m,
			      enum memory_kind kind, size_t size, uint32_t fill)
{
	int err = memory_map(m, kind, size, fill);

	REQUIRE(err != -EOPNOTSUPP, "%s", m->why);
	ASSERT_RET(0, err);
}

static inline uint32_t lend(struct __test_metadata *_metadata, const struct i915 *dev, const void *p,
			    size_t size, uint32_t flags)
{
	uint32_t handle;

	ASSERT_RET(0, __gem_userptr(dev->fd, p, size, flags, &handle));
	ASSERT_NE(0, handle);
	return handle;
}

/* An object that the GPU may be kept from writing to, or a skip. */
static inline uint32_t lend_read_only(struct __test_metadata *_metadata, const struct i915 *dev,
				      const void *p, size_t size)
{
	uint32_t handle;
	int err = __gem_userptr(dev->fd, p, size, I915_USERPTR_READ_ONLY, &handle);

	REQUIRE(err != -ENODEV, "the GPU cannot be kept from writing");
	ASSERT_RET(0, err);
	return handle;
}

static inline uint32_t create(struct __test_metadata *_metadata, const struct i915 *dev, size_t size)
{
	uint32_t handle;

	ASSERT_RET(0, __gem_create(dev->fd, size, &handle));
	return handle;
}

/* Stores a dword by the GPU and waits for it: 0 or -errno. */
static inline int store(const struct i915 *dev, uint32_t handle, uint64_t engine, uint64_t offset,
			uint32_t value)
{
	struct job job;
	int err;

	job_init(&job, dev, engine);
	job_store(&job, job_object(&job, handle, true), offset, value);
	err = job_run(&job);
	job_end(&job);
	return err;
}

/* Whether a child of harness_fork() has ended, and well; a failed ASSERT in it is counted already. */
static inline void join(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	ASSERT_RET(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
