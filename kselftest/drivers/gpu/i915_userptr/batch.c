// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MI(opcode) ((uint32_t)(opcode) << 23)
#define MI_BATCH_BUFFER_END MI(0x0a)
#define MI_SEMAPHORE_WAIT MI(0x1c)
#define MI_STORE_DATA_IMM MI(0x20)
#define MI_STORE_REGISTER_MEM MI(0x24)
#define MI_LOAD_REGISTER_MEM MI(0x29)
#define USE_GGTT (1u << 22)
#define SEMAPHORE_POLL (1u << 15)
#define SEMAPHORE_EQ (4u << 12)

#define BLT(opcode) (2u << 29 | (uint32_t)(opcode) << 22)
#define XY_FAST_COPY_BLT BLT(0x42)
#define XY_SRC_COPY_BLT BLT(0x53)
#define WRITE_RGBA (3u << 20)
#define DEPTH_32 (3u << 24)
#define ROP_SOURCE_COPY (0xccu << 16)

#define RCS_GPR0 0x2600

#define ROW 4096u
#define MAX_ROWS 32767u

static void out_of_memory(void)
{
	fprintf(stderr, "out of memory\n");
	_exit(1);
}

void job_init(struct job *job, const struct i915 *dev, uint64_t engine)
{
	memset(job, 0, sizeof(*job));
	job->dev = dev;
	job->flags = engine;
}

void job_end(struct job *job)
{
	if (job->map)
		munmap(job->map, job->map_size);
	if (job->batch)
		__gem_close(job->dev->fd, job->batch);
	free(job->dw);
	free(job->relocs);
	memset(job, 0, sizeof(*job));
}

uint64_t job_address(uint32_t handle)
{
	return (1ull << 32) + ((uint64_t)handle << 27);
}

unsigned int job_object(struct job *job, uint32_t handle, bool write)
{
	struct drm_i915_gem_exec_object2 *o = &job->objects[job->nobjects];

	if (job->nobjects == JOB_OBJECTS) {
		fprintf(stderr, "more than %d objects in a batch\n", JOB_OBJECTS);
		_exit(1);
	}
	memset(o, 0, sizeof(*o));
	o->handle = handle;
	if (write)
		o->flags |= EXEC_OBJECT_WRITE;
	if (job->dev->softpin) {
		o->flags |= EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
		o->offset = job_address(handle);
	}
	return job->nobjects++;
}

static void emit(struct job *job, uint32_t dw)
{
	if (job->n == job->max) {
		job->max = job->max ? 2 * job->max : 256;
		job->dw = realloc(job->dw, job->max * sizeof(*job->dw));
		if (!job->dw)
			out_of_memory();
	}
	job->dw[job->n++] = dw;
}

/* Without softpin the presumed offset is one that cannot be, so that each relocation is done. */
static void emit_address(struct job *job, unsigned int object, uint64_t offset, bool write)
{
	uint64_t address = job->dev->softpin ? job->objects[object].offset + offset : offset;

	if (!job->dev->softpin) {
		struct drm_i915_gem_relocation_entry *r;

		if (job->nrelocs == job->max_relocs) {
			job->max_relocs = job->max_relocs ? 2 * job->max_relocs : 64;
			job->relocs = realloc(job->relocs, job->max_relocs * sizeof(*r));
			if (!job->relocs)
				out_of_memory();
		}
		r = &job->relocs[job->nrelocs++];
		memset(r, 0, sizeof(*r));
		r->target_handle = job->objects[object].handle;
		r->offset = job->n * 4;
		r->delta = offset;
		r->presumed_offset = ~0ull;
		r->read_domains = I915_GEM_DOMAIN_RENDER;
		r->write_domain = write ? I915_GEM_DOMAIN_RENDER : 0;
	}
	emit(job, address);
	if (job->dev->gen >= GEN8)
		emit(job, address >> 32);
}

void job_store(struct job *job, unsigned int object, uint64_t offset, uint32_t value)
{
	/* Before gen6 only privileged batches store, and by the GGTT. */
	emit(job, MI_STORE_DATA_IMM | 2 | (job->dev->gen < 60 ? USE_GGTT : 0));
	if (job->dev->gen < 60)
		job->flags |= I915_EXEC_SECURE;
	if (job->dev->gen < GEN8)
		emit(job, 0);
	emit_address(job, object, offset, true);
	emit(job, value);
}

void job_move(struct job *job, unsigned int to, uint64_t to_offset, unsigned int from,
	      uint64_t from_offset)
{
	emit(job, MI_LOAD_REGISTER_MEM | 2);
	emit(job, RCS_GPR0);
	emit_address(job, from, from_offset, false);
	emit(job, MI_STORE_REGISTER_MEM | 2);
	emit(job, RCS_GPR0);
	emit_address(job, to, to_offset, true);
}

/*
 * Blits address whole rows: the pixel's place in its row makes up for the alignment of the base.
 * gen12.5 and later have only the fast copy.
 */
