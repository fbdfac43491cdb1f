// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each ordering of the events that can be forced, once, for each kind of change.
 *
 *	L( L)	the lookup of the object's pages begins, is over
 *	S C E	invalidate_range_start, the change of the page tables, invalidate_range_end
 *	X X.	the batch is submitted, is done
 *
 * A lookup is held by a page that is missing under userfaultfd, or that a FUSE file system has to
 * read; an invalidate, on kernels whose notifier waits, and a batch by a gate.
 */
#define _GNU_SOURCE
#include "stage.h"

#include <fcntl.h>
#include <sys/uio.h>

#include "fuse_file.h"

ABOUT("Lookups, invalidates and batches are held in the middle while each kind of change runs.");
PRECONDITION_I915

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/* ---- changes of the pages [first, first + n) ---- */

static char *at(const struct stage *st)
{
	return st->p + st->first * PAGE;
}

static int result(long ret)
{
	return ret < 0 ? -errno : 0;
}

static int act_munmap(struct stage *st)
{
	return result(munmap(at(st), st->n * PAGE));
}

static int act_map_fixed(struct stage *st)
{
	void *p = mmap(at(st), st->n * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

/* What may not be lent: the GPU's own memory, here the gate's page, many times over the pages. */
static int act_map_gem(struct stage *st)
{
	uint64_t offset;
	unsigned int i;
	int err = __gem_mmap_offset(st->dev.fd, st->gate.handle, I915_MMAP_OFFSET_WC, &offset);

	for (i = 0; i < st->n && !err; i++)
		if (mmap(at(st) + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 st->dev.fd, offset) == MAP_FAILED)
			err = -errno;
	return err;
}

static int act_mprotect(struct stage *st)
{
	return result(mprotect(at(st), st->n * PAGE, PROT_READ));
}

static int act_mprotect_back(struct stage *st)
{
	return result(mprotect(at(st), st->n * PAGE, PROT_READ | PROT_WRITE));
}

static int move(char *from, char *to, size_t size)
{
	return mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to ? 0 : -errno;
}

static int act_mremap(struct stage *st)
{
	return move(at(st), st->elsewhere + st->first * PAGE, st->n * PAGE);
}

static int act_mremap_back(struct stage *st)
{
	return move(st->elsewhere + st->first * PAGE, at(st), st->n * PAGE);
}

static int act_dontneed(struct stage *st)
{
	return result(madvise(at(st), st->n * PAGE, MADV_DONTNEED));
}

static int act_pageout(struct stage *st)
{
	return result(madvise(at(st), st->n * PAGE, MADV_PAGEOUT));
}

static int act_split(struct stage *st)
{
	return result(madvise(at(st), st->n * PAGE, MADV_DONTDUMP));
}

static int act_merge(struct stage *st)
{
	return result(madvise(at(st), st->n * PAGE, MADV_DODUMP));
}

static int act_punch(struct stage *st)
{
	return result(fallocate(st->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				st->first * PAGE, st->n * PAGE));
}

static int act_truncate(struct stage *st)
{
	return result(ftruncate(st->memfd, st->first * PAGE));
}

static int act_grow(struct stage *st)
{
	return result(ftruncate(st->memfd, STAGE_SIZE));
}

/* The child has the pages as they were, and is asked at the end. */
static int act_fork(struct stage *st)
{
	const bool held = st->first <= HELD_PAGE && HELD_PAGE < st->first + st->n;
	pid_t pid = harness_fork();
	unsigned int i;

	if (pid) {
		st->child = pid;
		return pid < 0 ? -errno : 0;
	}
	while (!st->child_go)
		usleep(500);
	for (i = st->first; i < st->first + st->n && !held; i++)
		if (*(volatile uint32_t *)(st->p + i * PAGE) != OLD)
			_exit(1);
	_exit(0);
}

static int act_end_child(struct stage *st)
{
	int status;

	st->child_go = 1;
	if (waitpid(st->child, &status, 0) != st->child)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

enum content {
	STAYS,		/* what is there is there afterwards */
	ZEROS,		/* new pages */
	GONE,		/* no pages, or none that may be written: EFAULT */
};

struct change {
	act *fn;
	act *back;		/* takes it back; the content STAYS or is ZEROS then */
	enum content content, content_back;
	enum stage_memory memory;
	bool waits;		/* calls the notifier for pages that are mapped: waits for the GPU, before 6.9 */
	unsigned int first, n;
	bool innocent_copy;	/* a forked child is to be asked */
	bool moved;		/* the pages are elsewhere */
};

FIXTURE(order) {
	struct stage *st;
	struct fuse_file fuse;
};

FIXTURE_VARIANT(order) {
	struct change c;
};

#define CHANGE(change_name, ...) \
	FIXTURE_VARIANT_ADD(order, change_name) { .c = { __VA_ARGS__ } }

/* Pages that the lookup has by then, the one that it waits for, and all of them. */
#define LOOKED_UP .first = 1, .n = 2
#define HELD .first = HELD_PAGE, .n = 1
#define ALL .first = 0, .n = STAGE_PAGES

CHANGE(munmap, .fn = act_munmap, .back = act_map_fixed, .content = GONE, .content_back = ZEROS,
       .waits = true, LOOKED_UP);
CHANGE(munmap_held, .fn = act_munmap, .back = act_map_fixed, .content = GONE, .content_back = ZEROS,
       .waits = true, HELD);
CHANGE(munmap_all, .fn = act_munmap, .back = act_map_fixed, .content = GONE, .content_back = ZEROS,
       .waits = true, ALL);
CHANGE(map_fixed, .fn = act_map_fixed, .content = ZEROS, .waits = true, LOOKED_UP);
CHANGE(map_fixed_held, .fn = act_map_fixed, .content = ZEROS, .waits = true, HELD);
CHANGE(map_gem, .fn = act_map_gem, .back = act_map_fixed, .content = GONE, .content_back = ZEROS,
       .waits = true, LOOKED_UP);
CHANGE(mprotect, .fn = act_mprotect, .back = act_mprotect_back, .content = GONE,
       .content_back = STAYS, .waits = true, LOOKED_UP);
CHANGE(mremap, .fn = act_mremap, .back = act_mremap_back, .content = GONE, .content_back = STAYS,
       .waits = true, .moved = true, LOOKED_UP);
CHANGE(dontneed, .fn = act_dontneed, .content = ZEROS, .waits = true, LOOKED_UP);
/* Where the notifier's range is to end. */
CHANGE(dontneed_last, .fn = act_dontneed, .content = ZEROS, .waits = true,
       .first = STAGE_PAGES - 1, .n = 1);
CHANGE(pageout, .fn = act_pageout, .content = STAYS, LOOKED_UP);
CHANGE(fork, .fn = act_fork, .content = STAYS, .waits = true, .innocent_copy = true, LOOKED_UP);
CHANGE(split, .fn = act_split, .back = act_merge, .content = STAYS, .content_back = STAYS, LOOKED_UP);
CHANGE(punch, .fn = act_punch, .content = ZEROS, .memory = STAGE_MEMFD, .waits = true, LOOKED_UP);
CHANGE(truncate, .fn = act_truncate, .back = act_grow, .content = GONE, .content_back = ZEROS,
       .memory = STAGE_MEMFD, .waits = true, .first = 5, .n = STAGE_PAGES - 5);

FIXTURE_SETUP(order)
{
	self->fuse.dev = self->fuse.fd = -1;
	self->fuse.held_page = -1;
	self->st = stage_begin(_metadata, variant->c.memory);
	self->st->first = variant->c.first;
	self->st->n = variant->c.n;
}

FIXTURE_TEARDOWN(order)
{
	/* A read that it holds cannot be killed. */
	fuse_file_close(&self->fuse);
	stage_end(_metadata, self->st);
}

static void hold_page(struct __test_metadata *_metadata, struct stage *st, act *hold)
{
	int err = stage_do(_metadata, st, OTHER, hold);

	REQUIRE(!err, "userfaultfd: %s%s", strerror(-err),
		err == -EPERM ? "; root may (/proc/sys/vm/unprivileged_userfaultfd)" : "");
}

static bool changes(const struct change *c, unsigned int page)
{
	return page >= c->first && page < c->first + c->n;
}

/*
 * After the submission: where it was taken, all pages that are mapped now have NEW; where it was not,
 * none has. No page that is not mapped any more has it.
 */
static void judge(struct __test_metadata *_metadata, struct stage *st, const struct change *c,
		  enum content now, int err)
{
	const uint32_t kept = err ? OLD : NEW;
	unsigned int i;

	EXPECT_RET(now == GONE ? -EFAULT : 0, err);
	for (i = 0; i < STAGE_PAGES; i++) {
		if (changes(c, i) && now == GONE) {
			/* Read-only, if it is there at all. */
			const long long seen = stage_peek(st, st->p + i * PAGE);

			EXPECT_TRUE(seen == -1 || seen == OLD);
			continue;
		}
		/* The held page of a submission that failed may have been served or not. */
		if (err && i == HELD_PAGE)
			continue;
		EXPECT_EQ(0, stage_differ(st, st->p, i, 1, err && changes(c, i) && now == ZEROS ? 0 : kept));
	}
	if (c->moved && now == GONE)
		EXPECT_EQ(0, stage_differ(st, st->elsewhere, c->first, c->n, OLD));
	if (c->innocent_copy)
		EXPECT_RET(0, stage_do(_metadata, st, CHANGER, act_end_child));
}

static void make_page(struct __test_metadata *_metadata, struct stage *st)
{
	const char *held = st->p + HELD_PAGE * PAGE;
	const uint32_t old = OLD;
	struct iovec from = { (void *)&old, 4 }, to = { (void *)held, 4 };

	ASSERT_EQ(4, process_vm_writev(st->pid, &from, 1, &to, 1, 0));
}

/*
 *	submitter	L( L) X X.
 *	changer		           S C E
 *	submitter	                 L( L) X X.
 */
TEST_F(order, before_and_after, "the change comes between two submissions: the second finds what is there now")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;

	make_page(_metadata, st);
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_submit));
	ASSERT_EQ(0, stage_differ(st, st->p, 0, STAGE_PAGES, NEW));
	/* A child is to have what the first has written. */
	st->value = OLD;
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_submit));
	st->value = NEW;
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->fn));
	judge(_metadata, st, c, c->content, stage_do(_metadata, st, SUBMITTER, act_submit));
	if (!c->back)
		return;
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->back));
	judge(_metadata, st, c, c->content_back, stage_do(_metadata, st, SUBMITTER, act_submit));
}

