/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file of a FUSE file system of our own, by /dev/fuse alone: its pages are read when the test lets
 * them be, and what the kernel writes back is seen as it comes. The mount is in a mount namespace of
 * the test's process and gone with it.
 */
#ifndef I915_USERPTR_FUSE_FILE_H
#define I915_USERPTR_FUSE_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FUSE_FILE_PAGES 8
#define FUSE_FILE_SIZE (FUSE_FILE_PAGES * 4096u)

struct fuse_file {
	int dev;			/* /dev/fuse */
	int fd;				/* the file, open for reading and writing */
	pthread_t thread;
	uint8_t data[FUSE_FILE_SIZE];	/* what the server has */
	int held_page;			/* -1: none. Reads of it wait for fuse_file_serve() */
	atomic_ullong held;		/* the request that waits; 0: none */
	atomic_uint reads, writes;
	pthread_mutex_t lock;		/* of what is below */
	bool hold_writes;		/* a write is taken, and answered by the release */
	atomic_uint held_writes;
	struct { uint64_t unique; uint32_t size; } held_write[FUSE_FILE_PAGES];
};

/* Root alone may. 0 or -errno; *what is what has failed. Before any thread is made. */
int fuse_file_open(struct fuse_file *f, int held_page, const char **what);
/* Until somebody waits for the held page; false: nobody did within 20 s. */
bool fuse_file_wait(const struct fuse_file *f);
/* Answers the read that waits; no later one is held. */
int fuse_file_serve(struct fuse_file *f);
void fuse_file_hold_writes(struct fuse_file *f);
/* Until a write waits for its answer; false: none did within 20 s. */
bool fuse_file_wait_write(const struct fuse_file *f);
/* Answers the writes that wait; no later one is held. */
void fuse_file_release_writes(struct fuse_file *f);
/* Aborts what waits still. */
void fuse_file_close(struct fuse_file *f);

#endif
