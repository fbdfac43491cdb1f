/* SPDX-License-Identifier: GPL-2.0-only */
/* Between race.c, race_lane.c and race_judge.c. */
#ifndef I915_USERPTR_RACE_INTERNAL_H
#define I915_USERPTR_RACE_INTERNAL_H

#include "race.h"

#define TAG_LANE_SHIFT 28
#define TAG_SEQ 0x0fffffffu

static inline uint32_t race_tag(unsigned int lane, uint32_t seq)
{
	return lane << TAG_LANE_SHIFT | seq;
}

/* A lane's dword in a slot, or the CPU's (lane == RACE_LANES): elsewhere in each page. */
static inline size_t race_place(const struct slot *s, unsigned int lane)
{
	return s->offset + lane * 1364 + s->offset / PAGE * 68 % 1360;
}

static inline uint32_t race_done(const struct lane *l)
{
	return l->race->progress[l->id * 16];
}

void race_lane_start(struct __test_metadata *_metadata, struct race *r, unsigned int id);
void race_lane_stop(struct lane *l);
/* Judges one lane's dword in a slot, in any thread. */
void race_judge_lane(struct race *r, struct slot *s, unsigned int lane, const char *when);
void race_catch_faults(void);

#endif
