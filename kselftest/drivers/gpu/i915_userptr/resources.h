/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel holds for userptr objects. With resources.c linked in, each test fails after which
 * more pages are pinned than before: its process is gone by then, with all that it had.
 */
#ifndef I915_USERPTR_RESOURCES_H
#define I915_USERPTR_RESOURCES_H

#include "i915.h"

/* That which is let go by workers is gone after so long. */
#define LET_GO_NS 5000000000ull

/*
 * Pages pinned now, in the whole system: nr_foll_pin_acquired less nr_foll_pin_released of
 * /proc/vmstat, exact for root (others see a CPU's last ones up to a second late). Other users of
 * pinned pages, io_uring and RDMA, should be quiet. -1: the kernel does not tell (before 5.7).
 */
long long pins_held(void);
/* Waits for it; returns what it is in the end. */
long long pins_become(long long wanted);

/*
 * GEM objects that have pages, of all files, from debugfs (i915_gem_objects). What is idle and could
 * be freed is freed first. -1: not told, mostly for want of root.
 */
long gem_objects(const struct i915 *dev);
long gem_objects_become(const struct i915 *dev, long wanted);

/* KiB of unreclaimable slab, and of memory that is neither free nor cache. */
long long slab_kib(void);
long long used_kib(void);

#endif
