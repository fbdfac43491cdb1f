// SPDX-License-Identifier: GPL-2.0-only
/* Changes of mappings, and advice about them, against execbuf. */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "undo.h"

ABOUT("munmap, mmap, mprotect, mremap and madvise in a loop, against execbuf in another thread.");
PRECONDITION_I915

#define SMALL_PAGES (16 * PAGE)
#define HUGE_PAGES (2 * HUGE_PAGE)

/* include/uapi/asm-generic/mman-common.h: of 5.4, 4.5. */
#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_FREE
#define MADV_FREE 8
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

FIXTURE(mapping) {
	struct race race;
};

FIXTURE_VARIANT(mapping) {
	enum memory_kind kind;
	size_t size;
};

FIXTURE_VARIANT_ADD(mapping, anon) { .kind = MEMORY_ANON, .size = SMALL_PAGES };
FIXTURE_VARIANT_ADD(mapping, memfd) { .kind = MEMORY_MEMFD, .size = SMALL_PAGES };
FIXTURE_VARIANT_ADD(mapping, thp) { .kind = MEMORY_THP, .size = HUGE_PAGES };
FIXTURE_VARIANT_ADD(mapping, hugetlb) { .kind = MEMORY_HUGETLB, .size = HUGE_PAGES };

FIXTURE_SETUP(mapping)
{
	race_setup(_metadata, &self->race, variant->kind, variant->size, 1);
}

FIXTURE_TEARDOWN(mapping)
{
	race_end(&self->race);
}

/* The file keeps what a shared mapping showed; anonymous memory is gone with its mapping. */
static bool content_stays(const struct race *r)
{
	return r->m.fd >= 0;
}

static void leave(struct race *r, struct span s, struct race_content *c)
{
	race_access_changes(r);
	if (content_stays(r))
		race_remember(r, s, c);
	else
		race_destroy(r, s);
}

static void come_back(struct race *r, struct span s, const struct race_content *c, const char *when)
{
	if (!content_stays(r))
		race_destroyed(r, s);
	race_access(r, ACCESS_RW);
	if (content_stays(r))
		race_survived(r, c, when);
	race_check(r, s, when);
	race_touch(r, s);
	race_dwell(r);
	race_check(r, s, when);
}

