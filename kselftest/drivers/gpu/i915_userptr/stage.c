// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "stage.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PATIENCE_NS LONG_NS
/* Looks at a task that sleeps, a millisecond apart, until it is taken for blocked. */
#define LOOKS 5

/* ---- in the stage's process ---- */

static struct stage *mine;
/* Of the actor: it waits for its own. */
static _Thread_local struct job job;

static void *act_out(void *arg)
{
	struct actor *a = arg;

	a->tid = gettid();
	for (;;) {
		while (!a->go)
			usleep(200);
		a->go = 0;
		a->ret = a->fn(mine);
		a->done_at = now_ns();
		a->done = 1;
	}
	return NULL;
}

static int map_stage(struct stage *st)
{
	const int flags = st->memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	unsigned int i;

	/* Apart from each other, whatever is unmapped. */
	st->p = memory_reserve(STAGE_SIZE, HUGE_PAGE);
	st->elsewhere = memory_reserve(STAGE_SIZE, HUGE_PAGE);
	st->held = memory_reserve(PAGE, HUGE_PAGE);
	if (!st->p || !st->elsewhere || !st->held)
		return -errno;
	if (mmap(st->p, STAGE_SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, st->memfd, 0) != st->p)
		return -errno;
	if (mmap(st->held, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) != st->held)
		return -errno;
	madvise(st->p, STAGE_SIZE, MADV_NOHUGEPAGE);
	for (i = 0; i < STAGE_PAGES; i++)
		if (i != HELD_PAGE)
			*(uint32_t *)(st->p + i * PAGE) = OLD;
	return 0;
}

static void play(struct stage *st, pid_t conductor)
{
	unsigned int i;
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != conductor)
		_exit(1);
	mine = st;
	if (map_stage(st) || __gem_userptr(st->dev.fd, st->p, STAGE_SIZE, 0, &st->handle) ||
	    __gem_userptr(st->dev.fd, st->held, PAGE, 0, &st->held_handle))
		_exit(1);
	for (i = 0; i < ACTORS; i++)
		if (pthread_create(&t, NULL, act_out, &st->actors[i]))
			_exit(1);
	for (;;)
		pause();
}

int act_submit(struct stage *st)
{
	unsigned int object, i;
	int err;

	job_end(&job);
	job_init(&job, &st->dev, I915_EXEC_RENDER);
	if (st->gated)
		job_gate(&job, &st->gate);
	object = job_object(&job, st->handle, true);
	for (i = 0; i < STAGE_PAGES; i++)
		job_store(&job, object, i * PAGE, st->value);
	if (st->with_held)
		job_store(&job, job_object(&job, st->held_handle, true), 0, st->value);
	err = retry(job_submit(&job));
	return err || st->gated ? err : job_wait(&job);
}

int act_wait(struct stage *st)
{
	(void)st;
	return job_wait(&job);
}

static int hold(struct stage *st, char *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)page, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	st->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (st->uffd < 0)
		return -errno;
	if (ioctl(st->uffd, UFFDIO_API, &api) || ioctl(st->uffd, UFFDIO_REGISTER, &range))
		return -errno;
	return 0;
}

int act_hold_page(struct stage *st)
{
	return hold(st, st->p + HELD_PAGE * PAGE);
}

int act_hold_object(struct stage *st)
{
	*(uint32_t *)(st->p + HELD_PAGE * PAGE) = OLD;
	st->with_held = true;
	return hold(st, st->held);
}

int act_close_object(struct stage *st)
{
	return __gem_close(st->dev.fd, st->handle);
}

int act_set_domain(struct stage *st)
{
	return retry(__gem_set_domain(st->dev.fd, st->handle, I915_GEM_DOMAIN_CPU, I915_GEM_DOMAIN_CPU));
}

int act_lend_again(struct stage *st)
{
	uint32_t handle;
	int err = __gem_userptr(st->dev.fd, st->p, STAGE_SIZE, 0, &handle);

	return err ? err : __gem_close(st->dev.fd, handle);
}

int act_exit(struct stage *st)
{
	(void)st;
	_exit(0);
}

/* ---- in the test's process ---- */

/* With one table of descriptors: what one opens the other uses. */
static pid_t fork_with_files(void)
{
	return syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
}

struct stage *stage_begin(struct __test_metadata *_metadata, enum stage_memory memory)
{
	const uint64_t until = now_ns() + PATIENCE_NS;
	const pid_t conductor = getpid();
	struct stage *st;
	unsigned int i;
	pid_t pid;

