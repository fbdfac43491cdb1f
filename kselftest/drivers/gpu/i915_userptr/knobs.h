/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the user can turn, and what a test says. The harness's options set the environment variables,
 * so that programs that are built with the kernel's harness have them too.
 */
#ifndef I915_USERPTR_KNOBS_H
#define I915_USERPTR_KNOBS_H

#include <stdint.h>
#include <sys/types.h>

#define KNOB_DEVICE "I915_USERPTR_DEVICE"
#define KNOB_SEED "I915_USERPTR_SEED"
#define KNOB_SECONDS "I915_USERPTR_SECONDS"
#define KNOB_COUNT "I915_USERPTR_COUNT"

/* -d: a DRM node, or NULL for the first that i915 drives. */
const char *knob_device(void);
/* -S: for how long a looping test loops. */
unsigned int knob_seconds(unsigned int otherwise);
/* -n: how often a counting test does it. */
unsigned int knob_count(unsigned int otherwise);
/* -s, or 1. */
uint64_t knob_seed(void);

/* A "# " line among the test's diagnostics, in one write: threads and children may all say something. */
void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* splitmix64, for the test's own seed; each thread and child may have a state of its own. */
struct rng {
	uint64_t state;
};

/* The test's rng. `stream` tells apart those of one test. */
struct rng test_rng(unsigned int stream);
uint64_t rng_next(struct rng *r);
/* 0 to below - 1. */
uint64_t rng_below(struct rng *r, uint64_t below);

/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);
void sleep_ms(unsigned int ms);

/* A child that dies with its parent, and is thereby never left behind by a test that fails. */
pid_t harness_fork(void);

/* The harness's: mixes the test's name into the seed. */
void knob_set_test(uint64_t seed, const char *test);

#endif
