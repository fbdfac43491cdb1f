// SPDX-License-Identifier: GPL-2.0-only
/* What may stand in the memory at each moment. */
#define _GNU_SOURCE
#include "race.h"

#include <setjmp.h>
#include <signal.h>

#include "race_internal.h"

static _Thread_local sigjmp_buf fault;
static _Thread_local volatile sig_atomic_t may_fault;

static void on_fault(int sig)
{
	if (may_fault)
		siglongjmp(fault, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

void race_catch_faults(void)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

bool race_peek(const void *p, uint32_t *value)
{
	bool there = false;

	if (!sigsetjmp(fault, 0)) {
		may_fault = true;
		*value = *(const volatile uint32_t *)p;
		there = true;
	}
	may_fault = false;
	return there;
}

size_t race_cpu_place(const struct slot *s)
{
	return race_place(s, RACE_LANES);
}

static bool within(const struct slot *s, struct span span)
{
	return s->offset >= span.offset && s->offset < span.offset + span.size;
}

#define for_each_slot_within(r, s, span)                                 \
	for (s = (r)->slots; s < (r)->slots + (r)->nslots; s++)          \
		if (within(s, span))

void race_access_changes(struct race *r)
{
	r->access_seq++;
}

void race_access(struct race *r, enum access access)
{
	r->access = access;
	r->access_seq++;
}

void race_destroy(struct race *r, struct span span)
{
	struct slot *s;
	unsigned int i;

	for_each_slot_within(r, s, span) {
		s->gen++;
		for (i = 0; i < r->nlanes; i++)
			s->floor[i] = r->lanes[i].returned;
	}
}

void race_destroyed(struct race *r, struct span span)
{
	struct slot *s;

	for_each_slot_within(r, s, span) {
		s->cpu = 0;
		s->gen++;
	}
}

void race_spared(struct race *r, struct span span)
{
	struct slot *s;
	unsigned int i;

	for_each_slot_within(r, s, span) {
		for (i = 0; i < r->nlanes; i++)
			s->floor[i] = 0;
		s->gen++;
	}
}

void race_touch(struct race *r, struct span span)
{
	struct slot *s;

	for_each_slot_within(r, s, span) {
		s->cpu = 1 + rng_below(&r->rng, 0x7fffffff);
		memory_poke(&r->m, race_place(s, RACE_LANES), s->cpu);
	}
}

void race_judge_lane(struct race *r, struct slot *s, unsigned int lane, const char *when)
{
	struct __test_metadata *_metadata = r->metadata;
	const uint32_t floor = s->floor[lane];
	uint32_t value, begun;

	if (!race_peek(r->m.p + race_place(s, lane), &value))
		return;
	begun = r->lanes[lane].begun;
	r->checks++;
	if (!value)
		return;
	if (value >> TAG_LANE_SHIFT != lane || (value & TAG_SEQ) > begun) {
		HARNESS_FAIL("stale write: page %zu holds %#x %s, which was never submitted here",
			     s->offset / PAGE, value, when);
	} else if ((value & TAG_SEQ) <= floor) {
		HARNESS_FAIL("stale write: page %zu holds batch %u of lane %u %s, but its execbuf had returned before the page was made (batch %u was the last)",
			     s->offset / PAGE, value & TAG_SEQ, lane, when, floor);
	}
}

/* The changes are made by the thread that looks: no slot changes meanwhile. */
void race_check(struct race *r, struct span span, const char *when)
{
	struct __test_metadata *_metadata = r->metadata;
	struct slot *s;
	uint32_t value;
	unsigned int i;

	for_each_slot_within(r, s, span) {
		for (i = 0; i < r->nlanes; i++)
			race_judge_lane(r, s, i, when);
		if (!race_peek(r->m.p + race_place(s, RACE_LANES), &value))
			continue;
		r->checks++;
		if (value != s->cpu)
			HARNESS_FAIL("lost content: page %zu holds %#x %s, but the CPU has written %#x",
				     s->offset / PAGE, value, when, s->cpu);
	}
}

void race_remember(struct race *r, struct span span, struct race_content *c)
{
	unsigned int i, l;

	memset(c, 0, sizeof(*c));
	c->span = span;
	for (i = 0; i < r->nslots; i++) {
		c->there[i] = within(&r->slots[i], span);
		for (l = 0; c->there[i] && l < r->nlanes; l++)
			c->there[i] = race_peek(r->m.p + race_place(&r->slots[i], l), &c->lane[i][l]);
	}
	/* After the values: what began since may have written none of them. */
	for (l = 0; l < r->nlanes; l++)
		c->begun[l] = r->lanes[l].begun;
}

void race_survived(struct race *r, const struct race_content *c, const char *when)
{
	struct __test_metadata *_metadata = r->metadata;
	unsigned int i, l;
	uint32_t value;

	for (i = 0; i < r->nslots; i++) {
		for (l = 0; c->there[i] && l < r->nlanes; l++) {
			const struct slot *s = &r->slots[i];

			if (!race_peek(r->m.p + race_place(s, l), &value)) {
				HARNESS_FAIL("lost content: page %zu cannot be read %s",
					     s->offset / PAGE, when);
				break;
			}
			r->checks++;
			if ((value & TAG_SEQ) < (c->lane[i][l] & TAG_SEQ))
				HARNESS_FAIL("lost content: page %zu holds %#x %s, but %#x was there before",
					     s->offset / PAGE, value, when, c->lane[i][l]);
		}
	}
	race_check(r, c->span, when);
}

void race_unchanged(struct race *r, const struct race_content *c, const char *when)
{
	struct __test_metadata *_metadata = r->metadata;
	unsigned int i, l;
	uint32_t value;

	for (i = 0; i < r->nslots; i++) {
		for (l = 0; c->there[i] && l < r->nlanes; l++) {
			const struct slot *s = &r->slots[i];
			bool late;

			if (!race_peek(r->m.p + race_place(s, l), &value))
				continue;
			r->checks++;
			late = (value & TAG_SEQ) > c->begun[l];
			if (value == c->lane[i][l] || (r->era != ERA_WAITS && !late))
				continue;
			HARNESS_FAIL("write after protect: page %zu turned from %#x to %#x %s%s",
				     s->offset / PAGE, c->lane[i][l], value, when,
				     late ? ", by a batch submitted after that" : "");
		}
	}
}
