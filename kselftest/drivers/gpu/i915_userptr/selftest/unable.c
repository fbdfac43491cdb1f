// SPDX-License-Identifier: GPL-2.0-only
/* A program whose precondition skips it, or, built with -DFAILS, fails it. */
#include "../harness.h"

PRECONDITION()
{
	diag("looks around");
#ifdef FAILS
	ASSERT_EQ(1, 2);
#endif
	REQUIRE(false, "no device");
}

TEST(test, "is not run")
{
	diag("is not reached");
}

TEST_HARNESS_MAIN
