// SPDX-License-Identifier: GPL-2.0-only
/* Changes of the file behind a shared mapping, against execbuf. */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <sys/stat.h>

ABOUT("truncate, holes, write-back and what madvise does to shared memory in a loop, against execbuf.");
PRECONDITION_I915

#define SMALL_PAGES (16 * PAGE)
#define HUGE_PAGES (2 * HUGE_PAGE)

/* include/uapi/linux/memfd.h, include/uapi/asm-generic/mman-common.h. */
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

FIXTURE(file) {
	struct race race;
};

FIXTURE_VARIANT(file) {
	enum memory_kind kind;
	size_t size;
};

FIXTURE_VARIANT_ADD(file, memfd) { .kind = MEMORY_MEMFD, .size = SMALL_PAGES };
FIXTURE_VARIANT_ADD(file, file) { .kind = MEMORY_FILE, .size = SMALL_PAGES };
FIXTURE_VARIANT_ADD(file, memfd_2m) { .kind = MEMORY_MEMFD, .size = 2 * MIB };

FIXTURE_SETUP(file)
{
	race_setup(_metadata, &self->race, variant->kind, variant->size, 1);
}

FIXTURE_TEARDOWN(file)
{
	race_end(&self->race);
}

/*
 *	file	|===========|~~~~~~~|		the tail is SIGBUS to the CPU, EFAULT to execbuf
 *	lent	|===================|		and, when it is long again, zeros
 */
RACE_CHANGE(change_truncate)
{
	const size_t pages = r->m.size / PAGE, left = rng_below(&r->rng, pages);
	struct span s = { r->m.p + left * PAGE, (pages - left) * PAGE, left * PAGE };

	race_access_changes(r);
	race_destroy(r, s);
	ASSERT_EQ(0, race_call(r, ftruncate(r->m.fd, s.offset)));
	race_access(r, ACCESS_NONE);
	race_dwell(r);
	race_access_changes(r);
	ASSERT_EQ(0, race_call(r, ftruncate(r->m.fd, r->m.size)));
	race_destroyed(r, s);
	race_access(r, ACCESS_RW);
	race_check(r, s, "after the file was cut and grew again");
	race_touch(r, s);
	race_dwell(r);
	race_check(r, s, "a while after the file was cut and grew again");
}

TEST_F(file, truncate, "the file is cut and grows again: EFAULT past its end, nothing stale in the new pages")
{
	race_loop(&self->race, "ftruncate", change_truncate);
}

static void holes(struct race *r, struct __test_metadata *_metadata, struct span s, int err)
{
	REQUIRE(err != -EOPNOTSUPP && err != -ENOSYS, "the file system makes no holes");
	ASSERT_RET(0, err);
	race_destroyed(r, s);
	race_check(r, s, "after a hole was made");
	race_touch(r, s);
	race_dwell(r);
	race_check(r, s, "a while after a hole was made");
}

RACE_CHANGE(change_punch)
{
	struct span s = race_span(r);
	int err;

	race_destroy(r, s);
	err = race_call(r, fallocate(r->m.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, s.offset,
				     s.size));
	holes(r, _metadata, s, err ? -errno : 0);
}

TEST_F(file, punch_hole, "holes are punched into the file: zeros then, nothing stale, new batches reach new pages")
{
	race_loop(&self->race, "FALLOC_FL_PUNCH_HOLE", change_punch);
}

RACE_CHANGE(change_remove)
{
	struct span s = race_span(r);
	int err;

	race_destroy(r, s);
	err = race_call(r, madvise(s.p, s.size, MADV_REMOVE));
	holes(r, _metadata, s, err ? -errno : 0);
}

TEST_F(file, remove, "MADV_REMOVE: zeros then, nothing stale, new batches reach new pages")
{
	race_loop(&self->race, "MADV_REMOVE", change_remove);
}

RACE_CHANGE(change_dontneed)
{
	struct span s = race_span(r);

	EXPECT_EQ(0, race_innocent(r, s, "after MADV_DONTNEED", madvise(s.p, s.size, MADV_DONTNEED)));
}

TEST_F(file, dontneed, "MADV_DONTNEED takes the pages from the process alone: the file keeps all")
{
	race_loop(&self->race, "MADV_DONTNEED", change_dontneed);
}

RACE_CHANGE(change_pageout)
{
	struct span s = race_span(r);

	EXPECT_EQ(0, race_innocent(r, s, "after MADV_PAGEOUT", madvise(s.p, s.size, MADV_PAGEOUT)));
}

TEST_F(file, pageout, "MADV_PAGEOUT writes the pages back, or to swap: they come back with all that was written")
{
	race_loop(&self->race, "MADV_PAGEOUT", change_pageout);
}

