/* SPDX-License-Identifier: GPL-2.0-only */
/* The kinds of memory that a process can lend. */
#ifndef I915_USERPTR_MEMORY_H
#define I915_USERPTR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum memory_kind {
	MEMORY_ANON,		/* anonymous, private */
	MEMORY_SHARED,		/* anonymous, shared */
	MEMORY_MEMFD,		/* memfd, shared */
	MEMORY_FILE,		/* a file in $TMPDIR or /tmp, shared; not tmpfs where that can be had */
	MEMORY_HUGETLB,		/* hugetlb of 2 MiB, private */
	MEMORY_THP,		/* anonymous, private, in transparent huge pages */
	MEMORY_READ,		/* anonymous, private, PROT_READ once it is filled */
	MEMORY_KINDS,
};

#define PAGE 4096ul
#define MIB (1ul << 20)
#define HUGE_PAGE (2 * MIB)

struct memory {
	enum memory_kind kind;
	char *p;	/* aligned to 2 MiB where that is asked for by the kind or the size */
	size_t size;	/* as asked for */
	size_t mapped;	/* whole huge pages of hugetlb */
	int fd;		/* -1: none */
	char why[128];	/* why not, when memory_map() fails with -EOPNOTSUPP */
};

extern const char *const memory_kind_names[MEMORY_KINDS];

/*
 * Maps `size` bytes, each page of which is there and whose dwords are `fill`. 0 or -errno;
 * -EOPNOTSUPP where this machine has no such memory, for a skip with ->why.
 */
int memory_map(struct memory *m, enum memory_kind kind, size_t size, uint32_t fill);
void memory_unmap(struct memory *m);
/* Fills all of it by the CPU; not MEMORY_READ. */
void memory_fill(struct memory *m, uint32_t value);
/* The offset of the first dword that is not `value`, or -1. */
long memory_find_other(const struct memory *m, uint32_t value);

/* A dword as it is now. */
static inline uint32_t memory_peek(const struct memory *m, size_t offset)
{
	return *(const volatile uint32_t *)(m->p + offset);
}

static inline void memory_poke(struct memory *m, size_t offset, uint32_t value)
{
	*(volatile uint32_t *)(m->p + offset) = value;
}

/*
 * Anonymous address space, PROT_NONE, aligned to `align`; for tests that map over parts of it. NULL
 * with errno.
 */
void *memory_reserve(size_t size, size_t align);

/* Whether [p, p + size) is all in transparent huge pages, by /proc/self/smaps. */
bool memory_is_huge(const void *p, size_t size);

/* Of /proc/vmstat or /proc/meminfo: the number behind the name, or -1. */
long long memory_stat(const char *file, const char *name);

/* include/uapi/asm-generic/mman-common.h, since 6.1. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
/* Since 5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#endif