static void *map_over(struct race *r, struct span s)
{
	int flags = MAP_FIXED | (content_stays(r) ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	unsigned int tries;
	void *p = MAP_FAILED;

	if (r->m.kind == MEMORY_HUGETLB)
		flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	/* Huge pages of the pool that batches have pinned are free when those are over. */
	for (tries = 0; tries < 1000 && p == MAP_FAILED; tries++) {
		p = mmap(s.p, s.size, PROT_READ | PROT_WRITE, flags, r->m.fd,
			 content_stays(r) ? s.offset : 0);
		if (p == MAP_FAILED && errno != ENOMEM)
			break;
		if (p == MAP_FAILED)
			sleep_ms(1);
	}
	if (p != MAP_FAILED && r->m.kind == MEMORY_THP)
		madvise(s.p, s.size, MADV_HUGEPAGE);
	if (p != MAP_FAILED && r->m.kind == MEMORY_ANON)
		madvise(s.p, s.size, MADV_NOHUGEPAGE);
	return p;
}

/*
 *	|=====================|		lent
 *	|=====|       |=======|		munmap: EFAULT
 *	|=====|~~~~~~~|=======|		mmap: new pages, where no batch from before may write
 */
RACE_CHANGE(change_munmap)
{
	struct span s = race_span(r);
	struct race_content c;

	leave(r, s, &c);
	EXPECT_EQ(0, race_call(r, munmap(s.p, s.size)));
	race_access(r, ACCESS_NONE);
	race_dwell(r);
	race_access_changes(r);
	ASSERT_TRUE(map_over(r, s) == s.p);
	come_back(r, s, &c, "after munmap and mmap");
}

TEST_F(mapping, munmap, "munmap and mmap: nothing stale in the new pages, EFAULT while there are none")
{
	race_loop(&self->race, "munmap", change_munmap);
}

/* One call: there is no moment without a mapping that user space could tell of, but execbuf may. */
RACE_CHANGE(change_map_fixed)
{
	struct span s = race_span(r);
	struct race_content c;

	leave(r, s, &c);
	ASSERT_TRUE(race_call(r, map_over(r, s)) == s.p);
	come_back(r, s, &c, "after MAP_FIXED");
}

TEST_F(mapping, map_fixed, "mmap(MAP_FIXED) over it: nothing stale in the new pages")
{
	race_loop(&self->race, "MAP_FIXED", change_map_fixed);
}

RACE_CHANGE(change_mprotect)
{
	struct span s = race_span(r);
	const bool none = rng_below(&r->rng, 3) == 0;
	struct race_content c;

	race_access_changes(r);
	EXPECT_EQ(0, race_call(r, mprotect(s.p, s.size, none ? PROT_NONE : PROT_READ)));
	race_access(r, none ? ACCESS_NONE : ACCESS_READ);
	if (none)
		race_dwell(r);
	race_remember(r, s, &c);
	race_dwell(r);
	race_unchanged(r, &c, "after mprotect(PROT_READ) had returned");
	race_access_changes(r);
	EXPECT_EQ(0, race_call(r, mprotect(s.p, s.size, PROT_READ | PROT_WRITE)));
	race_access(r, ACCESS_RW);
	race_survived(r, &c, "after mprotect and back");
	race_touch(r, s);
	race_check(r, s, "after mprotect and back");
}

TEST_F(mapping, mprotect, "mprotect down and up: no write while it is read-only, and nothing is lost")
{
	race_loop(&self->race, "mprotect", change_mprotect);
}

/* A range of several mappings is moved piece by piece. */
static int move(struct race *r, char *from, char *to, size_t size)
{
	const size_t unit = r->m.kind == MEMORY_HUGETLB ? HUGE_PAGE : PAGE;
	size_t at;

	if (race_call(r, mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to)) == to)
		return 0;
	if (errno != EFAULT)
		return -errno;
	for (at = 0; at < size; at += unit)
		if (mremap(from + at, unit, unit, MREMAP_MAYMOVE | MREMAP_FIXED, to + at) != to + at)
			return -errno;
	return 0;
}

/*
 *	|=====|...|=======|	lent		the pages are elsewhere: EFAULT
 *	|=====|~~~|=======|	lent		and back, as they were, with what was written meanwhile
 */
RACE_CHANGE(change_mremap)
{
	static char *elsewhere;
	struct span s = race_span(r);
	struct race_content c;
	int err;

	if (!elsewhere)
		elsewhere = memory_reserve(r->m.size, HUGE_PAGE);
	ASSERT_TRUE(elsewhere);
	race_access_changes(r);
	race_remember(r, s, &c);
	err = move(r, s.p, elsewhere + s.offset, s.size);
	REQUIRE(err != -EINVAL || r->m.kind != MEMORY_HUGETLB, "mremap moves no hugetlb pages");
	ASSERT_RET(0, err);
	race_access(r, ACCESS_NONE);
	race_dwell(r);
	race_access_changes(r);
	ASSERT_RET(0, move(r, elsewhere + s.offset, s.p, s.size));
	race_access(r, ACCESS_RW);
	race_survived(r, &c, "after mremap and back");
	race_touch(r, s);
	race_check(r, s, "after mremap and back");
}

TEST_F(mapping, mremap_moves, "mremap moves pages away and back: EFAULT meanwhile, and nothing is lost")
{
	race_loop(&self->race, "mremap", change_mremap);
}

RACE_CHANGE(change_size)
{
	const size_t pages = r->m.size / PAGE, less = 1 + rng_below(&r->rng, pages - 1);
	struct span s = { r->m.p + less * PAGE, (pages - less) * PAGE, less * PAGE };
	struct race_content c;

	leave(r, s, &c);
	ASSERT_TRUE(race_call(r, mremap(r->m.p, r->m.size, s.offset, 0)) == r->m.p);
	race_access(r, ACCESS_NONE);
	race_dwell(r);
	race_access_changes(r);
	ASSERT_TRUE(race_call(r, mremap(r->m.p, s.offset, r->m.size, 0)) == r->m.p);
	come_back(r, s, &c, "after mremap to less and more");
}

