// SPDX-License-Identifier: GPL-2.0-only
/* The protocol: include/uapi/linux/fuse.h. */
#define _GNU_SOURCE
#include "fuse_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "knobs.h"

#define PAGE_BYTES 4096u
#define ROOT_NODE 1
#define FILE_NODE 2
#define NAME "file"
#define PATIENCE_NS 20000000000ull
/* The kernel reads no request into less (FUSE_MIN_READ_BUFFER), and a write brings its data along. */
#define MAX_REQUEST (FUSE_FILE_SIZE + 8192u)

static int answer(const struct fuse_file *f, uint64_t unique, int err, const void *body, size_t size)
{
	struct fuse_out_header head = {
		.len = sizeof(head) + (err ? 0 : size), .error = err, .unique = unique,
	};
	struct iovec parts[2] = { { &head, sizeof(head) }, { (void *)body, size } };

	return writev(f->dev, parts, err || !size ? 1 : 2) < 0 ? -errno : 0;
}

static struct fuse_attr attr(uint64_t node)
{
	const bool dir = node == ROOT_NODE;

	return (struct fuse_attr) {
		.ino = node,
		.size = dir ? 0 : FUSE_FILE_SIZE,
		.blocks = dir ? 0 : FUSE_FILE_SIZE / 512,
		.mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644,
		.nlink = dir ? 2 : 1,
		.blksize = PAGE_BYTES,
	};
}

static void on_init(struct fuse_file *f, const struct fuse_in_header *in)
{
	/* No read-ahead: a read is for the page that somebody wants. */
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = 0,
		.max_write = FUSE_FILE_SIZE, .time_gran = 1,
	};

	answer(f, in->unique, 0, &out, sizeof(out));
}

static void on_lookup(struct fuse_file *f, const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = {
		.nodeid = FILE_NODE, .attr_valid = 3600, .entry_valid = 3600, .attr = attr(FILE_NODE),
	};

	answer(f, in->unique, strcmp(name, NAME) ? -ENOENT : 0, &out, sizeof(out));
}

static void on_attr(struct fuse_file *f, const struct fuse_in_header *in)
{
	struct fuse_attr_out out = { .attr_valid = 3600, .attr = attr(in->nodeid) };

	answer(f, in->unique, 0, &out, sizeof(out));
}

static void on_read(struct fuse_file *f, const struct fuse_in_header *in, const struct fuse_read_in *read)
{
	f->reads++;
	if (f->held_page >= 0 && read->offset == f->held_page * PAGE_BYTES) {
		f->held = in->unique;
		return;
	}
	if (read->offset >= FUSE_FILE_SIZE || read->size > FUSE_FILE_SIZE - read->offset)
		answer(f, in->unique, 0, NULL, 0);
	else
		answer(f, in->unique, 0, f->data + read->offset, read->size);
}

static void on_write(struct fuse_file *f, const struct fuse_in_header *in,
		     const struct fuse_write_in *write)
{
	struct fuse_write_out out = { .size = write->size };
	unsigned int n;
	bool hold;

	if (write->offset >= FUSE_FILE_SIZE || write->size > FUSE_FILE_SIZE - write->offset) {
		answer(f, in->unique, -EFBIG, NULL, 0);
		return;
	}
	memcpy(f->data + write->offset, write + 1, write->size);
	f->writes++;
	pthread_mutex_lock(&f->lock);
	n = f->held_writes;
	hold = f->hold_writes && n < FUSE_FILE_PAGES;
	if (hold) {
		f->held_write[n].unique = in->unique;
		f->held_write[n].size = write->size;
		f->held_writes = n + 1;
	}
	pthread_mutex_unlock(&f->lock);
	if (!hold)
		answer(f, in->unique, 0, &out, sizeof(out));
}

