// SPDX-License-Identifier: GPL-2.0-only
/* Chooses tests, runs them one after the other, and reports in KTAP 1. */
#define _GNU_SOURCE
#include "harness_internal.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdarg.h>

#define MAX_PATTERNS 64
#define DEFAULT_TIMEOUT 30

struct __fixture_metadata harness_global = { .name = "global" };

static struct __fixture_metadata *fixtures;
static struct harness_watch *watches;
static struct __test_metadata *precondition;
static const char *about = "";

static struct {
	const char *program;
	const char *pick[MAX_PATTERNS], *drop[MAX_PATTERNS];
	unsigned int npick, ndrop;
	unsigned int repeat, least_timeout;
	uint64_t seed;
	bool list, verbose;
} opt = { .repeat = 1 };

static unsigned int depth;

/* Constructors run in the order of the file, and so do the tests. */
#define append(head, item)                      \
	do {                                    \
		__typeof__(item) *at_ = &(head); \
		while (*at_)                    \
			at_ = &(*at_)->next;    \
		*at_ = (item);                  \
	} while (0)

void harness_register_fixture(struct __fixture_metadata *f)
{
	append(fixtures, f);
}

void harness_register_variant(struct __fixture_metadata *f, struct __fixture_variant_metadata *v)
{
	append(f->variants, v);
}

void harness_register_test(struct __test_metadata *t)
{
	if (t->fixture == &harness_global && !harness_global.tests)
		harness_register_fixture(&harness_global);
	append(t->fixture->tests, t);
}

void harness_add_watch(struct harness_watch *w)
{
	append(watches, w);
}

void harness_precondition(struct __test_metadata *t)
{
	precondition = t;
}

void harness_about(const char *text)
{
	about = text;
}

void harness_say_text(const char *text)
{
	printf("%*s# %s\n", depth * 2, "", text);
}

void harness_say(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	harness_say_text(text);
}

static void full_name(char *buf, size_t size, const struct __test_metadata *t,
		      const struct __fixture_variant_metadata *v)
{
	snprintf(buf, size, "%s%s%s.%s", t->fixture->name, v ? "." : "", v ? v->name : "", t->name);
}

static bool matches(const char *name, const char *const *patterns, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!fnmatch(patterns[i], name, 0))
			return true;
	return false;
}

/* The pattern "fixture" stands for all tests of that fixture. */
static bool chosen(const char *name, const char *fixture)
{
	if (opt.npick && !matches(name, opt.pick, opt.npick) &&
	    !matches(fixture, opt.pick, opt.npick))
		return false;
	return !matches(name, opt.drop, opt.ndrop) && !matches(fixture, opt.drop, opt.ndrop);
}

/* Calls `use` for each chosen test of a fixture, in order; returns how many there are. */
static unsigned int each(struct __fixture_metadata *f,
			 void (*use)(struct __test_metadata *t, const void *variant, const char *name))
{
	struct __fixture_variant_metadata *v = f->variants;
	struct __test_metadata *t;
	unsigned int n = 0;
	char name[256];

	do {
		for (t = f->tests; t; t = t->next) {
			full_name(name, sizeof(name), t, v);
			if (!chosen(name, f->name))
				continue;
			n++;
			if (use)
				use(t, v ? v->data : NULL, name);
		}
		v = v ? v->next : NULL;
	} while (v);
	return n;
}

static void list_test(struct __test_metadata *t, const void *variant, const char *name)
{
	(void)variant;
	printf("%s\n", name);
	if (!opt.verbose)
		return;
	printf("\t%s\n", t->options.proves);
	if (t->options.guards)
		printf("\tguards against: %s\n", t->options.guards);
}

static struct {
	unsigned int number, pass, fail, skip, xfail;
} here, total;

static unsigned int timeout_of(const struct __test_metadata *t)
{
	unsigned int seconds = t->options.timeout ? t->options.timeout : DEFAULT_TIMEOUT;

	seconds += knob_seconds(0);
	return seconds > opt.least_timeout ? seconds : opt.least_timeout;
}

