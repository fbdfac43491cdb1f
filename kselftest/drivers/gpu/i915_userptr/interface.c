// SPDX-License-Identifier: GPL-2.0-only
/*
 * What DRM_IOCTL_I915_GEM_USERPTR lends, and what it refuses.
 *
 * Errnos are those of kernel 5.13 and later: ed29c2691188 moved userptr to mmu_interval_notifier.
 */
#define _GNU_SOURCE
#include "test.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

ABOUT("The interface: what may be lent, what is refused, and what may be done with it.");
PRECONDITION_I915

FIXTURE(create) {
	struct i915 dev;
	char *p;
};

FIXTURE_SETUP(create)
{
	open_i915(_metadata, &self->dev);
	self->p = map_pages(_metadata, 10 * PAGE);
}

FIXTURE_TEARDOWN(create)
{
	munmap(self->p, 10 * PAGE);
	close(self->dev.fd);
}

/* What creation says; the object is of no interest. */
static int try_userptr(const struct i915 *dev, const void *p, uint64_t size, uint32_t flags)
{
	uint32_t handle;
	int err = __gem_userptr(dev->fd, p, size, flags, &handle);

	if (!err)
		__gem_close(dev->fd, handle);
	return err;
}

/* 0, or -errno of creation or of the look-up of the pages. */
static int try_pages(const struct i915 *dev, const void *p, uint64_t size, uint32_t flags)
{
	uint32_t handle;
	int err = __gem_userptr(dev->fd, p, size, flags, &handle);

	if (err)
		return err;
	err = retry(__gem_set_domain(dev->fd, handle, I915_GEM_DOMAIN_CPU, 0));
	__gem_close(dev->fd, handle);
	return err;
}

TEST_F(create, gives_a_handle, "whole pages of a mapping can be lent, each time as another object")
{
	uint32_t a, b;

	a = lend(_metadata, &self->dev, self->p, PAGE, 0);
	b = lend(_metadata, &self->dev, self->p, PAGE, 0);
	EXPECT_NE(a, b);
	EXPECT_RET(0, try_pages(&self->dev, self->p, 10 * PAGE, 0));
	EXPECT_RET(0, __gem_close(self->dev.fd, a));
	EXPECT_RET(-EINVAL, __gem_close(self->dev.fd, a));
	EXPECT_RET(0, __gem_close(self->dev.fd, b));
}

TEST_F(create, bad_flags, "each flag without a meaning is refused, alone and beside one with")
{
	const uint32_t known = I915_USERPTR_READ_ONLY | I915_USERPTR_PROBE |
			       I915_USERPTR_UNSYNCHRONIZED;
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (known & 1u << bit)
			continue;
		EXPECT_RET(-EINVAL, try_userptr(&self->dev, self->p, PAGE, 1u << bit));
		EXPECT_RET(-EINVAL, try_userptr(&self->dev, self->p, PAGE,
						1u << bit | I915_USERPTR_READ_ONLY));
	}
}

TEST_F(create, bad_sizes, "an empty range and parts of pages are refused")
{
	static const uint64_t sizes[] = { 0, 1, 8, PAGE / 2, PAGE - 1, PAGE + 1, 3 * PAGE / 2 };
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		EXPECT_RET(-EINVAL, try_userptr(&self->dev, self->p, sizes[i], 0));
}

TEST_F(create, bad_alignment, "an address within a page is refused, whatever its place there")
{
	unsigned int at;

	for (at = 1; at < PAGE; at <<= 1) {
		EXPECT_RET(-EINVAL, try_userptr(&self->dev, self->p + at, PAGE, 0));
		EXPECT_RET(-EINVAL, try_userptr(&self->dev, self->p + PAGE - at, PAGE, 0));
	}
}

/* Up to 6.2 an object has at most as many pages as an int counts: E2BIG. */
TEST_F(create, huge_sizes, "a range that no process can have is refused, at the latest when it is used")
{
	static const uint64_t sizes[] = {
		1ull << 43, 1ull << 44, 1ull << 47, 1ull << 62, 1ull << 63, -(1ull << 20), -PAGE,
	};
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int err = try_pages(&self->dev, self->p, sizes[i], 0);

		if (err != -E2BIG && err != -EFAULT && err != -ENOMEM)
			HARNESS_FAIL("size %#llx: %d", (unsigned long long)sizes[i], err);
	}
}

