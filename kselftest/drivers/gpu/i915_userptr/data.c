// SPDX-License-Identifier: GPL-2.0-only
/* What the GPU writes arrives in the process's memory, and what it reads is what stands there. */
#define _GNU_SOURCE
#include "test.h"

#include "variants.h"

ABOUT("The data: each write lands, both ways, and read-only memory is never written.");
PRECONDITION_I915

#define OLD 0x01d001d0u

/* What a dword is to hold: a function of its place that no shifted or repeated page gives. */
static uint32_t pattern(size_t offset, uint32_t round)
{
	return (uint32_t)offset * 2654435761u ^ round * 0x9e3779b9u ^ 0x5eed;
}

static void fill_pattern(uint32_t *dw, size_t size, uint32_t round)
{
	size_t i;

	for (i = 0; i < size / 4; i++)
		dw[i] = pattern(i * 4, round);
}

static uint32_t *new_shadow(struct __test_metadata *_metadata, size_t size, uint32_t value)
{
	uint32_t *shadow = malloc(size);
	size_t i;

	ASSERT_TRUE(shadow);
	for (i = 0; i < size / 4; i++)
		shadow[i] = value;
	return shadow;
}

/* Names the first dwords that differ. */
static void expect_same(struct __test_metadata *_metadata, const void *seen, const void *expected,
			size_t size, const char *what)
{
	const volatile uint32_t *s = seen;
	const uint32_t *e = expected;
	size_t i, wrong = 0;

	for (i = 0; i < size / 4; i++)
		if (s[i] != e[i] && wrong++ < 4)
			HARNESS_FAIL("%s: at %#zx (page %zu) is %#x, expected %#x", what, i * 4,
				     i * 4 / PAGE, s[i], e[i]);
	if (wrong > 4)
		HARNESS_FAIL("%s: %zu of %zu dwords are wrong", what, wrong, size / 4);
}

/* A GEM object's content. */
static void expect_object(struct __test_metadata *_metadata, const struct i915 *dev,
			  uint32_t handle, const void *expected, size_t size, const char *what)
{
	void *map = i915_map(dev->fd, handle, size);

	ASSERT_TRUE(map);
	expect_same(_metadata, map, expected, size, what);
	munmap(map, size);
}

FIXTURE(memory) {
	struct i915 dev;
	struct memory m;
	uint32_t handle;
	uint32_t *shadow;	/* what the memory is to hold */
};

FIXTURE_VARIANT(memory) {
	enum memory_kind kind;
	size_t size;
	uint64_t engine;
};

WRITABLE_VARIANTS(memory, page, PAGE)
WRITABLE_VARIANTS(memory, 2m, 2 * MIB)

FIXTURE_SETUP(memory)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, variant->engine);
	map_memory(_metadata, &self->m, variant->kind, variant->size, OLD);
	self->shadow = new_shadow(_metadata, variant->size, OLD);
	self->handle = lend(_metadata, &self->dev, self->m.p, variant->size, 0);
}

FIXTURE_TEARDOWN(memory)
{
	close(self->dev.fd);
	memory_unmap(&self->m);
	free(self->shadow);
}

/* A dword in each page, each at another place of its page. */
static size_t place_in_page(size_t page)
{
	return page * PAGE + page * 68 % PAGE;
}

static void store_each_page(struct job *job, unsigned int object, uint32_t *shadow, size_t size,
			    uint32_t round)
{
	size_t page;

	for (page = 0; page < size / PAGE; page++) {
		const size_t at = place_in_page(page);

		job_store(job, object, at, pattern(at, round));
		shadow[at / 4] = pattern(at, round);
	}
}

TEST_F(memory, each_page, "a store arrives in each page, and nothing else changes; and once more")
{
	struct job job;
	uint32_t round;

	for (round = 0; round < 2; round++) {
		job_init(&job, &self->dev, variant->engine);
		store_each_page(&job, job_object(&job, self->handle, true), self->shadow, variant->size,
				round);
		ASSERT_RET(0, job_run(&job));
		job_end(&job);
		expect_same(_metadata, self->m.p, self->shadow, variant->size, "memory");
	}
}

/*
 *	|s..s|s..........s|s..........s|s..s|	s: first and last dword of each page and cache line
 */