static void blit(struct job *job, unsigned int to, uint64_t to_offset, unsigned int from,
		 uint64_t from_offset, unsigned int width, unsigned int height)
{
	const bool fast = job->dev->gen > GEN12;
	const unsigned int to_x = to_offset % 64 / 4, from_x = from_offset % 64 / 4;
	const unsigned int pitch = height > 1 ? ROW : ROW + 64;

	emit(job, (fast ? XY_FAST_COPY_BLT : XY_SRC_COPY_BLT | WRITE_RGBA) |
			  (job->dev->gen >= GEN8 ? 8 : 6));
	emit(job, DEPTH_32 | (fast ? 0 : ROP_SOURCE_COPY) | pitch);
	emit(job, to_x);
	emit(job, height << 16 | (to_x + width));
	emit_address(job, to, to_offset & ~63ull, true);
	emit(job, from_x);
	emit(job, pitch);
	emit_address(job, from, from_offset & ~63ull, false);
}

void job_copy(struct job *job, unsigned int to, uint64_t to_offset, unsigned int from,
	      uint64_t from_offset, uint64_t size)
{
	while (size) {
		uint64_t rows = size / ROW, n;

		if (rows > 1 && !(to_offset % 64) && !(from_offset % 64)) {
			rows = rows < MAX_ROWS ? rows : MAX_ROWS;
			n = rows * ROW;
			blit(job, to, to_offset, from, from_offset, ROW / 4, rows);
		} else {
			n = size < ROW ? size : ROW;
			blit(job, to, to_offset, from, from_offset, n / 4, 1);
		}
		to_offset += n;
		from_offset += n;
		size -= n;
	}
}

int gate_create(struct gate *gate, const struct i915 *dev)
{
	int err = __gem_create(dev->fd, PAGE_SIZE_4K, &gate->handle);

	gate->dev = dev;
	if (err)
		return err;
	gate->map = i915_map(dev->fd, gate->handle, PAGE_SIZE_4K);
	if (!gate->map) {
		err = -errno;
		__gem_close(dev->fd, gate->handle);
		return err;
	}
	gate_close(gate);
	return 0;
}

void gate_open(struct gate *gate)
{
	*gate->map = 1;
	__sync_synchronize();
}

void gate_close(struct gate *gate)
{
	*gate->map = 0;
	__sync_synchronize();
}

void gate_destroy(struct gate *gate)
{
	gate_open(gate);
	munmap((void *)gate->map, PAGE_SIZE_4K);
	__gem_close(gate->dev->fd, gate->handle);
}

void job_gate(struct job *job, const struct gate *gate)
{
	unsigned int object = job_object(job, gate->handle, false);

	emit(job, MI_SEMAPHORE_WAIT | SEMAPHORE_POLL | SEMAPHORE_EQ |
			  (job->dev->gen >= GEN12 ? 3 : 2));
	emit(job, 1);
	emit_address(job, object, 0, false);
	if (job->dev->gen >= GEN12)
		emit(job, 0);
}

/* Discrete GPUs have no pwrite. */
static int write_batch(struct job *job, uint64_t size)
{
	const int fd = job->dev->fd;
	int err = __gem_pwrite(fd, job->batch, 0, job->dw, job->n * 4);

	if (err != -EOPNOTSUPP)
		return err;
	/* Mapped once: what maps later may meet a hole that a test has made. */
	if (!job->map) {
		job->map = i915_map(fd, job->batch, size);
		job->map_size = size;
	}
	if (!job->map)
		return -errno;
	memcpy(job->map, job->dw, job->n * 4);
	return 0;
}

int job_exec(struct job *job)
{
	struct drm_i915_gem_exec_object2 *batch = &job->objects[job->nobjects];
	struct drm_i915_gem_execbuffer2 exec = {
		.buffers_ptr = (uintptr_t)job->objects,
		.buffer_count = job->nobjects + 1,
		.batch_len = job->n * 4,
		.flags = job->flags | (job->dev->softpin ? I915_EXEC_NO_RELOC : 0),
	};

	memset(batch, 0, sizeof(*batch));
	batch->handle = job->batch;
	batch->relocation_count = job->nrelocs;
	batch->relocs_ptr = (uintptr_t)job->relocs;
	if (job->dev->softpin) {
		batch->flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
		batch->offset = job_address(job->batch);
	}
	return __gem_execbuf(job->dev->fd, &exec);
}

int job_write(struct job *job)
{
	uint64_t size;
	unsigned int i;
	int err;

	if (!job->batch) {
		emit(job, MI_BATCH_BUFFER_END);
		if (job->n & 1)
			emit(job, 0);
	}
	size = (job->n * 4ull + PAGE_SIZE_4K - 1) & ~(PAGE_SIZE_4K - 1ull);
	err = job->batch ? 0 : __gem_create(job->dev->fd, size, &job->batch);
	if (!err)
		err = write_batch(job, size);
	if (err)
		return err;
	/* The addresses of the last time have been written over. */
	for (i = 0; i < job->nrelocs; i++)
		job->relocs[i].presumed_offset = ~0ull;
	job->written = true;
	return 0;
}

int job_submit(struct job *job)
{
	int err = job->written ? 0 : job_write(job);

	return err ? err : job_exec(job);
}

int job_wait(struct job *job)
{
	return retry(__gem_wait(job->dev->fd, job->batch, LONG_NS));
}

int job_run(struct job *job)
{
	int err = retry(job_submit(job));

	return err ? err : job_wait(job);
}