TEST_F(create, kernel_address, "addresses of the kernel, and ranges that wrap, are refused at once")
{
	static const uint64_t addresses[] = {
		0xffff800000000000, 0xffff888000000000, 0xffffffff81000000, 1ull << 63, -2 * PAGE, -PAGE,
	};
	unsigned int i;

	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const void *p = (void *)(uintptr_t)addresses[i];

		REQUIRE(sizeof(p) == 8, "32 bits: a pointer is no such address");
		EXPECT_RET(-EFAULT, try_userptr(&self->dev, p, PAGE, 0));
		EXPECT_RET(-EFAULT, try_userptr(&self->dev, p, PAGE, I915_USERPTR_READ_ONLY));
		EXPECT_RET(-EFAULT, try_userptr(&self->dev, p, 2 * PAGE, 0));
	}
}

/*
 * Whether creation refuses them depends on how access_ok() looks: from 6.4 to 6.11 at the sign only.
 *
 *	| user            | last page |  not canonical  |  kernel
 *	                  ^ TASK_SIZE - PAGE  (47 bits, or 56 with five levels of page tables)
 */
TEST_F(create, beyond_task_size, "a range at or over the end of user addresses never gets pages")
{
	static const uint64_t ends[] = { (1ull << 47) - PAGE, (1ull << 56) - PAGE };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		const char *end = (const char *)(uintptr_t)ends[i];

		EXPECT_RET(-EFAULT, try_pages(&self->dev, end, PAGE, 0));
		EXPECT_RET(-EFAULT, try_pages(&self->dev, end + PAGE, PAGE, 0));
		EXPECT_RET(-EFAULT, try_pages(&self->dev, end - PAGE, 2 * PAGE, 0));
	}
}

TEST_F(create, null_pointer, "page 0 may be lent like any hole, and then has no pages")
{
	EXPECT_RET(0, try_userptr(&self->dev, NULL, PAGE, 0));
	EXPECT_RET(-EFAULT, try_pages(&self->dev, NULL, PAGE, 0));
	EXPECT_RET(-EINVAL, try_userptr(&self->dev, NULL, 0, 0));
}

TEST_F(create, unsynchronized, "objects without an mmu notifier can no longer be had",
       .guards = "c6bcc0c2fdfd (\"drm/i915: Reject UNSYNCHRONIZED for userptr, v2.\")")
{
	EXPECT_RET(-ENODEV, try_userptr(&self->dev, self->p, PAGE, I915_USERPTR_UNSYNCHRONIZED));
	EXPECT_RET(-ENODEV, try_userptr(&self->dev, self->p, PAGE,
					I915_USERPTR_UNSYNCHRONIZED | I915_USERPTR_READ_ONLY));
}

TEST_F(create, read_only, "READ_ONLY takes memory that may not be written, and is what makes it usable")
{
	uint32_t handle;

	ASSERT_EQ(0, mprotect(self->p, 10 * PAGE, PROT_READ));
	handle = lend_read_only(_metadata, &self->dev, self->p, 10 * PAGE);
	EXPECT_RET(0, retry(__gem_set_domain(self->dev.fd, handle, I915_GEM_DOMAIN_CPU, 0)));
	EXPECT_RET(-EFAULT, try_pages(&self->dev, self->p, 10 * PAGE, 0));
	ASSERT_EQ(0, mprotect(self->p, 10 * PAGE, PROT_NONE));
	EXPECT_RET(-EFAULT, try_pages(&self->dev, self->p, 10 * PAGE, I915_USERPTR_READ_ONLY));
}

