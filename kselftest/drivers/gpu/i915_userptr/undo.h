/* SPDX-License-Identifier: GPL-2.0-only */
/* Settings of the machine that a test changes, put back however the test ends. */
#ifndef I915_USERPTR_UNDO_H
#define I915_USERPTR_UNDO_H

/*
 * Writes `text` to a file under /proc or /sys whose old content is a word; a process of its own, that
 * no signal to the test reaches, writes that back when the test's process is gone. 0 or -errno.
 */
int undo_write(const char *path, const char *text);

#endif
