// SPDX-License-Identifier: GPL-2.0-only
/* One test in a process of its own: its output, its end, and whatever it leaves behind. */
#define _GNU_SOURCE
#include "harness_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Of a test's diagnostics the first and the last ones are shown. */
#define MAX_LINES 400
#define LAST_LINES 8
#define MAX_LOST 64

/* A child that was forked by harness_fork() may take so long to die with its parent. */
#define GRACE_NS 1000000000ull

/* Tasks that SIGKILL did not end; the run does without them. */
static pid_t lost[MAX_LOST];
static unsigned int nlost;

struct output {
	int fd;
	char line[1024], last[LAST_LINES][1024];
	size_t len;
	unsigned int lines;
};

static bool is_lost(pid_t pid)
{
	unsigned int i;

	for (i = 0; i < nlost; i++)
		if (lost[i] == pid)
			return true;
	return false;
}

/* ---- in the test's process ---- */

void harness_stop(struct __test_metadata *t)
{
	if (gettid() == t->tid)
		siglongjmp(t->env, 1);
	_exit(1);
}

void harness_fail(struct __test_metadata *t, const char *file, int line, bool stop, const char *fmt,
		  ...)
{
	const char *base = strrchr(file, '/');
	char text[768];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diag("%s:%d: %s", base ? base + 1 : file, line, text);
	t->result->failed = 1;
	if (stop)
		harness_stop(t);
}

/* -14 is read as an errno, large numbers are easier in hexadecimal. */
static const char *number(char *buf, size_t size, long long n)
{
	if (n < 0 && n > -4096)
		snprintf(buf, size, "%lld, %s", n, strerror(-n));
	else if (n >= 4096 || n < 0)
		snprintf(buf, size, "%lld, %#llx", n, n);
	else
		snprintf(buf, size, "%lld", n);
	return buf;
}

void harness_compare(struct __test_metadata *t, const char *file, int line, bool stop,
		     const char *expected_text, long long expected, const char *op,
		     const char *seen_text, long long seen)
{
	char a[96], b[96];

	harness_fail(t, file, line, stop, "Expected %s (%s) %s %s (%s)", expected_text,
		     number(a, sizeof(a), expected), op, seen_text, number(b, sizeof(b), seen));
}

void harness_skip(struct __test_metadata *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->result->reason, sizeof(t->result->reason), fmt, args);
	va_end(args);
	t->result->skipped = 1;
}

void harness_xfail(struct __test_metadata *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->result->reason, sizeof(t->result->reason), fmt, args);
	va_end(args);
	t->result->xfailed = 1;
}

static void child(struct __test_metadata *t, const void *variant, pid_t parent, int out)
{
	int null = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	close(out);
	close(null);
	setvbuf(stdout, NULL, _IOLBF, 0);
	t->tid = gettid();
	t->fn(t, variant);
	fflush(stdout);
	/* A forked child that comes back from the test's function has not ended the test. */
	if (gettid() == t->tid)
		t->result->done = 1;
	_exit(0);
}

/* ---- in the parent ---- */

static void output_line(struct output *o)
{
	const char *text = o->line;

	o->line[o->len] = 0;
	o->len = 0;
	if (!strncmp(text, "# ", 2))
		text += 2;
	if (o->lines < MAX_LINES)
		harness_say_text(text);
	else
		strcpy(o->last[o->lines % LAST_LINES], text);
	o->lines++;
}

static void output_end(struct output *o)
{
	unsigned int i;

	if (o->len)
		output_line(o);
	if (o->lines > MAX_LINES + LAST_LINES)
		harness_say("... %u lines are not shown ...", o->lines - MAX_LINES - LAST_LINES);
	for (i = o->lines > MAX_LINES + LAST_LINES ? o->lines - LAST_LINES : MAX_LINES; i < o->lines; i++)
		harness_say_text(o->last[i % LAST_LINES]);
}

/* False at the end of the file. */
static bool output_read(struct output *o)
{
	char buf[4096];
	ssize_t n = read(o->fd, buf, sizeof(buf)), i;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	for (i = 0; i < n; i++) {
		if (buf[i] == '\n' || o->len == sizeof(o->line) - 1)
			output_line(o);
		if (buf[i] != '\n')
			o->line[o->len++] = isprint((unsigned char)buf[i]) || buf[i] < 0 ? buf[i] : '?';
	}
	return n > 0;
}

static void say_file(pid_t pid, pid_t tid, const char *name)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (*line && strcmp(line, "0"))
			harness_say("  %s: %s", name, line);
	}
	fclose(f);
}

/* Where each of its threads is. Neither status nor cmdline: they may block on the mm. */
static void say_stacks(pid_t pid)
{
	char path[32];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		pid_t tid = atoi(e->d_name);

		if (!tid)
			continue;
		harness_say("task %d:", tid);
		say_file(pid, tid, "wchan");
		say_file(pid, tid, "syscall");
		say_file(pid, tid, "stack");
	}
	if (dir)
		closedir(dir);
}