static void say_replay(const char *name, uint64_t seed)
{
	char more[256] = "";
	size_t n = 0;

	if (knob_device())
		n += snprintf(more + n, sizeof(more) - n, " -d %s", knob_device());
	if (knob_seconds(0) && n < sizeof(more))
		n += snprintf(more + n, sizeof(more) - n, " -S %u", knob_seconds(0));
	if (knob_count(0) && n < sizeof(more))
		snprintf(more + n, sizeof(more) - n, " -n %u", knob_count(0));
	harness_say("to replay: %s -t %s -s %#llx%s", opt.program, name, (unsigned long long)seed,
		    more);
}

static enum outcome watched(struct __test_metadata *t, const void *variant, const char *name,
			    uint64_t seed)
{
	struct harness_watch *w;
	enum outcome outcome;

	for (w = watches; w; w = w->next)
		if (w->before)
			w->before(name, &t->options);
	outcome = harness_run_test(t, variant, name, seed, timeout_of(t));
	for (w = watches; w; w = w->next)
		if (w->after && !w->after(name, &t->options))
			outcome = OUTCOME_FAIL;
	return outcome;
}

static void run_test(struct __test_metadata *t, const void *variant, const char *name)
{
	enum outcome outcome = OUTCOME_PASS;
	uint64_t seed = opt.seed;
	unsigned int i;

	if (opt.verbose)
		harness_say("%s", t->options.proves);
	for (i = 0; i < opt.repeat && outcome == OUTCOME_PASS; i++, seed++)
		outcome = watched(t, variant, name, seed);

	here.number++;
	switch (outcome) {
	case OUTCOME_PASS:
		here.pass++;
		printf("  ok %u %s\n", here.number, name);
		break;
	case OUTCOME_SKIP:
		here.skip++;
		printf("  ok %u %s # SKIP %s\n", here.number, name, t->result->reason);
		break;
	case OUTCOME_XFAIL:
		here.xfail++;
		printf("  not ok %u %s # XFAIL %s\n", here.number, name, t->result->reason);
		break;
	case OUTCOME_FAIL:
		here.fail++;
		if (!opt.verbose)
			harness_say("it is to prove: %s", t->options.proves);
		if (t->options.guards)
			harness_say("it guards against: %s", t->options.guards);
		if (opt.repeat > 1)
			harness_say("run %u of %u", i, opt.repeat);
		say_replay(name, seed - 1);
		printf("  not ok %u %s\n", here.number, name);
		break;
	}
}

static void run_fixture(struct __fixture_metadata *f, unsigned int number)
{
	memset(&here, 0, sizeof(here));
	printf("  KTAP version 1\n  # Subtest: %s\n  1..%u\n", f->name, each(f, NULL));
	depth = 1;
	each(f, run_test);
	depth = 0;
	if (here.fail)
		printf("not ok %u %s\n", number, f->name);
	else if (here.skip == here.number)
		printf("ok %u %s # SKIP none of its %u tests could run\n", number, f->name,
		       here.number);
	else
		printf("ok %u %s\n", number, f->name);
	total.pass += here.pass;
	total.fail += here.fail;
	total.skip += here.skip;
	total.xfail += here.xfail;
}

/* 0, or the exit status of a program that cannot run here. */
static int can_run(void)
{
	enum outcome outcome;

	if (!precondition)
		return 0;
	outcome = harness_run_test(precondition, NULL, precondition->name, opt.seed,
				   timeout_of(precondition));
	if (outcome == OUTCOME_SKIP) {
		printf("1..0 # SKIP %s\n", precondition->result->reason);
		return KSFT_SKIP;
	}
	if (outcome == OUTCOME_FAIL) {
		printf("Bail out! what must hold before any test does not\n");
		return KSFT_FAIL;
	}
	return 0;
}

