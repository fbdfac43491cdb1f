// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is taken is given back: pins, GEM objects, handles, memory; however an object comes to its end.
 *
 * Pins are counted for the whole system (see resources.h), and after each test of each program.
 */
#define _GNU_SOURCE
#include "test.h"

#include <fcntl.h>

#include "resources.h"

ABOUT("Leaks: pins, objects, handles and memory are back where they were.");
PRECONDITION_I915

#define PAGES 64

/* Of each of five variants, unless -n says otherwise; and how long they may take, unless it does. */
#define CYCLES 20000
#define CYCLES_NS 5000000000ull

FIXTURE(pins) {
	struct i915 dev;
	char *p;
	uint32_t handle;
	long long held;	/* before */
};

FIXTURE_SETUP(pins)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->held = pins_held();
	REQUIRE(self->held >= 0, "no nr_foll_pin_acquired in /proc/vmstat (before 5.7)");
	self->p = map_pages(_metadata, PAGES * PAGE);
	self->handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
}

FIXTURE_TEARDOWN(pins)
{
	close(self->dev.fd);
	munmap(self->p, PAGES * PAGE);
	EXPECT_EQ(self->held, pins_become(self->held));
}

static void use(struct __test_metadata *_metadata, const struct i915 *dev, uint32_t handle)
{
	ASSERT_RET(0, store(dev, handle, I915_EXEC_RENDER, 0, 1));
}

TEST_F(pins, are_taken_at_use, "an object pins its pages when it is first used, once, and keeps them")
{
	EXPECT_EQ(self->held, pins_held());
	use(_metadata, &self->dev, self->handle);
	EXPECT_EQ(self->held + PAGES, pins_become(self->held + PAGES));
	use(_metadata, &self->dev, self->handle);
	EXPECT_EQ(self->held + PAGES, pins_held());
	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	EXPECT_EQ(self->held, pins_become(self->held));
}

TEST_F(pins, closed_while_busy, "an object that is closed while a batch uses it keeps its pages until then")
{
	struct gate gate;
	struct job job;

	require_gen8(_metadata, &self->dev);
	ASSERT_RET(0, gate_create(&gate, &self->dev));
	job_init(&job, &self->dev, I915_EXEC_RENDER);
	job_gate(&job, &gate);
	job_store(&job, job_object(&job, self->handle, true), 0, 1);
	ASSERT_RET(0, retry(job_submit(&job)));
	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	EXPECT_EQ(self->held + PAGES, pins_held());
	EXPECT_EQ(0, *(volatile uint32_t *)self->p);
	gate_open(&gate);
	ASSERT_RET(0, job_wait(&job));
	EXPECT_EQ(1, *(volatile uint32_t *)self->p);
	EXPECT_EQ(self->held, pins_become(self->held));
	job_end(&job);
	gate_destroy(&gate);
}

TEST_F(pins, file_closed, "the close of the file lets go of all that was lent through it")
{
	use(_metadata, &self->dev, self->handle);
	close(self->dev.fd);
	EXPECT_EQ(self->held, pins_become(self->held));
	self->dev.fd = i915_reopen(&self->dev);
}

/* The notifier lets go of nothing, before 6.9 neither: it only tells the next use. */
TEST_F(pins, unmapped, "pages that were unmapped are let go by the next use, which fails, or by the close")
{
	char *p = self->p;

	use(_metadata, &self->dev, self->handle);
	ASSERT_EQ(0, munmap(p, PAGES * PAGE));
	EXPECT_GE(self->held + PAGES, pins_held());
	EXPECT_RET(-EFAULT, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, 1));
	EXPECT_EQ(self->held, pins_become(self->held));

	ASSERT_TRUE(mmap(p, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	use(_metadata, &self->dev, self->handle);
	ASSERT_EQ(0, munmap(p, PAGES * PAGE));
	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	EXPECT_EQ(self->held, pins_become(self->held));
}

TEST_F(pins, remapped, "after each remap the new pages are pinned and the old ones are not")
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		use(_metadata, &self->dev, self->handle);
		EXPECT_EQ(self->held + PAGES, pins_become(self->held + PAGES));
		ASSERT_TRUE(mmap(self->p, PAGES * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == self->p);
	}
	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	EXPECT_EQ(self->held, pins_become(self->held));
}