TEST_F(create, lazy, "creation looks at no page: what is not mapped may be mapped later")
{
	uint32_t handle;

	ASSERT_EQ(0, munmap(self->p, 10 * PAGE));
	handle = lend(_metadata, &self->dev, self->p, 10 * PAGE, 0);
	EXPECT_RET(-EFAULT, retry(__gem_set_domain(self->dev.fd, handle, I915_GEM_DOMAIN_CPU, 0)));
	ASSERT_TRUE(mmap(self->p, 10 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == self->p);
	EXPECT_RET(0, retry(__gem_set_domain(self->dev.fd, handle, I915_GEM_DOMAIN_CPU, 0)));
}

/* Which page of the ten is mapped is a bit of the pattern. */
static void map_pattern(struct __test_metadata *_metadata, char *p, unsigned int pattern)
{
	unsigned int i;

	ASSERT_TRUE(mmap(p, 10 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	for (i = 0; i < 10; i++)
		if (!(pattern & 1u << i))
			ASSERT_EQ(0, munmap(p + i * PAGE, PAGE));
}

/*
 *	p |M|.|M|M|.|.|M|M|M|.|		all 1024 of them
 */
TEST_F(create, probe_holes, "PROBE finds each hole pattern of ten pages, and only whole ranges pass",
       .timeout = 120)
{
	unsigned int pattern, wrong = 0;

	REQUIRE(__i915_getparam(self->dev.fd, I915_PARAM_HAS_USERPTR_PROBE) > 0,
		"no I915_USERPTR_PROBE (before 5.15)");
	for (pattern = 0; pattern < 1024; pattern++) {
		const int expected = pattern == 1023 ? 0 : -EFAULT;
		int seen;

		map_pattern(_metadata, self->p, pattern);
		seen = try_userptr(&self->dev, self->p, 10 * PAGE, I915_USERPTR_PROBE);
		if (seen != expected && wrong++ < 10)
			HARNESS_FAIL("pattern %#x: %d, expected %d", pattern, seen, expected);
	}
	EXPECT_EQ(0, wrong);
}

TEST_F(create, holes_are_found_when_used, "without PROBE each single hole of ten pages is found at use",
       .timeout = 60)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		map_pattern(_metadata, self->p, 1023 & ~(1u << i));
		EXPECT_RET(0, try_userptr(&self->dev, self->p, 10 * PAGE, 0));
		EXPECT_RET(-EFAULT, try_pages(&self->dev, self->p, 10 * PAGE, 0));
	}
	map_pattern(_metadata, self->p, 1023);
	EXPECT_RET(0, try_pages(&self->dev, self->p, 10 * PAGE, 0));
}

/*
 *	p | rw | r | none | memfd | cut off |
 */
TEST_F(create, probe_protections, "PROBE looks at what is mapped, not at what it allows")
{
	int file = memfd_create("i915_userptr", MFD_CLOEXEC);

	REQUIRE(__i915_getparam(self->dev.fd, I915_PARAM_HAS_USERPTR_PROBE) > 0,
		"no I915_USERPTR_PROBE (before 5.15)");
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, PAGE));
	ASSERT_EQ(0, mprotect(self->p + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->p + 2 * PAGE, PAGE, PROT_NONE));
	ASSERT_TRUE(mmap(self->p + 3 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 file, 0) != MAP_FAILED);
	EXPECT_RET(0, try_userptr(&self->dev, self->p, 10 * PAGE, I915_USERPTR_PROBE));
	EXPECT_RET(-EFAULT, try_pages(&self->dev, self->p, 10 * PAGE, I915_USERPTR_PROBE));
}

/* ---- memory that has no pages to lend ---- */

FIXTURE(foreign) {
	struct i915 dev;
};
FIXTURE_SETUP(foreign) { open_i915(_metadata, &self->dev); }
FIXTURE_TEARDOWN(foreign) { close(self->dev.fd); }

static void expect_refused(struct __test_metadata *_metadata, const struct i915 *dev, const void *p,
			   size_t size)
{
	EXPECT_RET(-EFAULT, try_pages(dev, p, size, 0));
	if (__i915_getparam(dev->fd, I915_PARAM_HAS_USERPTR_PROBE) > 0)
		EXPECT_RET(-EFAULT, try_userptr(dev, p, size, I915_USERPTR_PROBE));
}

TEST_F(foreign, gem_mappings, "each kind of mapping of a GEM object is refused, touched or not",
       .guards = "the recursion of a GTT mapping lent to the GPU that it is of")
{
	static const struct {
		const char *name;
		uint64_t type;
	} types[] = {
		{ "GTT", I915_MMAP_OFFSET_GTT },
		{ "WC", I915_MMAP_OFFSET_WC },
		{ "WB", I915_MMAP_OFFSET_WB },
		{ "UC", I915_MMAP_OFFSET_UC },
		{ "fixed", I915_MMAP_OFFSET_FIXED },
	};
	unsigned int i, tried = 0;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint32_t handle = create(_metadata, &self->dev, 2 * PAGE);
		uint64_t offset;
		char *p;

		if (__gem_mmap_offset(self->dev.fd, handle, types[i].type, &offset))
			continue;
		p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dev.fd, offset);
		ASSERT_TRUE(p != MAP_FAILED);
		diag("%s", types[i].name);
		expect_refused(_metadata, &self->dev, p, 2 * PAGE);
		*(volatile char *)p = 1;
		expect_refused(_metadata, &self->dev, p, 2 * PAGE);
		tried++;
		munmap(p, 2 * PAGE);
	}
	EXPECT_LT(0, tried);
}

