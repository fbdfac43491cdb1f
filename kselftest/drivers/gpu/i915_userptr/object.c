// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be done with a userptr object: by the other ioctls, after its memory has changed, and by
 * other processes.
 */
#define _GNU_SOURCE
#include "test.h"

#include <sys/socket.h>

ABOUT("The object: other ioctls on it, changes of its memory, other processes.");
PRECONDITION_I915

#define OLD 0x01d001d0u
#define NEW 0x7e3d7e3du
#define PAGES 4

FIXTURE(object) {
	struct i915 dev;
	char *p;
	uint32_t handle;
};

FIXTURE_SETUP(object)
{
	open_i915(_metadata, &self->dev);
	self->p = map_pages(_metadata, PAGES * PAGE);
	self->handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
}

FIXTURE_TEARDOWN(object)
{
	munmap(self->p, PAGES * PAGE);
	close(self->dev.fd);
}

static int set_domain(const struct i915 *dev, uint32_t handle)
{
	return retry(__gem_set_domain(dev->fd, handle, I915_GEM_DOMAIN_CPU, I915_GEM_DOMAIN_CPU));
}

/* GPUs that lack an ioctl say so before they look at the object. */
#define EXPECT_REFUSED(expected, call)                              \
	do {                                                        \
		const int seen_err_ = (call);                       \
		if (seen_err_ != -EOPNOTSUPP)                       \
			EXPECT_RET(expected, seen_err_);            \
	} while (0)

TEST_F(object, pread_pwrite, "pread and pwrite are refused: the CPU has the memory itself")
{
	uint32_t dw = 5;

	memset(self->p, 0x5a, PAGE);
	EXPECT_REFUSED(-EINVAL, __gem_pread(self->dev.fd, self->handle, 0, &dw, 4));
	EXPECT_REFUSED(-EINVAL, __gem_pwrite(self->dev.fd, self->handle, 0, &dw, 4));
	EXPECT_EQ(5, dw);
	EXPECT_EQ(0x5a5a5a5a, *(uint32_t *)self->p);
}

TEST_F(object, mmap, "no kind of mapping of the object can be had")
{
	static const uint64_t types[] = {
		I915_MMAP_OFFSET_GTT, I915_MMAP_OFFSET_WC, I915_MMAP_OFFSET_WB, I915_MMAP_OFFSET_UC,
		I915_MMAP_OFFSET_FIXED,
	};
	uint64_t offset;
	unsigned int i;
	void *p;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint32_t plain = create(_metadata, &self->dev, PAGE);

		/* A kind that no object has on this GPU says nothing. */
		if (!__gem_mmap_offset(self->dev.fd, plain, types[i], &offset))
			EXPECT_RET(-ENODEV, __gem_mmap_offset(self->dev.fd, self->handle, types[i],
							      &offset));
	}
	EXPECT_REFUSED(-ENXIO, __gem_mmap(self->dev.fd, self->handle, PAGE, &p));
}

TEST_F(object, export, "no dma-buf can be made of it: nobody else may hold the pages")
{
	int out = -1;

	EXPECT_RET(-EINVAL, __gem_export(self->dev.fd, self->handle, &out));
	EXPECT_RET(0, set_domain(&self->dev, self->handle));
	EXPECT_RET(-EINVAL, __gem_export(self->dev.fd, self->handle, &out));
}

TEST_F(object, tiling, "it is linear, and stays so")
{
	uint32_t tiling = ~0u;

	EXPECT_REFUSED(-ENXIO, __gem_set_tiling(self->dev.fd, self->handle, I915_TILING_X, 512));
	if (!__gem_get_tiling(self->dev.fd, self->handle, &tiling))
		EXPECT_EQ(I915_TILING_NONE, tiling);
}

TEST_F(object, caching, "it is cached, as the process's memory is, and stays so")
{
	uint32_t caching = ~0u;

	EXPECT_REFUSED(0, __gem_set_caching(self->dev.fd, self->handle, I915_CACHING_CACHED));
	EXPECT_REFUSED(-ENXIO, __gem_set_caching(self->dev.fd, self->handle, I915_CACHING_NONE));
	if (!__gem_get_caching(self->dev.fd, self->handle, &caching))
		EXPECT_EQ(I915_CACHING_CACHED, caching);
}

TEST_F(object, madvise, "DONTNEED of the object takes nothing from the process")
{
	uint32_t retained = 0;
	unsigned int i;

	memset(self->p, 0x5a, PAGES * PAGE);
	ASSERT_RET(0, set_domain(&self->dev, self->handle));
	EXPECT_RET(0, __gem_madvise(self->dev.fd, self->handle, I915_MADV_DONTNEED, &retained));
	EXPECT_EQ(1, retained);
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(0x5a, self->p[i * PAGE]);
	EXPECT_RET(0, __gem_madvise(self->dev.fd, self->handle, I915_MADV_WILLNEED, &retained));
	EXPECT_EQ(1, retained);
	EXPECT_RET(0, set_domain(&self->dev, self->handle));
}

