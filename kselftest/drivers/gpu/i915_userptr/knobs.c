// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "knobs.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static uint64_t test_seed;

const char *knob_device(void)
{
	const char *node = getenv(KNOB_DEVICE);

	return node && *node ? node : NULL;
}

static uint64_t number(const char *knob, uint64_t otherwise)
{
	const char *text = getenv(knob);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

unsigned int knob_seconds(unsigned int otherwise)
{
	return number(KNOB_SECONDS, otherwise);
}

unsigned int knob_count(unsigned int otherwise)
{
	return number(KNOB_COUNT, otherwise);
}

uint64_t knob_seed(void)
{
	return number(KNOB_SEED, 1);
}

void diag(const char *fmt, ...)
{
	char line[1024] = "# ";
	va_list args;
	size_t len;
	ssize_t n;

	va_start(args, fmt);
	vsnprintf(line + 2, sizeof(line) - 3, fmt, args);
	va_end(args);
	fflush(stdout);
	len = strlen(line);
	line[len++] = '\n';
	do {
		n = write(STDOUT_FILENO, line, len);
	} while (n < 0 && errno == EINTR);
}

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t rng_below(struct rng *r, uint64_t below)
{
	return rng_next(r) % below;
}

struct rng test_rng(unsigned int stream)
{
	struct rng r = { .state = test_seed ? test_seed : knob_seed() };

	r.state = rng_next(&r) + stream;
	return r;
}

/* FNV-1a. */
void knob_set_test(uint64_t seed, const char *test)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (; *test; test++)
		hash = (hash ^ (unsigned char)*test) * 0x100000001b3ull;
	test_seed = hash ^ seed;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

pid_t harness_fork(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}
