// SPDX-License-Identifier: GPL-2.0-only
/* Several objects over the same pages, one over several mappings, and what else may stand in them. */
#define _GNU_SOURCE
#include "test.h"

ABOUT("Pages that several objects share, mappings that one object spans, batches and relocations there.");
PRECONDITION_I915

#define OLD 0x01d001d0u
#define PAGES 8

FIXTURE(sharing) {
	struct i915 dev;
	char *p;
};

FIXTURE_SETUP(sharing)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->p = map_pages(_metadata, PAGES * PAGE);
}

FIXTURE_TEARDOWN(sharing)
{
	close(self->dev.fd);
	munmap(self->p, PAGES * PAGE);
}

static uint32_t peek(const char *p, size_t offset)
{
	return *(const volatile uint32_t *)(p + offset);
}

/*
 *	a |0 1 2 3 4 5|
 *	b     |2 3 4 5 6 7|
 *	c       |3|
 */
TEST_F(sharing, overlapping, "objects that overlap write the same pages, one after the other and in one batch")
{
	const uint32_t a = lend(_metadata, &self->dev, self->p, 6 * PAGE, 0);
	const uint32_t b = lend(_metadata, &self->dev, self->p + 2 * PAGE, 6 * PAGE, 0);
	const uint32_t c = lend(_metadata, &self->dev, self->p + 3 * PAGE, PAGE, 0);
	struct job job;
	char *page3 = self->p + 3 * PAGE;

	ASSERT_RET(0, store(&self->dev, a, I915_EXEC_RENDER, 3 * PAGE, 1));
	ASSERT_RET(0, store(&self->dev, b, I915_EXEC_RENDER, PAGE + 4, 2));
	ASSERT_RET(0, store(&self->dev, c, I915_EXEC_RENDER, 8, 3));
	EXPECT_EQ(1, peek(page3, 0));
	EXPECT_EQ(2, peek(page3, 4));
	EXPECT_EQ(3, peek(page3, 8));

	job_init(&job, &self->dev, I915_EXEC_RENDER);
	job_store(&job, job_object(&job, a, true), 3 * PAGE, 4);
	job_store(&job, job_object(&job, b, true), PAGE + 4, 5);
	job_store(&job, job_object(&job, c, true), 8, 6);
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
	EXPECT_EQ(4, peek(page3, 0));
	EXPECT_EQ(5, peek(page3, 4));
	EXPECT_EQ(6, peek(page3, 8));
}

/* Page 3 is replaced: all three must find the new one. */
TEST_F(sharing, overlapping_remapped, "a change of a page is news to each object that has it, and only there")
{
	const uint32_t a = lend(_metadata, &self->dev, self->p, 6 * PAGE, 0);
	const uint32_t b = lend(_metadata, &self->dev, self->p + 2 * PAGE, 6 * PAGE, 0);
	const uint32_t c = lend(_metadata, &self->dev, self->p + 3 * PAGE, PAGE, 0);
	char *page3 = self->p + 3 * PAGE;

	ASSERT_RET(0, store(&self->dev, a, I915_EXEC_RENDER, 2 * PAGE, OLD));
	ASSERT_RET(0, store(&self->dev, b, I915_EXEC_RENDER, PAGE, OLD));
	ASSERT_RET(0, store(&self->dev, c, I915_EXEC_RENDER, 0, OLD));
	ASSERT_TRUE(mmap(page3, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) == page3);
	EXPECT_EQ(0, peek(page3, 0));
	ASSERT_RET(0, store(&self->dev, a, I915_EXEC_RENDER, 3 * PAGE, 1));
	ASSERT_RET(0, store(&self->dev, b, I915_EXEC_RENDER, PAGE + 4, 2));
	ASSERT_RET(0, store(&self->dev, c, I915_EXEC_RENDER, 8, 3));
	EXPECT_EQ(1, peek(page3, 0));
	EXPECT_EQ(2, peek(page3, 4));
	EXPECT_EQ(3, peek(page3, 8));
	EXPECT_EQ(OLD, peek(self->p, 2 * PAGE));
}