TEST_F(object, idle, "an object that was never used is idle, and every wait for it is over")
{
	uint32_t busy = ~0u;

	EXPECT_RET(0, __gem_busy(self->dev.fd, self->handle, &busy));
	EXPECT_EQ(0, busy);
	EXPECT_RET(0, __gem_wait(self->dev.fd, self->handle, 0));
	EXPECT_RET(0, __gem_wait(self->dev.fd, self->handle, -1));
}

TEST_F(object, is_busy_while_used, "it is busy as long as a batch uses it")
{
	uint32_t busy = 0;
	struct gate gate;
	struct job job;

	require_gen8(_metadata, &self->dev);
	ASSERT_RET(0, gate_create(&gate, &self->dev));
	job_init(&job, &self->dev, I915_EXEC_RENDER);
	job_gate(&job, &gate);
	job_store(&job, job_object(&job, self->handle, true), 0, NEW);
	ASSERT_RET(0, retry(job_submit(&job)));
	EXPECT_RET(0, __gem_busy(self->dev.fd, self->handle, &busy));
	EXPECT_NE(0, busy);
	EXPECT_RET(-ETIME, __gem_wait(self->dev.fd, self->handle, 1000000));
	EXPECT_EQ(0, *(volatile uint32_t *)self->p);
	gate_open(&gate);
	EXPECT_RET(0, retry(__gem_wait(self->dev.fd, self->handle, LONG_NS)));
	EXPECT_RET(0, __gem_busy(self->dev.fd, self->handle, &busy));
	EXPECT_EQ(0, busy);
	EXPECT_EQ(NEW, *(volatile uint32_t *)self->p);
	job_end(&job);
	gate_destroy(&gate);
}

/*
 *	p | mapped | mapped | mapped | mapped |		0
 *	p | mapped |  hole  | mapped | mapped |		-EFAULT
 */
TEST_F(object, set_domain, "set-domain tells whether the pages can be had, before munmap and after")
{
	char *hole = self->p + PAGE;

	EXPECT_RET(0, set_domain(&self->dev, self->handle));
	EXPECT_RET(0, set_domain(&self->dev, self->handle));
	ASSERT_EQ(0, munmap(hole, PAGE));
	EXPECT_RET(-EFAULT, set_domain(&self->dev, self->handle));
	EXPECT_RET(-EFAULT, set_domain(&self->dev, self->handle));
	ASSERT_TRUE(mmap(hole, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) == hole);
	EXPECT_RET(0, set_domain(&self->dev, self->handle));
	ASSERT_EQ(0, mprotect(self->p, PAGES * PAGE, PROT_READ));
	EXPECT_RET(-EFAULT, set_domain(&self->dev, self->handle));
	ASSERT_EQ(0, mprotect(self->p, PAGES * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_RET(0, set_domain(&self->dev, self->handle));
	/* What is of the GPU alone is no domain for the CPU to ask for. */
	EXPECT_RET(-EINVAL, __gem_set_domain(self->dev.fd, self->handle, I915_GEM_DOMAIN_RENDER, 0));
}

TEST_F(object, handle_reuse, "a handle that comes again is the new object, with nothing of the old one")
{
	char *other = map_pages(_metadata, PAGE);
	uint32_t handle = self->handle;
	unsigned int i;

	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	for (i = 0; i < 16; i++) {
		char *p = i % 2 ? self->p : other;
		char *rest = i % 2 ? other : self->p;

		*(uint32_t *)rest = OLD;
		ASSERT_RET(0, __gem_close(self->dev.fd, handle));
		ASSERT_EQ(handle, lend(_metadata, &self->dev, p, PAGE, 0));
		ASSERT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, 0, NEW + i));
		EXPECT_EQ(NEW + i, *(volatile uint32_t *)p);
		EXPECT_EQ(OLD, *(volatile uint32_t *)rest);
	}
}

TEST_F(object, after_close, "a closed handle is unknown to every call that takes one")
{
	uint32_t value;

	ASSERT_RET(0, __gem_close(self->dev.fd, self->handle));
	EXPECT_RET(-ENOENT, __gem_busy(self->dev.fd, self->handle, &value));
	EXPECT_RET(-ENOENT, __gem_wait(self->dev.fd, self->handle, 0));
	EXPECT_RET(-ENOENT, set_domain(&self->dev, self->handle));
	EXPECT_RET(-ENOENT, __gem_madvise(self->dev.fd, self->handle, I915_MADV_WILLNEED, &value));
	EXPECT_RET(-EINVAL, __gem_close(self->dev.fd, self->handle));
}

