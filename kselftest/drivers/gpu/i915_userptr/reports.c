// SPDX-License-Identifier: GPL-2.0-only
/* What has been reported from the field, and what this project has found itself. */
#define _GNU_SOURCE
#include "test.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <linux/mempolicy.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fuse_file.h"

ABOUT("Reports: write-back, memory pressure, lookups without progress, a second notifier, the era.");
PRECONDITION_I915

#define OLD 0x01d001d0u
#define NEW 0x7e3d7e3du

/* ---- write-back ---- */

FIXTURE(write_back) {
	struct i915 dev;
	struct fuse_file file;
	char *p;
	uint32_t handle;
};

FIXTURE_SETUP(write_back)
{
	const char *what;
	int err = fuse_file_open(&self->file, -1, &what);

	REQUIRE(!err, "a file system of our own: %s: %s", what, strerror(-err));
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->p = mmap(NULL, FUSE_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->file.fd, 0);
	ASSERT_TRUE(self->p != MAP_FAILED);
	self->handle = lend(_metadata, &self->dev, self->p, FUSE_FILE_SIZE, 0);
}

FIXTURE_TEARDOWN(write_back)
{
	close(self->dev.fd);
	munmap(self->p, FUSE_FILE_SIZE);
	fuse_file_close(&self->file);
}

static void submit_all(struct __test_metadata *_metadata, const struct _test_data_write_back *self,
		       struct job *job, const struct gate *gate, uint32_t value)
{
	unsigned int object, i;

	job_init(job, &self->dev, I915_EXEC_RENDER);
	if (gate)
		job_gate(job, gate);
	object = job_object(job, self->handle, true);
	for (i = 0; i < FUSE_FILE_PAGES; i++)
		job_store(job, object, i * PAGE, value);
	ASSERT_RET(0, retry(job_submit(job)));
}

static void store_all(struct __test_metadata *_metadata, const struct _test_data_write_back *self,
		      uint32_t value)
{
	struct job job;

	submit_all(_metadata, self, &job, NULL, value);
	ASSERT_RET(0, job_wait(&job));
	job_end(&job);
}

/* Pages are given back when the object is freed, behind the ioctl. */
static void give_back(struct __test_metadata *_metadata, struct _test_data_write_back *self)
{
	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	close(self->dev.fd);
	ASSERT_RET(0, i915_open(&self->dev));
	sleep_ms(50);
}

/* They are written back and read anew: what the file system has, and what is read. */
static void expect_kept(struct __test_metadata *_metadata, struct _test_data_write_back *self,
			uint32_t value)
{
	unsigned int i;
	uint32_t dw;

	ASSERT_EQ(0, munmap(self->p, FUSE_FILE_SIZE));
	ASSERT_EQ(0, fsync(self->file.fd));
	for (i = 0; i < FUSE_FILE_PAGES; i++) {
		memcpy(&dw, self->file.data + i * PAGE, 4);
		EXPECT_EQ(value, dw);
	}
	posix_fadvise(self->file.fd, 0, 0, POSIX_FADV_DONTNEED);
	for (i = 0; i < FUSE_FILE_PAGES; i++) {
		ASSERT_EQ(4, pread(self->file.fd, &dw, 4, i * PAGE));
		EXPECT_EQ(value, dw);
	}
	self->p = mmap(NULL, FUSE_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->file.fd, 0);
	ASSERT_TRUE(self->p != MAP_FAILED);
}

/*
 *	batch	OLD	       NEW
 *	msync	    [ clean ]	     close, fsync, drop, read
 */
TEST_F(write_back, before_batch, "a file's pages are dirtied by a batch after they were written back: no write is lost",
       .guards = "pages of files that a device dirties without the file system knowing")
{
	store_all(_metadata, self, OLD);
	ASSERT_EQ(0, msync(self->p, FUSE_FILE_SIZE, MS_SYNC));
	EXPECT_NE(0, atomic_load(&self->file.writes));
	store_all(_metadata, self, NEW);
	give_back(_metadata, self);
	expect_kept(_metadata, self, NEW);
}

static struct _test_data_write_back *syncs;

static void *sync_pages(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)msync(syncs->p, FUSE_FILE_SIZE, MS_SYNC);
}

/*
 *	batch	X ................. NEW X.
 *	msync	    [ clean ]			     close, fsync, drop, read
 */