/*
 *	p | 0 | 1 | ... | hole | ... |	the pages before the hole have been pinned when it is found
 */
TEST_F(pins, failed_lookup, "a look-up that fails in the middle leaves no page pinned")
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, munmap(self->p + i * PAGE, PAGE));
		EXPECT_RET(-EFAULT, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, 1));
		ASSERT_TRUE(mmap(self->p + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	}
	EXPECT_EQ(self->held, pins_become(self->held));
	use(_metadata, &self->dev, self->handle);
	EXPECT_EQ(self->held + PAGES, pins_become(self->held + PAGES));
}

TEST_F(pins, probe_and_set_domain, "PROBE pins nothing for good, and what set-domain pins is the object's")
{
	uint32_t handle;
	unsigned int i;

	for (i = 0; i < 32; i++) {
		int err = __gem_userptr(self->dev.fd, self->p, PAGES * PAGE, I915_USERPTR_PROBE,
					&handle);

		REQUIRE(err != -EINVAL, "no I915_USERPTR_PROBE (before 5.15)");
		ASSERT_RET(0, err);
		ASSERT_RET(0, __gem_close(self->dev.fd, handle));
	}
	EXPECT_EQ(self->held, pins_become(self->held));
	for (i = 0; i < 8; i++)
		ASSERT_RET(0, retry(__gem_set_domain(self->dev.fd, self->handle, I915_GEM_DOMAIN_CPU,
						     0)));
	EXPECT_GE(self->held + PAGES, pins_held());
	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	EXPECT_EQ(self->held, pins_become(self->held));
}

enum ending { ENDING_EXIT, ENDING_KILL, ENDING_EXEC, ENDINGS };

static const char *const ending_names[] = { "exits", "is killed", "execs" };

static void child_ends(struct __test_metadata *_metadata, const struct i915 *dev,
		       const struct gate *gate, int ready, enum ending ending)
{
	char *const argv[] = { "sh", "-c", ":", NULL };
	char *p = map_pages(_metadata, PAGES * PAGE);
	struct job job;

	job_init(&job, dev, I915_EXEC_RENDER);
	job_gate(&job, gate);
	job_store(&job, job_object(&job, lend(_metadata, dev, p, PAGES * PAGE, 0), true), 0, 1);
	ASSERT_RET(0, retry(job_submit(&job)));
	ASSERT_EQ(1, write(ready, "x", 1));
	if (ending == ENDING_KILL)
		pause();
	if (ending == ENDING_EXEC)
		execv("/bin/sh", argv);
	_exit(0);
}

/*
 * The gate is opened from here: the file is the child's alone, but a mapping stays. Before 6.9 the end
 * of the child's mm waits for the batch, so that is done before the child is waited for.
 */
static void end_process(struct __test_metadata *_metadata, const struct i915 *node,
			enum ending ending, bool busy)
{
	struct i915 dev = *node;
	struct gate gate;
	int ready[2];
	pid_t pid;
	char byte;

	dev.fd = i915_reopen(node);
	ASSERT_LE(0, dev.fd);
	ASSERT_RET(0, gate_create(&gate, &dev));
	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	if (!busy)
		gate_open(&gate);
	pid = harness_fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		child_ends(_metadata, &dev, &gate, ready[1], ending);
	close(dev.fd);
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	close(ready[0]);
	if (ending == ENDING_KILL)
		kill(pid, SIGKILL);
	sleep_ms(busy ? 50 : 0);
	gate_open(&gate);
	ASSERT_RET(pid, waitpid(pid, NULL, 0));
	munmap((void *)gate.map, PAGE);
}

TEST_F(pins, process_ends, "a process that exits, is killed or execs takes its pins along, idle or busy",
       .timeout = 120)
{
	int ending, busy;

	require_gen8(_metadata, &self->dev);
	for (ending = 0; ending < ENDINGS; ending++) {
		for (busy = 0; busy < 2; busy++) {
			end_process(_metadata, &self->dev, ending, busy);
			if (self->held != pins_become(self->held))
				HARNESS_FAIL("a process that %s while its object is %s leaves %lld pins",
					     ending_names[ending], busy ? "busy" : "idle",
					     pins_held() - self->held);
		}
	}
}