/* ---- changes of the memory while the object is idle ---- */

FIXTURE(lookup) {
	struct i915 dev;
	char *p;
	uint32_t handle;
};

FIXTURE_SETUP(lookup)
{
	open_i915(_metadata, &self->dev);
	require_engine(_metadata, &self->dev, I915_EXEC_RENDER);
	self->p = map_pages(_metadata, PAGES * PAGE);
	self->handle = lend(_metadata, &self->dev, self->p, PAGES * PAGE, 0);
	ASSERT_RET(0, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, OLD));
	ASSERT_EQ(OLD, *(volatile uint32_t *)self->p);
}

FIXTURE_TEARDOWN(lookup)
{
	munmap(self->p, PAGES * PAGE);
	close(self->dev.fd);
}

TEST_F(lookup, after_munmap, "an object whose pages were unmapped fails at exec with EFAULT")
{
	ASSERT_EQ(0, munmap(self->p, PAGES * PAGE));
	EXPECT_RET(-EFAULT, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, NEW));
	EXPECT_RET(-EFAULT, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, NEW));
}

TEST_F(lookup, one_page_gone, "one page that is not there fails the exec, whichever it is")
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		char *page = self->p + i * PAGE;

		ASSERT_EQ(0, munmap(page, PAGE));
		EXPECT_RET(-EFAULT, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, NEW));
		ASSERT_TRUE(mmap(page, PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
		EXPECT_RET(0, store(&self->dev, self->handle, I915_EXEC_RENDER, i * PAGE, NEW));
		EXPECT_EQ(NEW, *(volatile uint32_t *)page);
	}
}

/*
 * Shared pages of a file, so that the old page can be looked at after it was unmapped from p:
 *
 *	both | page 0 | page 1 |
 *	p    | page 0 |            then            p    | page 1 |
 */
TEST_F(lookup, after_remap, "after munmap and mmap at one address the GPU has the new page alone")
{
	int file = memfd_create("i915_userptr", MFD_CLOEXEC);
	volatile uint32_t *both, *p;
	uint32_t handle;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 2 * PAGE));
	both = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_TRUE(both != MAP_FAILED && p != MAP_FAILED);

	handle = lend(_metadata, &self->dev, (void *)p, PAGE, 0);
	ASSERT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, 0, OLD));
	ASSERT_EQ(0, munmap((void *)p, PAGE));
	ASSERT_TRUE(mmap((void *)p, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
			 PAGE) == p);
	EXPECT_EQ(0, *p);
	ASSERT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, 0, NEW));
	EXPECT_EQ(OLD, both[0]);
	EXPECT_EQ(NEW, both[PAGE / 4]);
}

TEST_F(lookup, after_mprotect, "the GPU cannot write where the process may not, until it may")
{
	ASSERT_EQ(0, mprotect(self->p, PAGES * PAGE, PROT_READ));
	EXPECT_RET(-EFAULT, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, NEW));
	EXPECT_EQ(OLD, *(volatile uint32_t *)self->p);
	ASSERT_EQ(0, mprotect(self->p, PAGES * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_RET(0, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, NEW));
	EXPECT_EQ(NEW, *(volatile uint32_t *)self->p);
}

TEST_F(lookup, others_go_on, "an object that fails an exec does not touch the others of that exec")
{
	char *bad = map_pages(_metadata, PAGE);
	struct job job;

	job_init(&job, &self->dev, I915_EXEC_RENDER);
	job_store(&job, job_object(&job, self->handle, true), 0, NEW);
	job_object(&job, lend(_metadata, &self->dev, bad, PAGE, 0), false);
	ASSERT_EQ(0, munmap(bad, PAGE));
	EXPECT_RET(-EFAULT, retry(job_submit(&job)));
	EXPECT_EQ(OLD, *(volatile uint32_t *)self->p);
	job_end(&job);
	EXPECT_RET(0, store(&self->dev, self->handle, I915_EXEC_RENDER, 0, NEW));
}

/* ---- other processes ---- */

/* The same addresses in a copy of the mm, and the same file. */
TEST_F(lookup, child, "a forked child cannot use the parent's object, used before or not")
{
	uint32_t fresh = lend(_metadata, &self->dev, self->p + PAGE, PAGE, 0);
	pid_t pid = harness_fork();

	ASSERT_LE(0, pid);
	if (pid == 0) {
		ASSERT_RET(-EFAULT, store(&self->dev, fresh, I915_EXEC_RENDER, 0, NEW));
		ASSERT_RET(-EFAULT, set_domain(&self->dev, fresh));
		ASSERT_EQ(0, *(volatile uint32_t *)(self->p + PAGE));
		_exit(0);
	}
	join(_metadata, pid);
	EXPECT_EQ(0, *(volatile uint32_t *)(self->p + PAGE));
	EXPECT_RET(0, store(&self->dev, fresh, I915_EXEC_RENDER, 0, NEW));
	EXPECT_EQ(NEW, *(volatile uint32_t *)(self->p + PAGE));
}