TEST_F(memory, edges, "stores at the edges of pages, of cache lines and of the object land")
{
	const size_t size = variant->size;
	const size_t at[] = {
		0, 4, 60, 64, 124, PAGE / 2 - 4, PAGE / 2, PAGE - 64, PAGE - 4, PAGE % size,
		(PAGE + 4) % size, size / 2 - 4, size / 2, size - PAGE, size - 64, size - 8, size - 4,
	};
	struct job job;
	unsigned int i, object;

	job_init(&job, &self->dev, variant->engine);
	object = job_object(&job, self->handle, true);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		job_store(&job, object, at[i], pattern(at[i], i));
		self->shadow[at[i] / 4] = pattern(at[i], i);
	}
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
	expect_same(_metadata, self->m.p, self->shadow, size, "memory");
}

TEST_F(memory, random, "stores at random places land, the last one where two meet")
{
	struct rng rng = test_rng(0);
	struct job job;
	unsigned int i, j, object;

	for (i = 0; i < 4; i++) {
		job_init(&job, &self->dev, variant->engine);
		object = job_object(&job, self->handle, true);
		for (j = 0; j < 512; j++) {
			const size_t at = rng_below(&rng, variant->size / 4) * 4;
			const uint32_t value = rng_next(&rng);

			job_store(&job, object, at, value);
			self->shadow[at / 4] = value;
		}
		ASSERT_RET(0, job_run(&job));
		job_end(&job);
		expect_same(_metadata, self->m.p, self->shadow, variant->size, "memory");
	}
}

TEST_F(memory, order, "batches of one context that follow without a wait write in their order")
{
	struct job jobs[32];
	unsigned int i, object;

	for (i = 0; i < 32; i++) {
		job_init(&jobs[i], &self->dev, variant->engine);
		object = job_object(&jobs[i], self->handle, true);
		job_store(&jobs[i], object, 0, i);
		job_store(&jobs[i], object, variant->size - 4 * (i + 1), i);
		self->shadow[0] = i;
		self->shadow[variant->size / 4 - (i + 1)] = i;
		ASSERT_RET(0, retry(job_submit(&jobs[i])));
	}
	ASSERT_RET(0, job_wait(&jobs[31]));
	for (i = 0; i < 32; i++)
		job_end(&jobs[i]);
	expect_same(_metadata, self->m.p, self->shadow, variant->size, "memory");
}

/* By relocations, as all did before softpin; with it, this is not what other tests go by. */
TEST_F(memory, relocated, "a store by relocation lands where one by a given address does")
{
	struct i915 dev = self->dev;
	struct job job;
	int err;

	REQUIRE(dev.softpin, "all the other tests relocate");
	dev.softpin = false;
	job_init(&job, &dev, variant->engine);
	store_each_page(&job, job_object(&job, self->handle, true), self->shadow, variant->size, 3);
	err = retry(job_submit(&job));
	REQUIRE(err != -EINVAL, "the driver takes no relocations on this GPU");
	ASSERT_RET(0, err);
	ASSERT_RET(0, job_wait(&job));
	job_end(&job);
	expect_same(_metadata, self->m.p, self->shadow, variant->size, "memory");
}

/* The GPU's own copy: the blitter copies all, the render engine one dword of each page. */
static void read_by_gpu(struct __test_metadata *_metadata, const struct i915 *dev, uint64_t engine,
			uint32_t from, uint32_t to, size_t size)
{
	struct job job;
	unsigned int source, target;
	size_t page;

	job_init(&job, dev, engine);
	source = job_object(&job, from, false);
	target = job_object(&job, to, true);
	if (engine == I915_EXEC_BLT)
		job_copy(&job, target, 0, source, 0, size);
	else
		for (page = 0; page < size / PAGE; page++)
			job_move(&job, target, place_in_page(page), source, place_in_page(page));
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
}

/* What read_by_gpu() leaves in an object of zeros. */
static void shadow_of_read(uint32_t *shadow, uint64_t engine, size_t size, uint32_t round)
{
	size_t page;

	if (engine == I915_EXEC_BLT) {
		fill_pattern(shadow, size, round);
		return;
	}
	memset(shadow, 0, size);
	for (page = 0; page < size / PAGE; page++)
		shadow[place_in_page(page) / 4] = pattern(place_in_page(page), round);
}