static void serve_one(struct fuse_file *f, const struct fuse_in_header *in)
{
	const void *body = in + 1;
	struct fuse_open_out opened = { .fh = 1 };

	switch (in->opcode) {
	case FUSE_INIT:
		on_init(f, in);
		break;
	case FUSE_LOOKUP:
		on_lookup(f, in, body);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		on_attr(f, in);
		break;
	case FUSE_OPEN:
		answer(f, in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		on_read(f, in, body);
		break;
	case FUSE_WRITE:
		on_write(f, in, body);
		break;
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
		answer(f, in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(f, in->unique, -ENOSYS, NULL, 0);
	}
}

static void *serve(void *arg)
{
	static uint8_t request[MAX_REQUEST] __attribute__((aligned(8)));
	struct fuse_file *f = arg;

	for (;;) {
		ssize_t n = read(f->dev, request, sizeof(request));

		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve_one(f, (struct fuse_in_header *)request);
		else if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return NULL;
	}
}

static int mount_at(const struct fuse_file *f, const char *dir)
{
	char options[128];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d", f->dev,
		 getuid(), getgid());
	if (mount("i915_userptr", dir, "fuse", MS_NOSUID | MS_NODEV, options))
		return -errno;
	return 0;
}

int fuse_file_open(struct fuse_file *f, int held_page, const char **what)
{
	char path[32];
	int err;

	memset(f, 0, sizeof(*f));
	f->held_page = held_page;
	pthread_mutex_init(&f->lock, NULL);
	f->fd = -1;
	*what = "/dev/fuse";
	f->dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (f->dev < 0)
		return -errno;
	*what = "unshare(CLONE_NEWNS)";
	if (unshare(CLONE_NEWNS))
		return -errno;
	*what = "mount";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	err = mount_at(f, "/mnt");
	if (err == -ENOENT)
		err = mount_at(f, "/tmp");
	if (err)
		return err;
	*what = "pthread_create";
	err = pthread_create(&f->thread, NULL, serve, f);
	if (err)
		return -err;
	*what = "open of the file";
	snprintf(path, sizeof(path), "/mnt/%s", NAME);
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0) {
		snprintf(path, sizeof(path), "/tmp/%s", NAME);
		f->fd = open(path, O_RDWR | O_CLOEXEC);
	}
	return f->fd < 0 ? -errno : 0;
}

bool fuse_file_wait(const struct fuse_file *f)
{
	const uint64_t until = now_ns() + PATIENCE_NS;

	while (!f->held && now_ns() < until)
		usleep(200);
	return f->held;
}

int fuse_file_serve(struct fuse_file *f)
{
	const size_t at = f->held_page * PAGE_BYTES;
	const uint64_t unique = f->held;

	f->held_page = -1;
	f->held = 0;
	return unique ? answer(f, unique, 0, f->data + at, PAGE_BYTES) : -ENOENT;
}

void fuse_file_hold_writes(struct fuse_file *f)
{
	pthread_mutex_lock(&f->lock);
	f->hold_writes = true;
	pthread_mutex_unlock(&f->lock);
}

bool fuse_file_wait_write(const struct fuse_file *f)
{
	const uint64_t until = now_ns() + PATIENCE_NS;

	while (!f->held_writes && now_ns() < until)
		usleep(200);
	return f->held_writes;
}

void fuse_file_release_writes(struct fuse_file *f)
{
	unsigned int i;

	pthread_mutex_lock(&f->lock);
	f->hold_writes = false;
	for (i = 0; i < f->held_writes; i++) {
		struct fuse_write_out out = { .size = f->held_write[i].size };

		answer(f, f->held_write[i].unique, 0, &out, sizeof(out));
	}
	f->held_writes = 0;
	pthread_mutex_unlock(&f->lock);
}

void fuse_file_close(struct fuse_file *f)
{
	if (f->held_writes)
		fuse_file_release_writes(f);
	if (f->held)
		fuse_file_serve(f);
	if (f->fd >= 0)
		close(f->fd);
	if (f->dev >= 0)
		close(f->dev);
}
