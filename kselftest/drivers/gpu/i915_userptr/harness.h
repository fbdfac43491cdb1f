/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A harness in the manner of the kernel's kselftest_harness.h, for use where that header is not, and
 * with what tests of a driver need besides: each test in a process group of its own, KTAP with nested
 * subtests, seeds, and watches over the kernel (its log, its pinned pages).
 *
 * A test program:
 *
 *	FIXTURE(fill) { uint32_t *p; };
 *	FIXTURE_VARIANT(fill) { size_t pages; };
 *	FIXTURE_VARIANT_ADD(fill, one) { .pages = 1 };
 *	FIXTURE_VARIANT_ADD(fill, many) { .pages = 512 };
 *	FIXTURE_SETUP(fill) { self->p = map_it(variant->pages); ASSERT_TRUE(self->p); }
 *	FIXTURE_TEARDOWN(fill) { unmap_it(self->p); }
 *
 *	TEST_F(fill, every_page, "a store lands in each page", .guards = "0123456789ab", .timeout = 60)
 *	{
 *		REQUIRE(has_blitter(), "no blitter");
 *		EXPECT_RET(0, store(self->p, 5));
 *		EXPECT_EQ(5, *self->p);
 *	}
 *	TEST_HARNESS_MAIN
 *
 * TEST(name, "sentence", ...) is a test without fixture; its fixture is called "global". A test is
 * "fixture.variant.test", or "fixture.test" where the fixture has no variants.
 *
 * After the sentence, all optional:
 *	.guards		commit, or report, that the test guards against
 *	.timeout	seconds after which the test is killed (30); -S's seconds are added
 *	.expects_reset	GPU hangs and resets in the kernel log are part of the test
 *	.leaks_pins	where the test fails as expected, the kernel keeps pages pinned
 *
 * In a test, its fixture's setup and teardown, and in any function that is given `_metadata`:
 *	ASSERT_*	stop the test; the fixture's teardown runs. In a forked child they exit it with 1.
 *	EXPECT_*	go on
 *	  _EQ _NE _LT _LE _GT _GE (expected, seen): integers, compared as long long; _TRUE _FALSE;
 *	  _STREQ _STRNE; _RET(expected, call): what a call returned, errors as -errno
 *	REQUIRE(condition, fmt...)	skips the test at any depth, with the reason
 *	SKIP(statement, fmt...)		the same with a statement that leaves the test: return
 *	XFAIL(statement, fmt...)	leaves the test, which has failed as expected: a known bug, by name
 * diag(), the seed's random numbers, -S and -n, harness_fork(): knobs.h.
 *
 * With KSELFTEST_HARNESS defined all of this maps onto the kernel's own kselftest_harness.h; then
 * there are no watches, and sentences are not shown.
 */
#ifndef I915_USERPTR_HARNESS_H
#define I915_USERPTR_HARNESS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include "knobs.h"

#ifdef KSELFTEST_HARNESS

#include "kselftest_harness.h"
#undef TEST
#undef TEST_F
#define TEST(test_name, ...) TEST_SIGNAL(test_name, -1)
#define TEST_F(fixture_name, test_name, ...) TEST_F_TIMEOUT(fixture_name, test_name, 120)
/*
 * Since 6.8, which has FIXTURE_TEARDOWN_PARENT, each test is in a process of its own and its metadata
 * is shared. Before, a test is left by its jump buffer.
 */
#ifdef FIXTURE_TEARDOWN_PARENT
#define HARNESS_LEAVE() _exit(KSFT_SKIP)
#define HARNESS_IS_OVER() (_metadata->exit_code != KSFT_PASS)
#else
#define HARNESS_LEAVE() longjmp(_metadata->env, 1)
#define HARNESS_IS_OVER() (!_metadata->passed || _metadata->skip)
#endif
#define REQUIRE(condition, ...)                             \
	do {                                                \
		if (!(condition))                           \
			SKIP(HARNESS_LEAVE(), __VA_ARGS__); \
	} while (0)
/* Theirs compare with 0, which is no pointer. */
#undef ASSERT_TRUE
#undef EXPECT_TRUE
#define ASSERT_TRUE(seen) ASSERT_NE(0, !!(seen))
#define EXPECT_TRUE(seen) EXPECT_NE(0, !!(seen))
#define EXPECT_RET(expected, call) EXPECT_EQ(expected, call)
#define ASSERT_RET(expected, call) ASSERT_EQ(expected, call)
/* Since 6.9. */
#ifndef XFAIL
#define XFAIL(statement, ...) SKIP(statement, __VA_ARGS__)
#endif
#define HARNESS_FAIL(...)                     \
	do {                                  \
		diag(__VA_ARGS__);            \
		EXPECT_TRUE(false);           \
	} while (0)