TEST_F(foreign, mmap_v1, "the mapping of GEM_MMAP, which is the object's shmem file, is like any file's")
{
	uint32_t handle = create(_metadata, &self->dev, 2 * PAGE);
	void *p;
	int err = __gem_mmap(self->dev.fd, handle, 2 * PAGE, &p);

	REQUIRE(err != -EOPNOTSUPP && err != -ENODEV, "no GEM_MMAP on this GPU");
	ASSERT_RET(0, err);
	EXPECT_RET(0, try_pages(&self->dev, p, 2 * PAGE, 0));
	munmap(p, 2 * PAGE);
}

/*
 *	p | anonymous | GEM object | anonymous |
 */
TEST_F(foreign, in_the_middle, "a GEM mapping between pages that could be lent spoils the range")
{
	char *p = map_pages(_metadata, 3 * PAGE);
	uint32_t handle = create(_metadata, &self->dev, PAGE);
	char *gem = i915_map(self->dev.fd, handle, PAGE);

	ASSERT_TRUE(gem);
	ASSERT_TRUE(mremap(gem, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE) == p + PAGE);
	expect_refused(_metadata, &self->dev, p, 3 * PAGE);
	EXPECT_RET(0, try_pages(&self->dev, p, PAGE, 0));
	EXPECT_RET(0, try_pages(&self->dev, p + 2 * PAGE, PAGE, 0));
}

/* /dev/dri/renderD128 is a link target of /sys/dev/char/MAJOR:MINOR/device: the PCI device. */
TEST_F(foreign, pci_bar, "a BAR of the GPU, mapped by sysfs, has no pages to lend")
{
	char path[96];
	struct stat st;
	char *p;
	int fd;

	ASSERT_EQ(0, fstat(self->dev.fd, &st));
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/device/resource0", major(st.st_rdev),
		 minor(st.st_rdev));
	fd = open(path, O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0, "%s: %s", path, strerror(errno));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED, "mmap of %s: %s", path, strerror(errno));
	expect_refused(_metadata, &self->dev, p, PAGE);
}

TEST_F(foreign, vvar, "the kernel's own pages in the process, [vvar] and [vdso], cannot be written")
{
	char *vdso = (char *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);

	REQUIRE(vdso, "no vdso");
	EXPECT_RET(-EFAULT, try_pages(&self->dev, vdso, PAGE, 0));
	/* [vvar] stands before it. */
	EXPECT_RET(-EFAULT, try_pages(&self->dev, vdso - PAGE, PAGE, 0));
}

TEST_F(foreign, file_end, "what a file's mapping has beyond the end of the file has no pages")
{
	int file = memfd_create("i915_userptr", MFD_CLOEXEC);
	char *p;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 2 * PAGE));
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	EXPECT_RET(0, try_pages(&self->dev, p, 2 * PAGE, 0));
	EXPECT_RET(-EFAULT, try_pages(&self->dev, p, 3 * PAGE, 0));
	EXPECT_RET(-EFAULT, try_pages(&self->dev, p + 2 * PAGE, PAGE, 0));
	ASSERT_EQ(0, ftruncate(file, 4 * PAGE));
	EXPECT_RET(0, try_pages(&self->dev, p, 4 * PAGE, 0));
}

TEST_F(foreign, read_only_file, "a shared mapping of a file that may only be read needs READ_ONLY")
{
	int file = memfd_create("i915_userptr", MFD_CLOEXEC), again;
	char path[64];
	char *p;
	int err;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, PAGE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	again = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, again);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, again, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	EXPECT_RET(-EFAULT, try_pages(&self->dev, p, PAGE, 0));
	err = try_pages(&self->dev, p, PAGE, I915_USERPTR_READ_ONLY);
	REQUIRE(err != -ENODEV, "the GPU cannot be kept from writing");
	EXPECT_RET(0, err);
}

TEST_HARNESS_MAIN