TEST_F(mapping, mremap_resizes, "mremap shrinks it and lets it grow: the new tail has nothing stale")
{
	REQUIRE(variant->kind != MEMORY_HUGETLB, "hugetlb mappings do not grow");
	race_loop(&self->race, "mremap", change_size);
}

/*
 *	|---------- one vma ----------|
 *	|---- a ----|-- b --|--- c ---|		DONTDUMP of b
 *	|---------- one vma ----------|		DODUMP
 */
RACE_CHANGE(change_split)
{
	struct span s = race_span(r);

	EXPECT_EQ(0, race_innocent(r, s, "after its vma was split", madvise(s.p, s.size, MADV_DONTDUMP)));
	EXPECT_EQ(0, race_innocent(r, s, "after its vmas were merged", madvise(s.p, s.size, MADV_DODUMP)));
}

TEST_F(mapping, vma_splits, "its vma is split and merged under busy pages, and nothing is lost")
{
	race_loop(&self->race, "split and merge", change_split);
}

/* ---- advice, and what else the kernel does to pages ---- */

FIXTURE(advice) {
	struct race race;
};

FIXTURE_VARIANT(advice) {
	enum memory_kind kind;
	size_t size;
};

/* More pages than slots: those between hold zeros, and KSM may merge them. */
FIXTURE_VARIANT_ADD(advice, anon) { .kind = MEMORY_ANON, .size = 4 * SMALL_PAGES };
FIXTURE_VARIANT_ADD(advice, thp) { .kind = MEMORY_THP, .size = HUGE_PAGES };

FIXTURE_SETUP(advice)
{
	race_setup(_metadata, &self->race, variant->kind, variant->size, 1);
}

FIXTURE_TEARDOWN(advice)
{
	race_end(&self->race);
}

RACE_CHANGE(change_dontneed)
{
	struct span s = race_span(r);

	race_destroy(r, s);
	EXPECT_EQ(0, race_call(r, madvise(s.p, s.size, MADV_DONTNEED)));
	race_destroyed(r, s);
	race_check(r, s, "after MADV_DONTNEED");
	race_touch(r, s);
	race_dwell(r);
	race_check(r, s, "a while after MADV_DONTNEED");
}

TEST_F(advice, dontneed, "MADV_DONTNEED: zeros then, and nothing stale; batches after it reach the new pages")
{
	race_loop(&self->race, "MADV_DONTNEED", change_dontneed);
}

/* Until a page is written again, it may turn to zeros at any moment. */
RACE_CHANGE(change_free)
{
	struct span s = race_span(r);

	race_destroy(r, s);
	EXPECT_EQ(0, race_call(r, madvise(s.p, s.size, MADV_FREE)));
	race_dwell(r);
	race_touch(r, s);
	race_spared(r, s);
	race_check(r, s, "after MADV_FREE");
	race_dwell(r);
	race_check(r, s, "a while after MADV_FREE");
}

TEST_F(advice, free, "MADV_FREE, taken back by a write: what is written after it stays")
{
	race_loop(&self->race, "MADV_FREE", change_free);
}

RACE_CHANGE(change_pageout)
{
	struct span s = race_span(r);

	EXPECT_EQ(0, race_innocent(r, s, "after MADV_PAGEOUT", madvise(s.p, s.size, MADV_PAGEOUT)));
}

static unsigned int swaps(void)
{
	FILE *f = fopen("/proc/swaps", "re");
	unsigned int lines = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		lines++;
	if (f)
		fclose(f);
	return lines ? lines - 1 : 0;
}

TEST_F(advice, pageout, "MADV_PAGEOUT to swap: pages come back with all that was written to them")
{
	long long before = memory_stat("/proc/vmstat", "pswpout");

	REQUIRE(swaps(), "there is no swap");
	race_loop(&self->race, "MADV_PAGEOUT", change_pageout);
	diag("%lld pages went to swap", memory_stat("/proc/vmstat", "pswpout") - before);
}