#define ABOUT(text) extern int about_is_unused
#define PRECONDITION()                           \
	static void __attribute__((unused))      \
	precondition(struct __test_metadata __attribute__((unused)) *_metadata)

#else

#define KSFT_PASS 0
#define KSFT_FAIL 1
#define KSFT_SKIP 4

struct test_options {
	const char *proves;
	const char *guards;
	unsigned int timeout;
	bool expects_reset;
	bool leaks_pins;
};

/* Shared with the test's process, and with all that it forks. */
struct test_result {
	int done;
	int failed;
	int skipped;
	int xfailed;
	char reason[256];
};

struct __fixture_variant_metadata {
	const char *name;
	const void *data;
	struct __fixture_variant_metadata *next;
};

struct __test_metadata {
	const char *name;
	struct __fixture_metadata *fixture;
	void (*fn)(struct __test_metadata *, const void *variant);
	struct test_options options;
	struct test_result *result;
	sigjmp_buf env;
	pid_t tid;
	struct __test_metadata *next;
};

struct __fixture_metadata {
	const char *name;
	struct __test_metadata *tests;
	struct __fixture_variant_metadata *variants;
	struct __fixture_metadata *next;
};

/*
 * What the parent looks at around each test. Printed lines go through harness_say().
 *	start	once: says on what it does not watch, and why
 *	after	false: the test has failed
 */
struct harness_watch {
	void (*start)(void);
	void (*before)(const char *test, const struct test_options *options);
	bool (*after)(const char *test, const struct test_options *options);
	struct harness_watch *next;
};

extern struct __fixture_metadata harness_global;

void harness_register_fixture(struct __fixture_metadata *f);
void harness_register_variant(struct __fixture_metadata *f, struct __fixture_variant_metadata *v);
void harness_register_test(struct __test_metadata *t);
void harness_add_watch(struct harness_watch *w);
void harness_precondition(struct __test_metadata *t);
void harness_about(const char *text);

/* A "# " line at the present depth; only in the parent. */
void harness_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void harness_fail(struct __test_metadata *t, const char *file, int line, bool stop, const char *fmt,
		  ...) __attribute__((format(printf, 5, 6)));
void harness_compare(struct __test_metadata *t, const char *file, int line, bool stop,
		     const char *expected_text, long long expected, const char *op,
		     const char *seen_text, long long seen);