/* Children of ours, the test's orphans among them (PR_SET_CHILD_SUBREAPER), without lost ones. */
static unsigned int children(pid_t *pids, unsigned int max)
{
	char path[64];
	unsigned int n = 0;
	FILE *f;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", gettid());
	f = fopen(path, "re");
	while (f && n < max && fscanf(f, "%d", &pid) == 1)
		if (!is_lost(pid))
			pids[n++] = pid;
	if (f)
		fclose(f);
	return n;
}

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void give_up(pid_t pid)
{
	harness_say("task %d is unkillable: still there %d s after SIGKILL", pid,
		    UNKILLABLE_SECONDS);
	say_stacks(pid);
	if (nlost < MAX_LOST)
		lost[nlost++] = pid;
}

/* What the test's process has left running. False: there was something. */
static bool sweep(pid_t group)
{
	const uint64_t start = now_ns(), grace = start + GRACE_NS;
	const uint64_t until = grace + UNKILLABLE_SECONDS * 1000000000ull;
	unsigned int n, i, found = 0;
	pid_t pids[MAX_LOST];

	for (;;) {
		reap();
		n = children(pids, MAX_LOST);
		if (!n && (kill(-group, 0) || is_lost(group)))
			return !found;
		if (now_ns() < grace) {
			sleep_ms(now_ns() < start + GRACE_NS / 50 ? 1 : 20);
			continue;
		}
		if (!found++)
			harness_say("it left %u process%s running", n ? n : 1, n > 1 ? "es" : "");
		kill(-group, SIGKILL);
		for (i = 0; i < n; i++)
			kill(pids[i], SIGKILL);
		if (now_ns() > until)
			break;
		sleep_ms(5);
	}
	for (i = 0; i < n; i++)
		give_up(pids[i]);
	return false;
}

/* Its process is over (true and *status), or lost (false). */
static bool wait_for(pid_t pid, struct output *o, unsigned int timeout, int *status, bool *killed)
{
	uint64_t until = now_ns() + timeout * 1000000000ull;
	struct pollfd p = { .fd = o->fd, .events = POLLIN };
	unsigned int naps = 0;

	*killed = false;
	for (;;) {
		if (p.fd >= 0 && poll(&p, 1, 20) > 0 && !output_read(o))
			p.fd = -1;
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		if (p.fd < 0)
			sleep_ms(naps++ < 20 ? 1 : 20);
		if (now_ns() < until)
			continue;
		if (*killed) {
			give_up(pid);
			return false;
		}
		*killed = true;
		harness_say("timeout: it is killed after %u s", timeout);
		say_stacks(pid);
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		until = now_ns() + UNKILLABLE_SECONDS * 1000000000ull;
	}
}

static enum outcome judge(const struct test_result *r, int status)
{
	if (WIFSIGNALED(status)) {
		harness_say("killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
			    WCOREDUMP(status) ? ", core dumped" : "");
		return OUTCOME_FAIL;
	}
	if (!r->done) {
		harness_say("it exited with status %d in the middle of the test",
			    WEXITSTATUS(status));
		return OUTCOME_FAIL;
	}
	if (r->failed)
		return OUTCOME_FAIL;
	return r->skipped ? OUTCOME_SKIP : r->xfailed ? OUTCOME_XFAIL : OUTCOME_PASS;
}

enum outcome harness_run_test(struct __test_metadata *t, const void *variant, const char *name,
			      uint64_t seed, unsigned int timeout)
{
	enum outcome outcome = OUTCOME_FAIL;
	static struct output o;
	pid_t parent = getpid(), pid;
	int pipes[2], status;
	bool killed;

	if (!t->result) {
		t->result = mmap(NULL, sizeof(*t->result), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (t->result == MAP_FAILED) {
			perror("mmap");
			exit(KSFT_FAIL);
		}
	}
	memset(t->result, 0, sizeof(*t->result));
	memset(&o, 0, sizeof(o));
	if (pipe2(pipes, O_CLOEXEC)) {
		perror("pipe2");
		exit(KSFT_FAIL);
	}
	knob_set_test(seed, name);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(t, variant, parent, pipes[1]);
	close(pipes[1]);
	if (pid < 0) {
		harness_say("fork: %s", strerror(errno));
		close(pipes[0]);
		return OUTCOME_FAIL;
	}
	setpgid(pid, pid);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	o.fd = pipes[0];

	if (wait_for(pid, &o, timeout, &status, &killed)) {
		while (output_read(&o)) {
			struct pollfd p = { .fd = o.fd, .events = POLLIN };

			if (poll(&p, 1, 0) <= 0)
				break;
		}
		if (!killed)
			outcome = judge(t->result, status);
	} else {
		/* A process that is lost has its result's page still. */
		t->result = NULL;
	}
	output_end(&o);
	if (!sweep(pid))
		outcome = OUTCOME_FAIL;
	close(pipes[0]);
	return outcome;
}