/* Write-back write-protects the mapping to learn of the next write; batches are not seen by that. */
RACE_CHANGE(change_sync)
{
	struct span s = race_span(r);

	EXPECT_EQ(0, race_innocent(r, s, "after msync", msync(s.p, s.size, MS_SYNC)));
	EXPECT_EQ(0, race_innocent(r, s, "after fsync", fsync(r->m.fd)));
	/* Refuses mapped pages; those that DONTNEED has let go of are dropped. */
	EXPECT_EQ(0, race_innocent(r, s, "after MADV_DONTNEED", madvise(s.p, s.size, MADV_DONTNEED)));
	EXPECT_EQ(0, race_innocent(r, s, "after POSIX_FADV_DONTNEED",
				   posix_fadvise(r->m.fd, s.offset, s.size, POSIX_FADV_DONTNEED)));
}

TEST_F(file, write_back, "msync, fsync and dropping of clean pages: what batches have written is not lost")
{
	race_loop(&self->race, "write-back", change_sync);
}

/* By write(2) to the file, that is to the very pages that are lent. */
RACE_CHANGE(change_write)
{
	struct slot *s = &r->slots[rng_below(&r->rng, r->nslots)];
	struct span page = { r->m.p + s->offset, PAGE, s->offset };

	s->cpu = 1 + rng_below(&r->rng, 0x7fffffff);
	EXPECT_EQ(4, race_call(r, pwrite(r->m.fd, &s->cpu, 4, race_cpu_place(s))));
	race_check(r, page, "after write(2)");
	race_dwell(r);
	race_check(r, page, "a while after write(2)");
}

TEST_F(file, write, "write(2) to the file while batches write to the mapping: both arrive")
{
	race_loop(&self->race, "write", change_write);
}

/* ---- huge pages, of which a mapping or a file can let go singly ---- */

FIXTURE(hugetlb) {
	struct race race;
};

FIXTURE_VARIANT(hugetlb) {
	bool file;
};

FIXTURE_VARIANT_ADD(hugetlb, anon) { .file = false };
FIXTURE_VARIANT_ADD(hugetlb, memfd) { .file = true };

static void map_huge_file(struct __test_metadata *_metadata, struct memory *m)
{
	memset(m, 0, sizeof(*m));
	m->kind = MEMORY_HUGETLB;
	m->size = m->mapped = HUGE_PAGES;
	m->fd = memfd_create("i915_userptr", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	REQUIRE(m->fd >= 0, "memfd_create(MFD_HUGETLB): %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(m->fd, m->size));
	m->p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	REQUIRE(m->p != MAP_FAILED, "too few huge pages are free (/proc/sys/vm/nr_hugepages)");
	memory_fill(m, 0);
}

/* Batches hold huge pages that the mapping has let go of, for a moment; the pool must have others. */
FIXTURE_SETUP(hugetlb)
{
	const long long spare = memory_stat("/proc/meminfo", "HugePages_Free");
	struct memory m;

	REQUIRE(spare >= 8, "needs 8 huge pages of 2 MiB, %lld are free (/proc/sys/vm/nr_hugepages)",
		spare);
	if (variant->file) {
		map_huge_file(_metadata, &m);
		race_setup_with(_metadata, &self->race, &m, 1);
	} else {
		race_setup(_metadata, &self->race, MEMORY_HUGETLB, HUGE_PAGES, 1);
	}
}

FIXTURE_TEARDOWN(hugetlb)
{
	race_end(&self->race);
}

static bool lets_go_by_punch;

/* MADV_DONTNEED of hugetlb is of 5.18; EINVAL before. */
RACE_CHANGE(change_hugetlb)
{
	struct span s = race_span_of(r, HUGE_PAGE);
	int err;

	race_destroy(r, s);
	if (lets_go_by_punch)
		err = race_call(r, fallocate(r->m.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					     s.offset, s.size));
	else
		err = race_call(r, madvise(s.p, s.size, MADV_DONTNEED));
	REQUIRE(!err || errno != EINVAL, "the kernel has no MADV_DONTNEED for hugetlb (since 5.18)");
	ASSERT_EQ(0, err);
	race_destroyed(r, s);
	race_check(r, s, "after its huge pages were let go of");
	race_touch(r, s);
	race_dwell(r);
	race_check(r, s, "a while after its huge pages were let go of");
}

TEST_F(hugetlb, goes_and_comes, "a huge page goes and comes: nothing stale in it, and batches reach the new one")
{
	lets_go_by_punch = variant->file;
	race_loop(&self->race, variant->file ? "FALLOC_FL_PUNCH_HOLE" : "MADV_DONTNEED",
		  change_hugetlb);
}

TEST_HARNESS_MAIN