	st = mmap(NULL, sizeof(*st), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(st != MAP_FAILED);
	open_i915(_metadata, &st->dev);
	require_gen8(_metadata, &st->dev);
	ASSERT_RET(0, gate_create(&st->gate, &st->dev));
	st->uffd = st->memfd = -1;
	st->value = NEW;
	if (memory == STAGE_MEMFD) {
		st->memfd = memfd_create("i915_userptr", MFD_CLOEXEC);
		ASSERT_LE(0, st->memfd);
		ASSERT_EQ(0, ftruncate(st->memfd, STAGE_SIZE));
	}
	pid = fork_with_files();
	ASSERT_LE(0, pid);
	if (!pid)
		play(st, conductor);
	st->pid = pid;
	for (i = 0; i < ACTORS; i++) {
		while (!st->actors[i].tid && now_ns() < until && waitpid(st->pid, NULL, WNOHANG) == 0)
			usleep(200);
		ASSERT_NE(0, atomic_load(&st->actors[i].tid));
	}
	return st;
}

bool stage_dies(struct stage *st, unsigned int ms)
{
	const uint64_t until = now_ns() + ms * 1000000ull;

	while (st->pid > 0) {
		if (waitpid(st->pid, NULL, WNOHANG) == st->pid)
			st->pid = 0;
		else if (now_ns() >= until)
			return false;
		else
			usleep(200);
	}
	return true;
}

void stage_end(struct __test_metadata *_metadata, struct stage *st)
{
	gate_open(&st->gate);
	if (st->pid > 0)
		kill(st->pid, SIGKILL);
	EXPECT_TRUE(stage_dies(st, PATIENCE_NS / 1000000));
	if (st->uffd >= 0)
		close(st->uffd);
	if (st->memfd >= 0)
		close(st->memfd);
	close(st->dev.fd);
}

void stage_tell(struct stage *st, unsigned int actor, act *fn)
{
	struct actor *a = &st->actors[actor];

	a->fn = fn;
	a->done = 0;
	a->go = 1;
}

bool stage_is_done(const struct stage *st, unsigned int actor)
{
	return st->actors[actor].done;
}

/* Of a line of /proc/PID/task/TID/NAME. None of these waits for the mm. */
static bool read_proc(const struct stage *st, unsigned int actor, const char *name, char *line, int size)
{
	char path[64];
	bool found;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", st->pid, st->actors[actor].tid, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	found = fgets(line, size, f);
	fclose(f);
	return found;
}

static void say_where(const struct stage *st, unsigned int actor)
{
	char line[256];

	if (read_proc(st, actor, "wchan", line, sizeof(line)))
		diag("the actor is in %s", line);
	if (read_proc(st, actor, "syscall", line, sizeof(line)))
		diag("system call %s", line);
}

int stage_finish(struct __test_metadata *_metadata, struct stage *st, unsigned int actor)
{
	const uint64_t until = now_ns() + PATIENCE_NS;

	while (!stage_is_done(st, actor)) {
		if (now_ns() < until) {
			usleep(100);
			continue;
		}
		say_where(st, actor);
		ASSERT_TRUE(stage_is_done(st, actor));
	}
	return st->actors[actor].ret;
}

int stage_do(struct __test_metadata *_metadata, struct stage *st, unsigned int actor, act *fn)
{
	stage_tell(st, actor, fn);
	return stage_finish(_metadata, st, actor);
}

/*
 * In what it was told, or on the way to it: a fault on its own stack waits too, while another thread
 * holds the mm. Its naps are no D.
 */
static bool sleeps(const struct stage *st, unsigned int actor)
{
	char line[512], *state;

	if (!read_proc(st, actor, "stat", line, sizeof(line)))
		return false;
	state = strrchr(line, ')');
	return state && (state[2] == 'D' || (state[2] == 'S' && !st->actors[actor].go));
}

bool stage_wait_blocked(struct __test_metadata *_metadata, struct stage *st, unsigned int actor)
{
	const uint64_t until = now_ns() + PATIENCE_NS;
	unsigned int looks = 0;

	while (looks < LOOKS) {
		if (stage_is_done(st, actor))
			return false;
		ASSERT_LT(now_ns(), until);
		looks = sleeps(st, actor) ? looks + 1 : 0;
		sleep_ms(1);
	}
	return !stage_is_done(st, actor);
}

long long stage_peek(const struct stage *st, const char *at)
{
	uint32_t value;
	struct iovec to = { &value, 4 }, from = { (void *)at, 4 };

	return process_vm_readv(st->pid, &to, 1, &from, 1, 0) == 4 ? (long long)value : -1;
}

unsigned int stage_differ(const struct stage *st, const char *p, unsigned int first, unsigned int n,
			  uint32_t value)
{
	unsigned int i, differ = 0;

	for (i = first; i < first + n; i++) {
		long long seen = stage_peek(st, p + i * PAGE);

		if (seen == value)
			continue;
		differ++;
		if (seen < 0)
			diag("page %u cannot be read, it should hold %#x", i, value);
		else
			diag("page %u holds %#llx, not %#x", i, seen, value);
	}
	return differ;
}

bool uffd_wait(const struct stage *st, uintptr_t *at)
{
	struct pollfd p = { .fd = st->uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, PATIENCE_NS / 1000000) != 1 || read(st->uffd, &msg, sizeof(msg)) != sizeof(msg))
		return false;
	*at = msg.arg.pagefault.address & ~(PAGE - 1);
	return msg.event == UFFD_EVENT_PAGEFAULT;
}

int uffd_serve(const struct stage *st, const char *at)
{
	static uint32_t page[PAGE / 4] __attribute__((aligned(4096)));
	struct uffdio_copy copy = { .dst = (uintptr_t)at, .src = (uintptr_t)page, .len = PAGE };
	struct uffdio_range range = { .start = (uintptr_t)at, .len = PAGE };
	int err;

	page[0] = OLD;
	do {
		copy.copy = 0;
		err = ioctl(st->uffd, UFFDIO_COPY, &copy) ? -errno : 0;
	} while (err == -EAGAIN);
	/* Where the mapping has gone nobody is woken by the copy. */
	ioctl(st->uffd, UFFDIO_WAKE, &range);
	return err;
}