static void begin_held_lookup(struct __test_metadata *_metadata, struct stage *st, const char *page)
{
	uintptr_t where;

	stage_tell(st, SUBMITTER, act_submit);
	ASSERT_TRUE(uffd_wait(st, &where));
	ASSERT_EQ((uintptr_t)page, where);
	ASSERT_FALSE(stage_is_done(st, SUBMITTER));
}

/*
 *	submitter	L( ................ L) X X.
 *	changer		    S C E
 */
TEST_F(order, within_lookup, "the change runs while a lookup waits for a page under userfaultfd",
       .guards = "the race of 2018: a lookup that finishes after an invalidate with pages from before it")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;
	const char *page = st->p + HELD_PAGE * PAGE;

	hold_page(_metadata, st, act_hold_page);
	begin_held_lookup(_metadata, st, page);
	/* None waits for the lookup. */
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->fn));
	ASSERT_TRUE(!stage_is_done(st, SUBMITTER) || changes(c, HELD_PAGE));
	uffd_serve(st, page);
	judge(_metadata, st, c, c->content, stage_finish(_metadata, st, SUBMITTER));
}

/*
 *	submitter	L( ........................ L) X X.
 *	changer		    S C E  S C' E
 */
TEST_F(order, twice_within_lookup, "the change runs and is taken back while a lookup waits: it ends with what is there last")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;
	const char *page = st->p + HELD_PAGE * PAGE;

	REQUIRE(c->back, "the change has no way back");
	hold_page(_metadata, st, act_hold_page);
	begin_held_lookup(_metadata, st, page);
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->fn));
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->back));
	uffd_serve(st, page);
	judge(_metadata, st, c, c->content_back, stage_finish(_metadata, st, SUBMITTER));
}

