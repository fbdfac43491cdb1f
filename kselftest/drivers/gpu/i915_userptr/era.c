// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "era.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batch.h"
#include "knobs.h"

#define HELD_MS 60
#define LONGEST_MS 3000

const char *const era_names[3] = {
	"unknown",
	"the notifier waits for the GPU (before 6.9)",
	"the notifier does not wait for the GPU (6.9 and later)",
};

static struct shared {
	enum era era;
	atomic_int go;
	atomic_ullong opened;
} *shared;

static void __attribute__((constructor)) map_shared(void)
{
	void *p = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED)
		_exit(1);
	shared = p;
}

/*
 * A process of its own opens the gate: whatever waits for the batch may have the mmap lock. It is
 * forked before, for a fork is an invalidate too.
 */
static pid_t fork_opener(struct gate *gate, unsigned int held_ms)
{
	pid_t pid;

	shared->go = 0;
	shared->opened = 0;
	pid = harness_fork();
	if (pid)
		return pid;
	while (!shared->go)
		sleep_ms(1);
	sleep_ms(held_ms);
	shared->opened = now_ns();
	gate_open(gate);
	_exit(0);
}

/* Unknown too where munmap began after the gate was opened: the machine was busy elsewhere. */
static enum era measure(const struct i915 *dev, unsigned int held_ms, unsigned int *munmap_ms)
{
	const size_t size = 16 * PAGE_SIZE_4K;
	enum era era = ERA_UNKNOWN;
	uint64_t begin, end;
	struct gate gate;
	struct job job;
	uint32_t handle;
	pid_t opener;
	void *p;
	int err;

	if (gate_create(&gate, dev))
		return ERA_UNKNOWN;
	opener = fork_opener(&gate, held_ms);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	job_init(&job, dev, I915_EXEC_RENDER);
	err = opener < 0 || p == MAP_FAILED || __gem_userptr(dev->fd, p, size, 0, &handle);
	if (!err) {
		job_gate(&job, &gate);
		job_store(&job, job_object(&job, handle, true), 0, 1);
		err = retry(job_submit(&job));
		shared->go = 1;
		begin = now_ns();
		munmap(p, size);
		end = now_ns();
		*munmap_ms = (end - begin) / 1000000;
		waitpid(opener, NULL, 0);
		opener = 0;
		if (!err && begin < shared->opened)
			era = end >= shared->opened ? ERA_WAITS : ERA_NO_WAIT;
		if (!err)
			job_wait(&job);
		__gem_close(dev->fd, handle);
	}
	if (opener > 0) {
		kill(opener, SIGKILL);
		waitpid(opener, NULL, 0);
	}
	job_end(&job);
	gate_destroy(&gate);
	return era;
}

/* That munmap has waited is believed the second time: the first may have been a slow machine. */
enum era era_measure(const struct i915 *dev, unsigned int *munmap_ms)
{
	unsigned int held_ms, waited = 0;
	enum era era = ERA_UNKNOWN;

	*munmap_ms = 0;
	for (held_ms = HELD_MS; dev->gen >= GEN8 && held_ms < LONGEST_MS; held_ms *= 3) {
		era = measure(dev, held_ms, munmap_ms);
		if (era == ERA_NO_WAIT || (era == ERA_WAITS && waited++))
			break;
	}
	shared->era = era;
	return era;
}

enum era era_known(void)
{
	return shared->era;
}
