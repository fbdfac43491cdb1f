// SPDX-License-Identifier: GPL-2.0-only
/* What in a kernel log fails a test, and what does not. A socket's packets stand for records. */
#define _GNU_SOURCE
#include "../harness.h"
#include "../kmsg.h"

#include <fcntl.h>
#include <sys/socket.h>

ABOUT("The reader of the kernel log.");

static unsigned int said;

static void say(const char *text)
{
	(void)text;
	said++;
}

static unsigned int findings(struct __test_metadata *_metadata, bool expects_reset,
			     const char *const *records)
{
	int fd[2];
	unsigned int n;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd));
	for (; *records; records++)
		ASSERT_LT(0, write(fd[1], *records, strlen(*records)));
	said = 0;
	n = kmsg_read(fd[0], expects_reset, say);
	close(fd[0]);
	close(fd[1]);
	return n;
}

#define FINDINGS(expects_reset, ...) \
	findings(_metadata, expects_reset, (const char *const[]){ __VA_ARGS__, NULL })

TEST(splats, "reports of the kernel are findings, whatever their level")
{
	EXPECT_EQ(1, FINDINGS(false, "4,1,1,-;WARNING: CPU: 0 PID: 1 at mm/gup.c:1 f+0x1/0x2\n"));
	EXPECT_EQ(1, FINDINGS(false, "1,1,1,-;BUG: kernel NULL pointer dereference, address: 0\n"));
	EXPECT_EQ(1, FINDINGS(false, "1,1,1,-;BUG: KASAN: slab-use-after-free in f+0x1/0x2\n"));
	EXPECT_EQ(1, FINDINGS(false, "4,1,1,-,caller=T1;general protection fault, probably for\n"));
	EXPECT_EQ(1, FINDINGS(false, "4,1,1,-;WARNING: possible circular locking dependency\n"));
	EXPECT_EQ(1, FINDINGS(false, "3,1,1,-;INFO: task a:1 blocked for more than 120 seconds.\n"));
	EXPECT_EQ(1, FINDINGS(false, "3,1,1,-;rcu: INFO: rcu_preempt detected stalls on CPUs\n"));
	EXPECT_EQ(1, FINDINGS(false, "0,1,1,-;watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n"));
	EXPECT_EQ(1, FINDINGS(false, "3,1,1,-;i915 0000:00:02.0: [drm] *ERROR* rcs0: it\n"));
}

TEST(rest, "the lines behind a finding are shown with it, those before are not")
{
	EXPECT_EQ(1, FINDINGS(false, "6,1,1,-;before\n", "4,2,2,-;WARNING: at x\n SUBSYSTEM=pci\n",
			      "4,3,3,-;Call Trace:\n", "4,4,4,-; f+0x1/0x2\n"));
	EXPECT_EQ(3, said);
}

TEST(plain, "what the kernel says otherwise is no finding")
{
	EXPECT_EQ(0, FINDINGS(false, "6,1,1,-;i915 0000:00:02.0: [drm] Initialized i915\n",
			      "4,2,2,-;warning: `a' uses 32-bit capabilities\n",
			      "6,3,3,-;input: debugging\n"));
	EXPECT_EQ(0, said);
}

TEST(user, "nor is what user space writes, markers included")
{
	EXPECT_EQ(0, FINDINGS(false, "12,1,1,-;WARNING: from a program\n",
			      "14,2,2,-;i915_userptr: begin a.BUG: \n"));
}

TEST(resets, "hangs and resets are findings, unless they are expected")
{
	const char *hang = "6,1,1,-;i915 0000:00:02.0: [drm] GPU HANG: ecode 9:1:85dffffb\n";
	const char *reset = "5,2,2,-;i915 0000:00:02.0: [drm] Resetting rcs0 for stopped heartbeat\n";

	EXPECT_EQ(2, FINDINGS(false, hang, reset));
	EXPECT_EQ(0, FINDINGS(true, hang, reset));
	EXPECT_EQ(1, FINDINGS(true, hang, reset, "4,3,3,-;WARNING: at x\n"));
}

TEST(odd, "records that are none are passed over")
{
	EXPECT_EQ(0, FINDINGS(false, "no record", "\n", "6,1,1,-;\n"));
}

TEST_HARNESS_MAIN
