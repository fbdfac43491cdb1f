/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Variants of a fixture over kinds of memory, sizes and engines, named like memfd_2m_blitter.
 *
 *	FIXTURE_VARIANT(fixture) { enum memory_kind kind; size_t size; uint64_t engine; };
 *	WRITABLE_VARIANTS(fixture, page, PAGE)
 *	WRITABLE_VARIANTS(fixture, 2m, 2 * MIB)
 */
#ifndef I915_USERPTR_VARIANTS_H
#define I915_USERPTR_VARIANTS_H

#define VARIANT_ADD(fixture, kind_name, KIND, size_name, bytes, engine_name, ENGINE)      \
	FIXTURE_VARIANT_ADD(fixture, kind_name##_##size_name##_##engine_name)              \
	{                                                                                  \
		.kind = KIND, .size = bytes, .engine = ENGINE,                             \
	};

#define ENGINE_VARIANTS(fixture, kind_name, KIND, size_name, bytes)                          \
	VARIANT_ADD(fixture, kind_name, KIND, size_name, bytes, render, I915_EXEC_RENDER)    \
	VARIANT_ADD(fixture, kind_name, KIND, size_name, bytes, blitter, I915_EXEC_BLT)

#define WRITABLE_VARIANTS(fixture, size_name, bytes)                             \
	ENGINE_VARIANTS(fixture, anon, MEMORY_ANON, size_name, bytes)            \
	ENGINE_VARIANTS(fixture, shared, MEMORY_SHARED, size_name, bytes)        \
	ENGINE_VARIANTS(fixture, memfd, MEMORY_MEMFD, size_name, bytes)          \
	ENGINE_VARIANTS(fixture, file, MEMORY_FILE, size_name, bytes)            \
	ENGINE_VARIANTS(fixture, hugetlb, MEMORY_HUGETLB, size_name, bytes)      \
	ENGINE_VARIANTS(fixture, thp, MEMORY_THP, size_name, bytes)

/* With memory that is PROT_READ. */
#define ALL_VARIANTS(fixture, size_name, bytes)          \
	WRITABLE_VARIANTS(fixture, size_name, bytes)     \
	ENGINE_VARIANTS(fixture, read, MEMORY_READ, size_name, bytes)

#endif