TEST_F(lookup, of_child, "an object of a child's memory is the child's: it can use it, the parent cannot")
{
	int to_parent[2], to_child[2];
	uint32_t handle;
	pid_t pid;
	char go = 1;

	ASSERT_EQ(0, pipe(to_parent));
	ASSERT_EQ(0, pipe(to_child));
	pid = harness_fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		char *p = self->p + PAGE;

		handle = lend(_metadata, &self->dev, p, PAGE, 0);
		ASSERT_EQ(sizeof(handle), write(to_parent[1], &handle, sizeof(handle)));
		ASSERT_EQ(1, read(to_child[0], &go, 1));
		ASSERT_RET(0, store(&self->dev, handle, I915_EXEC_RENDER, 0, NEW));
		ASSERT_EQ(NEW, *(volatile uint32_t *)p);
		_exit(0);
	}
	close(to_parent[1]);
	ASSERT_EQ(sizeof(handle), read(to_parent[0], &handle, sizeof(handle)));
	EXPECT_RET(-EFAULT, store(&self->dev, handle, I915_EXEC_RENDER, 0, OLD));
	ASSERT_EQ(1, write(to_child[1], &go, 1));
	join(_metadata, pid);
	EXPECT_EQ(0, *(volatile uint32_t *)(self->p + PAGE));
	/* Its memory is gone with it. */
	EXPECT_RET(-EFAULT, store(&self->dev, handle, I915_EXEC_RENDER, 0, OLD));
	EXPECT_RET(0, __gem_close(self->dev.fd, handle));
}

static int receive_fd(int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(from, &msg, 0) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static bool send_fd(int to, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(to, &msg, 0) == 1;
}

FIXTURE(process) { int unused; };
FIXTURE_SETUP(process) {}
FIXTURE_TEARDOWN(process) {}

/*
 * The other process is there before the memory is, and has the file by SCM_RIGHTS:
 *
 *	this one   p | NEW |	lent
 *	the other  p | OLD |	its own mapping, at the same address
 */
TEST_F(process, other_mm, "who gets the file from another process gets none of that process's memory")
{
	char *p = memory_reserve(PAGE, PAGE);
	struct i915 dev;
	int pair[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = harness_fork();
	ASSERT_LE(0, pid);
	ASSERT_EQ(0, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	if (pid == 0) {
		uint32_t handle;

		*(uint32_t *)p = OLD;
		dev = (struct i915){};
		ASSERT_EQ(sizeof(dev), read(pair[1], &dev, sizeof(dev)));
		dev.fd = receive_fd(pair[1]);
		ASSERT_LE(0, dev.fd);
		ASSERT_EQ(sizeof(handle), read(pair[1], &handle, sizeof(handle)));
		ASSERT_RET(-EFAULT, store(&dev, handle, I915_EXEC_RENDER, 0, NEW + 1));
		ASSERT_RET(-EFAULT, set_domain(&dev, handle));
		ASSERT_EQ(OLD, *(volatile uint32_t *)p);
		_exit(0);
	} else {
		uint32_t handle;

		close(pair[1]);
		open_i915(_metadata, &dev);
		require_engine(_metadata, &dev, I915_EXEC_RENDER);
		*(uint32_t *)p = NEW;
		handle = lend(_metadata, &dev, p, PAGE, 0);
		ASSERT_EQ(sizeof(dev), write(pair[0], &dev, sizeof(dev)));
		ASSERT_TRUE(send_fd(pair[0], dev.fd));
		ASSERT_EQ(sizeof(handle), write(pair[0], &handle, sizeof(handle)));
		join(_metadata, pid);
		EXPECT_EQ(NEW, *(volatile uint32_t *)p);
	}
}

TEST_F(process, other_file, "a handle means nothing to another file on the same node")
{
	char *p = map_pages(_metadata, PAGE);
	struct i915 dev, other;
	uint32_t handle;

	open_i915(_metadata, &dev);
	other = dev;
	other.fd = i915_reopen(&dev);
	ASSERT_LE(0, other.fd);
	handle = lend(_metadata, &dev, p, PAGE, 0);
	EXPECT_RET(-ENOENT, set_domain(&other, handle));
	EXPECT_RET(-EINVAL, __gem_close(other.fd, handle));
	EXPECT_RET(0, set_domain(&dev, handle));
	/* But both may lend the same page. */
	EXPECT_RET(0, set_domain(&other, lend(_metadata, &other, p, PAGE, 0)));
}

TEST_HARNESS_MAIN
