// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "resources.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "knobs.h"
#include "memory.h"

#define DEBUGFS "/sys/kernel/debug/dri"

/*
 * i915_gem_drop_caches: ACTIVE, RETIRE, FREED, IDLE, RCU; that is, wait for what runs and free what
 * is idle, but evict nothing. The bits are in drivers/gpu/drm/i915/i915_debugfs.c.
 */
#define DROP_IDLE "0x25c"

static void poke(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		diag("%s: cannot be written", path);
	close(fd);
}

/* Each CPU's share goes to the counters when it is read: Documentation/admin-guide/sysctl/vm.rst. */
static void refresh(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);
	char byte;
	ssize_t n;

	if (fd < 0)
		return;
	/* There is nothing to read; that it is read is what counts. */
	n = read(fd, &byte, 1);
	(void)n;
	close(fd);
}

long long pins_held(void)
{
	long long acquired, released;

	refresh();
	acquired = memory_stat("/proc/vmstat", "nr_foll_pin_acquired");
	released = memory_stat("/proc/vmstat", "nr_foll_pin_released");
	return acquired < 0 || released < 0 ? -1 : acquired - released;
}

long long pins_become(long long wanted)
{
	const uint64_t until = now_ns() + LET_GO_NS;
	long long held;

	while ((held = pins_held()) != wanted && held >= 0 && now_ns() < until)
		sleep_ms(5);
	return held;
}

/* The card's debugfs has it on all kernels, the render node's on some. */
static int debugfs_file(const struct i915 *dev, const char *name, char *path, size_t size)
{
	struct dirent *e;
	struct stat st;
	int found = -1;
	DIR *dir;

	if (fstat(dev->fd, &st))
		return -1;
	snprintf(path, size, "/sys/dev/char/%u:%u/device/drm", major(st.st_rdev), minor(st.st_rdev));
	dir = opendir(path);
	while (dir && found && (e = readdir(dir))) {
		if (strncmp(e->d_name, "card", 4))
			continue;
		snprintf(path, size, DEBUGFS "/%d/%s", atoi(e->d_name + 4), name);
		found = access(path, R_OK);
	}
	if (dir)
		closedir(dir);
	return found;
}

long gem_objects(const struct i915 *dev)
{
	char path[128];
	long n = -1;
	FILE *f;

	if (!debugfs_file(dev, "i915_gem_drop_caches", path, sizeof(path)))
		poke(path, DROP_IDLE);
	if (debugfs_file(dev, "i915_gem_objects", path, sizeof(path)))
		return -1;
	f = fopen(path, "re");
	if (f && fscanf(f, "%ld shrinkable", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

long gem_objects_become(const struct i915 *dev, long wanted)
{
	const uint64_t until = now_ns() + LET_GO_NS;
	long n;

	while ((n = gem_objects(dev)) != wanted && n >= 0 && now_ns() < until)
		sleep_ms(20);
	return n;
}

long long slab_kib(void)
{
	return memory_stat("/proc/meminfo", "SUnreclaim");
}

long long used_kib(void)
{
	return memory_stat("/proc/meminfo", "MemTotal") - memory_stat("/proc/meminfo", "MemFree") -
	       memory_stat("/proc/meminfo", "Buffers") - memory_stat("/proc/meminfo", "Cached") -
	       memory_stat("/proc/meminfo", "SReclaimable");
}

#ifndef KSELFTEST_HARNESS
#include "harness.h"

static long long held_before;

static void start(void)
{
	if (pins_held() < 0)
		harness_say("pins: not watched (no nr_foll_pin_acquired in /proc/vmstat)");
}

static void before(const char *test, const struct test_options *options)
{
	(void)test;
	(void)options;
	held_before = pins_held();
}

static bool after(const char *test, const struct test_options *options)
{
	long long held;

	(void)test;
	if (options->leaks_pins || held_before < 0 || pins_held() <= held_before)
		return true;
	held = pins_become(held_before);
	if (held <= held_before)
		return true;
	harness_say("pins: %lld pages are still pinned after its process has ended (system-wide: %lld before, %lld now)",
		    held - held_before, held_before, held);
	return false;
}

static struct harness_watch watch = { .start = start, .before = before, .after = after };

static void __attribute__((constructor)) add(void)
{
	harness_add_watch(&watch);
}
#endif
