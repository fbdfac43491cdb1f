/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Up to 6.8 the mmu notifier waits until the GPU has done with the pages; from 6.9 on it does not,
 * and they stay pinned until the object is used again or closed. By measurement, not by version:
 * kernels have patches.
 */
#ifndef I915_USERPTR_ERA_H
#define I915_USERPTR_ERA_H

#include "i915.h"

enum era { ERA_UNKNOWN, ERA_WAITS, ERA_NO_WAIT };

extern const char *const era_names[3];

/*
 * munmap of an object's memory under a batch that is held: does it return before the batch goes on?
 * Milliseconds that it took in *munmap_ms. Unknown before gen8, where no batch can be held so. Measured
 * once, kept for all tests of the program.
 */
enum era era_measure(const struct i915 *dev, unsigned int *munmap_ms);
/* What was measured by the program's precondition. */
enum era era_known(void);

#endif