TEST_F(write_back, under_batch, "they are written back while the batch that dirties them is in flight: no write is lost")
{
	struct gate gate;
	pthread_t thread;
	struct job job;
	void *ret;

	require_gen8(_metadata, &self->dev);
	ASSERT_RET(0, gate_create(&gate, &self->dev));
	store_all(_metadata, self, OLD);
	submit_all(_metadata, self, &job, &gate, NEW);
	syncs = self;
	ASSERT_EQ(0, pthread_create(&thread, NULL, sync_pages, NULL));
	/* It may wait for the batch, in the notifier. */
	sleep_ms(20);
	gate_open(&gate);
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(0, (intptr_t)ret);
	ASSERT_RET(0, job_wait(&job));
	job_end(&job);
	gate_destroy(&gate);
	give_back(_metadata, self);
	expect_kept(_metadata, self, NEW);
}

struct mover {
	void *page;
	int node;			/* where to */
	atomic_int tid, done;
	long ret;
	int status;
};

static void *move_page(void *arg)
{
	struct mover *m = arg;

	m->tid = gettid();
	m->ret = syscall(SYS_move_pages, 0, 1, &m->page, &m->node, &m->status, MPOL_MF_MOVE);
	m->done = 1;
	return NULL;
}

/* In the wait for a bit of the page, which is that of the write-back. */
static bool waits_for_page(const struct mover *m)
{
	char path[64], where[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", atomic_load(&m->tid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, where, sizeof(where) - 1) < 0)
		where[0] = 0;
	close(fd);
	return strstr(where, "folio_wait_bit") != NULL;
}

/*
 *	batch	OLD	X ...................... NEW X  close
 *	msync		    [ clean ... written ............... ]
 *	move_pages		     [ page 0 locked .......... ]	     fsync, drop, read
 *
 * The pages go back while one of them is locked, by a migration that waits for its write-back to end.
 * i915 only tries for the lock that it needs to mark a page dirty: the page stays clean, and what the
 * batch wrote is in no file.
 */
TEST_F(write_back, locked, "a page that is locked when it is given back is written back all the same",
       .guards = "trylock_page() in i915_gem_userptr_put_pages, of which its comment says that dirt may be missed")
{
	pthread_t sync, move;
	struct mover mover = { .page = self->p };
	struct gate gate;
	struct job job;
	unsigned int i;
	uint64_t until;
	bool waits;
	uint32_t dw;

	require_gen8(_metadata, &self->dev);
	REQUIRE(era_known() == ERA_NO_WAIT, "the write-back waits for the batch here");
	ASSERT_RET(0, gate_create(&gate, &self->dev));
	store_all(_metadata, self, OLD);
	ASSERT_RET(0, syscall(SYS_move_pages, 0, 1, &mover.page, NULL, &mover.status, 0));
	mover.node = !mover.status;
	submit_all(_metadata, self, &job, &gate, NEW);
	fuse_file_hold_writes(&self->file);
	syncs = self;
	ASSERT_EQ(0, pthread_create(&sync, NULL, sync_pages, NULL));
	ASSERT_TRUE(fuse_file_wait_write(&self->file));
	ASSERT_EQ(0, pthread_create(&move, NULL, move_page, &mover));
	until = now_ns() + 5000000000ull;
	do {
		sleep_ms(1);
		waits = mover.tid && waits_for_page(&mover);
	} while (!waits && !mover.done && now_ns() < until);
	gate_open(&gate);
	ASSERT_RET(0, job_wait(&job));
	job_end(&job);
	gate_destroy(&gate);
	give_back(_metadata, self);
	fuse_file_release_writes(&self->file);
	ASSERT_EQ(0, pthread_join(move, NULL));
	ASSERT_EQ(0, pthread_join(sync, NULL));
	if (waits) {
		ASSERT_EQ(0, munmap(self->p, FUSE_FILE_SIZE));
		ASSERT_EQ(0, fsync(self->file.fd));
		for (i = 1; i < FUSE_FILE_PAGES; i++) {
			memcpy(&dw, self->file.data + i * PAGE, 4);
			EXPECT_EQ(NEW, dw);
		}
		memcpy(&dw, self->file.data, 4);
		self->p = mmap(NULL, FUSE_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->file.fd, 0);
		if (dw == OLD)
			XFAIL(return, "page 0 has lost what the batch wrote; 7.2 and 7.3 do that");
	}
	expect_kept(_metadata, self, NEW);
	REQUIRE(waits, "move_pages does not wait for a write-back here: %ld, %d", mover.ret, mover.status);
}

/* ---- memory pressure ---- */

#define LIMIT "16777216"
#define LENT (2 * MIB)
#define HOG (18 * MIB)
#define LEAST_ROUNDS 3

static bool write_file(const char *dir, const char *name, const char *text)
{
	char path[128];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	err = fd < 0 || write(fd, text, strlen(text)) < 0;
	if (fd >= 0)
		close(fd);
	return !err;
}

/* In a mount namespace of ours, and with a group that its last process's end leaves empty. */
static void enter_limit(struct __test_metadata *_metadata, char *dir, size_t size)
{
	REQUIRE(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL),
		"a mount namespace: %s", strerror(errno));
	REQUIRE(!mount("none", "/mnt", "cgroup2", 0, NULL), "cgroup2: %s", strerror(errno));
	write_file("/mnt", "cgroup.subtree_control", "+memory");
	snprintf(dir, size, "/mnt/i915_userptr.%d", getpid());
	REQUIRE(!mkdir(dir, 0700), "%s: %s", dir, strerror(errno));
	if (!write_file(dir, "memory.max", LIMIT)) {
		rmdir(dir);
		REQUIRE(false, "cgroup2 has no memory controller here");
	}
}

