// SPDX-License-Identifier: GPL-2.0-only
/* The record's format: Documentation/ABI/testing/dev-kmsg. */
#include "kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* Records shown from a finding on: a report with its trace. */
#define SHOWN 60

static const char *const splats[] = {
	"cut here ]---",
	"WARNING: ",
	"BUG: ",
	"kernel BUG at",
	"BUG at ",
	"Oops",
	"general protection fault",
	"divide error",
	"invalid opcode",
	"double fault",
	"stack-protector",
	"Kernel panic",
	"KASAN:",
	"KFENCE:",
	"KCSAN:",
	"KMSAN:",
	"UBSAN:",
	"refcount_t: ",
	"list_add corruption",
	"list_del corruption",
	"possible circular locking dependency",
	"possible recursive locking",
	"possible deadlock",
	"possible irq lock inversion",
	"possible reason: unannotated irqs",
	"inconsistent lock state",
	"suspicious RCU usage",
	"Invalid wait context",
	"lock held when returning to user space",
	"bad unlock balance",
	"held lock freed",
	"INFO: task ",
	"INFO: rcu",
	"rcu: INFO",
	"INFO: trying to register non-static key",
	"soft lockup",
	"hard LOCKUP",
	"Unable to handle kernel",
	"unreferenced object",
	"*ERROR*",
};

static const char *const resets[] = {
	"GPU HANG",
	"GPU hang",
	"Resetting ",
	"GPU is wedged",
};

static bool one_of(const char *text, const char *const *patterns, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strstr(text, patterns[i]))
			return true;
	return false;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The message of the kernel's own records; what user space wrote (facility 1 and up) is NULL. */
static char *message(char *record)
{
	char *text = strchr(record, ';');
	char *end;

	if (!text || strtoul(record, NULL, 10) >> 3)
		return NULL;
	end = strchr(++text, '\n');
	if (end)
		*end = 0;
	return text;
}

unsigned int kmsg_read(int fd, bool expects_reset, void (*say)(const char *text))
{
	unsigned int found = 0, show = 0;
	char record[8192], *text;
	ssize_t n;

	for (;;) {
		n = read(fd, record, sizeof(record) - 1);
		/* EPIPE: records were overwritten before they were read; the next read goes on. */
		if (n < 0 && errno == EPIPE) {
			say("records of the kernel log were lost");
			continue;
		}
		if (n < 0 && (errno == EINTR || errno == EINVAL))
			continue;
		if (n <= 0)
			return found;
		record[n] = 0;
		text = message(record);
		if (!text)
			continue;
		if (one_of(text, splats, COUNT(splats)) ||
		    (!expects_reset && one_of(text, resets, COUNT(resets)))) {
			found++;
			show = SHOWN;
		}
		if (show) {
			show--;
			say(text);
		}
	}
}

static struct {
	int in, out;
	unsigned long long taint;
	int lockdep;
} kernel = { .in = -1, .out = -1 };

static unsigned long long taint(void)
{
	unsigned long long value = 0;
	FILE *f = fopen("/proc/sys/kernel/tainted", "re");

	if (f && fscanf(f, "%llu", &value) != 1)
		value = 0;
	if (f)
		fclose(f);
	return value;
}

/* 1 while lockdep watches, 0 when it has given up, -1 where it is not told. */
static int lockdep(void)
{
	FILE *f = fopen("/proc/lockdep_stats", "re");
	char line[256];
	int on = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " debug_locks: %d", &on) == 1)
			break;
	if (f)
		fclose(f);
	return on;
}

static void start(void)
{
	kernel.in = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kernel.in < 0) {
		harness_say("kmsg: not watched (/dev/kmsg: %s%s)", strerror(errno),
			    errno == EPERM || errno == EACCES ? "; root may" : "");
	} else {
		lseek(kernel.in, 0, SEEK_END);
		kernel.out = open("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (kernel.out < 0)
			harness_say("kmsg: watched, without markers (/dev/kmsg: %s)", strerror(errno));
	}
	if (lockdep() < 0)
		harness_say("lockdep: not watched (no /proc/lockdep_stats that may be read)");
	else if (!lockdep())
		harness_say("lockdep: off before the first test");
}

static void mark(const char *what, const char *test)
{
	char line[320];
	int n = snprintf(line, sizeof(line), "<6>i915_userptr: %s %s\n", what, test);

	/* A marker is for the reader of the log; nothing depends on it. */
	if (kernel.out >= 0 && write(kernel.out, line, n) < 0)
		return;
}

static void before(const char *test, const struct test_options *options)
{
	(void)options;
	if (kernel.in >= 0)
		lseek(kernel.in, 0, SEEK_END);
	mark("begin", test);
	kernel.taint = taint();
	kernel.lockdep = lockdep();
}

static void say(const char *text)
{
	harness_say("kmsg: %s", text);
}

static bool after(const char *test, const struct test_options *options)
{
	unsigned long long added = taint() & ~kernel.taint;
	bool good = true;

	mark("end", test);
	if (kernel.in >= 0 && kmsg_read(kernel.in, options->expects_reset, say))
		good = false;
	if (added) {
		harness_say("the kernel is tainted: %#llx is new", added);
		good = false;
	}
	if (kernel.lockdep == 1 && lockdep() == 0) {
		harness_say("lockdep has switched itself off (debug_locks 1 to 0)");
		good = false;
	}
	return good;
}

static struct harness_watch watch = { .start = start, .before = before, .after = after };

static void __attribute__((constructor)) add(void)
{
	harness_add_watch(&watch);
}
