// SPDX-License-Identifier: GPL-2.0-only
/* The harness's own test: each way in which a test can end. outcomes.ktap has what must come of it. */
#define _GNU_SOURCE
#include "../harness.h"

#include <pthread.h>
#include <sys/wait.h>

ABOUT("Tests that end in every way there is. Most of them fail, as they should.");

TEST(passes, "a test passes that finds nothing wrong")
{
	EXPECT_EQ(1, 1);
	EXPECT_TRUE(true);
	EXPECT_STREQ("a", "a");
}

TEST(expect_goes_on, "EXPECT fails the test and goes on", .guards = "0123456789ab (\"a title\")")
{
	EXPECT_EQ(1, 2);
	EXPECT_NE(0x10000, 0x10000);
	EXPECT_RET(-14, 0);
	EXPECT_STREQ("a", "b");
	EXPECT_LT(2, 1);
	EXPECT_FALSE(true);
	diag("goes on");
}

TEST(assert_stops, "ASSERT fails the test and ends it")
{
	ASSERT_GE(1, 2);
	diag("is not reached");
}

static void deeper(struct __test_metadata *_metadata)
{
	REQUIRE(getpid() == 0, "no such %s here", "feature");
}

TEST(skips, "REQUIRE skips at any depth")
{
	deeper(_metadata);
	diag("is not reached");
}

TEST(skips_late, "SKIP leaves by its statement")
{
	SKIP(return, "it said so");
}

TEST(fails_then_skips, "what has failed is no skip")
{
	EXPECT_TRUE(false);
	SKIP(return, "too late");
}

TEST(crashes, "a crash is a failure that names its signal")
{
	raise(SIGSEGV);
}

TEST(aborts, "what a library writes before it aborts is kept")
{
	fprintf(stderr, "a library's last words\n");
	abort();
}

TEST(exits, "exit(0) in the middle is no pass")
{
	exit(0);
}

TEST(hangs, "a hang is ended by the timeout", .timeout = 1)
{
	diag("hangs");
	for (;;)
		pause();
}

TEST(hangs_with_child, "so are its children", .timeout = 1)
{
	if (harness_fork() == 0)
		setsid();
	for (;;)
		pause();
}

TEST(leaves_child, "a process that is left behind is ended, and a failure")
{
	/* In a session of its own no signal to the test's group reaches it. */
	if (fork() == 0) {
		setsid();
		for (;;)
			pause();
	}
}

TEST(ends_child, "a process that ends in time is none")
{
	pid_t pid = harness_fork();

	if (pid == 0)
		_exit(0);
	ASSERT_RET(pid, waitpid(pid, NULL, 0));
}

TEST(child_asserts, "ASSERT in a forked child fails the test")
{
	pid_t pid = harness_fork();
	int status;

	if (pid == 0)
		ASSERT_TRUE(false);
	ASSERT_RET(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(1, WEXITSTATUS(status));
}

TEST(child_returns, "a forked child that returns has not ended the test")
{
	pid_t pid = fork();

	if (pid == 0)
		return;
	waitpid(pid, NULL, 0);
	exit(0);
}

static void *asserts(void *arg)
{
	struct __test_metadata *_metadata = arg;

	ASSERT_TRUE(false);
	return NULL;
}

TEST(thread_asserts, "ASSERT in another thread ends the test's process")
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, asserts, _metadata));
	pthread_join(thread, NULL);
	diag("is not reached");
}

TEST(floods, "a flood of lines is cut")
{
	int i;

	for (i = 0; i < 500; i++)
		diag("line %d", i);
	HARNESS_FAIL("that is all");
}

TEST(splats, "a watch fails a test that has passed")
{
	diag("passes, so far");
}

static bool after(const char *test, const struct test_options *options)
{
	(void)options;
	if (strcmp(test, "global.splats"))
		return true;
	harness_say("a watch has seen something");
	return false;
}

static struct harness_watch watch = { .after = after };

static void __attribute__((constructor)) add(void)
{
	harness_add_watch(&watch);
}

FIXTURE(fixture) { int twice; };
FIXTURE_VARIANT(fixture) { int n; };
FIXTURE_VARIANT_ADD(fixture, one) { .n = 1 };
FIXTURE_VARIANT_ADD(fixture, two) { .n = 2 };

FIXTURE_SETUP(fixture)
{
	REQUIRE(variant->n != 2 || !getenv("SKIP_TWO"), "two is not wanted");
	self->twice = 2 * variant->n;
}

FIXTURE_TEARDOWN(fixture)
{
	diag("teardown %d", self->twice);
}

TEST_F(fixture, has_variants, "each test runs once for each variant")
{
	EXPECT_EQ(2 * variant->n, self->twice);
}

TEST_F(fixture, is_torn_down, "the teardown runs after an ASSERT")
{
	ASSERT_EQ(1, variant->n);
}

FIXTURE(skipped) { int unused; };
FIXTURE_SETUP(skipped) { SKIP(return, "the set-up says no"); }
FIXTURE_TEARDOWN(skipped) { diag("is not reached"); }
TEST_F(skipped, test, "a set-up that skips skips its tests") { diag("is not reached"); }

FIXTURE(seeded) { int unused; };
FIXTURE_SETUP(seeded) {}
FIXTURE_TEARDOWN(seeded) {}

TEST_F(seeded, same, "a seed gives the same numbers again")
{
	struct rng a = test_rng(0), b = test_rng(0), c = test_rng(1);
	uint64_t first = rng_next(&a);

	EXPECT_EQ(first, rng_next(&b));
	EXPECT_NE(first, rng_next(&c));
	diag("%#llx", (unsigned long long)first);
}

TEST_F(seeded, other, "each test has other numbers")
{
	struct rng a = test_rng(0);

	diag("%#llx", (unsigned long long)rng_next(&a));
}

FIXTURE(expected) { int unused; };
FIXTURE_SETUP(expected) {}
FIXTURE_TEARDOWN(expected) {}

TEST_F(expected, fails, "a known bug is told, and the run does not fail by it")
{
	XFAIL(return, "a known bug");
}

TEST_F(expected, fails_otherwise, "what fails otherwise than expected has failed")
{
	EXPECT_TRUE(false);
	XFAIL(return, "a known bug");
}

TEST_HARNESS_MAIN
