/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Execbuf against changes of the memory that is lent. Lanes, a thread each, submit batches over and
 * over; the test's own thread changes the memory, and judges what it then finds there.
 *
 *	page   |..L0..L1..C..|..L0..L1..C..|   ...   |..L0..L1..C..|
 *
 * A page that is a slot has a dword for each lane, which that lane's batches write, and one that only
 * the CPU writes. A batch writes its lane's dword in all slots: a tag, that is the lane and the
 * submission's number.
 *
 *	RACE_CHANGE(change)
 *	{
 *		struct span s = race_span(r);
 *
 *		race_destroy(r, s);
 *		EXPECT_EQ(0, race_call(r, madvise(s.p, s.size, MADV_DONTNEED)));
 *		race_destroyed(r, s);
 *		race_touch(r, s);
 *		race_check(r, s, "after DONTNEED");
 *	}
 *	...
 *	race_loop(r, change);
 *
 * Half of the time the batches are held at a gate for a moment, so that changes meet busy pages.
 */
#ifndef I915_USERPTR_RACE_H
#define I915_USERPTR_RACE_H

#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define RACE_LANES 2
#define RACE_SLOTS 16
#define RACE_DEPTH 4

/* What the CPU may do to the memory; execbuf needs all of it to be ACCESS_RW. */
enum access { ACCESS_RW, ACCESS_READ, ACCESS_NONE };

struct race_job {
	struct job job;
	unsigned int object;
	unsigned int value_at[RACE_SLOTS], seq_at;	/* dwords of the batch */
	uint32_t seq;					/* 0: not in flight */
	unsigned int gen[RACE_SLOTS];
};

struct lane {
	struct race *race;
	unsigned int id;
	pthread_t thread;
	pid_t tid;
	struct i915 dev;
	uint32_t handle;
	struct race_job jobs[RACE_DEPTH];
	atomic_uint begun, returned;	/* the last submission whose execbuf began; that returned */
	atomic_uint accepted;		/* the last that execbuf took */
	atomic_bool in_exec;
	atomic_uint execs, efault, again, checks;
};

struct slot {
	size_t offset;			/* of its page */
	atomic_uint gen;		/* odd: its content is being taken away */
	atomic_uint floor[RACE_LANES];	/* tags up to here belong to pages that are gone */
	uint32_t cpu;
};

struct span {
	char *p;
	size_t size, offset;
};

struct race;
typedef void race_change(struct race *r, struct __test_metadata *_metadata);

#define RACE_CHANGE(name)                                        \
	static void name(struct race __attribute__((unused)) *r, \
			 struct __test_metadata __attribute__((unused)) *_metadata)

struct race {
	struct __test_metadata *metadata;
	struct i915 dev;
	struct memory m;
	unsigned int nlanes;
	struct lane lanes[RACE_LANES];
	struct slot slots[RACE_SLOTS];
	unsigned int nslots;
	struct rng rng;
	enum era era;
	atomic_bool stop;
	struct gate gate;
	pid_t keeper;
	uint32_t progress_handle;
	volatile uint32_t *progress;	/* a cache line a lane: the last submission that is done */
	atomic_uint access_seq;		/* odd: it is changing */
	atomic_int access;
	const char *what;
	uint64_t until, last;
	unsigned int changes, meets_exec, began_in_exec, ended_in_exec, began_busy, ended_busy, checks;
	unsigned int count;		/* the test's own */
	unsigned int execs_before;
	bool exec_before;
};

/*
 * Maps memory of a kind, lends it and starts `nlanes` lanes. The test is skipped where that memory
 * cannot be had. race_setup_with(): in memory that the test has mapped, which race_end() unmaps.
 */
void race_setup(struct __test_metadata *_metadata, struct race *r, enum memory_kind kind, size_t size,
		unsigned int nlanes);
void race_setup_with(struct __test_metadata *_metadata, struct race *r, const struct memory *m,
		     unsigned int nlanes);
/* Changes until the time (-S, 1 s) or the count (-n) is over; says how it went. `what` names it. */
void race_loop(struct race *r, const char *what, race_change *change);
/* Ends the lanes, looks at all slots, unmaps. Called by the fixture's teardown; again is nothing. */
void race_end(struct race *r);

/* A range by chance, of whole pages, often one that goes to an end; or all of it. */
struct span race_span(struct race *r);
struct span race_all(struct race *r);
/* The same with bounds that are multiples of `unit`. */
struct span race_span_of(struct race *r, size_t unit);

/* The change itself: overlaps with execbuf and with batches are counted around it. */
void race_before(struct race *r);
void race_after(struct race *r);
#define race_call(r, call)                         \
	({                                         \
		__typeof__(call) race_ret_;        \
		int race_errno_;                   \
		race_before(r);                    \
		race_ret_ = (call);                \
		race_errno_ = errno;               \
		race_after(r);                     \
		errno = race_errno_;               \
		race_ret_;                         \
	})

/* From the first to the second the memory's rights are changing; from then on they are `access`. */
void race_access_changes(struct race *r);
void race_access(struct race *r, enum access access);

/* From the first to the second the content goes, to be zero then, or what later submissions write. */
void race_destroy(struct race *r, struct span s);
void race_destroyed(struct race *r, struct span s);
/* Instead: it may have gone or not, but from now on it stays. */
void race_spared(struct race *r, struct span s);

/* The CPU's dwords get new values. */
void race_touch(struct race *r, struct span s);
/* Where in the memory the dword is that only the CPU writes; who writes it sets ->cpu. */
size_t race_cpu_place(const struct slot *s);
/* Stale writes and lost content, in what can be read. */
void race_check(struct race *r, struct span s, const char *when);

/* What stood in the slots, to be compared with what does later. */
struct race_content {
	struct span span;
	bool there[RACE_SLOTS];
	uint32_t lane[RACE_SLOTS][RACE_LANES];
	uint32_t begun[RACE_LANES];
};

void race_remember(struct race *r, struct span s, struct race_content *c);
/* After an innocent change: what was there is there, or something newer. */
void race_survived(struct race *r, const struct race_content *c, const char *when);
/*
 * While nothing may be written: nothing has changed since race_remember() (an era that waits), or by
 * submissions alone that had begun then.
 */
void race_unchanged(struct race *r, const struct race_content *c, const char *when);

/* The innocent change, in one: remembers, calls, compares, touches, checks. */
#define race_innocent(r, s, when, call)                     \
	({                                                  \
		struct race_content content_;               \
		__typeof__(call) innocent_ret_;             \
		int innocent_errno_;                        \
		race_remember(r, s, &content_);             \
		innocent_ret_ = race_call(r, call);         \
		innocent_errno_ = errno;                    \
		race_survived(r, &content_, when);          \
		race_touch(r, s);                           \
		race_check(r, s, when);                     \
		errno = innocent_errno_;                    \
		innocent_ret_;                              \
	})

/* A moment that differs, in which the lanes go on. */
void race_dwell(struct race *r);

/* Reads a dword by the CPU; false: it cannot be read. For any thread. */
bool race_peek(const void *p, uint32_t *value);

#endif