TEST_F(memory, is_read, "the GPU reads what the CPU has just written, each time anew")
{
	uint32_t to = create(_metadata, &self->dev, variant->size);
	uint32_t round;

	if (variant->engine == I915_EXEC_RENDER)
		require_gen8(_metadata, &self->dev);
	for (round = 0; round < 3; round++) {
		fill_pattern((uint32_t *)self->m.p, variant->size, round);
		read_by_gpu(_metadata, &self->dev, variant->engine, self->handle, to, variant->size);
		shadow_of_read(self->shadow, variant->engine, variant->size, round);
		expect_object(_metadata, &self->dev, to, self->shadow, variant->size, "GEM object");
	}
	fill_pattern(self->shadow, variant->size, round - 1);
	expect_same(_metadata, self->m.p, self->shadow, variant->size, "what was only read");
}

TEST_F(memory, is_copied, "a copy from one userptr object to another, and back, is the same")
{
	struct memory other;
	uint32_t handle;

	if (variant->engine == I915_EXEC_RENDER)
		require_gen8(_metadata, &self->dev);
	map_memory(_metadata, &other, variant->kind, variant->size, 0);
	handle = lend(_metadata, &self->dev, other.p, variant->size, 0);
	fill_pattern((uint32_t *)self->m.p, variant->size, 1);
	read_by_gpu(_metadata, &self->dev, variant->engine, self->handle, handle, variant->size);
	shadow_of_read(self->shadow, variant->engine, variant->size, 1);
	expect_same(_metadata, other.p, self->shadow, variant->size, "the copy");

	memory_fill(&self->m, 0);
	read_by_gpu(_metadata, &self->dev, variant->engine, handle, self->handle, variant->size);
	expect_same(_metadata, self->m.p, self->shadow, variant->size, "the copy of the copy");
	memory_unmap(&other);
}

TEST_F(memory, is_filled, "what is copied into it from a GEM object is there, dword by dword")
{
	uint32_t from = create(_metadata, &self->dev, variant->size);
	uint32_t *map = i915_map(self->dev.fd, from, variant->size);

	if (variant->engine == I915_EXEC_RENDER)
		require_gen8(_metadata, &self->dev);
	ASSERT_TRUE(map);
	fill_pattern(map, variant->size, 7);
	memory_fill(&self->m, 0);
	read_by_gpu(_metadata, &self->dev, variant->engine, from, self->handle, variant->size);
	shadow_of_read(self->shadow, variant->engine, variant->size, 7);
	expect_same(_metadata, self->m.p, self->shadow, variant->size, "memory");
	munmap(map, variant->size);
}

FIXTURE(large) {
	struct i915 dev;
	struct memory m;
	uint32_t handle;
};

FIXTURE_VARIANT(large) {
	enum memory_kind kind;
	size_t size;
	uint64_t engine;
};

WRITABLE_VARIANTS(large, 64m, 64 * MIB)

FIXTURE_SETUP(large)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, variant->engine);
	map_memory(_metadata, &self->m, variant->kind, variant->size, OLD);
	self->handle = lend(_metadata, &self->dev, self->m.p, variant->size, 0);
}

FIXTURE_TEARDOWN(large)
{
	close(self->dev.fd);
	memory_unmap(&self->m);
}

TEST_F(large, each_page, "in an object of 64 MiB a store arrives in each page, and nothing else changes",
       .timeout = 120)
{
	const size_t pages = variant->size / PAGE;
	size_t page, at, wrong = 0;
	unsigned int object;
	struct job job;

	job_init(&job, &self->dev, variant->engine);
	object = job_object(&job, self->handle, true);
	for (page = 0; page < pages; page++)
		job_store(&job, object, place_in_page(page), pattern(place_in_page(page), 0));
	ASSERT_RET(0, job_run(&job));
	job_end(&job);
	for (page = 0; page < pages; page++) {
		at = place_in_page(page);
		if (memory_peek(&self->m, at) != pattern(at, 0) && wrong++ < 4)
			HARNESS_FAIL("page %zu holds %#x, expected %#x", page,
				     memory_peek(&self->m, at), pattern(at, 0));
		memory_poke(&self->m, at, OLD);
	}
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(-1, memory_find_other(&self->m, OLD));
}

