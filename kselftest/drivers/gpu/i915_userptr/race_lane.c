// SPDX-License-Identifier: GPL-2.0-only
/* A lane: submits, waits, looks whether what it has waited for has landed. */
#define _GNU_SOURCE
#include "race.h"

#include <sched.h>

#include "race_internal.h"

#define RENEW_EACH 16

static const uint64_t engines[RACE_LANES] = { I915_EXEC_RENDER, I915_EXEC_BLT };

/* Written once before any change. */
static void build(struct __test_metadata *_metadata, struct lane *l, struct race_job *j)
{
	struct race *r = l->race;
	const bool blitter = l->id && l->dev.blitter;
	unsigned int object, i;

	job_init(&j->job, &l->dev, engines[blitter]);
	if (l->dev.gen >= GEN8)
		job_gate(&j->job, &r->gate);
	object = job_object(&j->job, l->handle, true);
	j->object = object;
	for (i = 0; i < r->nslots; i++) {
		job_store(&j->job, object, race_place(&r->slots[i], l->id), 0);
		j->value_at[i] = j->job.n - 1;
	}
	job_store(&j->job, job_object(&j->job, r->progress_handle, true), l->id * 64, 0);
	j->seq_at = j->job.n - 1;
	ASSERT_RET(0, job_write(&j->job));
}

/* Lost for good, or late: a wait that was over too early is another bug. */
static unsigned int still_lost(const struct lane *l, const struct race_job *j)
{
	const struct race *r = l->race;
	unsigned int i, n = 0;
	uint32_t value;

	sleep_ms(20);
	for (i = 0; i < r->nslots; i++)
		n += r->slots[i].gen == j->gen[i] &&
		     race_peek(r->m.p + race_place(&r->slots[i], l->id), &value) &&
		     (value & TAG_SEQ) < j->seq;
	return n;
}

static void look_at(struct lane *l, struct race_job *j)
{
	struct __test_metadata *_metadata = l->race->metadata;
	struct race *r = l->race;
	unsigned int i, wrong = 0;

	for (i = 0; i < r->nslots; i++) {
		struct slot *s = &r->slots[i];
		uint32_t value;

		if (j->gen[i] & 1 || !race_peek(r->m.p + race_place(s, l->id), &value))
			continue;
		if (s->gen != j->gen[i])
			continue;
		l->checks++;
		/* Later ones may have written it since. */
		if (value >> TAG_LANE_SHIFT == l->id && (value & TAG_SEQ) >= j->seq)
			continue;
		if (!wrong++)
			HARNESS_FAIL("lost write: page %zu holds %#x, but batch %u of lane %u was waited for and the page has been the same since before it",
				     s->offset / PAGE, value, j->seq, l->id);
	}
	if (!wrong)
		return;
	diag("%u of its %u pages have lost it, %u of them 20 ms later; the GPU's own page says that batch %u is done; execbuf has taken %u",
	     wrong, r->nslots, still_lost(l, j), race_done(l), l->accepted);
	r->stop = true;
}

static void finish(struct lane *l, struct race_job *j)
{
	struct __test_metadata *_metadata = l->race->metadata;
	int err;

	if (!j->seq)
		return;
	err = job_wait(&j->job);
	if (err) {
		HARNESS_FAIL("batch %u of lane %u: wait: %s", j->seq, l->id, strerror(-err));
		l->race->stop = true;
	} else {
		look_at(l, j);
	}
	j->seq = 0;
}

/* Whether the memory's rights, as they were throughout, allow this. */
static void judge_errno(struct lane *l, int err, unsigned int before, int access)
{
	struct __test_metadata *_metadata = l->race->metadata;
	struct race *r = l->race;
	const bool throughout = !(before & 1) && before == r->access_seq;

	if (err == -EFAULT)
		l->efault++;
	if (err && err != -EFAULT) {
		HARNESS_FAIL("execbuf: %s", strerror(-err));
	} else if (throughout && err == -EFAULT && access == ACCESS_RW) {
		HARNESS_FAIL("execbuf: EFAULT, while all of the memory was there to be written");
	} else if (throughout && !err && access != ACCESS_RW) {
		HARNESS_FAIL("execbuf took an object some of whose memory %s",
			     access == ACCESS_NONE ? "was not mapped" : "was read-only");
	} else {
		return;
	}
	r->stop = true;
}

