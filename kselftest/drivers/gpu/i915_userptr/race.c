// SPDX-License-Identifier: GPL-2.0-only
/* Starting and ending of a race, its clock and its counts; the lanes are in race_lane.c. */
#define _GNU_SOURCE
#include "race.h"

#include <sched.h>
#include <signal.h>

#include "race_internal.h"

/* Without an overlap the loop goes on for so long. */
#define MORE_NS 5000000000ull

void race_dwell(struct race *r)
{
	uint64_t until = now_ns() + rng_below(&r->rng, 400000);

	while (now_ns() < until)
		sched_yield();
}

/* Batches wait at the gate for a moment, then run freely for another. */
static void keep_gate(struct race *r)
{
	struct rng rng = test_rng(99);

	for (;;) {
		gate_close(&r->gate);
		sleep_ms(1 + rng_below(&rng, 2));
		gate_open(&r->gate);
		sleep_ms(1 + rng_below(&rng, 4));
	}
}

/* Before the memory is mapped: the keeper has no part of it. */
static void start_keeper(struct __test_metadata *_metadata, struct race *r)
{
	if (r->dev.gen < GEN8)
		return;
	ASSERT_RET(0, gate_create(&r->gate, &r->dev));
	r->keeper = harness_fork();
	ASSERT_LE(0, r->keeper);
	if (!r->keeper)
		keep_gate(r);
}

static void place_slots(struct race *r)
{
	const size_t pages = r->m.size / PAGE;
	unsigned int i;

	r->nslots = pages < RACE_SLOTS ? pages : RACE_SLOTS;
	for (i = 0; i < r->nslots; i++) {
		struct slot *s = &r->slots[i];

		/* The first page and the last are among them. */
		s->offset = r->nslots < 2 ? 0 : i * (pages - 1) / (r->nslots - 1) * PAGE;
		s->cpu = 0xc0000000u + i;
		memory_poke(&r->m, race_place(s, RACE_LANES), s->cpu);
	}
}

static void start(struct __test_metadata *_metadata, struct race *r, unsigned int nlanes)
{
	unsigned int i;

	r->metadata = _metadata;
	r->rng = test_rng(0);
	r->era = era_known();
	place_slots(r);
	ASSERT_RET(0, __gem_create(r->dev.fd, PAGE, &r->progress_handle));
	r->progress = i915_map(r->dev.fd, r->progress_handle, PAGE);
	ASSERT_TRUE(r->progress);
	race_catch_faults();
	for (i = 0; i < nlanes; i++) {
		race_lane_start(_metadata, r, i);
		r->nlanes++;
	}
}

static void open_race(struct __test_metadata *_metadata, struct race *r)
{
	memset(r, 0, sizeof(*r));
	open_i915(_metadata, &r->dev);
	require_engine(_metadata, &r->dev, I915_EXEC_RENDER);
	start_keeper(_metadata, r);
}

void race_setup(struct __test_metadata *_metadata, struct race *r, enum memory_kind kind, size_t size,
		unsigned int nlanes)
{
	int err;

	open_race(_metadata, r);
	err = memory_map(&r->m, kind, size, 0);
	if (err)
		race_end(r);
	REQUIRE(err != -EOPNOTSUPP, "%s", r->m.why);
	ASSERT_RET(0, err);
	start(_metadata, r, nlanes);
}

void race_setup_with(struct __test_metadata *_metadata, struct race *r, const struct memory *m,
		     unsigned int nlanes)
{
	open_race(_metadata, r);
	r->m = *m;
	start(_metadata, r, nlanes);
}

static void stop_keeper(struct race *r)
{
	if (r->keeper <= 0)
		return;
	kill(r->keeper, SIGKILL);
	waitpid(r->keeper, NULL, 0);
	gate_open(&r->gate);
	r->keeper = 0;
}

static void stop_lanes(struct race *r)
{
	unsigned int i;

	r->stop = true;
	stop_keeper(r);
	for (i = 0; i < r->nlanes; i++)
		race_lane_stop(&r->lanes[i]);
	r->nlanes = 0;
}

void race_end(struct race *r)
{
	unsigned int lanes = r->nlanes;

	stop_lanes(r);
	if (lanes && !r->access) {
		r->nlanes = lanes;
		race_check(r, race_all(r), "at the end");
		r->nlanes = 0;
	}
	if (r->progress)
		munmap((void *)r->progress, PAGE);
	r->progress = NULL;
	memory_unmap(&r->m);
	if (r->dev.fd > 0)
		close(r->dev.fd);
	r->dev.fd = -1;
}