TEST_F(sharing, duplicates, "the same range lent many times is as many objects of the same pages")
{
	uint32_t handles[32];
	struct job job;
	unsigned int i;

	job_init(&job, &self->dev, I915_EXEC_RENDER);
	for (i = 0; i < 32; i++) {
		handles[i] = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
		job_store(&job, job_object(&job, handles[i], true), i % PAGES * PAGE + i * 4, i + 1);
	}
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
	for (i = 0; i < 32; i++)
		EXPECT_EQ(i + 1, peek(self->p, i % PAGES * PAGE + i * 4));
	/* The others live on when one is closed. */
	for (i = 0; i < 31; i++)
		ASSERT_RET(0, __gem_close(self->dev.fd, handles[i]));
	ASSERT_RET(0, store(&self->dev, handles[31], I915_EXEC_RENDER, 0, 0x600d));
	EXPECT_EQ(0x600d, peek(self->p, 0));
}

/* Either is fine; what is not is an object that is left half bound. */
TEST_F(sharing, twice_in_one_exec, "the same handle twice in one exec is refused or works, and then the object is whole")
{
	const uint32_t handle = lend(_metadata, &self->dev, self->p, PAGE, 0);
	struct job job;
	int err;

	job_init(&job, &self->dev, I915_EXEC_RENDER);
	job_object(&job, handle, true);
	job_store(&job, job_object(&job, handle, true), 0, 1);
	err = job_run(&job);
	job_end(&job);
	diag("the same handle twice: %s", err ? strerror(-err) : "taken");
	if (err)
		EXPECT_RET(-EINVAL, err);
	EXPECT_EQ(!err, peek(self->p, 0));
	EXPECT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, 0, 2));
	EXPECT_EQ(2, peek(self->p, 0));
}

TEST_F(sharing, two_files, "two files on one node lend the same page, and each sees the other's writes")
{
	struct i915 other = self->dev;
	uint32_t a, b;

	other.fd = i915_reopen(&self->dev);
	ASSERT_LE(0, other.fd);
	a = lend(_metadata, &self->dev, self->p, PAGE, 0);
	b = lend(_metadata, &other, self->p, PAGE, 0);
	ASSERT_RET(0, store(&self->dev, a, I915_EXEC_RENDER, 0, 1));
	ASSERT_RET(0, store(&other, b, I915_EXEC_RENDER, 4, 2));
	EXPECT_EQ(1, peek(self->p, 0));
	EXPECT_EQ(2, peek(self->p, 4));
	close(other.fd);
	ASSERT_RET(0, store(&self->dev, a, I915_EXEC_RENDER, 0, 3));
	EXPECT_EQ(3, peek(self->p, 0));
}

/*
 *	p | lent | lent | lent | lent | lent | lent | lent | lent |	eight objects, one batch
 */
TEST_F(sharing, adjacent, "objects side by side each write their own page and no other")
{
	unsigned int i, object;
	struct job job;

	job_init(&job, &self->dev, I915_EXEC_RENDER);
	for (i = 0; i < PAGES; i++) {
		object = job_object(&job, lend(_metadata, &self->dev, self->p + i * PAGE, PAGE, 0), true);
		job_store(&job, object, 0, i + 1);
		job_store(&job, object, PAGE - 4, i + 100);
	}
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 1, peek(self->p, i * PAGE));
		EXPECT_EQ(0, peek(self->p, i * PAGE + 4));
		EXPECT_EQ(i + 100, peek(self->p, i * PAGE + PAGE - 4));
	}
}

/*
 *	p | anonymous | memfd, page 1 | memfd, page 0 | file | shared | anonymous ... |	one object
 */