static int act_hold_by_fuse(struct stage *st)
{
	char *page = st->p + HELD_PAGE * PAGE;
	void *p = mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, st->uffd,
		       HELD_PAGE * PAGE);

	return p == page ? 0 : -errno;
}

/* The same, where the page is one of a file: the lookup waits in its read. */
TEST_F(order, within_lookup_of_file, "the change runs while a lookup waits for a page that a FUSE file system reads")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;
	const char *what;
	int err = fuse_file_open(&self->fuse, HELD_PAGE, &what);

	REQUIRE(!err, "%s: %s", what, strerror(-err));
	*(uint32_t *)(self->fuse.data + HELD_PAGE * PAGE) = OLD;
	st->uffd = dup(self->fuse.fd);
	ASSERT_RET(0, stage_do(_metadata, st, OTHER, act_hold_by_fuse));
	stage_tell(st, SUBMITTER, act_submit);
	ASSERT_TRUE(fuse_file_wait(&self->fuse));
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->fn));
	ASSERT_FALSE(stage_is_done(st, SUBMITTER));
	ASSERT_RET(0, fuse_file_serve(&self->fuse));
	judge(_metadata, st, c, c->content, stage_finish(_metadata, st, SUBMITTER));
}

/*
 *	submitter	La( La) Lb( ......... Lb) X X.
 *	changer		             S C E
 */