/* More than its limit is touched again and again, while batches write to a part of it. */
static void submit_under_pressure(struct __test_metadata *_metadata, const char *dir,
				  atomic_uint *rounds)
{
	const uint64_t until = now_ns() + knob_seconds(5) * 1000000000ull;
	unsigned int round, object;
	size_t page, at;
	struct memory m, hog;
	uint32_t handle;
	struct i915 dev;
	struct job job;

	ASSERT_TRUE(write_file(dir, "cgroup.procs", "0"));
	ASSERT_RET(0, i915_open(&dev));
	ASSERT_RET(0, memory_map(&m, MEMORY_ANON, LENT, OLD));
	ASSERT_RET(0, memory_map(&hog, MEMORY_ANON, HOG, OLD));
	for (round = 1; round <= LEAST_ROUNDS || now_ns() < until; round++) {
		ASSERT_RET(0, __gem_userptr(dev.fd, m.p, m.size, 0, &handle));
		job_init(&job, &dev, I915_EXEC_RENDER);
		object = job_object(&job, handle, true);
		for (page = 0; page < m.size / PAGE; page += 16)
			job_store(&job, object, page * PAGE, round);
		ASSERT_RET(0, job_run(&job));
		job_end(&job);
		ASSERT_RET(0, __gem_close(dev.fd, handle));
		for (at = 0; at < hog.size; at += PAGE)
			memory_poke(&hog, at, memory_peek(&hog, at) + 1);
		for (page = 0; page < m.size / PAGE; page += 16)
			ASSERT_EQ(round, memory_peek(&m, page * PAGE));
		*rounds = round;
	}
	_exit(0);
}

TEST(memory_pressure, "submissions go on, and what they write is kept, while reclaim takes the pages again and again",
     .timeout = 120)
{
	long long swapped = memory_stat("/proc/vmstat", "pswpout");
	long long swap = memory_stat("/proc/meminfo", "SwapFree");
	atomic_uint *rounds = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				   0);
	char dir[64];
	int status;
	pid_t pid;

	ASSERT_TRUE(rounds != MAP_FAILED);
	REQUIRE(swap >= 64 * 1024, "needs 64 MiB of swap, %lld KiB are free", swap);
	enter_limit(_metadata, dir, sizeof(dir));
	pid = harness_fork();
	if (pid == 0)
		submit_under_pressure(_metadata, dir, rounds);
	waitpid(pid, &status, 0);
	rmdir(dir);
	diag("%u rounds in " LIMIT " bytes; %lld pages went to swap", *rounds,
	     memory_stat("/proc/vmstat", "pswpout") - swapped);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- lookups without progress ---- */

#define SPINS_MS 3000

/*
 * The pages of an object that is DONTNEED when it is first looked up are pinned, and execbuf fails. The
 * next one takes it for looked up, finds no pages, and tries again inside the kernel.
 */