void harness_skip(struct __test_metadata *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void harness_xfail(struct __test_metadata *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Leaves the test by a jump; in another thread or process, ends that. */
void harness_stop(struct __test_metadata *t) __attribute__((noreturn));

int harness_main(int argc, char **argv);

#define TEST_HARNESS_MAIN                        \
	int main(int argc, char **argv)          \
	{                                        \
		return harness_main(argc, argv); \
	}

#define HARNESS_UNUSED __attribute__((unused))
#define HARNESS_REGISTER(name) static void __attribute__((constructor)) name(void)

#define FIXTURE_DATA(fixture_name) struct _test_data_##fixture_name
#define FIXTURE_VARIANT(fixture_name) struct _fixture_variant_##fixture_name

#define FIXTURE(fixture_name)                                                               \
	FIXTURE_VARIANT(fixture_name);                                                      \
	static struct __fixture_metadata _##fixture_name##_fixture = { .name = #fixture_name }; \
	HARNESS_REGISTER(_register_##fixture_name)                                          \
	{                                                                                   \
		harness_register_fixture(&_##fixture_name##_fixture);                       \
	}                                                                                   \
	FIXTURE_DATA(fixture_name)

#define FIXTURE_SETUP(fixture_name)                                               \
	static void fixture_name##_setup(struct __test_metadata HARNESS_UNUSED *_metadata, \
		FIXTURE_DATA(fixture_name) HARNESS_UNUSED *self,                  \
		const FIXTURE_VARIANT(fixture_name) HARNESS_UNUSED *variant)

#define FIXTURE_TEARDOWN(fixture_name)                                               \
	static void fixture_name##_teardown(struct __test_metadata HARNESS_UNUSED *_metadata, \
		FIXTURE_DATA(fixture_name) HARNESS_UNUSED *self,                     \
		const FIXTURE_VARIANT(fixture_name) HARNESS_UNUSED *variant)

#define FIXTURE_VARIANT_ADD(fixture_name, variant_name)                                     \
	static const FIXTURE_VARIANT(fixture_name) _##fixture_name##_##variant_name##_variant; \
	static struct __fixture_variant_metadata _##fixture_name##_##variant_name##_object = { \
		.name = #variant_name,                                                      \
		.data = &_##fixture_name##_##variant_name##_variant,                        \
	};                                                                                  \
	HARNESS_REGISTER(_register_##fixture_name##_##variant_name)                         \
	{                                                                                   \
		harness_register_variant(&_##fixture_name##_fixture,                        \
					 &_##fixture_name##_##variant_name##_object);       \
	}                                                                                   \
	static const FIXTURE_VARIANT(fixture_name) _##fixture_name##_##variant_name##_variant =

/* Without `.proves = ` gcc and clang warn about the members that are not given. */
#define HARNESS_TEST_OBJECT(id, test_name, the_fixture, ...)     \
	static struct __test_metadata _##id##_object = {         \
		.name = #test_name,                              \
		.fixture = &the_fixture,                         \
		.fn = _wrapper_##id,                             \
		.options = { .proves = __VA_ARGS__ },            \
	};                                                       \
	HARNESS_REGISTER(_register_test_##id)                    \
	{                                                        \
		harness_register_test(&_##id##_object);          \
	}

#define TEST(test_name, ...)                                                                \
	static void test_name(struct __test_metadata *_metadata);                           \
	static void _wrapper_##test_name(struct __test_metadata *_metadata,                 \
					 const void HARNESS_UNUSED *data)                   \
	{                                                                                   \
		if (!sigsetjmp(_metadata->env, 1))                                          \
			test_name(_metadata);                                               \
	}                                                                                   \
	HARNESS_TEST_OBJECT(test_name, test_name, harness_global, __VA_ARGS__)              \
	static void test_name(struct __test_metadata HARNESS_UNUSED *_metadata)

#define TEST_F(fixture_name, test_name, ...)                                                \
	static void fixture_name##_##test_name(struct __test_metadata *_metadata,           \
		FIXTURE_DATA(fixture_name) *self, const FIXTURE_VARIANT(fixture_name) *variant); \
	static void _wrapper_##fixture_name##_##test_name(struct __test_metadata *_metadata, \
							  const void *data)                 \
	{                                                                                   \
		static FIXTURE_DATA(fixture_name) self;                                     \
		static volatile bool set_up;                                                \
		if (!sigsetjmp(_metadata->env, 1)) {                                        \
			fixture_name##_setup(_metadata, &self, data);                       \
			if (_metadata->result->failed || _metadata->result->skipped)        \
				return;                                                     \
			set_up = true;                                                      \
			fixture_name##_##test_name(_metadata, &self, data);                 \
		}                                                                           \
		if (set_up && !sigsetjmp(_metadata->env, 1))                                \
			fixture_name##_teardown(_metadata, &self, data);                    \
	}                                                                                   \
	HARNESS_TEST_OBJECT(fixture_name##_##test_name, test_name, _##fixture_name##_fixture, \
			    __VA_ARGS__)                                                    \
	static void fixture_name##_##test_name(struct __test_metadata HARNESS_UNUSED *_metadata, \
		FIXTURE_DATA(fixture_name) HARNESS_UNUSED *self,                            \
		const FIXTURE_VARIANT(fixture_name) HARNESS_UNUSED *variant)

/* One sentence or two on the program, for -h. */
#define ABOUT(text)                     \
	HARNESS_REGISTER(_about)        \
	{                               \
		harness_about(text);    \
	}                               \
	extern int about_is_used

/*
 * Runs before the tests, as one: PRECONDITION() { REQUIRE(...); diag(...); }. Where it skips, the
 * whole program is skipped, with exit status 4.
 */
#define PRECONDITION()                                                                     \
	static void _precondition(struct __test_metadata *_metadata);                      \
	static void _wrapper_precondition(struct __test_metadata *_metadata,               \
					  const void HARNESS_UNUSED *data)                 \
	{                                                                                  \
		if (!sigsetjmp(_metadata->env, 1))                                         \
			_precondition(_metadata);                                          \
	}                                                                                  \
	static struct __test_metadata _precondition_object = {                             \
		.name = "precondition",                                                    \
		.fn = _wrapper_precondition,                                               \
		.options = { .proves = "this program can run here" },                      \
	};                                                                                 \
	HARNESS_REGISTER(_register_precondition)                                           \
	{                                                                                  \
		harness_precondition(&_precondition_object);                               \
	}                                                                                  \
	static void _precondition(struct __test_metadata HARNESS_UNUSED *_metadata)

