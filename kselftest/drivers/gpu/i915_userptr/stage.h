/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stage for choreographies: a process of its own whose threads, the actors, do one thing at a time,
 * when the test tells them to. The test conducts from outside of that process's mm, so that nothing
 * which is held in there holds the test. Both have one table of descriptors.
 *
 *	stage_tell(st, SUBMITTER, act_submit);
 *	stage_wait_blocked(_metadata, st, SUBMITTER);	in the kernel, asleep
 *	EXPECT_RET(0, stage_do(_metadata, st, CHANGER, act_munmap));
 *	...
 *	EXPECT_RET(-EFAULT, stage_finish(_metadata, st, SUBMITTER));
 */
#ifndef I915_USERPTR_STAGE_H
#define I915_USERPTR_STAGE_H

#include <stdatomic.h>

#include "test.h"

#define STAGE_PAGES 8
#define STAGE_SIZE (STAGE_PAGES * PAGE)
/* The page whose lookup can be held. */
#define HELD_PAGE 4
#define OLD 0x01d001d0u
#define NEW 0x7e3d7e3du

enum { SUBMITTER, CHANGER, OTHER, ACTORS };

struct stage;
/* What an actor does: 0 or -errno, or a number of its own. */
typedef int act(struct stage *st);

struct actor {
	atomic_int go, done;
	atomic_int tid;
	act *fn;
	int ret;
	uint64_t done_at;
};

/* Shared by the two processes. */
struct stage {
	struct i915 dev;
	struct gate gate;
	pid_t pid;
	char *p;		/* in the stage's mm: STAGE_PAGES, each but the held one holds OLD */
	int memfd;		/* what is mapped there, or -1: anonymous */
	char *elsewhere;	/* as much address space, empty */
	char *held;		/* a page for an object of its own, under uffd */
	uint32_t handle, held_handle;
	bool gated;		/* act_submit's batches wait at the gate */
	bool with_held;		/* they use the object of ->held too, behind that of ->p */
	uint32_t value;		/* they store it into the first dword of each page */
	unsigned int first, n;	/* pages that a change is for */
	int uffd;
	pid_t child;		/* of act_fork */
	atomic_int child_go;
	struct actor actors[ACTORS];
};

enum stage_memory { STAGE_ANON, STAGE_MEMFD };

/* Starts the process, maps and lends its memory. The held page of ->p is not there yet. */
struct stage *stage_begin(struct __test_metadata *_metadata, enum stage_memory memory);
/* Opens the gate, ends the process, however it is held. */
void stage_end(struct __test_metadata *_metadata, struct stage *st);

void stage_tell(struct stage *st, unsigned int actor, act *fn);
bool stage_is_done(const struct stage *st, unsigned int actor);
/* What the actor has returned. Fails the test when it does not within 20 s. */
int stage_finish(struct __test_metadata *_metadata, struct stage *st, unsigned int actor);
int stage_do(struct __test_metadata *_metadata, struct stage *st, unsigned int actor, act *fn);
/* Until it sleeps in a system call, by /proc, and still does some looks later; or is done: false. */
bool stage_wait_blocked(struct __test_metadata *_metadata, struct stage *st, unsigned int actor);
/* The process is gone within `ms` of being killed. It is not waited for by others then. */
bool stage_dies(struct stage *st, unsigned int ms);

/* The dword at a place of the stage's memory; -1 where it cannot be read. */
long long stage_peek(const struct stage *st, const char *at);
/* How many pages of [first, first + n) do not begin with `value`; each is told. */
unsigned int stage_differ(const struct stage *st, const char *p, unsigned int first, unsigned int n,
			  uint32_t value);

/* ---- acts ---- */

/* Stores ->value in all pages; waits for it unless it is gated: then act_wait does. */
act act_submit, act_wait;
/* userfaultfd over the held page of ->p, or over ->held. -errno where it cannot be had. */
act act_hold_page, act_hold_object;
act act_close_object, act_set_domain, act_lend_again, act_exit;

/* ---- holding the lookup ---- */

/* Until somebody waits for the page under userfaultfd. False: nobody did within 20 s. */
bool uffd_wait(const struct stage *st, uintptr_t *at);
/* Gives the page, filled with OLD; whoever waits goes on, be there a mapping still or not. */
int uffd_serve(const struct stage *st, const char *at);

#endif