/* ---- objects, handles and memory ---- */

FIXTURE(churn) {
	struct i915 dev;
	char *p;
};

FIXTURE_SETUP(churn)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->p = map_pages(_metadata, PAGES * PAGE);
}

FIXTURE_TEARDOWN(churn)
{
	close(self->dev.fd);
	munmap(self->p, PAGES * PAGE);
}

TEST_F(churn, handles, "handles that were closed are given out again: their number does not grow")
{
	uint32_t first = lend(_metadata, &self->dev, self->p, PAGE, 0), handles[256];
	unsigned int round, i;

	ASSERT_RET(0, __gem_close(self->dev.fd, first));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 256; i++) {
			handles[i] = lend(_metadata, &self->dev, self->p + i % PAGES * PAGE, PAGE, 0);
			ASSERT_LT(handles[i], first + 256);
		}
		for (i = 0; i < 256; i++)
			ASSERT_RET(0, __gem_close(self->dev.fd, handles[i]));
	}
	EXPECT_EQ(first, lend(_metadata, &self->dev, self->p, PAGE, 0));
}

TEST_F(churn, objects, "GEM objects with pages are as many as before when all were closed", .timeout = 60)
{
	long before, n;
	unsigned int i;

	use(_metadata, &self->dev, lend(_metadata, &self->dev, self->p, PAGE, 0));
	before = gem_objects(&self->dev);
	REQUIRE(before >= 0, "i915_gem_objects is not to be read in debugfs (as root, mounted)");
	/* That which is kept for later use, as by the relocations, is gone after a second. */
	sleep_ms(1500);
	before = gem_objects(&self->dev);
	for (i = 0; i < 200; i++) {
		uint32_t handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);

		use(_metadata, &self->dev, handle);
		if (i == 100) {
			n = gem_objects(&self->dev);
			EXPECT_LT(before, n);
		}
		ASSERT_RET(0, __gem_close(self->dev.fd, handle));
	}
	EXPECT_EQ(before, gem_objects_become(&self->dev, before));
}

TEST_F(churn, processes, "200 processes that end without closing anything leave nothing", .timeout = 120)
{
	long long pins = pins_held();
	long objects;
	unsigned int i;

	sleep_ms(1500);
	objects = gem_objects(&self->dev);
	for (i = 0; i < 200; i++) {
		pid_t pid = harness_fork();

		ASSERT_LE(0, pid);
		if (pid == 0) {
			struct i915 dev = self->dev;

			dev.fd = i915_reopen(&self->dev);
			ASSERT_LE(0, dev.fd);
			use(_metadata, &dev, lend(_metadata, &dev, self->p, PAGES * PAGE, 0));
			_exit(0);
		}
		join(_metadata, pid);
	}
	EXPECT_EQ(pins, pins_become(pins));
	EXPECT_EQ(objects, gem_objects_become(&self->dev, objects));
}

enum cycle { CYCLE_CREATE, CYCLE_SET_DOMAIN, CYCLE_EXEC, CYCLE_EXEC_BUSY, CYCLE_REMAP };

FIXTURE(cycles) {
	struct i915 dev;
	char *p;
	struct job job;
};

FIXTURE_VARIANT(cycles) {
	enum cycle cycle;
};

FIXTURE_VARIANT_ADD(cycles, create) { .cycle = CYCLE_CREATE };
FIXTURE_VARIANT_ADD(cycles, set_domain) { .cycle = CYCLE_SET_DOMAIN };
FIXTURE_VARIANT_ADD(cycles, exec) { .cycle = CYCLE_EXEC };
FIXTURE_VARIANT_ADD(cycles, exec_busy) { .cycle = CYCLE_EXEC_BUSY };
FIXTURE_VARIANT_ADD(cycles, exec_remap) { .cycle = CYCLE_REMAP };

