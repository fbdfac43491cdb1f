// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* include/uapi/linux/magic.h, include/uapi/linux/mman.h */
#define TMPFS_MAGIC 0x01021994
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

const char *const memory_kind_names[MEMORY_KINDS] = {
	"anon", "shared", "memfd", "file", "hugetlb", "thp", "read",
};

void *memory_reserve(size_t size, size_t align)
{
	char *p, *start;

	p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	start = (char *)(((uintptr_t)p + align - 1) & ~(align - 1));
	if (start > p)
		munmap(p, start - p);
	munmap(start + size, p + align - start);
	return start;
}

/* A file without a name, of `size` bytes. */
static int temporary_file(size_t size)
{
	const char *tmpdir = getenv("TMPDIR");
	const char *dirs[] = { tmpdir, "/var/tmp", "/tmp" };
	int fd = -1, on_tmpfs = -1;
	struct statfs fs;
	unsigned int i;

	for (i = 0; i < 3 && fd < 0; i++) {
		if (!dirs[i])
			continue;
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0) {
			char path[256];

			snprintf(path, sizeof(path), "%s/i915_userptr.XXXXXX", dirs[i]);
			fd = mkostemp(path, O_CLOEXEC);
			if (fd >= 0)
				unlink(path);
		}
		if (fd >= 0 && on_tmpfs < 0 && !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC) {
			on_tmpfs = fd;
			fd = -1;
		}
	}
	if (fd >= 0 && on_tmpfs >= 0)
		close(on_tmpfs);
	if (fd < 0)
		fd = on_tmpfs;
	if (fd >= 0 && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int refuse(struct memory *m, const char *why)
{
	snprintf(m->why, sizeof(m->why), "%s", why);
	return -EOPNOTSUPP;
}

long long memory_stat(const char *file, const char *name)
{
	FILE *f = fopen(file, "re");
	char line[128], key[64];
	long long value, found = -1;

	while (f && found < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^: ]%*[: ]%lld", key, &value) == 2 && !strcmp(key, name))
			found = value;
	if (f)
		fclose(f);
	return found;
}

bool memory_is_huge(const void *p, size_t size)
{
	const uintptr_t start = (uintptr_t)p, end = start + size;
	unsigned long from = 0, to = 0, kib, huge = 0;
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
			continue;
		if (from < end && to > start && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			huge += kib;
	}
	if (f)
		fclose(f);
	return huge * 1024 >= size;
}

/* The whole huge pages that `size` bytes need are made so; what is lent may be less. */
static int map_huge(struct memory *m)
{
	m->mapped = (m->size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	m->p = memory_reserve(m->mapped, HUGE_PAGE);
	if (!m->p || mprotect(m->p, m->mapped, PROT_READ | PROT_WRITE))
		return -errno;
	if (madvise(m->p, m->mapped, MADV_HUGEPAGE))
		return refuse(m, "the kernel has no transparent huge pages");
	memset(m->p, 0, m->mapped);
	if (!memory_is_huge(m->p, m->mapped))
		madvise(m->p, m->mapped, MADV_COLLAPSE);
	if (!memory_is_huge(m->p, m->mapped))
		return refuse(m, "no transparent huge pages could be had");
	return 0;
}

static int map_hugetlb(struct memory *m)
{
	m->mapped = (m->size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	m->p = mmap(NULL, m->mapped, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	if (m->p == MAP_FAILED) {
		m->p = NULL;
		snprintf(m->why, sizeof(m->why),
			 "needs %zu huge pages of 2 MiB, %lld are free (/proc/sys/vm/nr_hugepages)",
			 m->mapped / HUGE_PAGE, memory_stat("/proc/meminfo", "HugePages_Free"));
		return -EOPNOTSUPP;
	}
	return 0;
}

static int map_plain(struct memory *m, int flags)
{
	void *at = m->size >= HUGE_PAGE ? memory_reserve(m->size, HUGE_PAGE) : NULL;

	m->p = mmap(at, m->size, PROT_READ | PROT_WRITE, flags | (at ? MAP_FIXED : 0), m->fd, 0);
	if (m->p == MAP_FAILED) {
		m->p = NULL;
		return -errno;
	}
	/* What is to be of small pages is, wherever huge ones are the default. */
	if (m->kind == MEMORY_ANON || m->kind == MEMORY_READ)
		madvise(m->p, m->size, MADV_NOHUGEPAGE);
	return 0;
}

int memory_map(struct memory *m, enum memory_kind kind, size_t size, uint32_t fill)
{
	int err = 0;

	memset(m, 0, sizeof(*m));
	m->kind = kind;
	m->size = m->mapped = size;
	m->fd = -1;
	switch (kind) {
	case MEMORY_ANON:
	case MEMORY_READ:
		err = map_plain(m, MAP_PRIVATE | MAP_ANONYMOUS);
		break;
	case MEMORY_SHARED:
		err = map_plain(m, MAP_SHARED | MAP_ANONYMOUS);
		break;
	case MEMORY_MEMFD:
		m->fd = memfd_create("i915_userptr", MFD_CLOEXEC);
		if (m->fd < 0 || ftruncate(m->fd, size))
			err = -errno;
		else
			err = map_plain(m, MAP_SHARED);
		break;
	case MEMORY_FILE:
		m->fd = temporary_file(size);
		err = m->fd < 0 ? refuse(m, "no file could be made in $TMPDIR, /var/tmp or /tmp") :
				  map_plain(m, MAP_SHARED);
		break;
	case MEMORY_HUGETLB:
		err = map_hugetlb(m);
		break;
	case MEMORY_THP:
		err = map_huge(m);
		break;
	case MEMORY_KINDS:
		err = -EINVAL;
		break;
	}
	if (err) {
		memory_unmap(m);
		return err;
	}
	memory_fill(m, fill);
	if (kind == MEMORY_READ && mprotect(m->p, size, PROT_READ)) {
		err = -errno;
		memory_unmap(m);
	}
	return err;
}

void memory_unmap(struct memory *m)
{
	if (m->p)
		munmap(m->p, m->mapped);
	if (m->fd >= 0)
		close(m->fd);
	m->p = NULL;
	m->fd = -1;
}

void memory_fill(struct memory *m, uint32_t value)
{
	volatile uint32_t *dw = (volatile uint32_t *)m->p;
	size_t i;

	for (i = 0; i < m->size / 4; i++)
		dw[i] = value;
}

long memory_find_other(const struct memory *m, uint32_t value)
{
	const volatile uint32_t *dw = (const volatile uint32_t *)m->p;
	size_t i;

	for (i = 0; i < m->size / 4; i++)
		if (dw[i] != value)
			return i * 4;
	return -1;
}