TEST_F(sharing, several_vmas, "one object spans mappings of different kinds, in any order of their pages")
{
	const int flags = MAP_SHARED | MAP_FIXED, prot = PROT_READ | PROT_WRITE;
	struct memory file;
	struct job job;
	unsigned int i, object;
	int memfd = memfd_create("i915_userptr", MFD_CLOEXEC);
	uint32_t in_file[2];

	ASSERT_LE(0, memfd);
	ASSERT_EQ(0, ftruncate(memfd, 2 * PAGE));
	map_memory(_metadata, &file, MEMORY_FILE, PAGE, OLD);
	ASSERT_TRUE(mmap(self->p + PAGE, PAGE, prot, flags, memfd, PAGE) != MAP_FAILED);
	ASSERT_TRUE(mmap(self->p + 2 * PAGE, PAGE, prot, flags, memfd, 0) != MAP_FAILED);
	ASSERT_TRUE(mmap(self->p + 3 * PAGE, PAGE, prot, flags, file.fd, 0) != MAP_FAILED);
	ASSERT_TRUE(mmap(self->p + 4 * PAGE, PAGE, prot, flags | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);

	job_init(&job, &self->dev, I915_EXEC_RENDER);
	object = job_object(&job, lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0), true);
	for (i = 0; i < PAGES; i++)
		job_store(&job, object, i * PAGE + 4, i + 1);
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(i + 1, peek(self->p, i * PAGE + 4));
	/* The files have it too. */
	ASSERT_EQ(sizeof(in_file), pread(memfd, in_file, sizeof(in_file), 0));
	EXPECT_EQ(3, in_file[1]);
	ASSERT_EQ(sizeof(in_file), pread(memfd, in_file, sizeof(in_file), PAGE));
	EXPECT_EQ(2, in_file[1]);
	EXPECT_EQ(4, memory_peek(&file, 4));
	EXPECT_EQ(OLD, memory_peek(&file, 0));
	memory_unmap(&file);
}

TEST_F(sharing, private_of_file, "a private mapping is copied before the GPU writes: the file does not change")
{
	struct memory m;
	uint32_t handle, in_file;
	char *p;

	map_memory(_metadata, &m, MEMORY_MEMFD, PAGE, OLD);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, m.fd, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	handle = lend(_metadata, &self->dev, p, PAGE, 0);
	ASSERT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, 0, 0x600d));
	EXPECT_EQ(0x600d, peek(p, 0));
	EXPECT_EQ(OLD, peek(p, 4));
	ASSERT_EQ(4, pread(m.fd, &in_file, 4, 0));
	EXPECT_EQ(OLD, in_file);
	memory_unmap(&m);
}

/*
 * Never touched pages are all the one zero page until they are written:
 *
 *	p | zero page | zero page | ... |	written by the GPU: pages of their own
 */
TEST_F(sharing, zero_page, "pages that were never touched are the process's own when the GPU writes them")
{
	char *other = map_pages(_metadata, PAGES * PAGE);
	uint32_t handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
	unsigned int i;

	/* Read first: now the zero page is mapped. */
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(0, peek(self->p, i * PAGE) | peek(other, i * PAGE));
	for (i = 0; i < PAGES; i++)
		ASSERT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, i * PAGE, i + 1));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i + 1, peek(self->p, i * PAGE));
		EXPECT_EQ(0, peek(other, i * PAGE));
	}
}

/* ---- what the driver itself writes and reads there ---- */

static int exec(const struct i915 *dev, struct drm_i915_gem_exec_object2 *objects, unsigned int n,
		unsigned int batch_len)
{
	struct drm_i915_gem_execbuffer2 arg = {
		.buffers_ptr = (uintptr_t)objects,
		.buffer_count = n,
		.batch_len = batch_len,
		.flags = I915_EXEC_RENDER,
	};
	int err = retry(__gem_execbuf(dev->fd, &arg));

	return err ? err : retry(__gem_wait(dev->fd, objects[n - 1].handle, LONG_NS));
}

static void end_batch(struct __test_metadata *_metadata, const struct i915 *dev, uint32_t handle)
{
	static const uint32_t end[2] = { 0x0a << 23 /* MI_BATCH_BUFFER_END */, 0 };
	uint32_t *map = i915_map(dev->fd, handle, PAGE);

	ASSERT_TRUE(map);
	memcpy(map, end, sizeof(end));
	munmap(map, PAGE);
}

/*
 *	p | .. R | R .. |	R: eight bytes that lie in both pages, and others within one
 */