/* A batch that is used again and again: the handle, and with it the address, comes again each time. */
FIXTURE_SETUP(cycles)
{
	uint32_t handle;

	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->p = map_pages(_metadata, PAGES * PAGE);
	handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
	job_init(&self->job, &self->dev, I915_EXEC_RENDER);
	job_store(&self->job, job_object(&self->job, handle, true), 0, 1);
	ASSERT_RET(0, job_run(&self->job));
	ASSERT_RET(0, __gem_close(self->dev.fd, handle));
}

FIXTURE_TEARDOWN(cycles)
{
	job_end(&self->job);
	close(self->dev.fd);
	munmap(self->p, PAGES * PAGE);
}

static void one_cycle(struct __test_metadata *_metadata, FIXTURE_DATA(cycles) *self, size_t size,
		      enum cycle cycle)
{
	const int fd = self->dev.fd;
	uint32_t handle = lend(_metadata, &self->dev, self->p, size, 0);

	if (cycle == CYCLE_SET_DOMAIN)
		ASSERT_RET(0, retry(__gem_set_domain(fd, handle, I915_GEM_DOMAIN_CPU, 0)));
	if (cycle >= CYCLE_EXEC) {
		ASSERT_EQ(self->job.objects[0].handle, handle);
		ASSERT_RET(0, retry(job_exec(&self->job)));
	}
	if (cycle == CYCLE_EXEC || cycle == CYCLE_REMAP)
		ASSERT_RET(0, job_wait(&self->job));
	if (cycle == CYCLE_REMAP)
		ASSERT_TRUE(mmap(self->p, size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == self->p);
	ASSERT_RET(0, __gem_close(fd, handle));
}

/* What is let go by workers and by RCU is gone. */
static void settle(const struct i915 *dev)
{
	gem_objects(dev);
	sleep_ms(200);
	gem_objects(dev);
}

/*
 * Less than the smallest thing that could leak in each cycle: a userptr object's struct is some
 * 1000 bytes, a scatterlist or a vma some hundred; a page is 4096. The noise is the rest of the
 * machine's; few cycles see only what is large.
 */
#define SLAB_BYTES_A_CYCLE 128
#define USED_BYTES_A_CYCLE 2048
#define SLAB_NOISE_KIB 1024
#define USED_NOISE_KIB (64 * 1024)

TEST_F(cycles, constant_memory, "100,000 cycles of create, use and destroy, over all variants, leave memory as it was",
       .timeout = 600)
{
	const unsigned int all = knob_count(CYCLES);
	const uint64_t begin = now_ns(), until = knob_count(0) ? UINT64_MAX : begin + CYCLES_NS;
	long long slab = 0, used = 0, slab_limit, used_limit;
	struct rng rng = test_rng(0);
	unsigned int i, warm = 0;

	for (i = 0; i < all && (now_ns() < until || !warm); i++) {
		/* Caches and pools fill in the first tenth. */
		if (!warm && (i == all / 10 || now_ns() > begin + CYCLES_NS / 10)) {
			settle(&self->dev);
			slab = slab_kib();
			used = used_kib();
			warm = i + 1;
		}
		one_cycle(_metadata, self, (1 + rng_below(&rng, PAGES)) * PAGE, variant->cycle);
	}
	if (i < all)
		diag("%u of %u cycles in %llu s, this machine is slow: -n %u does all", i, all,
		     CYCLES_NS / 1000000000, all);
	else
		diag("%u cycles", i);
	settle(&self->dev);
	slab = slab_kib() - slab;
	used = used_kib() - used;
	i -= warm;
	slab_limit = SLAB_NOISE_KIB + i * (long long)SLAB_BYTES_A_CYCLE / 1024;
	used_limit = USED_NOISE_KIB + i * (long long)USED_BYTES_A_CYCLE / 1024;
	diag("over %u of them: unreclaimable slab %+lld KiB (limit %lld), used memory %+lld KiB (limit %lld)",
	     i, slab, slab_limit, used, used_limit);
	EXPECT_LT(slab, slab_limit);
	EXPECT_LT(used, used_limit);
}

TEST_HARNESS_MAIN
