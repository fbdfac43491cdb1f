/* SPDX-License-Identifier: GPL-2.0-only */
/* Between harness.c, which chooses tests and reports, and harness_run.c, which runs one. */
#ifndef I915_USERPTR_HARNESS_INTERNAL_H
#define I915_USERPTR_HARNESS_INTERNAL_H

#include "harness.h"

enum outcome { OUTCOME_PASS, OUTCOME_FAIL, OUTCOME_SKIP, OUTCOME_XFAIL };

/* How long a test may take to die of SIGKILL: behind a hung batch, until i915 has reset the engine. */
#define UNKILLABLE_SECONDS 20

/*
 * Runs the test in a process of its own and prints its diagnostics. The reason of a skip, or of an
 * expected failure, is in t->result->reason.
 */
enum outcome harness_run_test(struct __test_metadata *t, const void *variant, const char *name,
			      uint64_t seed, unsigned int timeout);

/* A "# " line as harness_say(), without its newline. */
void harness_say_text(const char *text);

#endif
