// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other processes, the ends of processes and files, signals, and several objects or mappings, against
 * execbuf.
 */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

ABOUT("fork, ptrace, exit, exec, close, signals; several objects of one range; against execbuf.");
PRECONDITION_I915

#define PAGES 16
#define SIZE (PAGES * PAGE)

FIXTURE(process) {
	struct race race;
};

FIXTURE_VARIANT(process) {
	enum memory_kind kind;
	size_t size;
};

FIXTURE_VARIANT_ADD(process, anon) { .kind = MEMORY_ANON, .size = SIZE };
FIXTURE_VARIANT_ADD(process, thp) { .kind = MEMORY_THP, .size = HUGE_PAGE };

FIXTURE_SETUP(process)
{
	race_setup(_metadata, &self->race, variant->kind, variant->size, 1);
}

FIXTURE_TEARDOWN(process)
{
	race_end(&self->race);
}

/* 0, 1 what a child saw change, 2 could not begin. */
static int status_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What the child has is of the moment of the fork: no batch of the parent's may reach it later. */
static void watch_copy(struct race *r)
{
	const struct __test_metadata *_metadata = r->metadata;
	struct race_content c;

	race_remember(r, race_all(r), &c);
	r->era = ERA_WAITS;
	memset(c.begun, 0xff, sizeof(c.begun));
	race_dwell(r);
	race_unchanged(r, &c, "in a forked child");
	_exit(HARNESS_IS_OVER() ? 1 : 0);
}

RACE_CHANGE(change_fork)
{
	struct span s = race_span(r);
	struct race_content c;
	pid_t pid;

	race_remember(r, race_all(r), &c);
	pid = race_call(r, harness_fork());
	ASSERT_LE(0, pid);
	if (!pid)
		watch_copy(r);
	/* Each page that the CPU writes is copied now, or was when it forked. */
	race_touch(r, s);
	race_survived(r, &c, "after fork and a write of the parent's");
	EXPECT_EQ(0, status_of(pid));
	race_survived(r, &c, "after a forked child has ended");
}

TEST_F(process, fork_parent_writes, "fork, then writes of the parent and its batches: the child's copy stays as it was")
{
	race_loop(&self->race, "fork", change_fork);
}

#define CHILDS 0xfc000000u

/* In the child a lane's dword is the child's to write: in the parent nobody may ever see it. */
RACE_CHANGE(change_fork_child)
{
	struct race_content c;
	unsigned int i;
	pid_t pid;

	race_remember(r, race_all(r), &c);
	pid = race_call(r, harness_fork());
	ASSERT_LE(0, pid);
	if (!pid) {
		for (i = 0; i < r->nslots; i++) {
			memory_poke(&r->m, r->slots[i].offset + PAGE - 4, CHILDS + i);
			memory_poke(&r->m, race_cpu_place(&r->slots[i]), CHILDS + i);
		}
		_exit(0);
	}
	EXPECT_EQ(0, status_of(pid));
	race_survived(r, &c, "after a forked child has written");
	for (i = 0; i < r->nslots; i++)
		EXPECT_EQ(0, memory_peek(&r->m, r->slots[i].offset + PAGE - 4));
	race_touch(r, race_all(r));
}

TEST_F(process, fork_child_writes, "fork, then writes of the child: neither the parent nor its batches see them")
{
	race_loop(&self->race, "fork", change_fork_child);
}

/* ---- another process writes ---- */

static struct request {
	atomic_int wanted, done;	/* a number of slots; -1: end */
	int err;
	bool by_ptrace;
	uintptr_t at[RACE_SLOTS];
	uint32_t value[RACE_SLOTS];
} *request;

static int poke(pid_t pid, int mem, uintptr_t at, uint32_t value)
{
	long word;

	if (mem >= 0)
		return pwrite(mem, &value, 4, at) == 4 ? 0 : -errno;
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, at & ~7ul, 0);
	if (errno)
		return -errno;
	memcpy((char *)&word + (at & 7), &value, 4);
	return ptrace(PTRACE_POKEDATA, pid, at & ~7ul, word) ? -errno : 0;
}

