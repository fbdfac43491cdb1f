/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel says while a test runs. With kmsg.c linked in, each test has markers of its own in
 * the log and fails where between them stands a splat, the kernel has a new taint, or lockdep is off
 * that was on; GPU hangs and resets fail it but where it says that it expects them.
 */
#ifndef I915_USERPTR_KMSG_H
#define I915_USERPTR_KMSG_H

#include <stdbool.h>

/*
 * Reads all records that are there from a descriptor of /dev/kmsg, which does not block, and calls
 * `say` for those of a finding and those behind it. Returns the number of findings.
 */
unsigned int kmsg_read(int fd, bool expects_reset, void (*say)(const char *text));

#endif