static int run_all(void)
{
	struct __fixture_metadata *f;
	struct harness_watch *w;
	unsigned int n = 0;
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n");
	harness_say("seed %#llx", (unsigned long long)opt.seed);
	for (f = fixtures; f; f = f->next)
		n += each(f, NULL) > 0;
	if (!n) {
		printf("1..0 # SKIP no test matches the patterns\n");
		return KSFT_SKIP;
	}
	status = can_run();
	if (status)
		return status;
	for (w = watches; w; w = w->next)
		if (w->start)
			w->start();
	printf("1..%u\n", n);
	n = 0;
	for (f = fixtures; f; f = f->next)
		if (each(f, NULL))
			run_fixture(f, ++n);
	/* The order that kselftest's own harness has. */
	harness_say("Totals: pass:%u fail:%u xfail:%u xpass:0 skip:%u error:0", total.pass, total.fail,
		    total.xfail, total.skip);
	return total.fail ? KSFT_FAIL : total.pass || total.xfail ? KSFT_PASS : KSFT_SKIP;
}

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: %s [options]\n"
		"\n"
		"%s%s"
		"Which tests:\n"
		"  -l            list them; with -v what each proves. Needs neither root nor GPU\n"
		"  -t PATTERN    only those that match, like '*.anon_page.*' or a fixture's name\n"
		"  -T PATTERN    but not those that match; both may be given again\n"
		"How:\n"
		"  -d NODE       the DRM node (the first that i915 drives; " KNOB_DEVICE ")\n"
		"  -r N          each test N times, with the seeds SEED, SEED + 1, ...\n"
		"  -s SEED       of all that is random (" KNOB_SEED "; otherwise a new one each run)\n"
		"  -S SECONDS    for how long looping tests loop (" KNOB_SECONDS ")\n"
		"  -n COUNT      how often counting tests do it (" KNOB_COUNT ")\n"
		"  -w SECONDS    no test is killed before (each has a timeout of its own, mostly 30 s)\n"
		"  -v            says what each test proves\n"
		"  -h            this\n"
		"\n"
		"KTAP 1 on stdout. Exit status: 0 passed, 1 failed, 4 skipped: no test could run.\n"
		"Root sees more: the kernel log, stacks of what hangs. A failure prints how to replay it.\n"
		"\n"
		"  %s -l -v\n"
		"  %s -t '*page*' -r 100\n"
		"  %s -T '*hugetlb*' | grep -v '^ *#'\n",
		opt.program, about, *about ? "\n\n" : "", opt.program, opt.program, opt.program);
}

static unsigned long long number_of(const char *option, const char *text)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || *end || end == text || *text == '-') {
		fprintf(stderr, "%s: %s %s: not a number (-h tells what there is)\n", opt.program,
			option, text);
		exit(KSFT_FAIL);
	}
	return n;
}

static void set_number(const char *knob, const char *option, const char *text)
{
	number_of(option, text);
	setenv(knob, text, 1);
}

static void parse(int argc, char **argv)
{
	char seed[32];
	int c;

	opt.program = argv[0];
	while ((c = getopt(argc, argv, "lt:T:d:r:s:S:n:w:vh")) != -1) {
		switch (c) {
		case 'l':
			opt.list = true;
			break;
		case 't':
			if (opt.npick < MAX_PATTERNS)
				opt.pick[opt.npick++] = optarg;
			break;
		case 'T':
			if (opt.ndrop < MAX_PATTERNS)
				opt.drop[opt.ndrop++] = optarg;
			break;
		case 'd':
			setenv(KNOB_DEVICE, optarg, 1);
			break;
		case 'r':
			opt.repeat = number_of("-r", optarg);
			break;
		case 's':
			set_number(KNOB_SEED, "-s", optarg);
			break;
		case 'S':
			set_number(KNOB_SECONDS, "-S", optarg);
			break;
		case 'n':
			set_number(KNOB_COUNT, "-n", optarg);
			break;
		case 'w':
			opt.least_timeout = number_of("-w", optarg);
			break;
		case 'v':
			opt.verbose = true;
			break;
		case 'h':
			usage(stdout);
			exit(KSFT_PASS);
		default:
			usage(stderr);
			exit(KSFT_FAIL);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: %s: what is it? Tests are chosen by -t\n", opt.program,
			argv[optind]);
		exit(KSFT_FAIL);
	}
	if (!getenv(KNOB_SEED)) {
		snprintf(seed, sizeof(seed), "%#llx",
			 (unsigned long long)((now_ns() ^ (uint64_t)getpid() << 20) & 0xffffffff));
		setenv(KNOB_SEED, seed, 1);
	}
	opt.seed = knob_seed();
}

int harness_main(int argc, char **argv)
{
	struct __fixture_metadata *f;

	parse(argc, argv);
	if (!opt.list)
		return run_all();
	for (f = fixtures; f; f = f->next)
		each(f, list_test);
	return KSFT_PASS;
}