static int serve(pid_t pid, int n)
{
	int mem = -1, err = 0, i, status;
	char path[32];

	if (request->by_ptrace) {
		if (ptrace(PTRACE_ATTACH, pid, 0, 0))
			return -errno;
		waitpid(pid, &status, __WALL);
	} else {
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		mem = open(path, O_RDWR | O_CLOEXEC);
		if (mem < 0)
			return -errno;
	}
	for (i = 0; i < n && !err; i++)
		err = poke(pid, mem, request->at[i], request->value[i]);
	if (request->by_ptrace)
		ptrace(PTRACE_DETACH, pid, 0, 0);
	else
		close(mem);
	return err;
}

/* Stopped is the test's own thread, which waits for the end of this anyway. */
static pid_t start_writer(struct __test_metadata *_metadata, bool by_ptrace)
{
	pid_t tested = getpid(), pid;

	request = mmap(NULL, sizeof(*request), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	ASSERT_TRUE(request != MAP_FAILED);
	request->by_ptrace = by_ptrace;
	/* Yama lets only parents do it, otherwise. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	pid = harness_fork();
	ASSERT_LE(0, pid);
	while (!pid) {
		int n = atomic_exchange(&request->wanted, 0);

		if (n < 0)
			_exit(0);
		if (n) {
			request->err = serve(tested, n);
			request->done = 1;
		}
		sched_yield();
	}
	return pid;
}

static int write_by_other(const struct race *r, struct slot *const *slots, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		request->at[i] = (uintptr_t)r->m.p + race_cpu_place(slots[i]);
		request->value[i] = slots[i]->cpu;
	}
	request->done = 0;
	request->wanted = n;
	while (!request->done)
		sched_yield();
	return request->err;
}

/*
 * Both ways write to what the process itself may only read (FOLL_FORCE), by a copy of the page where
 * it is shared.
 */
RACE_CHANGE(change_by_other)
{
	static bool never_forced;
	const bool read_only = !never_forced && rng_below(&r->rng, 2);
	uint32_t before[RACE_SLOTS];
	struct slot *slots[RACE_SLOTS];
	struct race_content c;
	unsigned int i, n = 0;
	int err;

	if (read_only) {
		race_access_changes(r);
		ASSERT_EQ(0, mprotect(r->m.p, r->m.size, PROT_READ));
		race_access(r, ACCESS_READ);
	}
	race_remember(r, race_all(r), &c);
	for (i = 0; i < r->nslots; i++) {
		if (rng_below(&r->rng, 2))
			continue;
		slots[n] = &r->slots[i];
		before[n] = r->slots[i].cpu;
		slots[n++]->cpu = 1 + rng_below(&r->rng, 0x7fffffff);
	}
	err = n ? race_call(r, write_by_other(r, slots, n)) : 0;
	REQUIRE(err != -EPERM && err != -EACCES, "another process may not write here: %s",
		strerror(-err));
	/* /proc/PID/mem writes to read-only memory where the kernel is told to, proc_mem.force_override. */
	if (err == -EIO && read_only) {
		diag("%s: read-only memory cannot be written to", r->what);
		never_forced = true;
		for (i = 0; i < n; i++)
			slots[i]->cpu = before[i];
		err = 0;
	}
	ASSERT_RET(0, err);
	race_survived(r, &c, "after another process has written");
	if (read_only) {
		race_access_changes(r);
		ASSERT_EQ(0, mprotect(r->m.p, r->m.size, PROT_READ | PROT_WRITE));
		race_access(r, ACCESS_RW);
	}
	race_dwell(r);
	race_check(r, race_all(r), "a while after another process has written");
}

static void end_writer(pid_t pid)
{
	request->wanted = -1;
	waitpid(pid, NULL, 0);
}

TEST_F(process, ptrace_writes, "a tracer pokes into the pages, read-only ones too: it and the batches lose nothing")
{
	pid_t pid = start_writer(_metadata, true);

	race_loop(&self->race, "PTRACE_POKEDATA", change_by_other);
	end_writer(pid);
}

TEST_F(process, mem_writes, "another process writes by /proc/PID/mem: it and the batches lose nothing")
{
	pid_t pid = start_writer(_metadata, false);

	race_loop(&self->race, "/proc/PID/mem", change_by_other);
	end_writer(pid);
}

/* ---- signals ---- */

static atomic_bool storm_over;

static void ignore(int sig)
{
	(void)sig;
}

static void *storm(void *arg)
{
	struct race *r = arg;
	struct rng rng = test_rng(50);

	while (!storm_over) {
		struct lane *l = &r->lanes[rng_below(&rng, r->nlanes)];

		if (l->tid)
			syscall(SYS_tgkill, getpid(), l->tid, SIGUSR1);
		usleep(rng_below(&rng, 500));
	}
	return NULL;
}

RACE_CHANGE(change_munmap)
{
	struct span s = race_span(r);

	race_access_changes(r);
	race_destroy(r, s);
	EXPECT_EQ(0, race_call(r, munmap(s.p, s.size)));
	race_access(r, ACCESS_NONE);
	race_dwell(r);
	race_access_changes(r);
	ASSERT_TRUE(mmap(s.p, s.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) == s.p);
	race_destroyed(r, s);
	race_access(r, ACCESS_RW);
	race_check(r, s, "after munmap and mmap");
	race_touch(r, s);
	race_dwell(r);
	race_check(r, s, "a while after munmap and mmap");
}

TEST_F(process, signals, "signals interrupt lookups and waits while pages come and go: EINTR, and no more than that")
{
	struct sigaction sa = { .sa_handler = ignore };
	pthread_t thread;

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, storm, &self->race));
	race_loop(&self->race, "munmap under signals", change_munmap);
	storm_over = true;
	pthread_join(thread, NULL);
}

