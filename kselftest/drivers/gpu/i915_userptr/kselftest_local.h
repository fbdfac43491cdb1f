/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of tools/testing/selftests/kselftest.h that is used here, for a build outside of a
 * kernel tree. In the tree its own header is used.
 */
#ifndef KSELFTEST_LOCAL_H
#define KSELFTEST_LOCAL_H

#if __has_include("../../../kselftest.h")
#include "../../../kselftest.h"
#else

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define KSFT_PASS 0
#define KSFT_FAIL 1
#define KSFT_SKIP 4

static unsigned int ksft_plan, ksft_passed, ksft_failed, ksft_skipped;

static inline void ksft_print_header(void)
{
	if (!getenv("KSFT_TAP_LEVEL"))
		printf("KTAP version 1\n");
}

static inline void ksft_set_plan(unsigned int plan)
{
	ksft_plan = plan;
	printf("1..%u\n", plan);
}

static inline unsigned int ksft_test_num(void)
{
	return ksft_passed + ksft_failed + ksft_skipped;
}

__attribute__((format(printf, 1, 2))) static inline void ksft_print_msg(const char *msg, ...)
{
	va_list args;

	va_start(args, msg);
	printf("# ");
	vprintf(msg, args);
	va_end(args);
}

/* Each message ends in a newline. */
#define ksft_test_result_pass(...) \
	(ksft_passed++, printf("ok %u ", ksft_test_num()), printf(__VA_ARGS__))
#define ksft_test_result_fail(...) \
	(ksft_failed++, printf("not ok %u ", ksft_test_num()), printf(__VA_ARGS__))
#define ksft_test_result_skip(...) \
	(ksft_skipped++, printf("ok %u # SKIP ", ksft_test_num()), printf(__VA_ARGS__))

/* Before the plan only. */
#define ksft_exit_skip(...) (printf("1..0 # SKIP "), printf(__VA_ARGS__), exit(KSFT_SKIP))

static inline void ksft_finished(void)
{
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:0\n", ksft_passed,
	       ksft_failed, ksft_skipped);
	exit(ksft_plan == ksft_passed + ksft_skipped ? KSFT_PASS : KSFT_FAIL);
}

#endif
#endif