RACE_CHANGE(change_cold)
{
	struct span s = race_span(r);

	EXPECT_EQ(0, race_innocent(r, s, "after MADV_COLD", madvise(s.p, s.size, MADV_COLD)));
}

TEST_F(advice, cold, "MADV_COLD, which splits huge pages: nothing is lost")
{
	race_loop(&self->race, "MADV_COLD", change_cold);
}

/* A page of its own splits the huge page; the batches go on in the small ones, and in the new huge one. */
RACE_CHANGE(change_collapse)
{
	const size_t page = rng_below(&r->rng, r->m.size / PAGE);
	struct span one = { r->m.p + page * PAGE, PAGE, page * PAGE };
	struct span all = race_all(r);
	int err;

	race_destroy(r, one);
	EXPECT_EQ(0, madvise(one.p, one.size, MADV_DONTNEED));
	race_destroyed(r, one);
	race_touch(r, one);
	err = race_innocent(r, all, "after MADV_COLLAPSE", madvise(all.p, all.size, MADV_COLLAPSE));
	REQUIRE(!err || errno != EINVAL, "the kernel has no MADV_COLLAPSE for this memory");
	r->count += !err;
	/* Pages that the GPU holds are not collapsed. */
	EXPECT_TRUE(!err || errno == EAGAIN || errno == EBUSY || errno == ENOMEM);
}

TEST_F(advice, collapse, "MADV_COLLAPSE to huge pages: all content comes along, later batches reach it")
{
	REQUIRE(variant->kind == MEMORY_THP, "small pages are asked for here");
	race_loop(&self->race, "MADV_COLLAPSE", change_collapse);
	diag("%u of them were done", self->race.count);
}

RACE_CHANGE(change_hugepage)
{
	struct span s = race_span(r);
	int advice = rng_below(&r->rng, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

	EXPECT_EQ(0, race_innocent(r, s, "after MADV_[NO]HUGEPAGE", madvise(s.p, s.size, advice)));
}

TEST_F(advice, hugepage, "MADV_HUGEPAGE and NOHUGEPAGE of parts of it: nothing is lost")
{
	race_loop(&self->race, "MADV_HUGEPAGE", change_hugepage);
}

#define KSM "/sys/kernel/mm/ksm/"

static long most_sharing;

static long sharing(void)
{
	FILE *f = fopen(KSM "pages_sharing", "re");
	long n = 0;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

RACE_CHANGE(change_mergeable)
{
	struct span s = race_span(r);
	int advice = rng_below(&r->rng, 4) ? MADV_MERGEABLE : MADV_UNMERGEABLE;
	long n = sharing();

	if (n > most_sharing)
		most_sharing = n;
	EXPECT_EQ(0, race_innocent(r, s, "after MADV_[UN]MERGEABLE", madvise(s.p, s.size, advice)));
	race_dwell(r);
}

TEST_F(advice, mergeable, "KSM merges pages and takes them apart again: nothing is lost")
{
	int err = undo_write(KSM "run", "1");

	REQUIRE(!err, KSM "run: %s", strerror(-err));
	undo_write(KSM "sleep_millisecs", "1");
	undo_write(KSM "pages_to_scan", "1000");
	race_loop(&self->race, "MADV_MERGEABLE", change_mergeable);
	diag("pages that KSM found equal to others meanwhile: %ld at most", most_sharing);
}

RACE_CHANGE(change_mlock)
{
	struct span s = race_span(r);
	int err = race_innocent(r, s, "after mlock", mlock(s.p, s.size)) ? -errno : 0;

	REQUIRE(err != -ENOMEM && err != -EPERM, "RLIMIT_MEMLOCK is too small");
	EXPECT_RET(0, err);
	EXPECT_EQ(0, race_innocent(r, s, "after munlock", munlock(s.p, s.size)));
}

TEST_F(advice, mlock, "mlock and munlock of parts of it: nothing is lost")
{
	race_loop(&self->race, "mlock", change_mlock);
}

/* ---- userfaultfd ---- */

static int uffd = -1;

static int write_protect(struct span s, bool on)
{
	struct uffdio_writeprotect arg = {
		.range = { .start = (uintptr_t)s.p, .len = s.size },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &arg) ? -errno : 0;
}

/* An execbuf that needs the pages meanwhile sleeps in its fault, until the protection is taken away. */
RACE_CHANGE(change_write_protect)
{
	struct span s = race_span(r);
	struct race_content c;

	EXPECT_RET(0, race_call(r, write_protect(s, true)));
	race_remember(r, s, &c);
	race_dwell(r);
	race_unchanged(r, &c, "after UFFDIO_WRITEPROTECT had returned");
	EXPECT_RET(0, race_call(r, write_protect(s, false)));
	race_survived(r, &c, "after UFFDIO_WRITEPROTECT and back");
	race_touch(r, s);
	race_check(r, s, "after UFFDIO_WRITEPROTECT and back");
}

TEST_F(advice, write_protect, "userfaultfd write-protects it and lets go: no write meanwhile, and nothing is lost")
{
	struct race *r = &self->race;
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)r->m.p, .len = r->m.size },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	REQUIRE(uffd >= 0, "userfaultfd: %s", strerror(errno));
	REQUIRE(!ioctl(uffd, UFFDIO_API, &api), "userfaultfd has no write protection");
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &range));
	race_loop(r, "UFFDIO_WRITEPROTECT", change_write_protect);
	/* Whoever still sleeps in a fault goes on. */
	close(uffd);
}

