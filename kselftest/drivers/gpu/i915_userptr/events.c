// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ends and other calls, in the middle of a lookup, of a batch, of a change: notation as in
 * choreography.c.
 */
#define _GNU_SOURCE
#include "stage.h"

#include <signal.h>

ABOUT("close, exit, SIGKILL and other calls, while a lookup, a batch or a change is held.");
PRECONDITION_I915

/* A task that nothing holds is gone long before, also on an emulated CPU; one that is held never. */
#define DIES_MS 5000

enum ends { LIVES, DIES };

FIXTURE(event) {
	struct stage *st;
};

FIXTURE_VARIANT(event) {
	act *fn;		/* NULL: SIGKILL, from outside */
	enum ends ends;
	bool needs_pages;	/* waits for the lookup, as that waits for the page */
	bool closes_file;
	int after_munmap;	/* what it returns when the object's memory has gone */
};

static int act_close_file(struct stage *st)
{
	int fd = st->dev.fd;

	st->dev.fd = -1;
	return close(fd) ? -errno : 0;
}

static int act_munmap(struct stage *st)
{
	return munmap(st->p, STAGE_SIZE) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(event, close_object) { .fn = act_close_object };
FIXTURE_VARIANT_ADD(event, close_file) { .fn = act_close_file, .closes_file = true };
FIXTURE_VARIANT_ADD(event, lend_again) { .fn = act_lend_again };
FIXTURE_VARIANT_ADD(event, set_domain) {
	.fn = act_set_domain, .needs_pages = true, .after_munmap = -EFAULT,
};
FIXTURE_VARIANT_ADD(event, submit_again) {
	.fn = act_submit, .needs_pages = true, .after_munmap = -EFAULT,
};
FIXTURE_VARIANT_ADD(event, exit) { .fn = act_exit, .ends = DIES };
FIXTURE_VARIANT_ADD(event, sigkill) { .ends = DIES };

FIXTURE_SETUP(event)
{
	self->st = stage_begin(_metadata, STAGE_ANON);
}

FIXTURE_TEARDOWN(event)
{
	stage_end(_metadata, self->st);
}

static void begin(struct stage *st, const FIXTURE_VARIANT(event) *variant)
{
	if (variant->fn)
		stage_tell(st, OTHER, variant->fn);
	else
		kill(st->pid, SIGKILL);
}

/*
 *	submitter	L( ................ L) X X.
 *	other		    event
 *
 * Where the process dies the page is never served: the lookup must let go of it.
 */
TEST_F(event, within_lookup, "it happens while a lookup waits for a page; a process that dies does not wait for the page",
       .guards = "a task that cannot be killed while get_user_pages waits for userfaultfd")
{
	struct stage *st = self->st;
	const char *page = st->p + HELD_PAGE * PAGE;
	uintptr_t where;
	int err = stage_do(_metadata, st, OTHER, act_hold_page), submitted;

	REQUIRE(!err, "userfaultfd: %s", strerror(-err));
	stage_tell(st, SUBMITTER, act_submit);
	ASSERT_TRUE(uffd_wait(st, &where));
	begin(st, variant);
	if (variant->ends == DIES) {
		EXPECT_TRUE(stage_dies(st, DIES_MS));
		return;
	}
	if (variant->needs_pages) {
		EXPECT_TRUE(stage_wait_blocked(_metadata, st, OTHER));
	} else {
		EXPECT_RET(0, stage_finish(_metadata, st, OTHER));
	}
	EXPECT_FALSE(stage_is_done(st, SUBMITTER));
	ASSERT_RET(0, uffd_serve(st, page));
	submitted = stage_finish(_metadata, st, SUBMITTER);
	if (variant->needs_pages)
		EXPECT_RET(0, stage_finish(_metadata, st, OTHER));
	if (variant->closes_file) {
		/* It cannot be waited for any more, by a descriptor that is closed. */
		EXPECT_RET(-EBADF, submitted);
	} else if (variant->fn == act_close_object && submitted == -ENOENT) {
		/* After EAGAIN the handle is looked for again. */
		EXPECT_EQ(0, stage_differ(st, st->p, 0, STAGE_PAGES, OLD));
	} else {
		EXPECT_RET(0, submitted);
		EXPECT_EQ(0, stage_differ(st, st->p, 0, STAGE_PAGES, NEW));
	}
}

/*
 *	submitter	L( L) X ............. X.
 *	other		          event
 */
TEST_F(event, while_busy, "it happens while a batch is in flight")
{
	struct stage *st = self->st;

	st->gated = true;
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_submit));
	begin(st, variant);
	if (variant->ends == DIES) {
		/* Its memory goes; where the notifier waits, after the batch. */
		if (era_known() == ERA_NO_WAIT) {
			EXPECT_TRUE(stage_dies(st, DIES_MS));
		} else {
			stage_dies(st, 20);
		}
		gate_open(&st->gate);
		EXPECT_TRUE(stage_dies(st, DIES_MS));
		return;
	}
	stage_wait_blocked(_metadata, st, OTHER);
	gate_open(&st->gate);
	EXPECT_RET(0, stage_finish(_metadata, st, OTHER));
	EXPECT_RET(variant->closes_file ? -EBADF : 0, stage_do(_metadata, st, SUBMITTER, act_wait));
	if (!variant->closes_file)
		EXPECT_EQ(0, stage_differ(st, st->p, 0, STAGE_PAGES, NEW));
}

/*
 *	submitter	L( L) X ................. X.
 *	changer		         S ................. C E	before 6.9; S C E since
 *	other		            event
 */
TEST_F(event, within_change, "it happens while munmap is held by a batch in flight, or has just been done under it")
{
	struct stage *st = self->st;

	st->gated = true;
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_submit));
	stage_tell(st, CHANGER, act_munmap);
	if (!stage_wait_blocked(_metadata, st, CHANGER))
		EXPECT_NE(ERA_WAITS, era_known());
	begin(st, variant);
	if (variant->ends == DIES) {
		if (era_known() == ERA_NO_WAIT)
			EXPECT_TRUE(stage_dies(st, DIES_MS));
		gate_open(&st->gate);
		EXPECT_TRUE(stage_dies(st, DIES_MS));
		return;
	}
	stage_wait_blocked(_metadata, st, OTHER);
	gate_open(&st->gate);
	EXPECT_RET(0, stage_finish(_metadata, st, CHANGER));
	EXPECT_RET(variant->after_munmap, stage_finish(_metadata, st, OTHER));
	EXPECT_RET(variant->closes_file ? -EBADF : 0, stage_do(_metadata, st, SUBMITTER, act_wait));
}

/* The object is closed first: what is in flight keeps its pages until it is done. */
TEST(closed_then_unmapped, "an object that is closed while a batch uses it, then munmap: nothing is written to new pages")
{
	struct stage *st = stage_begin(_metadata, STAGE_ANON);
	uint32_t value = 0;

	st->gated = true;
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_submit));
	ASSERT_RET(0, stage_do(_metadata, st, OTHER, act_close_object));
	stage_tell(st, CHANGER, act_munmap);
	stage_wait_blocked(_metadata, st, CHANGER);
	gate_open(&st->gate);
	EXPECT_RET(0, stage_finish(_metadata, st, CHANGER));
	EXPECT_RET(0, stage_do(_metadata, st, SUBMITTER, act_wait));
	EXPECT_RET(-ENOENT, __gem_busy(st->dev.fd, st->handle, &value));
	EXPECT_EQ(-1, stage_peek(st, st->p));
	stage_end(_metadata, st);
}

TEST_HARNESS_MAIN