struct span race_span_of(struct race *r, size_t unit)
{
	const size_t units = r->m.size / unit;
	size_t first = rng_below(&r->rng, units);
	size_t n = 1 + rng_below(&r->rng, units - first);

	switch (rng_below(&r->rng, 4)) {
	case 0:
		n = units - first;
		break;
	case 1:
		n = first + 1;
		first = 0;
		break;
	}
	return (struct span) {
		.p = r->m.p + first * unit, .size = n * unit, .offset = first * unit,
	};
}

struct span race_span(struct race *r)
{
	return race_span_of(r, r->m.kind == MEMORY_HUGETLB ? HUGE_PAGE : PAGE);
}

struct span race_all(struct race *r)
{
	return (struct span) { .p = r->m.p, .size = r->m.size };
}

static unsigned int execs(struct race *r)
{
	unsigned int i, n = 0;

	for (i = 0; i < r->nlanes; i++)
		n += r->lanes[i].execs;
	return n;
}

static bool in_exec(struct race *r)
{
	unsigned int i;

	for (i = 0; i < r->nlanes; i++)
		if (r->lanes[i].in_exec)
			return true;
	return false;
}

static bool busy(struct race *r)
{
	unsigned int i;

	for (i = 0; i < r->nlanes; i++)
		if ((int32_t)(r->lanes[i].accepted - race_done(&r->lanes[i])) > 0)
			return true;
	return false;
}

/* Lanes that have to look up many pages may need longer than what lies between two changes. */
static void let_one_through(struct race *r)
{
	const struct lane *l = &r->lanes[rng_below(&r->rng, r->nlanes)];
	const unsigned int accepted = l->accepted;
	uint64_t until = now_ns() + 30000000;

	while (l->accepted == accepted && now_ns() < until && !r->stop)
		sched_yield();
}

/* Mostly, until an execbuf is under way; it may be over before the change begins. */
static void aim(struct race *r)
{
	uint64_t until = now_ns() + 3000000;

	if (!r->access && rng_below(&r->rng, 4) == 0)
		let_one_through(r);
	if (rng_below(&r->rng, 4) == 0) {
		race_dwell(r);
		return;
	}
	while (!in_exec(r) && now_ns() < until)
		sched_yield();
}

void race_before(struct race *r)
{
	aim(r);
	r->execs_before = execs(r);
	r->began_busy += busy(r);
	r->exec_before = in_exec(r);
}

void race_after(struct race *r)
{
	const bool exec_now = in_exec(r);

	r->ended_busy += busy(r);
	r->changes++;
	r->began_in_exec += r->exec_before;
	r->ended_in_exec += exec_now;
	r->meets_exec += r->exec_before || exec_now || execs(r) != r->execs_before;
}

static bool goes_on(struct race *r)
{
	const struct __test_metadata *_metadata = r->metadata;
	const unsigned int count = knob_count(0);
	const uint64_t now = now_ns();

	if (HARNESS_IS_OVER())
		return false;
	if (count)
		return r->changes < count;
	if (now >= r->until && (r->meets_exec || now >= r->last))
		return false;
	return true;
}

static void say(struct race *r)
{
	unsigned int i, efault = 0, again = 0, checks = r->checks;

	for (i = 0; i < r->nlanes; i++) {
		efault += r->lanes[i].efault;
		again += r->lanes[i].again;
		checks += r->lanes[i].checks;
	}
	diag("%s: %u changes, %u met an execbuf (%u began in one, %u ended in one); began with a batch in flight %u, ended %u",
	     r->what, r->changes, r->meets_exec, r->began_in_exec, r->ended_in_exec, r->began_busy,
	     r->ended_busy);
	diag("%u execbufs, %u EFAULT, %u again after EAGAIN or EINTR; %u dwords were judged", execs(r),
	     efault, again, checks);
}

void race_loop(struct race *r, const char *what, race_change *change)
{
	struct __test_metadata *_metadata = r->metadata;

	r->what = what;
	r->until = now_ns() + knob_seconds(1) * 1000000000ull;
	r->last = r->until + MORE_NS;
	while (goes_on(r))
		change(r, _metadata);
	stop_keeper(r);
	say(r);
	REQUIRE(r->meets_exec || HARNESS_IS_OVER(),
		"no change overlapped with an execbuf, of %u: nothing was tested", r->changes);
}