static void use_after_dontneed(struct __test_metadata *_metadata, atomic_int *step)
{
	uint32_t handle, retained;
	struct i915 dev;
	char *p = map_pages(_metadata, PAGE);

	memset(p, 1, PAGE);
	open_i915(_metadata, &dev);
	handle = lend(_metadata, &dev, p, PAGE, 0);
	ASSERT_RET(0, __gem_madvise(dev.fd, handle, I915_MADV_DONTNEED, &retained));
	*step = 1;
	EXPECT_RET(-EFAULT, store(&dev, handle, I915_EXEC_RENDER, 0, NEW));
	ASSERT_RET(0, __gem_madvise(dev.fd, handle, I915_MADV_WILLNEED, &retained));
	*step = 2;
	EXPECT_RET(0, store(&dev, handle, I915_EXEC_RENDER, 0, NEW));
	*step = 3;
	_exit(0);
}

TEST(without_progress, "execbuf of an object whose lookup gets nowhere does not spin in the kernel, and can be killed",
     .guards = "execbuf spins after DONTNEED, a first use, and WILLNEED (found by this project)",
     .leaks_pins = true)
{
	const uint64_t until = now_ns() + SPINS_MS * 1000000ull;
	atomic_int *step = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, gone = 0;
	pid_t pid;

	ASSERT_TRUE(step != MAP_FAILED);
	pid = harness_fork();
	ASSERT_LE(0, pid);
	if (!pid)
		use_after_dontneed(_metadata, step);
	while (!gone && now_ns() < until) {
		gone = waitpid(pid, &status, WNOHANG);
		sleep_ms(1);
	}
	if (gone) {
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		return;
	}
	EXPECT_EQ(2, atomic_load(step));
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	XFAIL(return, "execbuf was still in the kernel after %d ms; 6.1 to 7.3 do that", SPINS_MS);
}

/* ---- a second notifier ---- */

/* Both are told when the memory goes with its process. */
static void lend_to_guest_and_gpu(struct __test_metadata *_metadata, int vm, const struct gate *gate,
				  const struct i915 *dev, atomic_int *busy)
{
	char *p = map_pages(_metadata, 16 * PAGE);
	struct kvm_userspace_memory_region region = {
		.memory_size = 16 * PAGE, .userspace_addr = (uintptr_t)p,
	};
	struct job job;

	ASSERT_EQ(0, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
	job_init(&job, dev, I915_EXEC_RENDER);
	job_gate(&job, gate);
	job_store(&job, job_object(&job, lend(_metadata, dev, p, 16 * PAGE, 0), true), 0, NEW);
	ASSERT_RET(0, retry(job_submit(&job)));
	*busy = 1;
	_exit(0);
}

TEST(second_notifier, "a process ends whose memory KVM's notifier and i915's both have, with a batch in flight")
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, status;
	atomic_int *busy;
	struct gate gate;
	struct i915 dev;
	pid_t pid;

	REQUIRE(kvm >= 0, "/dev/kvm: %s", strerror(errno));
	open_i915(_metadata, &dev);
	require_gen8(_metadata, &dev);
	ASSERT_RET(0, gate_create(&gate, &dev));
	busy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(busy != MAP_FAILED);
	pid = harness_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* A VM is its creator's. */
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm < 0)
			_exit(KSFT_SKIP);
		lend_to_guest_and_gpu(_metadata, vm, &gate, &dev, busy);
	}
	while (!*busy && waitpid(pid, &status, WNOHANG) == 0)
		sleep_ms(1);
	if (!*busy) {
		REQUIRE(!WIFEXITED(status) || WEXITSTATUS(status) != KSFT_SKIP, "KVM makes no VM here");
		ASSERT_TRUE(*busy);
	}
	sleep_ms(20);
	gate_open(&gate);
	join(_metadata, pid);
	gate_destroy(&gate);
	close(dev.fd);
	close(kvm);
}

/* ---- the era ---- */

/*
 * Which of them have it can only be told by their versions: a kernel that is older and has the change of
 * 6.9 would fail here, and be right.
 */
TEST(era, "a kernel before 6.9 waits in its notifier until the GPU has done with the pages")
{
	struct utsname u;
	int major, minor;

	REQUIRE(era_known() != ERA_UNKNOWN, "the era could not be measured");
	ASSERT_EQ(0, uname(&u));
	REQUIRE(sscanf(u.release, "%d.%d", &major, &minor) == 2, "release %s", u.release);
	REQUIRE(major < 6 || (major == 6 && minor < 9), "%s is later", u.release);
	diag("fine where the change of 6.9, that the notifier does not wait, was brought to this kernel");
	EXPECT_EQ(ERA_WAITS, era_known());
}

TEST_HARNESS_MAIN