TEST_F(order, between_lookups, "the change comes after the lookup of its object, while that of the batch's second object waits")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;

	hold_page(_metadata, st, act_hold_object);
	begin_held_lookup(_metadata, st, st->held);
	ASSERT_RET(0, stage_do(_metadata, st, CHANGER, c->fn));
	ASSERT_FALSE(stage_is_done(st, SUBMITTER));
	ASSERT_RET(0, uffd_serve(st, st->held));
	judge(_metadata, st, c, c->content, stage_finish(_metadata, st, SUBMITTER));
}

/* What it has depends on when the fork went on. */
static void end_child(struct __test_metadata *_metadata, struct stage *st)
{
	if (st->child > 0)
		stage_do(_metadata, st, CHANGER, act_end_child);
}

/* A batch is in flight at the gate, then the change is told; whether it waits is the era's. */
static void change_while_busy(struct __test_metadata *_metadata, struct stage *st,
			      const struct change *c)
{
	make_page(_metadata, st);
	st->gated = true;
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_submit));
	stage_tell(st, CHANGER, c->fn);
	if (era_known() == ERA_NO_WAIT) {
		ASSERT_RET(0, stage_finish(_metadata, st, CHANGER));
	} else if (!stage_wait_blocked(_metadata, st, CHANGER)) {
		EXPECT_FALSE(era_known() == ERA_WAITS && c->waits);
	}
}

/*
 *	submitter	L( L) X ........ X.
 *	changer		         S .......... C E	before 6.9
 *	changer		         S C E			since
 */
TEST_F(order, while_busy, "the change runs under a batch in flight: where the notifier waits, it is over after the batch")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;
	unsigned int i;

	change_while_busy(_metadata, st, c);
	gate_open(&st->gate);
	ASSERT_RET(0, stage_finish(_metadata, st, CHANGER));
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_wait));
	/* The batch has the pages from before. New ones are untouched. */
	for (i = 0; i < STAGE_PAGES; i++)
		if (!changes(c, i) || c->content != GONE)
			EXPECT_EQ(0, stage_differ(st, st->p, i, 1,
						  changes(c, i) && c->content == ZEROS ? 0 : NEW));
	if (c->moved)
		EXPECT_EQ(0, stage_differ(st, st->elsewhere, c->first, c->n, NEW));
	end_child(_metadata, st);
}

/*
 *	submitter	L( L) X ......................... X.
 *	changer		         S ......................... C E	before 6.9
 *	other		             L( ........................ L) X X.
 */
TEST_F(order, lookup_within, "a submission comes while the change is held, or done under a batch: it finds what is there in the end")
{
	const struct change *c = &variant->c;
	struct stage *st = self->st;
	int err;

	change_while_busy(_metadata, st, c);
	/* Behind the gate too: in order, behind the first. */
	stage_tell(st, OTHER, act_submit);
	stage_wait_blocked(_metadata, st, OTHER);
	gate_open(&st->gate);
	ASSERT_RET(0, stage_finish(_metadata, st, CHANGER));
	err = stage_finish(_metadata, st, OTHER);
	if (!err)
		ASSERT_RET(0, stage_do(_metadata, st, OTHER, act_wait));
	ASSERT_RET(0, stage_do(_metadata, st, SUBMITTER, act_wait));
	end_child(_metadata, st);
	if (c->content != GONE) {
		EXPECT_RET(0, err);
		EXPECT_EQ(0, stage_differ(st, st->p, 0, STAGE_PAGES, NEW));
	} else {
		/* Before the change had begun it might still be taken. */
		EXPECT_TRUE(err == -EFAULT || (!err && era_known() != ERA_NO_WAIT));
	}
}

TEST_HARNESS_MAIN
