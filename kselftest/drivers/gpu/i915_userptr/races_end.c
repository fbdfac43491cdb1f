// SPDX-License-Identifier: GPL-2.0-only
/* The ends of things whose batches are in flight: processes, files, objects. */
#define _GNU_SOURCE
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

ABOUT("Processes that exit, are killed or exec, files and objects that are closed, with batches in flight.");
PRECONDITION_I915

#define PAGES 64
#define SIZE (PAGES * PAGE)
#define OLD 0x01d001d0u
#define NEW 0x7e3d7e3du
/* Long enough for the end to come before the batches', mostly. */
#define STORES 4000
#define SUBMISSIONS 6
#define LONGEST_NS 20000000000ull

/* Shared with the children. */
static struct counts {
	atomic_uint rounds, busy, refused;
} *counts;

FIXTURE(ending) {
	struct i915 dev;
	char *p;
	uint64_t until;
	struct rng rng;
};

FIXTURE_SETUP(ending)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->p = map_pages(_metadata, SIZE);
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(counts != MAP_FAILED);
	self->rng = test_rng(0);
	self->until = now_ns() + knob_seconds(1) * 1000000000ull;
}

FIXTURE_TEARDOWN(ending)
{
	munmap(self->p, SIZE);
	close(self->dev.fd);
}

static bool goes_on(const struct _test_data_ending *self)
{
	const unsigned int rounds = counts->rounds, count = knob_count(0);

	if (count)
		return rounds < count;
	return now_ns() < self->until || rounds < 4 || (!counts->busy && rounds < 200);
}

static void say(struct __test_metadata *_metadata, const char *what)
{
	diag("%s: %u times, %u of them with a batch in flight; %u could not begin", what,
	     counts->rounds, counts->busy, counts->refused);
	REQUIRE(counts->busy, "no batch was in flight at any of %u ends: nothing was tested",
		counts->rounds);
}

/* Batches that write all over the memory at p. 0 or -errno. */
static int make_busy(const struct i915 *dev, const char *p, struct job *job, uint32_t *handle)
{
	unsigned int object, i;
	int err = __gem_userptr(dev->fd, p, SIZE, 0, handle);

	if (err)
		return err;
	job_init(job, dev, dev->blitter ? I915_EXEC_BLT : I915_EXEC_RENDER);
	object = job_object(job, *handle, true);
	for (i = 0; i < STORES; i++)
		job_store(job, object, i % PAGES * PAGE + i / PAGES * 4, NEW);
	for (i = 0; i < SUBMISSIONS && !err; i++)
		err = retry(job_submit(job));
	return err;
}

static void count_busy(const struct i915 *dev, uint32_t handle)
{
	uint32_t busy = 0;

	__gem_busy(dev->fd, handle, &busy);
	counts->busy += busy != 0;
	counts->rounds++;
}

enum end { BY_EXIT, BY_SIGKILL, BY_EXEC };

/* A copy of the parent's memory at the same address, and a file of its own. */
static void end_busy(const char *p, enum end how, unsigned int delay_us)
{
	struct i915 dev;
	struct job job;
	uint32_t handle;
	int null;

	if (i915_open(&dev) || make_busy(&dev, p, &job, &handle)) {
		counts->refused++;
		counts->rounds++;
		_exit(0);
	}
	if (delay_us)
		usleep(delay_us);
	count_busy(&dev, handle);
	switch (how) {
	case BY_EXIT:
		_exit(0);
	case BY_SIGKILL:
		raise(SIGKILL);
		break;
	case BY_EXEC:
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, STDOUT_FILENO);
		execl("/proc/self/exe", "a test that lists", "-l", NULL);
	}
	_exit(1);
}

static bool ends(pid_t pid, int *status)
{
	const uint64_t until = now_ns() + LONGEST_NS;

	while (now_ns() < until) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		sleep_ms(1);
	}
	return false;
}

static void loop_of_ends(struct __test_metadata *_metadata, struct _test_data_ending *self,
			 enum end how, const char *what)
{
	unsigned int i;
	int status;

	for (i = 0; i < PAGES; i++)
		*(uint32_t *)(self->p + i * PAGE) = OLD + i;
	while (goes_on(self)) {
		const unsigned int delay = rng_below(&self->rng, 2) ? rng_below(&self->rng, 2000) : 0;
		pid_t pid = harness_fork();

		ASSERT_LE(0, pid);
		if (!pid)
			end_busy(self->p, how, delay);
		ASSERT_TRUE(ends(pid, &status));
		if (how == BY_SIGKILL) {
			EXPECT_TRUE(WIFEXITED(status) || WTERMSIG(status) == SIGKILL);
		} else {
			EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		}
		for (i = 0; i < PAGES; i++)
			ASSERT_EQ(OLD + i, *(volatile uint32_t *)(self->p + i * PAGE));
	}
	say(_metadata, what);
}