TEST_F(sharing, relocations_into, "addresses that the driver relocates are written into userptr memory")
{
	static const uint64_t at[] = { 0, 8, 52, 64, PAGE - 16, PAGE - 4, PAGE + 8, 2 * PAGE - 8 };
	enum { N = sizeof(at) / sizeof(at[0]) };
	const uint32_t target = create(_metadata, &self->dev, PAGE);
	const uint32_t batch = create(_metadata, &self->dev, PAGE);
	struct drm_i915_gem_relocation_entry relocs[N] = {};
	struct drm_i915_gem_exec_object2 objects[3] = {};
	unsigned int i;
	int err;

	memset(self->p, 0xff, 2 * PAGE);
	for (i = 0; i < N; i++) {
		relocs[i].target_handle = target;
		relocs[i].delta = 4 * i;
		relocs[i].offset = at[i];
		relocs[i].presumed_offset = ~0ull;
		relocs[i].read_domains = I915_GEM_DOMAIN_RENDER;
	}
	end_batch(_metadata, &self->dev, batch);
	objects[0].handle = target;
	objects[1].handle = lend(_metadata, &self->dev, self->p, 2 * PAGE, 0);
	objects[1].relocs_ptr = (uintptr_t)relocs;
	objects[1].relocation_count = N;
	objects[2].handle = batch;
	err = exec(&self->dev, objects, 3, 8);
	REQUIRE(err != -EINVAL, "the driver takes no relocations on this GPU");
	ASSERT_RET(0, err);
	for (i = 0; i < N; i++) {
		uint64_t seen = 0, expected = objects[0].offset + 4 * i;

		memcpy(&seen, self->p + at[i], self->dev.gen >= GEN8 ? 8 : 4);
		EXPECT_EQ(expected, seen);
		EXPECT_EQ(objects[0].offset, relocs[i].presumed_offset);
	}
	EXPECT_EQ(-1, (int)peek(self->p, PAGE + 16));
}

TEST_F(sharing, relocation_list, "the list of relocations may stand in memory that the same exec lends")
{
	struct drm_i915_gem_relocation_entry *list = (void *)(self->p + PAGE - 16);
	const uint32_t target = create(_metadata, &self->dev, PAGE);
	const uint32_t batch = create(_metadata, &self->dev, PAGE);
	struct drm_i915_gem_exec_object2 objects[3] = {};
	int err;

	memset(list, 0, sizeof(*list));
	list->target_handle = target;
	list->offset = 4 * PAGE;
	list->presumed_offset = ~0ull;
	list->read_domains = I915_GEM_DOMAIN_RENDER;
	end_batch(_metadata, &self->dev, batch);
	objects[0].handle = target;
	objects[1].handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
	objects[1].relocs_ptr = (uintptr_t)list;
	objects[1].relocation_count = 1;
	objects[2].handle = batch;
	err = exec(&self->dev, objects, 3, 8);
	REQUIRE(err != -EINVAL, "the driver takes no relocations on this GPU");
	ASSERT_RET(0, err);
	EXPECT_EQ((uint32_t)objects[0].offset, peek(self->p, 4 * PAGE));
	EXPECT_EQ(objects[0].offset, list->presumed_offset);
}

TEST_F(sharing, batch, "a batch may stand in userptr memory, and is what stands there at each exec")
{
	const uint32_t target = create(_metadata, &self->dev, PAGE);
	const uint32_t batch = lend(_metadata, &self->dev, self->p, PAGE, 0);
	struct drm_i915_gem_exec_object2 objects[2] = {};
	volatile uint32_t *map = i915_map(self->dev.fd, target, PAGE);
	uint32_t value;
	struct job job;

	REQUIRE(self->dev.softpin, "no softpin: the batch would be relocated");
	ASSERT_TRUE(map);
	for (value = 1; value < 4; value++) {
		job_init(&job, &self->dev, I915_EXEC_RENDER);
		job_store(&job, job_object(&job, target, true), 4 * value, value);
		memcpy(self->p, job.dw, job.n * 4);
		((uint32_t *)self->p)[job.n] = 0x0a << 23; /* MI_BATCH_BUFFER_END */
		objects[0] = job.objects[0];
		objects[1].handle = batch;
		objects[1].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
		objects[1].offset = job_address(batch);
		ASSERT_RET(0, exec(&self->dev, objects, 2, PAGE));
		EXPECT_EQ(value, map[value]);
		job_end(&job);
	}
	munmap((void *)map, PAGE);
}

TEST_HARNESS_MAIN