static void submit(struct lane *l, struct race_job *j)
{
	struct __test_metadata *_metadata = l->race->metadata;
	struct race *r = l->race;
	const uint32_t seq = l->begun + 1;
	unsigned int i, before;
	bool again;
	int err, access;

	for (i = 0; i < r->nslots; i++)
		j->job.dw[j->value_at[i]] = race_tag(l->id, seq);
	j->job.dw[j->seq_at] = seq;
	err = retry(job_write(&j->job));
	if (err) {
		HARNESS_FAIL("writing a batch: %s", strerror(-err));
		r->stop = true;
		return;
	}
	do {
		for (i = 0; i < r->nslots; i++)
			j->gen[i] = r->slots[i].gen;
		before = r->access_seq;
		access = r->access;
		l->begun = seq;
		l->in_exec = true;
		err = job_exec(&j->job);
		l->in_exec = false;
		l->execs++;
		again = i915_again(err);
		l->again += again;
	} while (again && !r->stop);
	if (!err)
		l->accepted = seq;
	l->returned = seq;
	if (!err)
		j->seq = seq;
	if (!again)
		judge_errno(l, err, before, access);
}

/*
 * Another object of the same memory, for pages that are not pinned all the time, and that are looked
 * up for the first time again. Where it is for the GPU stays the same.
 */
static void renew(struct lane *l)
{
	struct __test_metadata *_metadata = l->race->metadata;
	struct race *r = l->race;
	unsigned int i, k;
	uint32_t handle;
	int err;

	for (i = 0; i < RACE_DEPTH; i++)
		finish(l, &l->jobs[i]);
	err = __gem_close(r->dev.fd, l->handle);
	sleep_ms(1);
	if (!err)
		err = __gem_userptr(r->dev.fd, r->m.p, r->m.size, 0, &handle);
	if (err) {
		HARNESS_FAIL("closing an object and lending its memory again: %s", strerror(-err));
		r->stop = true;
		return;
	}
	for (i = 0; i < RACE_DEPTH; i++) {
		struct job *job = &l->jobs[i].job;

		job->objects[l->jobs[i].object].handle = handle;
		for (k = 0; k < job->nrelocs; k++)
			if (job->relocs[k].target_handle == l->handle)
				job->relocs[k].target_handle = handle;
	}
	l->handle = handle;
}

static void *run(void *arg)
{
	struct lane *l = arg;
	struct rng rng = test_rng(1 + l->id);
	unsigned int i;

	l->tid = gettid();
	for (i = 0; !l->race->stop; i = (i + 1) % RACE_DEPTH) {
		if (rng_below(&rng, RENEW_EACH) == 0)
			renew(l);
		finish(l, &l->jobs[i]);
		submit(l, &l->jobs[i]);
	}
	for (i = 0; i < RACE_DEPTH; i++)
		finish(l, &l->jobs[i]);
	return NULL;
}

void race_lane_start(struct __test_metadata *_metadata, struct race *r, unsigned int id)
{
	struct lane *l = &r->lanes[id];
	unsigned int i;

	l->race = r;
	l->id = id;
	l->dev = r->dev;
	l->handle = lend(_metadata, &r->dev, r->m.p, r->m.size, 0);
	for (i = 0; i < RACE_DEPTH; i++)
		build(_metadata, l, &l->jobs[i]);
	ASSERT_EQ(0, pthread_create(&l->thread, NULL, run, l));
}

void race_lane_stop(struct lane *l)
{
	unsigned int i;

	pthread_join(l->thread, NULL);
	for (i = 0; i < RACE_DEPTH; i++)
		job_end(&l->jobs[i].job);
}