/* ---- migration ---- */

static bool two_nodes(void)
{
	return !access("/sys/devices/system/node/node1", F_OK);
}

RACE_CHANGE(change_node)
{
	struct span s = race_span(r);
	const unsigned long n = s.size / PAGE < 64 ? s.size / PAGE : 64;
	const int node = rng_below(&r->rng, 2);
	void *pages[64];
	int nodes[64], status[64];
	unsigned int i;

	s.size = n * PAGE;
	for (i = 0; i < n; i++) {
		pages[i] = s.p + i * PAGE;
		nodes[i] = node;
	}
	EXPECT_LE(0, race_innocent(r, s, "after move_pages", syscall(SYS_move_pages, 0, n, pages, nodes,
								     status, MPOL_MF_MOVE)));
}

TEST_F(advice, move_pages, "move_pages to the other NUMA node and back: all content comes along")
{
	REQUIRE(two_nodes(), "one NUMA node only: there is nowhere to move pages to");
	race_loop(&self->race, "move_pages", change_node);
}

RACE_CHANGE(change_policy)
{
	struct span s = race_span(r);
	unsigned long mask = 1ul << rng_below(&r->rng, 2);
	/* EIO without STRICT is not told: pages that are pinned stay where they are. */
	long err = race_innocent(r, s, "after mbind", syscall(SYS_mbind, s.p, s.size, MPOL_BIND, &mask,
							      sizeof(mask) * 8, MPOL_MF_MOVE));

	EXPECT_RET(0, err ? -errno : 0);
}

TEST_F(advice, mbind, "mbind with MPOL_MF_MOVE to the other node and back: all content comes along")
{
	REQUIRE(two_nodes(), "one NUMA node only: there is nowhere to move pages to");
	race_loop(&self->race, "mbind", change_policy);
}

static int compact_fd = -1;

RACE_CHANGE(change_compaction)
{
	struct span s = race_all(r);

	EXPECT_EQ(1, race_innocent(r, s, "after compaction", write(compact_fd, "1", 1)));
}

TEST_F(advice, compaction, "all of memory is compacted: all content comes along")
{
	compact_fd = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
	REQUIRE(compact_fd >= 0, "/proc/sys/vm/compact_memory: %s", strerror(errno));
	race_loop(&self->race, "compaction", change_compaction);
	close(compact_fd);
}

TEST_HARNESS_MAIN