TEST_F(ending, process_exits, "a process exits with batches in flight: it ends, and nobody else's memory is written")
{
	loop_of_ends(_metadata, self, BY_EXIT, "exit");
}

TEST_F(ending, process_is_killed, "a process is killed with batches in flight: it dies, and nobody else's memory is written")
{
	loop_of_ends(_metadata, self, BY_SIGKILL, "SIGKILL");
}

TEST_F(ending, process_execs, "a process execs with batches in flight: the new program runs, in memory that no batch writes")
{
	loop_of_ends(_metadata, self, BY_EXEC, "exec");
}

/* ---- the file, the object ---- */

static struct unmapper {
	pthread_t thread;
	atomic_int go, done;
	char *p;
} unmapper;

static void *unmap(void *arg)
{
	struct rng rng = test_rng(1);

	while (unmapper.go >= 0) {
		if (!unmapper.go) {
			sched_yield();
			continue;
		}
		unmapper.go = 0;
		if (rng_below(&rng, 2))
			usleep(rng_below(&rng, 300));
		munmap(unmapper.p, SIZE);
		unmapper.done = 1;
	}
	return arg;
}

/*
 *	thread 1	... submits | close(fd) ........|
 *	thread 2		    | munmap ..|		then mmap: nothing stale
 */
TEST_F(ending, file_is_closed, "the file is closed with batches in flight, while their memory is unmapped")
{
	unsigned int i;

	unmapper.p = self->p;
	ASSERT_EQ(0, pthread_create(&unmapper.thread, NULL, unmap, NULL));
	while (goes_on(self)) {
		struct i915 dev = self->dev;
		struct job job;
		uint32_t handle;

		dev.fd = i915_reopen(&self->dev);
		ASSERT_LE(0, dev.fd);
		ASSERT_RET(0, make_busy(&dev, self->p, &job, &handle));
		count_busy(&dev, handle);
		unmapper.done = 0;
		unmapper.go = 1;
		if (rng_below(&self->rng, 2))
			usleep(rng_below(&self->rng, 300));
		ASSERT_EQ(0, close(dev.fd));
		while (!unmapper.done)
			sched_yield();
		ASSERT_TRUE(mmap(self->p, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == self->p);
		for (i = 0; i < PAGES; i++)
			ASSERT_EQ(0, *(volatile uint32_t *)(self->p + i * PAGE));
		usleep(rng_below(&self->rng, 2000));
		for (i = 0; i < PAGES; i++)
			ASSERT_EQ(0, *(volatile uint32_t *)(self->p + i * PAGE));
		job.batch = 0;	/* gone with the file */
		job_end(&job);
	}
	unmapper.go = -1;
	pthread_join(unmapper.thread, NULL);
	say(_metadata, "close of the file");
}

/* The same with GEM_CLOSE; a second object of half of it has a notifier in the same range. */
TEST_F(ending, object_is_closed, "objects are closed with batches in flight, while their memory is unmapped")
{
	unsigned int i;

	unmapper.p = self->p;
	ASSERT_EQ(0, pthread_create(&unmapper.thread, NULL, unmap, NULL));
	while (goes_on(self)) {
		uint32_t handle, half = lend(_metadata, &self->dev, self->p + SIZE / 2, SIZE / 2, 0);
		struct job job;

		ASSERT_RET(0, store(&self->dev, half, I915_EXEC_RENDER, 0, NEW));
		ASSERT_RET(0, make_busy(&self->dev, self->p, &job, &handle));
		count_busy(&self->dev, handle);
		unmapper.done = 0;
		unmapper.go = 1;
		if (rng_below(&self->rng, 2))
			usleep(rng_below(&self->rng, 300));
		ASSERT_RET(0, __gem_close(self->dev.fd, handle));
		ASSERT_RET(0, __gem_close(self->dev.fd, half));
		while (!unmapper.done)
			sched_yield();
		ASSERT_TRUE(mmap(self->p, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == self->p);
		ASSERT_RET(0, job_wait(&job));
		for (i = 0; i < PAGES; i++)
			ASSERT_EQ(0, *(volatile uint32_t *)(self->p + i * PAGE));
		job_end(&job);
	}
	unmapper.go = -1;
	pthread_join(unmapper.thread, NULL);
	say(_metadata, "close of an object");
}

TEST_HARNESS_MAIN