TEST_F(large, is_copied, "64 MiB are copied by the GPU to a GEM object and back, and are the same",
       .timeout = 120)
{
	const bool all = variant->engine == I915_EXEC_BLT;
	const size_t size = variant->size;
	volatile uint32_t *dw = (volatile uint32_t *)self->m.p;
	uint32_t to = create(_metadata, &self->dev, size);
	size_t i, wrong = 0;

	if (!all)
		require_gen8(_metadata, &self->dev);
	fill_pattern((uint32_t *)self->m.p, size, 2);
	read_by_gpu(_metadata, &self->dev, variant->engine, self->handle, to, size);
	memset(self->m.p, 0, size);
	read_by_gpu(_metadata, &self->dev, variant->engine, to, self->handle, size);
	for (i = 0; i < size / 4; i++) {
		const bool copied = all || i * 4 == place_in_page(i * 4 / PAGE);
		const uint32_t expected = copied ? pattern(i * 4, 2) : 0;

		if (dw[i] != expected && wrong++ < 4)
			HARNESS_FAIL("at %#zx is %#x, expected %#x", i * 4, dw[i], expected);
	}
	EXPECT_EQ(0, wrong);
}

FIXTURE(read_only) {
	struct i915 dev;
	struct memory m;
	uint32_t handle;
};

FIXTURE_VARIANT(read_only) {
	enum memory_kind kind;
	size_t size;
	uint64_t engine;
};

ALL_VARIANTS(read_only, page, PAGE)
ALL_VARIANTS(read_only, 2m, 2 * MIB)

FIXTURE_SETUP(read_only)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, variant->engine);
	map_memory(_metadata, &self->m, variant->kind, variant->size, OLD);
	self->handle = lend_read_only(_metadata, &self->dev, self->m.p, variant->size);
}

FIXTURE_TEARDOWN(read_only)
{
	close(self->dev.fd);
	memory_unmap(&self->m);
}

TEST_F(read_only, is_never_stored_to, "a store to a READ_ONLY object changes no page, said to be a write or not")
{
	size_t page;
	struct job job;
	int write;

	for (write = 0; write < 2; write++) {
		unsigned int object;

		job_init(&job, &self->dev, variant->engine);
		object = job_object(&job, self->handle, write);
		for (page = 0; page < variant->size / PAGE; page++)
			job_store(&job, object, place_in_page(page), 0xbad);
		ASSERT_RET(0, job_run(&job));
		job_end(&job);
		EXPECT_EQ(-1, memory_find_other(&self->m, OLD));
	}
}

TEST_F(read_only, is_never_copied_to, "nor does a copy by the blitter over all of it, or registers stored to it")
{
	uint32_t from = create(_metadata, &self->dev, variant->size);

	if (variant->engine == I915_EXEC_RENDER)
		require_gen8(_metadata, &self->dev);
	read_by_gpu(_metadata, &self->dev, variant->engine, from, self->handle, variant->size);
	EXPECT_EQ(-1, memory_find_other(&self->m, OLD));
}

TEST_F(read_only, is_read, "it can be read by the GPU, wherever the process may read it")
{
	uint32_t to = create(_metadata, &self->dev, variant->size);
	uint32_t *map = i915_map(self->dev.fd, to, variant->size);
	size_t page;

	if (variant->engine == I915_EXEC_RENDER)
		require_gen8(_metadata, &self->dev);
	ASSERT_TRUE(map);
	read_by_gpu(_metadata, &self->dev, variant->engine, self->handle, to, variant->size);
	for (page = 0; page < variant->size / PAGE; page++)
		EXPECT_EQ(OLD, map[place_in_page(page) / 4]);
	munmap(map, variant->size);
}

/* A second object of the same pages, not READ_ONLY, says whether they may be written at all. */
TEST_F(read_only, is_of_the_object, "READ_ONLY is the object's: through another one the pages are written")
{
	uint32_t other = lend(_metadata, &self->dev, self->m.p, variant->size, 0);
	int err = store(&self->dev, other, variant->engine, variant->size - 4, 0x600d);

	if (variant->kind == MEMORY_READ) {
		EXPECT_RET(-EFAULT, err);
		EXPECT_EQ(-1, memory_find_other(&self->m, OLD));
		return;
	}
	ASSERT_RET(0, err);
	EXPECT_EQ(0x600d, memory_peek(&self->m, variant->size - 4));
	ASSERT_RET(0, store(&self->dev, self->handle, variant->engine, variant->size - 4, 0xbad));
	EXPECT_EQ(0x600d, memory_peek(&self->m, variant->size - 4));
}

TEST_HARNESS_MAIN