/* ---- several objects, several mappings ---- */

/*
 *	lane 0	|=================|	an object of all pages
 *	lane 1	|=================|	another, of the same, by the blitter
 */
TEST_F(process, objects, "two objects of one range, on two engines: each learns of each change")
{
	race_end(&self->race);
	race_setup(_metadata, &self->race, variant->kind, variant->size, RACE_LANES);
	race_loop(&self->race, "munmap under two objects", change_munmap);
}

/*
 *	| anon | memfd | anon | memfd |   ...		4 pages each; one object
 */
static void map_patchwork(struct __test_metadata *_metadata, struct memory *m)
{
	size_t at;

	memset(m, 0, sizeof(*m));
	m->size = m->mapped = SIZE;
	m->fd = memfd_create("i915_userptr", MFD_CLOEXEC);
	ASSERT_LE(0, m->fd);
	ASSERT_EQ(0, ftruncate(m->fd, SIZE));
	m->p = memory_reserve(SIZE, PAGE);
	ASSERT_TRUE(m->p);
	for (at = 0; at < SIZE; at += 4 * PAGE) {
		const bool file = at / PAGE & 4;

		ASSERT_TRUE(mmap(m->p + at, 4 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_FIXED | (file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
				 file ? m->fd : -1, file ? at : 0) == m->p + at);
	}
}

/* One of the vmas goes, to be anonymous from then on. */
TEST(several_vmas, "one object over vmas of several kinds, of which one goes at a time")
{
	struct memory m;
	struct race r;

	map_patchwork(_metadata, &m);
	race_setup_with(_metadata, &r, &m, 1);
	race_loop(&r, "munmap of one vma of several", change_munmap);
	race_end(&r);
}

TEST_HARNESS_MAIN