/* The texts are made where the macro is used, or they would be those of the arguments' expansion. */
#define HARNESS_COMPARE(expected, expected_text, op, seen, seen_text, stop)                \
	do {                                                                               \
		const long long expected_ = (long long)(expected);                         \
		const long long seen_ = (long long)(seen);                                 \
		if (!(expected_ op seen_))                                                 \
			harness_compare(_metadata, __FILE__, __LINE__, stop, expected_text, \
					expected_, #op, seen_text, seen_);                 \
	} while (0)

#define HARNESS_STRING(expected, op, seen, stop)                                           \
	do {                                                                               \
		const char *expected_ = (expected), *seen_ = (seen);                       \
		if (!(strcmp(expected_, seen_) op 0))                                      \
			harness_fail(_metadata, __FILE__, __LINE__, stop,                  \
				     "Expected '%s' %s '%s'", expected_, #op, seen_);      \
	} while (0)

#define HARNESS_TRUTH(condition, text, stop)                                               \
	do {                                                                               \
		if (!(condition))                                                          \
			harness_fail(_metadata, __FILE__, __LINE__, stop, "Expected %s", text); \
	} while (0)

/* Whether the test has failed by now, or is skipped. */
#define HARNESS_IS_OVER() (_metadata->result->failed || _metadata->result->skipped)

/* Fails, and goes on: for loops that say themselves what was wrong. */
#define HARNESS_FAIL(...) harness_fail(_metadata, __FILE__, __LINE__, false, __VA_ARGS__)

#define ASSERT_EQ(expected, seen) HARNESS_COMPARE(expected, #expected, ==, seen, #seen, true)
#define ASSERT_NE(expected, seen) HARNESS_COMPARE(expected, #expected, !=, seen, #seen, true)
#define ASSERT_LT(expected, seen) HARNESS_COMPARE(expected, #expected, <, seen, #seen, true)
#define ASSERT_LE(expected, seen) HARNESS_COMPARE(expected, #expected, <=, seen, #seen, true)
#define ASSERT_GT(expected, seen) HARNESS_COMPARE(expected, #expected, >, seen, #seen, true)
#define ASSERT_GE(expected, seen) HARNESS_COMPARE(expected, #expected, >=, seen, #seen, true)
#define ASSERT_RET(expected, call) HARNESS_COMPARE(expected, #expected, ==, call, #call, true)
#define ASSERT_STREQ(expected, seen) HARNESS_STRING(expected, ==, seen, true)
#define ASSERT_STRNE(expected, seen) HARNESS_STRING(expected, !=, seen, true)
#define ASSERT_TRUE(seen) HARNESS_TRUTH(seen, #seen, true)
#define ASSERT_FALSE(seen) HARNESS_TRUTH(!(seen), "!(" #seen ")", true)

#define EXPECT_EQ(expected, seen) HARNESS_COMPARE(expected, #expected, ==, seen, #seen, false)
#define EXPECT_NE(expected, seen) HARNESS_COMPARE(expected, #expected, !=, seen, #seen, false)
#define EXPECT_LT(expected, seen) HARNESS_COMPARE(expected, #expected, <, seen, #seen, false)
#define EXPECT_LE(expected, seen) HARNESS_COMPARE(expected, #expected, <=, seen, #seen, false)
#define EXPECT_GT(expected, seen) HARNESS_COMPARE(expected, #expected, >, seen, #seen, false)
#define EXPECT_GE(expected, seen) HARNESS_COMPARE(expected, #expected, >=, seen, #seen, false)
#define EXPECT_RET(expected, call) HARNESS_COMPARE(expected, #expected, ==, call, #call, false)
#define EXPECT_STREQ(expected, seen) HARNESS_STRING(expected, ==, seen, false)
#define EXPECT_STRNE(expected, seen) HARNESS_STRING(expected, !=, seen, false)
#define EXPECT_TRUE(seen) HARNESS_TRUTH(seen, #seen, false)
#define EXPECT_FALSE(seen) HARNESS_TRUTH(!(seen), "!(" #seen ")", false)

#define SKIP(statement, ...)                          \
	do {                                          \
		harness_skip(_metadata, __VA_ARGS__); \
		statement;                            \
	} while (0)

#define XFAIL(statement, ...)                          \
	do {                                           \
		harness_xfail(_metadata, __VA_ARGS__); \
		statement;                             \
	} while (0)

#define REQUIRE(condition, ...)                                         \
	do {                                                            \
		if (!(condition))                                       \
			SKIP(harness_stop(_metadata), __VA_ARGS__);     \
	} while (0)

#endif
#endif
