/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Batches: put together command by command, submitted by softpin where the GPU has a full PPGTT and
 * by relocations elsewhere.
 *
 *	struct job job;
 *
 *	job_init(&job, dev, I915_EXEC_RENDER);
 *	job_store(&job, job_object(&job, handle, true), 0, 5);
 *	err = job_run(&job);		submits, waits
 *	job_end(&job);
 *
 * Encodings: Intel's programmer's reference manuals, volume 2 ("Command Reference: Instructions").
 */
#ifndef I915_USERPTR_BATCH_H
#define I915_USERPTR_BATCH_H

#include "i915.h"

#define JOB_OBJECTS 64

struct job {
	const struct i915 *dev;
	uint64_t flags;		/* of the execbuf: the engine, ... */
	struct drm_i915_gem_exec_object2 objects[JOB_OBJECTS + 1];
	unsigned int nobjects;
	struct drm_i915_gem_relocation_entry *relocs;
	unsigned int nrelocs, max_relocs;
	uint32_t *dw;
	unsigned int n, max;
	uint32_t batch;		/* the handle, after job_submit() */
	bool written;
	void *map;		/* of the batch, where there is no pwrite */
	size_t map_size;
};

void job_init(struct job *job, const struct i915 *dev, uint64_t engine);
/* Frees; the batch's object is closed, be it busy. */
void job_end(struct job *job);

/*
 * Uses an object of up to 128 MiB; returns its index. Under softpin each handle has an address of its
 * own, the same in each batch: 4 GiB + handle * 128 MiB. `write` is EXEC_OBJECT_WRITE.
 */
unsigned int job_object(struct job *job, uint32_t handle, bool write);
uint64_t job_address(uint32_t handle);

void job_store(struct job *job, unsigned int object, uint64_t offset, uint32_t value);
/* One dword through a register of the render engine. Gen8 and later. */
void job_move(struct job *job, unsigned int to, uint64_t to_offset, unsigned int from,
	      uint64_t from_offset);
/* By the blitter; offsets and size are multiples of 4. */
void job_copy(struct job *job, unsigned int to, uint64_t to_offset, unsigned int from,
	      uint64_t from_offset, uint64_t size);

/*
 * A dword that the CPU writes and batches wait for: holds whatever waits for the batch for as long
 * as wanted. It is preempted where others want the engine, so nothing takes it for a hang. Gen8 and
 * later. The mapping works in forked children as well.
 */
struct gate {
	const struct i915 *dev;
	uint32_t handle;
	volatile uint32_t *map;
};

/* Closed. 0 or -errno. */
int gate_create(struct gate *gate, const struct i915 *dev);
void gate_open(struct gate *gate);
void gate_close(struct gate *gate);
void gate_destroy(struct gate *gate);
/* The rest of the batch runs when the gate is open. */
void job_gate(struct job *job, const struct gate *gate);

/* Writes the batch into an object of its own, be it again with other dwords. 0 or -errno. */
int job_write(struct job *job);
/* Writes the batch, where it is not written yet, and submits it once. 0 or -errno. */
int job_submit(struct job *job);
/* Submits the same again, once. */
int job_exec(struct job *job);
/* 0, or -errno: -ETIME after LONG_NS. */
int job_wait(struct job *job);
/* Submits, for as long as it takes, and waits. */
int job_run(struct job *job);

#endif
